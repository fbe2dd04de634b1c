"""``tidegate graph``: a run in the browser without a notebook, whether it has ended or another process has it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from support import accessibility
from support.accessibility import Audit
from support.graph_page import Served, Shown, chromium, command, serving, shown
from support.lab import why_not
from support.page import SHOTS
from tidegate.store.sqlite import SQLiteStore

_WHY = why_not() or accessibility.why_not()
pytestmark = [pytest.mark.browser, pytest.mark.skipif(_WHY is not None, reason=_WHY or "")]

SCRIPT = """
import time
from pathlib import Path
from pydantic import BaseModel
from tidegate import ask, create_markdown_artifact, flow, get_run_logger, task

def await_file(name):
    while not Path(name).exists():
        time.sleep(0.01)

@task
def load(count):
    return list(range(count))

@task
def parse(row):
    get_run_logger().info("row %d", row)
    if row % 20 == 7:
        raise ValueError(f"bad row {row} <img src=x onerror=alert(1)>")
    return row

@task
def watch():
    print("ready", flush=True)
    await_file("go")

@task(name='" onmouseover="alert(2)" {{x}}')
def hostile(row):
    return row

class Approval(BaseModel):
    reason: str
    rows: int

@flow(flow_run_name="<script>alert('run')</script>")
def reports():
    parsed = parse.map(load(60))
    parsed.wait()
    create_markdown_artifact("<script>alert('artifact')</script>", key="note")
    hostile(1)
    return parsed

@flow
def nightly():
    parsed = parse.map(load(5))
    parsed.wait()
    watch()
    return [each + 1 for each in load(3)]

@flow
def looping():
    load(1)
    print("ready", flush=True)
    while not Path("go").exists():
        time.sleep(0.01)
        load(1)

@flow
def inner():
    print("ready", flush=True)
    return ask(Approval).rows

@flow
def asking():
    return inner()
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with chromium() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "etl.py").write_text(SCRIPT)
    return tmp_path


def run_to_end(folder: Path, name: str, code: int = 0) -> None:
    with command(folder, "run", f"etl.py:{name}", stderr=subprocess.STDOUT) as process:
        told, _ = process.communicate(timeout=60)
        assert process.returncode == code, told


class Live:
    """A run that another process is carrying out, and its page."""

    def __init__(self, process: Any, served: Served, page: Shown) -> None:
        self.process, self.served, self.page = process, served, page

    def ends_with(self) -> int:
        return int(self.process.wait(20))


