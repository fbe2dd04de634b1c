"""``make screenshots``: the pictures of docs/gallery.md, of the real widget in a real JupyterLab, light and dark.

Each state is made by a flow that really gets there; files in the notebook's folder hold it there until its picture is
taken.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Locator, expect

from support.graph_page import serving, shown
from support.lab import Lab, why_not
from support.page import Page

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images" / "gallery"
COLOURS = 200
"""Of a picture: what is drawn are flat colours, and a palette makes the files a third as large."""
PATIENCE = 60_000
"""Milliseconds until a state must be there."""

SETUP = """
%load_ext tidegate
import time
from pathlib import Path
from typing import Literal
from pydantic import BaseModel, Field
from tidegate import allow_failure, ask, create_markdown_artifact, create_table_artifact, flow, get_run_logger, task

def hold(name):
    while not Path(name).exists(): time.sleep(0.02)

@task
def load_config(): time.sleep(0.2); return {"day": "2026-11-24"}
@task
def open_store(): time.sleep(0.1); return "raw"
@task
def list_files(config, store): time.sleep(0.3); return list(range(10_000))
@task
def validate_schema(config, store): time.sleep(0.4); return True

@task(concurrency=16, tags=["io", "daily"])
def parse_file(number, schema):
    if number > 6_400: hold("parse")
    if number % 2_500 == 1_037:
        get_run_logger().warning('unknown column "qty_2"')
        raise ValueError(f"bad row {number % 389}")
    return number

@task
def split_data(schema): time.sleep(0.3); return list(range(12))
@task(concurrency=4)
def fit(part):
    if part > 3: hold("fit")
    time.sleep(0.05); return part
@task
def pick_best(fits): return max(fits)
@flow
def train_models(schema): return pick_best(fit.map(split_data(schema)))

@task
def merge_report(rows): return len(rows)
@task
def quality_stats(rows): return 0.98
@task
def notify(*reports): return "sent"
@task
def crawl(page): time.sleep(0.02); return page + 1

class Approval(BaseModel):
    "Three rows could not be read. What is to become of them?"
    decision: Literal["skip them", "stop"] = "skip them"
    reason: str = Field(description="It stands in the record.")
    notify_team: bool = True
"""
EMPTY = "%%flow --name nightly_export\nhold('begin')"
REPORTS = """%%flow --name daily_reports
config, store = load_config.submit(), open_store.submit()
schema = validate_schema.submit(config, store)
rows = parse_file.map(list_files(config, store), schema)
reports = merge_report.submit(allow_failure(rows)), quality_stats.submit(rows)
create_table_artifact([{"city": "Bern", "rows": 7}, {"city": "Oslo", "rows": 12}], key="rows-by-city")
done = notify.submit(*reports)
train_models(schema)
rows.wait()"""
CRAWL = """%%flow --name crawl_archive
page = 0
while page < 10_000: page = crawl(page)"""
QUESTION = "%%flow --name publish\nparse_file.map(range(40), True).wait()\nask(Approval)"
CELLS = [SETUP, EMPTY, REPORTS, CRAWL, QUESTION, "%tidegate show 2"]


class Camera:
    """Takes pictures of one notebook, of each state in both themes."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def panel(self, cell: int) -> Locator:
        """The run graph under a cell."""
        return self.page.cell(cell).locator(".panel").last

    def press(self, cell: int, verb: str) -> None:
        """Press a button of the run graph."""
        self.panel(cell).locator(f"[data-verb={verb}]").click()

    def take(self, name: str, cell: int) -> None:
        """The panel under a cell, as it is now."""
        self.page.raw.mouse.move(0, 0)
        for theme in ("dark", "light"):
            self.page.theme(dark=theme == "dark")
            expect(self.page.raw.locator("#jupyterlab-splash")).to_have_count(0, timeout=PATIENCE)
            expect(self.panel(cell)).to_have_attribute("data-theme", theme)
            keep(f"{name}-{theme}", self.panel(cell).screenshot())


