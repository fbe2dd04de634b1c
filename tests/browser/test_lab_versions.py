"""Every older JupyterLab that is promised: the graph appears, its buttons are heard, its picture outlives the kernel.

The oldest one with the oldest kernel as well.  All other tests of the browser are of the newest.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet
from playwright.sync_api import expect

from scripts.kernels import LABS
from support.kernels import MISSING, available
from support.lab import Lab, why_not_older
from support.page import SHOTS, Page

OLDEST_KERNEL = "6.29.5"
OF_NOTEBOOK_7 = "/extensions/@jupyter-notebook/lab-extension/"
"""Which lies beside the newest JupyterLab and fits no other: its errors are not ours."""
WITHOUT_SUBSHELLS = LABS[:2]
"""In whose pages no click is heard in the middle of one task."""
SETUP = """
%load_ext tidegate
import time
from pathlib import Path
from tidegate import task
@task
def step(x):
    end = time.monotonic() + 60
    while not Path(f"go-{x}").exists() and time.monotonic() < end: time.sleep(0.02)
    return x + 1
"""
CHAIN = "%%flow --name chain\nx = 0\nfor _ in range(3): x = step(x)\nprint('the end is', x)"


def case(version: str, kernel: str | None = None) -> ParameterSet:
    """A JupyterLab and an ipykernel, null for the environment's; skipped where one of them is missing."""
    why = why_not_older(version)
    if why is None and kernel is not None and kernel not in available():
        why = MISSING.format(kernel)
    skipped = [] if why is None else [pytest.mark.skip(reason=why)]
    return pytest.param(version, kernel, marks=skipped, id=f"{version}-{kernel or 'newest'}")


CASES = [case(LABS[0], OLDEST_KERNEL), *map(case, LABS)]
pytestmark = [pytest.mark.browser, pytest.mark.parametrize(("lab", "page"), CASES, indirect=True, scope="module")]


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with Lab(version=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def page(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Page]:
    for each in lab.root.glob("go-*"):
        each.unlink()
    with lab.open([SETUP, CHAIN], kernel_version=request.param) as opened:
        yield opened


def test_it_is_the_jupyterlab_that_is_meant(page: Page, request: pytest.FixtureRequest) -> None:
    assert page.raw.evaluate("() => window.jupyterapp.version") == request.node.callspec.params["lab"]


def test_a_cell_is_paused_and_resumed_from_its_page(page: Page, request: pytest.FixtureRequest) -> None:
    root, params = page.path.parent, request.node.callspec.params
    page.run_to_end(0)
    page.run(1)
    panel = page.cell(1).locator(".panel")
    (root / "go-0").touch()
    expect(panel).to_contain_text("1 done")
    panel.locator("[data-verb=pause]").click()
    if params["page"] is None and params["lab"] not in WITHOUT_SUBSHELLS:
        expect(panel).to_contain_text("1 task run that had started goes on")
    else:
        # It is heard when the task is over, if it has come by then; no event tells that it has.
        page.raw.wait_for_timeout(1000)
    (root / "go-1").touch()
    expect(panel).to_contain_text("Paused by you")
    expect(panel).to_contain_text("2 done")
    page.screenshot(SHOTS / f"lab-paused-{request.node.callspec.id}.png")
    (root / "go-2").touch()
    panel.locator("[data-verb=resume]").click()
    expect(panel).to_contain_text("Completed")
    expect(page.cell(1)).to_contain_text("the end is 3")
    page.wait_idle()


def test_the_picture_is_what_is_left_when_the_kernel_is_gone(page: Page, request: pytest.FixtureRequest) -> None:
    picture = page.cell(1).locator("[data-tidegate-picture]")
    expect(picture).to_be_hidden()
    page.save()
    page.restart()
    page.reload()
    expect(picture).to_be_visible()
    expect(picture).to_contain_text("Completed")
    expect(page.cell(1).locator(".panel")).to_have_count(0)
    expect(page.cell(1)).to_contain_text("the end is 3")
    page.screenshot(SHOTS / f"lab-picture-{request.node.callspec.id}.png")


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(page: Page) -> None:
    assert [each for each in page.errors if OF_NOTEBOOK_7 not in each] == []
    assert page.strangers == []
