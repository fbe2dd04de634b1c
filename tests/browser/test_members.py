"""Ten thousand task runs of one map in a real JupyterLab: opened in place, paged through, and each with its story."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from support import accessibility
from support.accessibility import audited
from support.lab import Lab, why_not
from support.page import SHOTS, Page

_WHY_NOT = why_not() or accessibility.why_not()

pytestmark = [pytest.mark.browser, pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")]

SETUP = """
%load_ext tidegate
from tidegate import flow, get_run_logger, task

@task
def load(): return 10_000
@task
def double(row): return row * 2
@task
def parse(row, size):
    if row in (422, 8_044, 19_998):
        get_run_logger().warning("unknown column in row %d", row)
        raise ValueError(f"bad row {row} <b>of</b> {size}")
    return row
"""
REPORTS = """%%flow --name reports
size = load.submit()
doubled = double.map(range(10_000))
parse.map(doubled, size=size)
"""


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, REPORTS, "%tidegate show 1", "double_4022"], height=1300, timeout=30.0) as opened:
        opened.run_to_end(0)
        opened.run_to_end(1)
        yield opened


@pytest.fixture
def panel(page: Page) -> Locator:
    """The run graph under the flow cell."""
    return page.cell(1).locator(".panel")


def test_a_map_opens_in_place_and_any_member_is_a_page_away(page: Page, panel: Locator) -> None:
    panel.get_by_role("button", name="Expand parse").click()
    opened = panel.get_by_role("region", name="Task runs of a group")
    expect(opened.locator("tbody tr")).to_have_count(26)
    expect(opened.locator("tbody tr").first).to_be_focused()
    failed = panel.get_by_role("button", name="3 failed", exact=True)
    failed.click()
    expect(opened.locator("tbody tr")).to_have_count(4)
    # With all of them there are rows below the head, whose colours axe cannot tell.
    audited(page, panel, "members-few")
    failed.click()
    place = opened.get_by_role("textbox", name="Place of the task run to go to")
    place.fill("9990")
    place.press("Enter")
    row = opened.get_by_role("row", name="parse[9990]")
    expect(row).to_be_focused()
    expect(row).to_contain_text("Completed")
    panel.screenshot(path=str(SHOTS / "members-open-light.png"))
    row.press("PageUp")
    expect(opened.get_by_role("row", name="parse[9950]")).to_be_focused()


def test_a_click_on_the_strip_goes_to_its_task_runs(panel: Locator) -> None:
    opened = panel.get_by_role("region", name="Task runs of a group")
    strip = opened.locator(".strip")
    size = strip.evaluate("strip => [strip.clientWidth || strip.getBoundingClientRect().width, strip.clientHeight]")
    strip.click(position={"x": size[0] - 3, "y": 3})
    # The first of six rows of 56 cells, each for 30 task runs.
    expect(opened.get_by_role("row", name="parse[1650]")).to_be_focused()


def test_the_failed_ones_are_gone_through_by_a_key(page: Page, panel: Locator) -> None:
    inspector = panel.get_by_role("complementary", name="Selected node")
    for at, place in enumerate((211, 4022, 9999, 211), 1):
        page.raw.keyboard.press("f")
        expect(inspector.locator(".top")).to_contain_text(f"parse[{place}]")
        expect(inspector).to_contain_text(f"{(at - 1) % 3 + 1} of 3 failed")
        expect(panel.get_by_role("row", name=f"parse[{place}]")).to_have_attribute("aria-selected", "true")
    inspector.get_by_role("button", name="Next failed").click()
    expect(inspector.locator(".top")).to_contain_text("parse[4022]")


def test_the_story_of_a_failed_one_is_what_the_record_has(page: Page, panel: Locator) -> None:
    inspector = panel.get_by_role("complementary", name="Selected node")
    panel.get_by_role("button", name="Close the group").click()
    expect(inspector.locator(".story pre").first).to_have_text("ValueError: bad row 8044 <b>of</b> 10000")
    expect(inspector.locator(".story pre").nth(1)).to_contain_text("raise ValueError")
    audited(page, panel, "members-error")
    inspector.get_by_role("button", name="Copy error").click()
    expect(inspector.get_by_role("status")).to_have_text("Copied.")
    inspector.get_by_role("button", name="Retry task").click()
    plan = "Runs again: parse[4022], 2 Failed. Kept: 19,998."
    expect(inspector.get_by_role("status")).to_have_text(plan)
    expect(inspector.get_by_role("button", name="Run again")).to_be_visible()
    audited(page, panel, "members-retry")
    inspector.get_by_role("tab", name="Log").click()
    expect(inspector.locator(".line", has_text="WARNING")).to_contain_text("unknown column in row 8044")
    audited(page, panel, "members-log")
    inspector.get_by_role("tab", name="Code").click()
    expect(inspector.locator(".story pre")).to_contain_text("def parse(row, size):")
    inspector.get_by_role("tab", name="Inputs").click()
    expect(inspector.locator(".input")).to_have_text(["row from double[4022]", "size from load"])


def test_an_input_leads_to_the_task_run_that_it_came_from_and_its_result_is_loaded(page: Page, panel: Locator) -> None:
    inspector = panel.get_by_role("complementary", name="Selected node")
    inspector.get_by_role("button", name="double[4022]").click()
    expect(inspector.locator(".top")).to_contain_text("double[4022]")
    inspector.get_by_role("tab", name="Result").click()
    expect(inspector.locator(".story pre")).to_have_text("8044")
    inspector.get_by_role("button", name="Load result").click()
    expect(inspector.get_by_role("status")).to_have_text("In the notebook: double_4022")
    audited(page, panel, "members-loaded")
    assert page.run_to_end(3) == ["8044"]
    inspector.get_by_role("button", name="All of double").click()
    expect(inspector.get_by_role("button", name="Show the 10,000 task runs")).to_be_visible()


def test_the_list_opens_a_group_too_and_a_count_leaves_only_such_runs(page: Page, panel: Locator) -> None:
    panel.locator(".inspector .close").click()
    panel.get_by_role("tab", name="List").click()
    table = panel.get_by_role("treegrid", name="Task runs", exact=True)
    table.get_by_role("row", name="parse").press("ArrowRight")
    expect(table.locator("tr[aria-level='2']")).to_have_count(26)
    panel.get_by_role("button", name="3 failed", exact=True).click()
    expect(table.locator("tr[data-row*='/']:not(.turns)")).to_have_count(3)
    expect(table.get_by_role("row", name="parse[9999]")).to_contain_text("ValueError: bad row 19998")
    audited(page, panel, "members-failed")
    table.get_by_role("combobox", name="Order").select_option("duration")
    expect(table.locator("tr.turns")).to_contain_text("1 to 3 of 3")
    page.raw.keyboard.press("Escape")
    panel.get_by_role("button", name="Keys").click()
    expect(panel.get_by_role("region", name="Keys")).to_contain_text("next failed")
    audited(page, panel, "members-keys")
    panel.get_by_role("button", name="Keys").click()
    panel.get_by_role("button", name="3 failed", exact=True).click()


def test_a_run_of_the_record_tells_the_same(page: Page) -> None:
    page.run_to_end(2)
    panel = page.cell(2).locator(".panel")
    # The key is heard as soon as its button is there, which is when the kernel has answered.
    expect(panel.get_by_role("button", name="Next failed")).to_be_visible()
    panel.get_by_role("button", name="load, completed").press("f")
    inspector = panel.get_by_role("complementary", name="Selected node")
    expect(inspector.locator(".top")).to_contain_text("parse[211]")
    expect(inspector.locator(".story pre").nth(1)).to_contain_text("raise ValueError")
    panel.get_by_role("tab", name="Timeline").click()
    expect(panel.locator(".page .lane .profile")).to_have_count(2)
    panel.get_by_role("searchbox", name="Find tasks").fill("double[777]")
    panel.get_by_role("searchbox", name="Find tasks").press("Enter")
    expect(panel.get_by_role("row", name="double[777]")).to_be_focused()


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert page.errors == []
    assert page.strangers == []