@pytest.fixture
def live(browser: Any, folder: Path, request: pytest.FixtureRequest) -> Iterator[Live]:
    with command(folder, "run", f"etl.py:{request.param}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with serving(folder, 1) as served, shown(browser, served.address) as page:
            yield Live(process, served, page)
            assert served.errors.read_text() == ""


def test_a_run_that_has_ended_is_shown_whole(browser: Any, folder: Path) -> None:
    run_to_end(folder, "reports", code=1)
    with serving(folder, 1) as served, shown(browser, served.address) as page:
        panel = page.panel
        expect(panel).to_contain_text("Failed")
        expect(panel).to_contain_text("Saved view")
        assert page.raw.title().startswith("Failed · reports <script>alert('run')</script>")
        expect(panel.locator(".graph .name", has_text='" onmouseover="alert(2)" {{x}}')).to_be_visible()
        expect(panel.locator("[data-verb]:visible")).to_have_count(0)
        panel.get_by_role("button", name="Next failed").click()
        inspector = panel.get_by_role("complementary", name="Selected node")
        expect(inspector).to_contain_text("ValueError: bad row 7 <img src=x onerror=alert(1)>")
        inspector.get_by_role("tab", name="Log").click()
        expect(inspector.get_by_role("tabpanel")).to_contain_text("row 7")
        page.raw.screenshot(path=str(SHOTS / "graph-page.png"))
        page.raw.keyboard.press("Escape")
        panel.get_by_role("tab", name="Timeline").click()
        expect(panel.locator(".lane:visible")).to_have_count(3)
        panel.get_by_role("tab", name="List").click()
        panel.get_by_role("searchbox").fill("parse[47]")
        panel.get_by_role("searchbox").press("Enter")
        expect(panel.get_by_role("row", name="parse[47]")).to_be_focused()
        page.raw.keyboard.press("Enter")
        expect(inspector).to_contain_text("bad row 47")
        panel.get_by_text("Artifacts (1)").click()
        expect(panel.get_by_text("<script>alert('artifact')</script>")).to_be_visible()
        assert page.errors == []
        assert all(each.startswith((served.address, "data:")) for each in page.requests)
        assert served.interrupt() == 0
        assert served.errors.read_text() == ""


def test_the_page_is_for_those_who_cannot_see_the_graph_too(browser: Any, folder: Path) -> None:
    run_to_end(folder, "reports", code=1)
    with serving(folder, 1) as served, shown(browser, served.address, color_scheme="dark") as page:
        expect(page.panel).to_contain_text("Failed")
        expect(page.panel).to_have_attribute("data-theme", "dark")
        page.panel.screenshot(path=str(SHOTS / "graph-page-dark.png"))
        assert Audit(page.panel).problems == []


@pytest.mark.parametrize("live", ["nightly"], indirect=True)
def test_a_live_run_is_followed_to_its_end(live: Live, folder: Path) -> None:
    panel = live.page.panel
    expect(panel.get_by_role("button", name="watch, running")).to_be_visible()
    expect(panel).to_contain_text("Live")
    (folder / "go").touch()
    expect(panel).to_contain_text("Completed")
    expect(panel.get_by_role("button", name="load, completed").last).to_be_visible()
    expect(panel).to_contain_text("Saved view")
    assert live.page.raw.title().startswith("Completed · nightly ")
    assert live.ends_with() == 0
    assert live.page.errors == []


@pytest.mark.parametrize("live", ["looping"], indirect=True)
def test_pause_resume_and_cancel_reach_the_process_that_has_the_run(live: Live) -> None:
    panel = live.page.panel
    panel.locator("[data-verb=pause]").click()
    expect(panel).to_contain_text("Paused by the browser at")
    expect(panel.locator("[data-verb=suspend]")).to_have_text("Suspend")
    panel.locator("[data-verb=resume]").click()
    expect(panel.locator("[data-verb=pause]")).to_be_visible()
    panel.locator("[data-verb=cancel]").click()
    panel.get_by_role("button", name="Cancel run?").click()
    expect(panel).to_contain_text("Cancelled")
    assert live.ends_with() == 4
    assert live.page.errors == []


@pytest.mark.parametrize("live", ["looping"], indirect=True)
def test_a_run_that_is_suspended_from_the_page_is_let_go(live: Live) -> None:
    panel = live.page.panel
    panel.locator("[data-verb=pause]").click()
    panel.locator("[data-verb=suspend]").click()
    expect(panel).to_contain_text("Suspended")
    assert live.ends_with() == 5
    # Its code is not here: it says how to go on with it, and can be cancelled.
    expect(panel.locator("header .note").first).to_contain_text("Go on with it: tidegate run FILE[:FLOW] --resume 1")
    expect(panel.locator("[data-verb]:visible")).to_have_count(1)
    cancel = panel.locator("[data-verb=cancel]")
    cancel.click()
    expect(cancel).to_have_text("Cancel run?")
    cancel.click()
    expect(panel.locator("header .pill")).to_have_text("Cancelled")
    expect(panel.locator("[data-verb]:visible")).to_have_count(0)


@pytest.mark.parametrize("live", ["asking"], indirect=True)
def test_what_a_subflow_asks_is_answered_in_the_page(live: Live) -> None:
    panel = live.page.panel
    form = panel.get_by_role("region", name="Question")
    expect(form).to_contain_text("Approval")
    panel.get_by_label("Reason").fill("all good")
    panel.get_by_label("Rows").fill("many")
    form.get_by_role("button", name="Answer").click()
    expect(form).to_contain_text("rows: Input should be a valid integer")
    panel.get_by_label("Rows").fill("7")
    form.get_by_role("button", name="Answer").click()
    expect(panel).to_contain_text("Completed")
    expect(panel).to_contain_text("was answered by the browser at")
    assert live.ends_with() == 0


@pytest.mark.parametrize("live", ["looping"], indirect=True)
def test_a_run_whose_process_dies_is_shown_as_crashed(live: Live) -> None:
    expect(live.page.panel.locator("[data-verb=pause]")).to_be_visible()
    os.kill(live.process.pid, signal.SIGKILL)
    expect(live.page.panel).to_contain_text("Crashed")
    expect(live.page.panel).to_contain_text("Its process ended before it did.")


@pytest.mark.parametrize("live", ["looping"], indirect=True)
def test_a_page_whose_server_has_ended_says_so_and_the_run_goes_on(live: Live, folder: Path) -> None:
    panel = live.page.panel
    expect(panel.locator("[data-verb=pause]")).to_be_visible()
    live.served.interrupt()
    expect(panel).to_contain_text("Not connected", timeout=30_000)
    expect(panel).to_contain_text("This shows it again: tidegate graph 1")
    expect(panel.locator("[data-verb]:visible")).to_have_count(0)
    (folder / "go").touch()
    assert live.ends_with() == 0


@pytest.mark.parametrize("live", ["nightly"], indirect=True)
def test_two_pages_show_the_same(live: Live, browser: Any, folder: Path) -> None:
    expect(live.page.panel).to_contain_text("Live")
    with shown(browser, live.served.address) as other:
        expect(other.panel.get_by_role("button", name="watch, running")).to_be_visible()
        (folder / "go").touch()
        for page in (live.page, other):
            expect(page.panel).to_contain_text("Completed")


def test_the_list_of_runs_leads_to_their_graphs_and_is_kept_up_to_date(browser: Any, folder: Path) -> None:
    run_to_end(folder, "reports", code=1)
    with command(folder, "run", "etl.py:nightly") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with serving(folder) as served, shown(browser, served.address, color_scheme="dark") as page:
            rows, told = page.raw.locator("tbody tr"), page.raw.get_by_role("status")
            expect(told).to_have_text("2 flow runs")
            expect(rows.nth(0)).to_contain_text("nightly")
            expect(rows.nth(0)).to_contain_text("Running")
            expect(rows.nth(1)).to_contain_text("<script>alert('run')</script>")
            expect(rows.nth(1)).to_contain_text("Failed")
            page.raw.get_by_role("link", name="1").focus()
            (folder / "go").touch()
            assert process.wait(20) == 0
            expect(rows.nth(0)).to_contain_text("Completed")
            expect(page.raw.get_by_role("link", name="1")).to_be_focused()
            page.raw.screenshot(path=str(SHOTS / "graph-list-dark.png"))
            page.raw.emulate_media(color_scheme="light")
            page.raw.screenshot(path=str(SHOTS / "graph-list-light.png"))
            assert Audit(page.raw.locator("main")).problems == []
            page.raw.get_by_role("searchbox").fill("failed")
            expect(told).to_have_text("1 of 2")
            expect(rows.nth(0)).to_be_hidden()
            rows.nth(1).get_by_text("reports").click()
            expect(page.panel).to_contain_text("Failed")
            page.raw.screenshot(path=str(SHOTS / "graph-page-of-list.png"))
            page.raw.get_by_role("link", name="All flow runs").click()
            page.raw.get_by_role("link", name="2").click()
            expect(page.panel).to_contain_text("Completed")
            page.raw.go_back()
            expect(told).to_have_text("2 flow runs")
            assert page.errors == []
            assert served.interrupt() == 0
            assert served.errors.read_text() == ""
            expect(told).to_contain_text("This shows it again: tidegate graph")


def test_the_list_of_no_run_says_so(browser: Any, folder: Path) -> None:
    SQLiteStore(folder / ".tidegate" / "store.db").flow_runs()
    with serving(folder) as served, shown(browser, served.address) as page:
        expect(page.raw.get_by_role("status")).to_have_text("No flow run yet.")
        expect(page.raw.locator("table")).to_be_hidden()
        page.raw.goto(f"{served.address}7/")
        expect(page.raw.locator("body")).to_contain_text("There is no flow run 7 in this store.")
