"""What a person presses while a cell runs: Pause and Resume of the graph, and the stop button of the notebook.

In JupyterLab with the present ipykernel and with one that has no subshells, and in Notebook 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet
from playwright.sync_api import Locator, expect

from support.kernels import MISSING, available
from support.lab import App, Lab, why_not
from support.page import SHOTS, Page

pytestmark = pytest.mark.browser

SETUP = """
%load_ext tidegate
import asyncio, time
from pathlib import Path
from tidegate import task
@task
def step(x):
    time.sleep(0.02)
    return x + 1
@task
async def nap(x):
    await asyncio.sleep(0.02)
    return x + 1
def enough(): return Path("enough").exists()
"""
UNTIL_TOLD = {
    "chain": "x = step(x)",
    "map": "step.map(range(100)).wait()",
    "awaits": "x = await nap(x)",
}
CELLS = {
    "setup": SETUP,
    **{kind: f"%%flow\nx = 0\nwhile not enough(): {call}\n'enough'" for kind, call in UNTIL_TOLD.items()},
    "sync": "%%flow\nx = 0\nwhile True: x = step(x)",
    "awaiting": "%%flow\nx = 0\nwhile True: x = await nap(x)",
    "next": "6 * 7",
    "runs": "%tidegate runs",
}
NUMBERS = {name: number for number, name in enumerate(CELLS)}
OLDER = "6.31.0"
ERROR_OF_NOTEBOOK_7 = "Cannot read properties of undefined (reading 'schema')"
"""Of its settings, on every page of 7.6, one without a widget too."""


def case(app: App, version: str | None) -> ParameterSet:
    """A front end and a version of ipykernel, null for the environment's; skipped where one of them is missing."""
    why = why_not(app)
    if why is None and version is not None and version not in available():
        why = MISSING.format(version)
    skipped = [] if why is None else [pytest.mark.skip(reason=why)]
    return pytest.param((app, version), marks=skipped, id=f"{app}-{version or 'present'}")


@pytest.fixture(scope="module", params=[case("jupyterlab", OLDER), case("jupyterlab", None), case("notebook", None)])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    app, version = request.param
    with Lab(app=app) as lab, lab.open(list(CELLS.values()), kernel_version=version) as opened:
        opened.run_to_end(NUMBERS["setup"])
        yield opened


def part(page: Page, cell: str, selector: str) -> Locator:
    """Something in the run graph under a cell."""
    return page.cell(NUMBERS[cell]).locator(f".panel {selector}")


def shoot(page: Page, request: pytest.FixtureRequest, name: str) -> None:
    app, version = request.node.callspec.params["page"]
    page.screenshot(SHOTS / f"{name}-{app}-{version or 'present'}.png")


@pytest.mark.parametrize("kind", UNTIL_TOLD)
def test_pause_and_resume_are_heard_while_the_cell_runs(page: Page, request: pytest.FixtureRequest, kind: str) -> None:
    cell, enough = NUMBERS[kind], page.path.parent / "enough"
    enough.unlink(missing_ok=True)
    page.run(cell)
    expect(part(page, kind, "[data-node]").first).to_be_visible()
    for _ in range(2):
        part(page, kind, "[data-verb=pause]").click()
        page.wait_text("Paused by you at", cell=cell)
        expect(page.cell(cell).locator(".panel")).to_contain_text("No new task run starts.")
        expect(part(page, kind, "[data-verb=resume]")).to_be_focused()
        shoot(page, request, f"buttons-paused-{kind}")
        part(page, kind, "[data-verb=resume]").click()
        expect(part(page, kind, "[data-verb=pause]")).to_be_visible()
        expect(part(page, kind, "header .pill")).not_to_have_text("Paused")
    enough.touch()
    page.wait_text("Completed", cell=cell)
    page.wait_idle()
    assert "'enough'" in page.outputs(cell)[-1]


@pytest.mark.parametrize("cell", ["sync", "awaiting"])
def test_the_stop_button_ends_the_cell_and_the_next_one_works(
    page: Page, request: pytest.FixtureRequest, cell: str
) -> None:
    page.run(NUMBERS[cell])
    expect(part(page, cell, "[data-verb=pause]")).to_be_visible(timeout=20_000)
    expect(page.cell(NUMBERS[cell]).locator(".panel")).to_contain_text(re.compile(r"[1-9]\d* done"))
    page.press_stop()
    page.wait_idle()
    expect(part(page, cell, "header .pill")).to_have_text("Interrupted")
    expect(page.cell(NUMBERS[cell]).locator(".panel")).to_contain_text("What had finished is in the record.")
    assert "KeyboardInterrupt" in "".join(page.outputs(NUMBERS[cell]))
    shoot(page, request, f"buttons-stopped-{cell}")
    assert page.run_to_end(NUMBERS["next"]) == ["42"]
    (runs,) = page.run_to_end(NUMBERS["runs"])
    assert "Interrupted" in runs


def test_nothing_went_wrong_in_the_page_and_nothing_left_the_machine(
    page: Page, request: pytest.FixtureRequest
) -> None:
    app, _ = request.node.callspec.params["page"]
    assert [each for each in page.errors if app != "notebook" or each != ERROR_OF_NOTEBOOK_7] == []
    assert page.strangers == []
