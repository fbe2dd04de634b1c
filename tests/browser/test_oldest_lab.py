"""The oldest JupyterLab that is promised: a cell is paused, resumed and done there too, on an old and a new kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from scripts.kernels import LABS
from support.lab import Lab, why_not_older
from support.page import SHOTS

OLDEST = LABS[0]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(why_not_older(OLDEST) is not None, reason=why_not_older(OLDEST) or ""),
]

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


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with Lab(version=OLDEST) as running:
        yield running


@pytest.mark.parametrize("kernel", ["6.29.5", None], ids=["ipykernel 6.29.5", "newest ipykernel"])
def test_a_cell_is_paused_and_resumed_from_its_page(lab: Lab, kernel: str | None) -> None:
    for each in lab.root.glob("go-*"):
        each.unlink()
    with lab.open([SETUP, CHAIN], kernel_version=kernel) as page:
        assert page.raw.evaluate("() => window.jupyterapp.version") == OLDEST
        page.run_to_end(0)
        page.run(1)
        panel = page.cell(1).locator(".panel")
        (lab.root / "go-0").touch()
        expect(panel).to_contain_text("1 done", timeout=20_000)
        panel.locator("[data-verb=pause]").click()
        (lab.root / "go-1").touch()
        expect(panel).to_contain_text("Paused by you", timeout=20_000)
        expect(panel).to_contain_text("2 done")
        page.screenshot(SHOTS / f"oldest-lab-paused-{kernel or 'newest'}.png")
        (lab.root / "go-2").touch()
        panel.locator("[data-verb=resume]").click()
        expect(panel).to_contain_text("Completed", timeout=20_000)
        expect(page.cell(1)).to_contain_text("the end is 3")
        page.wait_idle()
        page.screenshot(SHOTS / f"oldest-lab-done-{kernel or 'newest'}.png")
