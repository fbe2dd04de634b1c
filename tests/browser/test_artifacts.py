"""What a run keeps, below its graph in a real JupyterLab: closed at first, and harmless whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from support import accessibility
from support.accessibility import Audit
from support.lab import Lab, why_not
from support.page import SHOTS, Page

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

SETUP = """
%load_ext tidegate
import json, struct, time, zlib
from pathlib import Path
from tidegate import (
    artifact, create_image_artifact, create_link_artifact, create_markdown_artifact, create_progress_artifact,
    create_table_artifact, flow, task, update_progress_artifact,
)

def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\\0" + bytes((90, 60 + x % 160, 180)) * 1 * width for x in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

@task
def load(region):
    rows = [{"airport": f"{region}-{n}", "flights": n * 37, "late": n % 5} for n in range(30)]
    create_table_artifact(rows, key="late-flights")
    return region
@flow
def check(region):
    create_markdown_artifact(f"# {region}\\n\\nAll rows are *there*.", key="checked")
"""
REPORTS = """%%flow --name reports
bar = create_progress_artifact(20, key="upload", description="Rows that are sent.")
load("north")
check("north")
create_image_artifact(png(300, 80), key="delays")
create_link_artifact("https://example.org/report", "The full report", description="Read by everybody.")
while not Path("go").exists(): time.sleep(0.02)
update_progress_artifact(bar, 90)
"""
HOSTILE = r"""%%flow --name hostile
BAD = '''<img src=x onerror="alert(1)"><script>alert(2)</script><a href="javascript:alert(3)">press</a>'''
class Sly:
    def _repr_html_(self): return BAD
    def __repr__(self): return BAD
create_markdown_artifact(BAD, description=BAD)
create_table_artifact([{BAD: BAD}])
create_link_artifact("https://example.org/", BAD)
create_image_artifact(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(4)"><script>alert(5)</script></svg>')
create_image_artifact("https://example.org/x.png")
create_image_artifact("data:image/svg+xml,<svg onload=alert(6)>")
artifact(Sly())
# As a record that somebody else has written.
from tidegate.context import frame
from tidegate.model.events import ArtifactMade
run = frame.get().flow_run
for number, (kind, data) in enumerate([
    ("link", {"link": "javascript:alert(7)", "text": "press"}),
    ("image", {"url": "javascript:alert(8)"}),
    ("image", {"type": "text/html", "base64": "PHNjcmlwdD4="}),
    ("image", {"type": "image/png", "base64": 'x" onerror="alert(9)'}),
    (BAD, {"text/plain": BAD, "text/html": BAD}),
], 90):
    run.engine.note(ArtifactMade(run.number, 1.0, 0, number, kind, json.dumps(data)))
"""


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, REPORTS, HOSTILE, "%tidegate show 1"], height=1500) as opened:
        opened.raw.on("dialog", lambda dialog: opened.console.append(("error", f"dialog: {dialog.message}")))
        opened.run_to_end(0)
        opened.run(1)
        yield opened


def section(page: Page, cell: int) -> Locator:
    """The artifacts under a cell."""
    return page.cell(cell).locator(".panel details.artifacts")


def test_the_section_is_closed_and_shows_what_the_running_flow_keeps(page: Page) -> None:
    artifacts = section(page, 1)
    expect(artifacts.locator("summary")).to_have_text("Artifacts (5)")
    expect(artifacts.locator("article")).to_have_count(0)
    artifacts.locator("summary").click()
    expect(artifacts.locator("article")).to_have_count(5)
    expect(artifacts.get_by_role("progressbar", name="upload")).to_have_attribute("value", "20")
    expect(artifacts.get_by_role("article", name="late-flights")).to_contain_text("load")
    expect(artifacts.get_by_role("columnheader")).to_have_text(["airport", "flights", "late"])
    expect(artifacts.get_by_role("row")).to_have_count(31)
    expect(artifacts.get_by_role("article", name="checked").locator("pre")).to_have_text(
        "# north\n\nAll rows are *there*."
    )
    expect(artifacts.get_by_role("article", name="checked")).to_contain_text("check '")
    link = artifacts.get_by_role("link", name="The full report")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    assert artifacts.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 300
    (page.path.parent / "go").touch()
    expect(artifacts.get_by_role("progressbar", name="upload")).to_have_attribute("value", "90")
    page.wait_text("Completed", cell=1)


@pytest.mark.skipif(accessibility.why_not() is not None, reason=accessibility.why_not() or "")
def test_it_can_be_used_without_a_mouse_and_read_in_both_themes(page: Page) -> None:
    panel = page.cell(1).locator(".panel")
    page.raw.mouse.move(0, 0)
    for theme in ("dark", "light"):
        page.theme(dark=theme == "dark")
        expect(page.raw.locator("#jupyterlab-splash")).to_have_count(0)
        expect(panel).to_have_attribute("data-theme", theme)
        panel.screenshot(path=str(SHOTS / f"artifacts-{theme}.png"))
        assert Audit(panel).problems == []


def test_hostile_artifacts_change_nothing_in_the_page(page: Page) -> None:
    page.run_to_end(2)
    artifacts = section(page, 2)
    expect(artifacts.locator("summary")).to_have_text("Artifacts (12)")
    artifacts.locator("summary").click()
    expect(artifacts.locator("article")).to_have_count(12)
    artifacts.screenshot(path=str(SHOTS / "artifacts-hostile.png"))
    assert artifacts.locator("script, iframe, object, embed, svg, style, [onerror], [onload]").count() == 0
    addresses = artifacts.locator("a").evaluate_all("links => links.map(link => link.href)")
    assert addresses == ["https://example.org/", "https://example.org/x.png"]
    sources = artifacts.locator("img").evaluate_all("images => images.map(image => image.src.slice(0, 26))")
    assert sources == ["data:image/svg+xml;base64,"]
    expect(artifacts.locator("pre").first).to_contain_text("<script>alert(2)</script>")


def test_a_run_of_the_record_has_them_too_and_a_reload_brings_them_back(page: Page) -> None:
    page.run_to_end(3)
    section(page, 3).locator("summary").click()
    expect(section(page, 3).locator("article")).to_have_count(5)
    page.save()
    page.reload()
    expect(section(page, 1).locator("summary")).to_have_text("Artifacts (5)")
    section(page, 1).locator("summary").click()
    expect(section(page, 1).locator("article")).to_have_count(5)


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert page.errors == []
    assert page.strangers == []
