"""The quickstart as a newcomer has it: a real JupyterLab, a real browser, a real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from support.lab import Lab, why_not
from support.page import SHOTS, Page

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CELLS = [cell.id for cell in nbformat.read(NOTEBOOKS / "quickstart.ipynb", as_version=4).cells]
RUN = CELLS.index("run")
LONG_TASK = """
%load_ext tidegate
import os, time
from tidegate import task
@task
def long(until):
    end = time.monotonic() + 60
    while not os.path.exists(until) and time.monotonic() < end:
        sum(range(1000))
    return time.time()
@task
def after():
    return time.time()
"""


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open(NOTEBOOKS / "quickstart.ipynb", files=[NOTEBOOKS / "flaky_api.py"]) as opened:
        for index, name in enumerate(CELLS[:RUN]):
            if "about" not in name and name != "title":
                opened.run_to_end(index)
        opened.run(RUN)
        yield opened


def part(page: Page, selector: str) -> Locator:
    """Something in the run graph under the flow cell."""
    return page.cell(RUN).locator(selector)


def panel(page: Page, cell: int = RUN) -> Locator:
    """The run graph under a cell; it lives in a shadow root, which texts of the cell do not include."""
    return page.cell(cell).locator(".panel")


def done(page: Page) -> int:
    """How many task runs the header says are done."""
    text = panel(page).inner_text()
    found = re.search(r"([\d,]+)\s*done", text)
    return int(found.group(1).replace(",", "")) if found else 0


def test_pause_while_it_runs_starts_nothing_new_until_resume(page: Page) -> None:
    expect(part(page, "[data-verb=pause]")).to_be_visible(timeout=20_000)
    expect(part(page, "[data-node]")).to_have_count(3)
    expect(panel(page)).to_contain_text(re.compile(r"[1-9]\d*\s*done"))
    page.screenshot(SHOTS / "running.png")

    part(page, "[data-verb=pause]").click()
    page.wait_text("Paused by you at", cell=RUN)
    expect(panel(page)).to_contain_text("No new task run starts.")  # the last running one has ended
    page.screenshot(SHOTS / "paused.png")
    before = done(page)
    assert 0 < before < 3_376
    # Long enough for hundreds of calls at the pace it had; the one wait for time to pass, to see that nothing comes.
    page.raw.wait_for_timeout(1_000)
    assert done(page) == before

    part(page, "[data-verb=resume]").click()
    expect(part(page, "[data-verb=pause]")).to_be_visible(timeout=5_000)


def test_it_finishes_and_the_cell_has_its_value(page: Page) -> None:
    page.wait_idle()
    page.wait_text("Completed", cell=RUN)
    assert done(page) == 3_366
    assert "12 failed" in panel(page).inner_text()
    assert "time_zones" in page.cell(RUN).inner_text()
    expect(part(page, "[data-verb]:visible")).to_have_count(0)
    page.screenshot(SHOTS / "completed.png")


def test_a_selected_node_says_why_its_runs_failed(page: Page) -> None:
    part(page, "[data-node]").nth(1).click()
    failure = part(page, ".inspector .failure")
    expect(failure).to_contain_text("12 failed")
    expect(failure).to_contain_text("ValueError: state is required")
    expect(failure.get_by_role("button", name="locate[")).to_have_count(5)
    page.screenshot(SHOTS / "failure.png")
    page.theme(dark=True)
    expect(page.raw.locator("#jupyterlab-splash")).to_have_count(0)
    page.screenshot(SHOTS / "dark.png")
    page.theme(dark=False)


def test_a_reload_brings_the_picture_back(page: Page) -> None:
    page.save()
    page.reload()
    page.wait_text("Completed", cell=RUN)
    assert done(page) == 3_366
    expect(part(page, "[data-node]")).to_have_count(3)
    page.screenshot(SHOTS / "reloaded.png")


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert page.errors == []
    assert page.strangers == []


def test_a_click_is_heard_during_one_long_task_on_the_main_thread(lab: Lab, tmp_path: Path) -> None:
    until = tmp_path / "long enough"
    cell = f"%%flow\nended = long({str(until)!r})\nnext_began = after()\n"
    with lab.open([LONG_TASK, cell, "next_began - ended"]) as page:
        page.run_to_end(0)
        page.run(1)
        expect(page.cell(1).locator("[data-verb=pause]")).to_be_visible(timeout=20_000)
        page.cell(1).locator("[data-verb=pause]").click()
        # The answer comes while the one task runs; Paused means that the engine heard it.
        page.wait_text("Paused by you at", cell=1)
        assert "1 task run that had started goes on" in panel(page, 1).inner_text()
        page.screenshot(SHOTS / "long-task.png")
        until.touch()
        expect(panel(page, 1)).to_contain_text("1 done")
        expect(panel(page, 1)).to_contain_text("1 waiting")
        page.cell(1).locator("[data-verb=resume]").click()
        page.wait_text("Completed", cell=1)
        page.wait_idle()
        assert float(page.run_to_end(2)[0]) > 0