def keep(name: str, png: bytes) -> None:
    """Write a picture, with a palette."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(PICTURES / f"{name}.png", optimize=True)
    print(f"{name}: {(PICTURES / f'{name}.png').stat().st_size / 1000:.0f} kB", flush=True)


def reports(camera: Camera, browser: Any) -> None:
    """Everything of one large run: at work, its views, paused, failed."""
    page, panel, folder = camera.page, camera.panel(2), camera.page.path.parent
    page.run(2)
    expect(panel).to_contain_text("16 running", timeout=PATIENCE)
    expect(panel.get_by_role("button", name="train-models, subflow, running")).to_be_visible(timeout=PATIENCE)
    camera.take("running", 2)
    panel.get_by_role("button", name="Next failed").click()
    inspector = panel.get_by_role("complementary", name="Selected node")
    inspector.get_by_role("tab", name="Log").click()
    expect(inspector).to_contain_text("unknown column")
    camera.take("inspector", 2)
    inspector.get_by_role("button", name="Close").click()
    panel.get_by_role("tab", name="Timeline").click()
    expect(panel.locator(".profile")).to_have_count(1, timeout=PATIENCE)
    camera.take("timeline", 2)
    panel.get_by_role("tab", name="List").click()
    camera.take("list", 2)
    panel.get_by_role("tab", name="Graph").click()
    panel.get_by_role("button", name="Expand").first.click()
    expect(panel.get_by_role("button", name="Back to the graph").or_(panel.locator(".expanded"))).to_be_visible()
    camera.take("expanded", 2)
    page.raw.keyboard.press("Escape")
    camera.press(2, "pause")
    expect(panel).to_contain_text("Paused by you at")
    camera.take("paused", 2)
    of_its_own(browser, folder)
    camera.press(2, "resume")
    for name in ("parse", "fit"):
        (folder / name).touch()
    page.wait_idle()
    expect(panel).to_contain_text("Failed")
    camera.take("failed", 2)
    looked_back(camera)


def looked_back(camera: Camera) -> None:
    """The run as it was at a third of its time."""
    slider = camera.panel(2).get_by_role("slider", name="Moment of the run")
    slider.focus()
    for key in ("Home", *3 * ["PageUp"]):
        camera.page.raw.keyboard.press(key)
    expect(camera.panel(2)).to_contain_text("As it was")
    camera.take("past", 2)
    slider.press("End")


def of_its_own(browser: Any, folder: Path) -> None:
    """The page of `tidegate graph`, and what it says when its server has ended."""
    for theme in ("light", "dark"):
        with serving(folder, 2) as served, shown(browser, served.address, color_scheme=theme) as page:
            expect(page.panel).to_contain_text("Paused by you")
            keep(f"page-{theme}", page.raw.screenshot())
            served.interrupt()
            expect(page.panel).to_contain_text("Not connected", timeout=PATIENCE)
            keep(f"disconnected-{theme}", page.panel.screenshot())


def main() -> int:
    """Make all pictures; 1 if they cannot be made here."""
    if (reason := why_not()) is not None:
        print(reason, file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    with Lab() as lab, lab.open(CELLS, width=1240, height=1000) as page:
        camera, folder = Camera(page), page.path.parent
        page.run_to_end(0)
        page.run(1)
        expect(camera.panel(1)).to_contain_text("No task has run yet.", timeout=PATIENCE)
        camera.take("empty", 1)
        (folder / "begin").touch()
        page.wait_idle()
        reports(camera, lab.browser)
        page.run(3)
        expect(camera.panel(3)).to_contain_text("done", timeout=PATIENCE)
        camera.press(3, "pause")
        camera.press(3, "suspend")
        expect(camera.panel(3)).to_contain_text("Suspended by you", timeout=PATIENCE)
        page.wait_idle()
        camera.take("suspended", 3)
        page.run(4)
        expect(camera.panel(4).get_by_role("region", name="Question")).to_be_visible(timeout=PATIENCE)
        camera.take("question", 4)
        camera.press(4, "cancel")
        camera.press(4, "cancel")
        page.wait_idle()
        page.run_to_end(5)
        expect(camera.panel(5)).to_contain_text("Saved view")
        camera.take("saved", 5)
    total = sum(each.stat().st_size for each in PICTURES.iterdir())
    print(f"{total / 1e6:.2f} MB in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
