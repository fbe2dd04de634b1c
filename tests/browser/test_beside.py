"""A detached cell in JupyterLab: graph and buttons live on beside other cells; and the tag of a cell of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from support.lab import Lab, why_not
from support.page import SHOTS, Page

_WHY = why_not("jupyterlab")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(_WHY is not None, reason=_WHY or "")]

SETUP = """
%load_ext tidegate
import time
from pathlib import Path
from tidegate import task
from tidegate.engine import engine
@task
def step(x):
    time.sleep(0.02)
    return x + 1
"""
CELLS = [
    SETUP,
    "count = 3",
    "%%flow --detach --param count=5\nx = 0\nwhile not Path('enough').exists(): x = step(x)\nprint('enough')\ncount",
    "6 * 7",
    "print(run.result())",
    "print(engine().store.flow_run(1).parameters)",
]


@pytest.fixture
def page(lab: Lab, tmp_path: Path) -> Iterator[Page]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "beside.ipynb")
    with lab.open(tmp_path / "beside.ipynb") as opened:
        yield opened


def test_a_detached_run_beside_other_cells(page: Page) -> None:
    panel = page.cell(2).locator(".panel")
    for cell in (0, 1, 2):
        page.run_to_end(cell)
    panel.locator("[data-verb=pause]").click()
    page.wait_text("Paused by you at", cell=2)
    assert page.run_to_end(3) == ["42"]
    panel.locator("[data-verb=resume]").click()
    expect(panel.locator("[data-verb=pause]")).to_be_visible()
    page.run(4)
    panel.locator("[data-verb=pause]").click()
    page.wait_text("Paused by you at", cell=2)
    page.screenshot(SHOTS / "beside-paused.png")
    panel.locator("[data-verb=resume]").click()
    (page.path.parent / "enough").touch()
    page.wait_idle()
    assert page.outputs(4) == ["5\n"]
    page.wait_text("enough", cell=2)
    expect(panel).to_contain_text("Completed")
    assert "enough" not in "".join(page.outputs(3) + page.outputs(4))
    assert page.run_to_end(5) == ['{"count":5}\n']
