"""A finished run is looked at again in a real JupyterLab: a slider over its time, and the timeline below the graph."""

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
from tidegate import task

@task
def load(): time.sleep(0.5); return list(range(60))
@task(name='" onmouseover="alert(1)" {{x}}')
def parse(row):
    time.sleep(0.2)
    if row == 7: raise ValueError("bad row 7")
    return row
@task
def total(rows): time.sleep(0.5); return len(rows)
"""
REPORTS = """%%flow --name reports
parsed = parse.map(load())
parsed.wait()
total([7])
"""
RECORD, CELL = 2, 1


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, REPORTS, "%tidegate show 1"], height=1300) as opened:
        opened.run_to_end(0)
        opened.run_to_end(CELL)
        opened.run_to_end(RECORD)
        yield opened


@pytest.fixture(params=[CELL, RECORD])
def panel(page: Page, request: pytest.FixtureRequest) -> Locator:
    """The run graph under the flow cell, and that of the record."""
    return page.cell(request.param).locator(".panel").last


def test_the_keys_of_the_slider_lead_through_the_run_and_back_to_its_end(page: Page, panel: Locator) -> None:
    pill, slider = panel.locator("header .pill"), panel.get_by_role("slider", name="Moment of the run")
    expect(pill).to_have_text("Completed")
    expect(panel.locator(".below .lane")).to_have_count(3)
    end = slider.get_attribute("aria-valuetext") or ""
    whole = end.partition(" of ")[2]
    assert end == f"{whole} of {whole}"
    slider.focus()
    keyboard = page.raw.keyboard
    keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", f"0ms of {whole}")
    expect(pill).to_have_text("Running")
    expect(panel.locator("[data-node]")).to_have_count(1)
    keyboard.press("PageUp")
    expect(panel.get_by_role("button", name="load, running")).to_have_count(1)
    expect(slider).not_to_have_attribute("aria-valuetext", f"0ms of {whole}")
    expect(panel.locator(".status")).to_have_text("As it was")
    audited(page, panel, "playback")
    slider.press("End")  # wherever the audit has left the focus
    expect(pill).to_have_text("Completed")
    expect(panel.locator("[data-node]")).to_have_count(3)


def test_it_plays_to_its_end(panel: Locator) -> None:
    panel.get_by_role("button", name="Play the run again").click()
    expect(panel.locator("header .pill")).to_have_text("Running")
    expect(panel.get_by_role("button", name="load, running")).to_have_count(1)
    expect(panel.locator("header .pill")).to_have_text("Completed", timeout=60_000)
    expect(panel.get_by_role("button", name="Play the run again")).to_be_visible()


def test_the_timeline_below_the_graph_selects_in_it(panel: Locator) -> None:
    panel.locator(".below .lane", has_text="total").click()
    expect(panel.locator("[data-node][data-selected]")).to_contain_text("total")
    panel.get_by_role("complementary", name="Selected node").get_by_role("button", name="Close").click()
    panel.locator(".below summary").click()
    expect(panel.locator(".below .lane").first).to_be_hidden()
    panel.locator(".below summary").click()
    expect(panel.locator(".below .lane").first).to_be_visible()


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert page.errors == []
    assert page.strangers == []
