"""The limits of a mapped task are set in the inspector while its runs are at work, in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

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
from tidegate import task
@task(concurrency=1)
def fetch(row):
    while not Path("go").exists(): time.sleep(0.01)
    return row
"""


@pytest.fixture
def page(lab: Lab) -> Iterator[Page]:
    with lab.open([SETUP, "%%flow --name dials\nfetch.map(range(8)).wait()\nlen('end')"], timeout=30.0) as opened:
        yield opened


def test_the_limits_of_a_task_are_set_while_its_runs_are_at_work(lab: Lab, page: Page) -> None:
    page.run_to_end(0)
    page.run(1)
    panel = page.cell(1).locator(".panel")
    panel.get_by_role("button", name="fetch, group of 8").click()
    inspector = panel.get_by_role("complementary", name="Selected node")
    limit = inspector.get_by_role("textbox", name="Concurrency limit")
    expect(limit).to_have_value("1")
    expect(panel.locator("header .legend")).to_contain_text("1 running")
    limit.fill("many")
    limit.press("Enter")
    expect(inspector.get_by_role("status")).to_contain_text("not 'many'.")
    audited(page, panel, "dials-wrong")
    limit.fill("3")
    limit.press("Enter")
    expect(inspector.get_by_role("status")).to_have_text("3 at a time from now on.")
    expect(panel.locator("header .legend")).to_contain_text("3 running")
    audited(page, panel, "dials")
    (lab.root / "go").touch()
    page.wait_idle()
    expect(panel.locator("header .pill")).to_have_text("Completed")
    expect(inspector.get_by_role("textbox")).to_have_count(0)
    assert page.errors == []
