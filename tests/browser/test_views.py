"""Graph, timeline and list of one run in a real JupyterLab: the same task runs, one selection, one filter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from support import accessibility
from support.accessibility import audited
from support.lab import Lab, why_not
from support.page import Page

_WHY_NOT = why_not() or accessibility.why_not()

pytestmark = [pytest.mark.browser, pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")]

SETUP = """
%load_ext tidegate
import time
from pathlib import Path
from tidegate import flow, task

@task
def load(): return list(range(10_000))
@task
def parse(row):
    if row in (3, 211, 4022): raise ValueError(f"bad row {row}")
    return row
@task
def watch():
    while not Path("go").exists(): time.sleep(0.02)
@task
def total(rows): return len(rows)
@flow
def archive(): return load()
"""
REPORTS = """%%flow --name reports
parsed = parse.map(load())
parsed.wait()
archive()
watch()
total.submit(parsed)
"""


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, REPORTS], height=1100) as opened:
        opened.run_to_end(0)
        opened.run(1)
        yield opened


@pytest.fixture
def panel(page: Page) -> Locator:
    """The run graph under the flow cell."""
    return page.cell(1).locator(".panel")


def test_the_timeline_of_ten_thousand_is_one_lane(page: Page, panel: Locator) -> None:
    expect(panel.get_by_role("button", name="watch, running")).to_be_visible(timeout=60_000)
    panel.get_by_role("tab", name="Timeline").click()
    lane = panel.get_by_role("button", name="parse, group of 10,000, failed, 9,997 done, 3 failed")
    expect(lane.locator(".profile")).to_have_count(1)
    expect(lane.locator(".pin")).to_have_count(3)
    assert lane.locator("*").count() < 20
    expect(panel.get_by_role("button", name="watch, running").locator(".run.of-active")).to_have_count(1)
    width = lane.locator(".track").evaluate("track => track.clientWidth")
    assert width > 500
    audited(page, panel, "views-timeline")


def test_a_running_bar_grows_while_nothing_else_happens(panel: Locator) -> None:
    axis = panel.locator(".page .axis")
    before = axis.inner_html()
    expect(axis).to_be_visible()
    panel.page.wait_for_function("([axis, before]) => axis.innerHTML !== before", arg=[axis.element_handle(), before])


def test_a_count_of_the_head_filters_every_view(page: Page, panel: Locator) -> None:
    failed = panel.get_by_role("button", name="3 failed", exact=True)
    failed.click()
    expect(failed).to_have_attribute("aria-pressed", "true")
    expect(panel.locator(".lane:visible")).to_have_count(1)
    panel.get_by_role("tab", name="List").click()
    expect(panel.get_by_role("row", name="parse")).to_have_count(1)
    expect(panel.locator("tbody tr")).to_have_count(1)
    panel.get_by_role("tab", name="Graph").click()
    expect(panel.locator("[data-node][data-faded]")).to_have_count(3)
    audited(page, panel, "views-filtered")
    failed.click()
    expect(panel.locator("[data-node][data-faded]")).to_have_count(0)


def test_the_list_is_used_without_a_mouse_and_selects_in_the_graph(page: Page, panel: Locator) -> None:
    keyboard = page.raw.keyboard
    panel.get_by_role("tab", name="Graph").focus()
    keyboard.press("ArrowLeft")
    expect(panel.get_by_role("tab", name="List")).to_be_focused()
    expect(panel.get_by_role("treegrid", name="Task runs")).to_be_visible()
    for _ in range(2):  # past the words to look for
        keyboard.press("Tab")
    rows = panel.locator("tbody tr")
    expect(rows.nth(1)).to_be_focused()  # the only one that the filter had left
    keyboard.press("Home")
    expect(rows.nth(0)).to_be_focused()
    keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    keyboard.press("Enter")
    inspector = panel.get_by_role("complementary", name="Selected node")
    expect(inspector).to_contain_text("ValueError: bad row …")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    audited(page, panel, "views-list")
    keyboard.press("Escape")
    expect(inspector).to_be_hidden()
    expect(rows.nth(1)).to_be_focused()
    keyboard.press("Enter")
    panel.get_by_role("tab", name="Graph").click()
    expect(panel.locator("[data-node][data-selected]")).to_contain_text("parse")
    keyboard.press("Escape")


def test_the_end_of_the_run_comes_to_the_view_that_is_shown(page: Page, panel: Locator) -> None:
    panel.get_by_role("tab", name="List").click()
    (page.path.parent / "go").touch()
    expect(panel.get_by_role("row", name="total")).to_contain_text("Not Ready")
    expect(panel.get_by_role("row", name="watch")).to_contain_text("Completed")
    panel.get_by_role("tab", name="Timeline").click()
    expect(panel.get_by_role("button", name="watch, completed").locator(".run.of-done")).to_have_count(1)


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert page.errors == []
    assert page.strangers == []
