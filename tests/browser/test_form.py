"""A flow asks a person: the form under a running cell, in a real JupyterLab with a real browser and kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, expect

from support.lab import Lab, why_not
from support.page import SHOTS, Page

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

SETUP = '''
%load_ext tidegate
from typing import Literal
from pydantic import BaseModel, Field, field_validator
from tidegate import ask, flow, task

class Approval(BaseModel):
    """The cleaned table goes to everybody who has subscribed."""
    approved: bool = Field(description="No sends it back to the team.")
    reason: str
    audience: Literal["testers", "subscribers", "everybody"] = "subscribers"
    max_rows: int = Field(5000, description="Rows that are sent at most.")
    columns: list[str] | None = None

    @field_validator("reason")
    @classmethod
    def is_a_reason(cls, text):
        if len(text.split()) < 2:
            raise ValueError("say it in two words at least")
        return text

@task
def load_rows(): return list(range(3376))
@task
def check_rows(rows): return len(rows)
@task
def publish(count, answer): return f"{count} rows to {answer.audience}: {answer.reason}"
@flow
async def clean(region):
    rows = load_rows()
    answer = await ask(Approval)
    return publish(region, answer)
'''
ASKS = """%%flow --name reports
count = check_rows(load_rows())
answer = ask(Approval)
publish(count, answer)
"""
PLAIN = "%%flow\nanswers = ask(int), ask(bool)\n"
REGIONS = """%%flow --name regions
import asyncio
answers = await asyncio.gather(clean("north"), clean("south"))
"""
CELLS = [SETUP, ASKS, PLAIN, "answers", REGIONS]
CELL = 1
ASKED_BELOW = 4


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with lab.open(CELLS) as opened:
        opened.run_to_end(0)
        opened.run(CELL)
        yield opened


def panel(page: Page, cell: int = CELL) -> Locator:
    """The run graph under a cell."""
    return page.cell(cell).locator(".panel")


def shoot(page: Page, name: str, cell: int = CELL) -> None:
    """A picture of the run graph under a cell."""
    panel(page, cell).screenshot(path=str(SHOTS / name))


@contextmanager
def dark(page: Page, cell: int = CELL) -> Iterator[None]:
    """The dark theme while inside."""
    for name in ("dark", "light"):
        page.theme(dark=name == "dark")
        expect(page.raw.locator("#jupyterlab-splash")).to_have_count(0)
        expect(panel(page, cell)).to_have_attribute("data-theme", name)
        if name == "dark":
            yield


def label(page: Page, text: str, cell: int = CELL) -> Locator:
    """The control of that label, as a reader of the page finds it."""
    return panel(page, cell).get_by_label(text)


def test_the_form_stands_under_the_head_and_the_plain_button_is_gone(page: Page) -> None:
    expect(panel(page)).to_contain_text("Asks for Approval")
    expect(panel(page)).to_contain_text("The cleaned table goes to everybody who has subscribed.")
    expect(panel(page).locator("[data-verb=resume]:visible")).to_have_count(0)
    expect(panel(page).locator("[data-verb=cancel]")).to_be_visible()
    expect(label(page, "Max rows")).to_have_value("5000")
    expect(label(page, "Audience")).to_have_value("1")
    expect(panel(page).get_by_role("radiogroup", name="Approved").get_by_role("radio")).to_have_count(2)
    shoot(page, "question.png")


def test_what_does_not_fit_is_said_beside_its_field_and_the_run_stays_paused(page: Page) -> None:
    reason = label(page, "Reason")
    reason.click()
    # Among these are the keys that add, cut and delete cells outside of a text field.
    page.raw.keyboard.type("dd_x_a_b")
    page.raw.keyboard.press("Tab")
    page.raw.keyboard.press("Tab")
    page.raw.keyboard.press("ControlOrMeta+a")
    page.raw.keyboard.type("many")
    page.raw.keyboard.press("Enter")
    expect(panel(page).get_by_role("alert")).to_have_text(re.compile("3 answers do not fit. The run is still paused."))
    wrong = panel(page).locator("[data-field=reason] .wrong")
    expect(wrong).to_have_text("Say it in two words at least.")
    expect(panel(page).locator("[data-field=approved] .wrong")).to_have_text("Field required.")
    expect(panel(page).locator("[data-field=max_rows] .wrong")).to_contain_text("valid integer")
    expect(panel(page).get_by_role("radio", name="Yes")).to_be_focused()
    expect(reason).to_have_value("dd_x_a_b")
    expect(page.raw.locator(".jp-Notebook .jp-Cell")).to_have_count(len(CELLS))
    expect(panel(page).locator(".pill").first).to_have_text("Paused")
    shoot(page, "question-wrong.png")
    with dark(page):
        shoot(page, "question-dark.png")


def test_the_answer_reaches_the_flow_and_a_line_says_what_it_was(page: Page) -> None:
    panel(page).get_by_role("radio", name="Yes").check()
    label(page, "Reason").fill("looks right")
    label(page, "Audience").select_option("everybody")
    label(page, "Max rows").fill("12")
    label(page, "Columns").fill('["a", "b"]')
    page.cell(CELL).screenshot(path=str(SHOTS / "question-filled.png"))
    expect(panel(page).get_by_role("alert")).to_have_text("")
    label(page, "Max rows").press("Enter")
    page.wait_text("Completed", cell=CELL)
    expect(panel(page).locator(".question")).to_be_hidden()
    expect(panel(page)).to_contain_text(re.compile(r"Approval was answered by you at [\d:]+: approved true, reason "))
    page.wait_idle()
    assert "3376 rows to everybody: looks right" in page.cell(CELL).inner_text()
    shoot(page, "question-answered.png")


def test_plain_types_get_one_field_and_a_reload_brings_the_form_back(page: Page) -> None:
    page.run(2)
    expect(panel(page, 2)).to_contain_text("Asks for a whole number")
    page.save()
    page.reload()
    expect(panel(page, 2).locator(".status")).to_have_text("Live")
    label(page, "Answer", 2).fill("7")
    shoot(page, "question-plain.png", 2)
    panel(page, 2).get_by_role("button", name="Resume").click()
    expect(panel(page, 2)).to_contain_text("Asks for yes or no")
    panel(page, 2).get_by_role("radio", name="No").check()
    panel(page, 2).get_by_role("button", name="Resume").click()
    page.wait_text("Completed", cell=2)
    assert page.run_to_end(3) == ["(7, False)"]


def test_subflows_ask_one_after_the_other_and_each_gets_its_answer(page: Page) -> None:
    page.run(ASKED_BELOW)
    form = panel(page, ASKED_BELOW).get_by_role("region", name="Question")
    asks = form.locator(".asks")
    expect(asks).to_have_text(re.compile(r"clean '[\w-]+' asks for Approval.*1 more question waits\."))
    expect(panel(page, ASKED_BELOW).locator(".pill").first).to_have_text("Running")
    first = asks.locator("b").first.inner_text()
    shoot(page, "question-subflow.png", ASKED_BELOW)
    with dark(page, ASKED_BELOW):
        shoot(page, "question-subflow-dark.png", ASKED_BELOW)
    page.save()
    page.reload()
    expect(panel(page, ASKED_BELOW).locator(".status")).to_have_text("Live")
    expect(asks).to_contain_text(first)

    for reason in ("looks right", "as before"):
        form.get_by_role("radio", name="Yes").check()
        label(page, "Reason", ASKED_BELOW).fill(reason)
        form.get_by_role("button", name="Answer").click()
        if reason == "looks right":
            expect(asks).not_to_contain_text(first)
            expect(label(page, "Reason", ASKED_BELOW)).to_have_value("")
    page.wait_text("Completed", cell=ASKED_BELOW)
    expect(form).to_be_hidden()
    (answers,) = page.run_to_end(3)
    assert re.findall(r"(\w+) rows to subscribers: ", answers) == ["north", "south"]
    assert {"looks right", "as before"} <= set(re.findall(r": (\w+ \w+)'", answers))


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert page.errors == []
    assert page.strangers == []
