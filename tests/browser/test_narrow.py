"""The panel where there is little: a cell of 320 px, a page with forced colours, a person who wants nothing to move."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from support import accessibility
from support.accessibility import Audit
from support.lab import Lab, why_not
from support.page import SHOTS, Page

_WHY_NOT = why_not() or accessibility.why_not()

pytestmark = [pytest.mark.browser, pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")]

SETUP = """
%load_ext tidegate
import time
from pathlib import Path
from tidegate import flow, task

@task
def load_configuration(): return list(range(600))
@task
def parse(row):
    if row % 150 == 3: raise ValueError(f"bad row {row}")
    if row == 77: raise KeyError("state")
    return row
@task
def watch():
    while not Path("go").exists(): time.sleep(0.02)
"""
REPORTS = """%%flow --name nightly_reports
parse.map(load_configuration()).wait()
watch()
"""
_BEYOND = """panel => {
    const right = panel.getBoundingClientRect().right + 0.5;
    const scrolls = each => each.closest('.world, .expanded, .strip, pre');
    return [...panel.querySelectorAll('*')]
        .filter(each => each.checkVisibility() && !scrolls(each) && each.getBoundingClientRect().right > right)
        .map(each => `${each.tagName} ${each.className.baseVal ?? each.className}`);
}"""
"""What reaches beyond the right edge of the panel."""


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, REPORTS], height=1300, timeout=30.0) as opened:
        opened.run_to_end(0)
        opened.run(1)
        expect(opened.cell(1).get_by_role("button", name="watch, running")).to_be_visible(timeout=30_000)
        yield opened


@pytest.fixture
def panel(page: Page) -> Iterator[Locator]:
    """The run graph, in a frame of 320 px."""
    found = page.cell(1).locator(".panel")
    found.evaluate("panel => { panel.parentElement.style.width = '320px'; }")
    yield found
    page.raw.emulate_media(forced_colors="none", reduced_motion="no-preference", color_scheme="light")


@pytest.mark.parametrize("view", ["Graph", "Timeline", "List"])
def test_all_is_there_in_320_pixels(page: Page, panel: Locator, view: str) -> None:
    panel.get_by_role("tab", name=view).click()
    page.raw.mouse.move(0, 0)
    assert panel.evaluate("panel => panel.clientWidth") <= 320
    assert panel.locator(":is(.graph, .timeline, .rows):visible").first.evaluate("each => each.clientWidth") > 300
    panel.screenshot(path=str(SHOTS / f"narrow-{view.lower()}-light.png"))
    assert panel.evaluate(_BEYOND) == []
    assert Audit(panel).problems == []


def test_a_group_and_a_story_are_there_in_320_pixels(page: Page, panel: Locator) -> None:
    panel.get_by_role("tab", name="Graph").click()
    page.theme(dark=True)
    expect(page.raw.locator("#jupyterlab-splash")).to_have_count(0)
    panel.get_by_role("button", name="parse, group of 600").focus()
    page.raw.keyboard.press("f")
    expect(panel.locator(".inspector .top")).to_contain_text("parse[3]")
    panel.screenshot(path=str(SHOTS / "narrow-story-dark.png"))
    assert panel.evaluate(_BEYOND) == []
    page.raw.keyboard.press("Escape")
    panel.get_by_role("button", name="Expand parse").press("Enter")
    expect(panel.locator(".expanded tbody tr")).to_have_count(26)
    panel.screenshot(path=str(SHOTS / "narrow-open-dark.png"))
    page.raw.keyboard.press("Escape")
    page.theme(dark=False)


def test_the_same_error_is_told_once_and_names_its_runs(page: Page, panel: Locator) -> None:
    panel.get_by_role("button", name="parse, group of 600").press("Enter")
    inspector = panel.get_by_role("complementary", name="Selected node")
    expect(inspector.locator(".failure")).to_have_count(2)
    expect(inspector.locator(".failure").first).to_contain_text("ValueError: bad row …")
    links = inspector.locator(".failure").first.locator(".link")
    expect(links).to_have_text([f"parse[{150 * at + 3}]" for at in range(4)])
    expect(panel.locator("header .note:visible")).to_contain_text("and 1 more: ValueError: bad row …")
    inspector.get_by_role("button", name="parse[453]").click()
    expect(inspector.locator(".story pre").first).to_have_text("ValueError: bad row 453")
    page.raw.keyboard.press("Escape")


def test_a_task_run_is_found_by_its_name(page: Page, panel: Locator) -> None:
    panel.get_by_role("tab", name="Graph").focus()
    page.raw.keyboard.press("/")
    page.raw.keyboard.type("parse[453]")
    page.raw.keyboard.press("Enter")
    expect(panel.get_by_role("row", name="parse[453]")).to_be_focused()
    panel.get_by_role("searchbox", name="Find tasks").press("Escape")
    panel.get_by_role("tab", name="Graph").click()


def test_nothing_moves_for_whoever_wants_it_so(page: Page, panel: Locator) -> None:
    turning = panel.locator("header .pill .arc")
    expect(turning).to_have_attribute("transform", re.compile("rotate"))
    expect(turning).not_to_have_attribute("transform", turning.get_attribute("transform") or "")
    page.raw.emulate_media(reduced_motion="reduce")
    still = turning.get_attribute("transform")
    panel.evaluate("() => new Promise(done => setTimeout(done, 1000))")  # in which it would turn six times
    assert turning.get_attribute("transform") == still
    moving = "panel => panel.getAnimations({ subtree: true }).filter(each => each.playState === 'running').length"
    assert panel.evaluate(moving) == 0
    assert panel.locator(".node").first.evaluate("node => getComputedStyle(node).transitionDuration") == "0s"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_what_is_chosen_and_what_failed_is_seen_with_forced_colours(page: Page, panel: Locator, scheme: str) -> None:
    panel.evaluate("panel => { panel.parentElement.style.width = ''; }")
    page.raw.emulate_media(forced_colors="active", color_scheme="dark" if scheme == "dark" else "light")
    panel.get_by_role("button", name="parse, group of 600").press("Enter")
    panel.screenshot(path=str(SHOTS / f"forced-graph-{scheme}.png"))
    colour = "element => getComputedStyle(element).backgroundColor"
    canvas = panel.evaluate(colour)
    assert panel.locator(".node .bar .of-bad").evaluate(colour) != canvas
    panel.get_by_role("tab", name="Timeline").click()
    expect(panel.locator(".profile")).to_have_count(1)
    panel.screenshot(path=str(SHOTS / f"forced-timeline-{scheme}.png"))
    assert panel.locator(".lane .run").first.evaluate(colour) != canvas
    assert panel.locator(".lane[data-selected]").evaluate("lane => getComputedStyle(lane).outlineStyle") == "solid"
    chosen, other = panel.get_by_role("tab", name="Timeline"), panel.get_by_role("tab", name="List")
    border = "tab => getComputedStyle(tab).borderBottomColor"
    assert chosen.evaluate(border) != other.evaluate(border)
    assert other.evaluate(border) == canvas
    page.raw.keyboard.press("Escape")
    panel.get_by_role("tab", name="Graph").click()


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    (page.path.parent / "go").touch()
    page.wait_idle()
    assert page.errors == []
    assert page.strangers == []
