"""Pause, release the cell, mend the task in another cell, resume: the same run goes on, in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from support.lab import Lab, why_not
from support.page import SHOTS, Page

pytestmark = [pytest.mark.browser, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

SETUP = """
%load_ext tidegate
import os, signal, time
from pathlib import Path
from tidegate import task
"""
STEP = """
@task
def step(x):
    with open("ran", "a") as file: file.write(f"{x}{mark} ")
    end = time.monotonic() + 60
    while not Path(f"go-{x}").exists() and time.monotonic() < end: time.sleep(0.02)
    if Path("die").exists(): os.kill(os.getpid(), signal.SIGKILL)
    if Path("fail").exists(): raise ValueError("a bad row")
    return x + 1
"""
CHAIN = "%%flow --name chain\nx = 0\nfor _ in range(4): x = step(x)\nprint('the end is', x)"
MENDED = STEP.replace("{mark}", "!")


@pytest.fixture
def folder(lab: Lab) -> Iterator[Path]:
    yield lab.root
    for each in lab.root.iterdir():
        if each.is_file() and not each.suffix:
            each.unlink()


def cells(lab: Lab, *more: str) -> Page:
    return lab.open([SETUP, STEP.replace("{mark}", ""), CHAIN, *more])


def begun(page: Page, folder: Path) -> None:
    for at in (0, 1):
        page.run_to_end(at)
    page.run(2)
    (folder / "go-0").touch()


def button(page: Page, cell: int, verb: str) -> None:
    page.cell(cell).locator(f"[data-verb={verb}]").click()


def goes_on(page: Page, cell: int, verb: str) -> None:
    """The first press says what that keeps, the second one does it."""
    button(page, cell, verb)
    expect(page.cell(cell).locator(".panel header")).to_contain_text("Runs again:")
    page.screenshot(SHOTS / f"plan-{verb}.png")
    button(page, cell, verb)


def test_a_released_cell_is_mended_elsewhere_and_resumed_from_its_page(lab: Lab, folder: Path) -> None:
    with cells(lab, MENDED, "x") as page:
        begun(page, folder)
        panel = page.cell(2).locator(".panel")
        expect(panel).to_contain_text("1 done")
        button(page, 2, "pause")
        expect(panel).to_contain_text("Paused by you")
        page.screenshot(SHOTS / "release-paused.png")
        button(page, 2, "suspend")
        (folder / "go-1").touch()
        expect(panel).to_contain_text("Suspended by you")
        page.wait_idle()
        expect(page.cell(2)).to_contain_text("Suspended by you. `tidegate.resume(1)` goes on with it.")
        expect(panel.locator("[data-verb=resume]")).to_be_visible()
        expect(panel.locator("[data-verb=cancel]")).to_be_visible()
        expect(panel.locator("[data-verb=pause]")).to_be_hidden()
        page.screenshot(SHOTS / "release-released.png")
        page.run_to_end(3)
        for at in (2, 3):
            (folder / f"go-{at}").touch()
        goes_on(page, 2, "resume")
        expect(panel).to_contain_text("Completed")
        expect(page.cell(2)).to_contain_text("the end is 4")
        assert page.run_to_end(4) == ["4"]
        # All of them ran with the new code: what had completed with the old one is not the same task any more.
        assert (folder / "ran").read_text().split() == ["0", "1", "0!", "1!", "2!", "3!"]
        expect(panel.locator("[data-verb=resume]")).to_be_hidden()
        page.screenshot(SHOTS / "release-resumed.png")
        assert page.errors == []


def test_what_failed_is_retried_from_the_page(lab: Lab, folder: Path) -> None:
    (folder / "fail").touch()
    with cells(lab) as page:
        begun(page, folder)
        panel = page.cell(2).locator(".panel")
        expect(panel).to_contain_text("a bad row")
        page.wait_idle()
        page.screenshot(SHOTS / "retry-failed.png")
        (folder / "fail").unlink()
        for at in range(4):
            (folder / f"go-{at}").touch()
        goes_on(page, 2, "retry")
        expect(panel).to_contain_text("Completed")
        assert (folder / "ran").read_text().split() == ["0", "0", "1", "2", "3"]


def died_and_attached(page: Page, folder: Path) -> None:
    """The kernel dies in the second step; in the next one the setup is run, and the graph brought back."""
    expect(page.cell(2).locator(".panel")).to_contain_text("1 done")
    (folder / "die").touch()
    (folder / "go-1").touch()
    page.raw.get_by_text("appears to have died").wait_for()
    page.raw.get_by_role("button", name="Ok", exact=True).click()
    (folder / "die").unlink()
    page.wait_idle()
    for at in (0, 1, 3):
        page.run_to_end(at)


def test_after_the_death_of_a_kernel_attach_brings_the_graph_back(lab: Lab, folder: Path) -> None:
    with cells(lab, "%tidegate attach", "x") as page:
        begun(page, folder)
        died_and_attached(page, folder)
        panel = page.cell(3).locator(".panel")
        expect(panel).to_contain_text("Crashed")
        expect(panel).to_contain_text("1 done")
        page.screenshot(SHOTS / "attach.png")
        for at in (2, 3):
            (folder / f"go-{at}").touch()
        goes_on(page, 3, "resume")
        expect(panel).to_contain_text("Completed")
        assert page.run_to_end(4) == ["4"]
        assert (folder / "ran").read_text().split() == ["0", "1", "1", "2", "3"]
        page.screenshot(SHOTS / "attach-resumed.png")


def test_what_may_have_done_its_work_runs_again_when_somebody_says_so(lab: Lab, folder: Path) -> None:
    asking = STEP.replace("{mark}", "").replace("@task", '@task(rerun="ask")')
    with lab.open([SETUP, asking, CHAIN, "%tidegate attach", "x"]) as page:
        begun(page, folder)
        died_and_attached(page, folder)
        for at in (2, 3):
            (folder / f"go-{at}").touch()
        panel = page.cell(3).locator(".panel")
        goes_on(page, 3, "resume")
        expect(panel).to_contain_text("Asks for a decision on step-1")
        expect(panel).to_contain_text("step-1 was at work when its process ended, and may have done its work.")
        panel.screenshot(path=str(SHOTS / "asks-again.png"))
        panel.get_by_label("Answer").select_option("run it again")
        panel.get_by_role("button", name="Resume").click()
        expect(panel).to_contain_text("Completed")
        assert (folder / "ran").read_text().split() == ["0", "1", "1", "2", "3"]
