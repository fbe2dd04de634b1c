"""The run graph for whoever uses a keyboard or a screen reader: what axe finds, and a walk without a mouse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from support import accessibility
from support.accessibility import Audit
from support.lab import Lab, why_not
from support.page import SHOTS, Page

_WHY_NOT = why_not() or accessibility.why_not()

pytestmark = [pytest.mark.browser, pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")]

SETUP = '''
%load_ext tidegate
import time
from pathlib import Path
from pydantic import BaseModel, Field
from tidegate import ask, flow, task

class Approval(BaseModel):
    """The table goes out to everybody."""
    approved: bool
    reason: str = Field(description="In a few words.")
    level: int | None = None
    columns: list[str] | None = None

@task
def load(): return list(range(60))
@task
def clean(row):
    if row % 7 == 3: raise ValueError(f"bad row {row}")
    return row
@task
def watch():
    while not Path("go").exists(): time.sleep(0.02)
@task
def total(rows): return len(rows)
@flow
def archive(): return load()
'''
REPORTS = """%%flow --name reports
cleaned = clean.map(load())
archive()
watch()
answer = ask(Approval)
total.submit(cleaned)
"""
CELL = 1


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, REPORTS], height=1500) as opened:
        opened.run_to_end(0)
        opened.run(CELL)
        yield opened


@pytest.fixture
def panel(page: Page) -> Locator:
    """The run graph under the flow cell."""
    return page.cell(CELL).locator(".panel")


def audited(page: Page, panel: Locator, name: str) -> None:
    """Nothing is wrong with the panel, in the light theme and in the dark one."""
    page.raw.mouse.move(0, 0)  # axe cannot tell that the mixed colour of what the mouse is over hides the edges below
    for theme in ("dark", "light"):
        page.theme(dark=theme == "dark")
        expect(page.raw.locator("#jupyterlab-splash")).to_have_count(0)
        expect(panel).to_have_attribute("data-theme", theme)
        audit = Audit(panel)
        page.screenshot(SHOTS / f"accessible-{name}-{theme}.png")
        assert audit.problems == []
        assert audit.looked_at("color-contrast") > 10
        assert audit.looked_at("target-size") > 3


def test_a_run_at_work(page: Page, panel: Locator) -> None:
    expect(panel.get_by_role("button", name="watch, running")).to_be_visible(timeout=20_000)
    expect(panel.locator("header .pill")).to_have_text("Running")
    audited(page, panel, "running")


def test_what_axe_has_to_find_it_finds(panel: Locator) -> None:
    plus = panel.get_by_role("button", name="Zoom in")
    plus.evaluate("button => { button.ariaLabel = null; button.title = ''; }")
    try:
        assert any("button-name" in each for each in Audit(panel).problems)
    finally:
        panel.locator(".zoom button").first.evaluate("button => { button.ariaLabel = button.title = 'Zoom in'; }")
    panel.locator(".flow").evaluate("name => { name.style.color = 'rgb(200, 200, 200)'; }")
    try:
        assert any("color-contrast" in each for each in Audit(panel).problems)
    finally:
        panel.locator(".flow").evaluate("name => { name.style.color = ''; }")


def test_a_question_and_what_does_not_fit(page: Page, panel: Locator) -> None:
    (page.path.parent / "go").touch()
    expect(panel.get_by_role("region", name="Question")).to_be_visible(timeout=20_000)
    audited(page, panel, "question")
    panel.get_by_label("Columns").fill("these")
    panel.get_by_role("button", name="Resume").click()
    expect(panel.locator("[data-field=columns] .wrong")).to_contain_text("This is not JSON")
    audited(page, panel, "wrong")


def test_a_finished_run_is_walked_through_without_a_mouse(page: Page, panel: Locator) -> None:
    panel.get_by_role("radio", name="Yes").check()
    panel.get_by_label("Reason").fill("looks right")
    panel.get_by_label("Columns").fill("")
    panel.get_by_label("Reason").press("Enter")
    expect(panel.locator("header .pill")).to_have_text("Failed")
    expect(panel).to_be_focused()
    keyboard = page.raw.keyboard
    keyboard.press("Tab")
    expect(panel.get_by_role("button", name="Retry failed")).to_be_focused()
    for _ in range(panel.locator("[data-count]:visible").count() + 1):
        keyboard.press("Tab")
    expect(panel.get_by_role("tab", name="Graph")).to_be_focused()
    keyboard.press("Tab")
    expect(panel.get_by_role("searchbox", name="Find tasks")).to_be_focused()
    keyboard.press("Tab")
    expect(panel.get_by_role("button", name="load, completed")).to_be_focused()
    keyboard.press("ArrowRight")
    node = panel.get_by_role("button", name="clean, group of 60, failed, 51 done, 9 failed")
    expect(node).to_be_focused()
    keyboard.press("Enter")
    inspector = panel.get_by_role("complementary", name="Selected node")
    expect(inspector).to_contain_text("ValueError: bad row …")
    keyboard.press("Tab")
    expect(panel.get_by_role("button", name="Expand clean")).to_be_focused()
    for _ in range(3 + 1):  # past the three buttons of the zoom
        keyboard.press("Tab")
    expect(inspector.get_by_role("button", name="Close")).to_be_focused()
    keyboard.press("Tab")
    expect(inspector.get_by_role("button", name="Show the 60 task runs")).to_be_focused()
    for _ in range(5 + 1):  # past the task runs that are named
        keyboard.press("Tab")
    expect(inspector.locator("summary").first).to_be_focused()
    keyboard.press("Enter")
    expect(inspector.locator("pre").nth(1)).to_contain_text("Traceback")
    audited(page, panel, "finished")
    inspector.locator("summary").first.focus()
    keyboard.press("Escape")
    expect(inspector).to_be_hidden()
    expect(node).to_be_focused()


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert page.errors == []
    assert page.strangers == []
