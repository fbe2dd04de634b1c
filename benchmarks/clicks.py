"""From a click on Pause or Resume to its effect, in a real JupyterLab while the cell runs.

The browser says when it got the click, and an observer of the graph when the header says Paused, or says it no more.
All that lies between is in it: the page, the server, the kernel and the way back.
"""

from __future__ import annotations

import random
import statistics
from itertools import cycle, islice

from support.lab import Lab
from support.page import Page

CLICKS = 40
TARGET = 150
"""Milliseconds, at the 95th percentile."""

PAUSE_BETWEEN = 300
"""Milliseconds between two clicks at most: they are to fall anywhere between two drawings of the graph."""

SETUP = """
%load_ext tidegate
import asyncio, time
from pathlib import Path
from tidegate import task

@task
def step(x): time.sleep(0.02); return x + 1
@task
async def nap(x): await asyncio.sleep(0.02); return x + 1
@task
def increment(x): return x + 1
@task
def long():
    while not enough(): time.sleep(0.02)

def enough(): return Path("enough").exists()
"""
CELLS = {
    "a chain of tasks of 20 ms": "%%flow\nx = 0\nwhile not enough(): x = step(x)",
    "maps of tasks of 20 ms": "%%flow\nwhile not enough(): step.map(range(1_000)).wait()",
    "maps at full speed": "%%flow\nwhile not enough(): increment.map(range(1_000)).wait()",
    "a cell that awaits": "%%flow\nx = 0\nwhile not enough(): x = await nap(x)",
    "one long task": "%%flow\nlong()",
}

WATCH = """panel => {
    const pill = panel.querySelector("header .pill");
    const isPaused = () => pill.textContent.trim() === "Paused";
    let was = isPaused(), clicked = null;
    window.effects = [];
    panel.addEventListener("click", event => {
        if (event.isTrusted && event.target.closest("[data-verb]")) clicked = event.timeStamp;
    }, true);
    new MutationObserver(() => {
        if (clicked === null || isPaused() === was) return;
        window.effects.push(performance.now() - clicked);
        [was, clicked] = [!was, null];
    }).observe(panel, { subtree: true, childList: true, characterData: true });
}"""
ARRIVED = "many => window.effects.length === many"


def measure(lab: Lab) -> dict[str, list[float]]:
    """Milliseconds from a click to its effect, by what the cell does."""
    with lab.open([SETUP, *CELLS.values()], width=1200, height=1000) as page:
        page.run_to_end(0)
        return {name: _clicked(page, at) for at, name in enumerate(CELLS, start=1)}


def _clicked(page: Page, cell: int) -> list[float]:
    enough = page.path.parent / "enough"
    enough.unlink(missing_ok=True)
    page.run(cell)
    panel = page.cell(cell).locator(".panel")
    panel.locator("[data-verb=pause]").wait_for()
    panel.evaluate(WATCH)
    for done, verb in enumerate(islice(cycle(("pause", "resume")), CLICKS), start=1):
        page.raw.wait_for_timeout(random.uniform(0, PAUSE_BETWEEN))
        panel.locator(f"[data-verb={verb}]").click()
        page.raw.wait_for_function(ARRIVED, arg=done)
    enough.touch()
    page.wait_idle()
    return [float(each) for each in page.raw.evaluate("() => window.effects")]


def rows(found: dict[str, list[float]]) -> list[tuple[str, str, str, str, bool]]:
    """What was clicked on, the median, the 95th percentile, the target and whether it is within it."""
    told = []
    for name, took in found.items():
        p95 = statistics.quantiles(took, n=20)[-1]
        told.append((name, f"{statistics.median(took):.0f} ms", f"{p95:.0f} ms", f"{TARGET} ms", p95 <= TARGET))
    return told
