"""A subflow opens as a box and closes again, in a real JupyterLab: while it runs, by keyboard, and from the record."""

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
def load(): return list(range(12))
@task
def split(rows): return [rows[:6], rows[6:]]
@task
def fit(row):
    if row == 7: raise ValueError("bad row 7")
    return [row]
@task
def pick_best(models):
    while not Path("go").exists(): time.sleep(0.02)
    return models
@task
def report(model): return len(model)
@flow
def check(rows): return split(rows)
@flow
def train(rows):
    parts = split(rows)
    models = fit.map(rows)
    models.wait()
    check(parts)
    return pick_best(parts)
"""
REPORTS = """%%flow --name reports
rows = load()
report(train(rows))
"""


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, REPORTS, "%tidegate show 1"], height=1200) as opened:
        opened.run_to_end(0)
        opened.run(1)
        yield opened


def panel_of(page: Page, cell: int) -> Locator:
    """The run graph under a cell."""
    return page.cell(cell).locator(".panel")


def is_within(inner: Locator, box: Locator) -> bool:
    """True if an element lies in another one, as drawn."""
    a, b = inner.bounding_box(), box.bounding_box()
    assert a is not None
    assert b is not None
    across = b["x"] <= a["x"] and a["x"] + a["width"] <= b["x"] + b["width"]
    return across and b["y"] <= a["y"] and a["y"] + a["height"] <= b["y"] + b["height"]


def test_a_subflow_opens_while_it_runs_and_goes_on_in_its_box(lab: Lab, page: Page) -> None:
    panel = panel_of(page, 1)
    panel.get_by_role("button", name="Open train").click(timeout=60_000)
    box = panel.get_by_role("button", name="train, subflow, running")
    expect(box).to_have_attribute("aria-expanded", "true")
    inner = panel.get_by_role("button", name="pick_best, running")
    expect(inner).to_be_visible()
    page.raw.wait_for_function("box => !box.getAnimations().length", arg=inner.element_handle())
    assert is_within(inner, box)
    audited(page, panel, "boxes-live")
    panel.get_by_role("button", name="fit, group of 12").click()
    expect(panel.get_by_role("complementary", name="Selected node")).to_contain_text("ValueError: bad row 7")
    page.raw.keyboard.press("Escape")
    (lab.root / "go").touch()
    expect(panel.get_by_role("button", name="pick_best, completed")).to_be_visible()
    expect(panel.get_by_role("button", name="train, subflow, completed")).to_be_visible()
    page.wait_idle()
    picture = page.cell(1).locator("[data-tidegate-picture]")
    assert "pick_best" in picture.inner_html(), "the saved picture shows what was open"


def test_the_record_opens_by_keyboard_box_in_box(page: Page) -> None:
    page.run_to_end(2)
    panel = panel_of(page, 2)
    keyboard = page.raw.keyboard
    closed = panel.get_by_role("button", name="train, subflow")
    expect(closed).to_have_attribute("aria-expanded", "false")
    panel.get_by_role("button", name="load").focus()
    keyboard.press("ArrowRight")
    expect(closed).to_be_focused()
    keyboard.press("Enter")
    expect(closed).to_have_attribute("aria-expanded", "true")
    keyboard.press("ArrowDown")
    expect(panel.get_by_role("button", name="split")).to_be_focused()
    check = panel.get_by_role("button", name="check, subflow")
    keyboard.press("ArrowRight")
    expect(check).to_be_focused()
    keyboard.press("Enter")
    expect(check).to_have_attribute("aria-expanded", "true")
    expect(panel.get_by_role("button", name="split")).to_have_count(2)
    audited(page, panel, "boxes-nested")
    keyboard.press("Escape")
    expect(check).to_have_attribute("aria-expanded", "false")
    keyboard.press("ArrowUp")
    keyboard.press("Escape")
    expect(closed).to_have_attribute("aria-expanded", "false")
    expect(check).to_have_count(0)


def test_the_list_opens_a_box_as_a_level(page: Page) -> None:
    panel = panel_of(page, 2)
    panel.get_by_role("tab", name="List").click()
    row = panel.get_by_role("row", name="train")
    expect(row).to_be_visible()
    row.locator("[data-twist]").click()
    expect(row).to_have_attribute("aria-expanded", "true")
    inner = panel.get_by_role("row", name="pick_best")
    expect(inner).to_have_attribute("aria-level", "2")
    audited(page, panel, "boxes-list")
    row.focus()
    page.raw.keyboard.press("ArrowLeft")
    expect(inner).to_have_count(0)
