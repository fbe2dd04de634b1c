"""The kernel dies in the middle of a cell; in the next one the run goes on, in a real JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
@task
def step(x):
    with open("ran", "a") as file: file.write(f"{x} ")
    if x == 3 and Path("die").exists(): os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return x + 1
"""
CHAIN = "%%flow --name chain\nx = 0\nfor _ in range(6): x = step(x)\nx * 10"


@pytest.fixture
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, CHAIN, "%tidegate runs", "%tidegate resume 1"]) as opened:
        yield opened


def test_a_cell_goes_on_after_its_kernel_has_died(lab: Lab, page: Page) -> None:
    ran = lab.root / "ran"
    (lab.root / "die").touch()
    page.run_to_end(0)
    page.run(1)
    page.raw.get_by_text("appears to have died").wait_for()
    page.raw.get_by_role("button", name="Ok", exact=True).click()
    (lab.root / "die").unlink()
    assert ran.read_text() == "0 1 2 3 "
    page.wait_idle()
    page.run_to_end(0)
    page.run_to_end(2)
    expect(page.cell(2)).to_contain_text("Crashed")
    page.run(3)
    expect(page.cell(3)).to_contain_text("3 task runs are kept.")
    expect(page.cell(3)).to_contain_text("60")
    expect(page.cell(3).locator(".panel")).to_contain_text("Completed")
    assert ran.read_text() == "0 1 2 3 3 4 5 "
    hint = page.cell(1).locator(".panel").get_by_text("%tidegate resume 1")
    expect(hint).to_be_visible(timeout=20_000)  # after seconds without an answer
    lost = page.cell(1).locator(".panel")
    expect(lost.locator(".status")).to_have_text(re.compile(r"Not connected since \d\d:\d\d"))
    expect(lost.locator("header .buttons button:visible")).to_have_count(0)
    page.screenshot(SHOTS / "resume.png")
