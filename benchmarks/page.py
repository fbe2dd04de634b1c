"""``make bench-page``: what the graph does to a real JupyterLab, and how fast its buttons are there (`clicks`).

What it costs to watch 10,000 mapped task runs at full speed: the same cell runs with its graph and without one, in the
same page, in pairs whose order changes: the machine may be busy with other things, and gets faster and slower.  What is
compared is the two of a pair.  Kernel and browser share the cores, and the browser draws in software.  Ends with 1 if a
row is beyond its target.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks import clicks
from support.lab import Lab, why_not
from support.page import Page

ROUNDS = 15
RUNS = 10_000

SETUP = f"""
%load_ext tidegate
import gc, json, threading, time
from tidegate import task
from tidegate.engine import engine

@task
def increment(x): return x + 1

engine().portal.loop()
(loop,) = [each for each in threading.enumerate() if each.name == "tidegate-engine"]
loop_clock = time.pthread_getcpuclockid(loop.ident)
seen = []

def work(increment=increment):
    gc.collect()
    spent, wall, cpu = time.clock_gettime(loop_clock), time.perf_counter(), time.process_time()
    increment.map(range({RUNS})).wait()
    spent = time.clock_gettime(loop_clock) - spent
    seen.append([time.perf_counter() - wall, time.process_time() - cpu, spent])
"""
WATCHED, ALONE = "%%flow --name watched\nwork()", "%%flow --name alone\nwork()"
HIDE, SHOW = "%config TideGate.auto_display = False", "%config TideGate.auto_display = True"
CELLS = [SETUP, SHOW, WATCHED, HIDE, ALONE, "print(json.dumps(seen))"]

RECORD = """() => {
    const frames = (window.frameTimes = []);
    let last = performance.now();
    window.recording = true;
    requestAnimationFrame(function frame(now) {
        frames.push(now - last);
        last = now;
        if (window.recording) requestAnimationFrame(frame);
    });
}"""
STOP = "() => { window.recording = false; return window.frameTimes.slice(1); }"


@dataclass
class Side:
    """What was measured with the graph, or without it."""

    walls: list[float]
    cpus: list[float]
    spent: list[float]
    """Seconds of CPU that the thread of the engine's loop took, which is the kernel's side of the graph, while the
    run goes on."""
    frames: list[float]
    """Milliseconds between two frames of the page, all of them."""

    @property
    def p99(self) -> float:
        """The 99th percentile of the frames."""
        return statistics.quantiles(self.frames, n=100)[98]


def measure(page: Page) -> tuple[Side, Side]:
    """With the graph, and without."""
    page.run_to_end(0)
    frames: tuple[list[float], list[float]] = ([], [])
    order: list[int] = []
    for at in range(ROUNDS + 1):
        for side in (0, 1) if at % 2 else (1, 0):
            switch, cell = ((1, 2), (3, 4))[side]
            page.run_to_end(switch)
            page.raw.evaluate(RECORD)
            page.run_to_end(cell)
            found = page.raw.evaluate(STOP)
            order.append(side)
            if at:
                frames[side].extend(found)
    told = list(zip(order, json.loads(page.run_to_end(5)[-1]), strict=True))[2:]  # the first two are for warming up
    watched, alone = ([measured for side, measured in told if side == wanted] for wanted in (0, 1))
    return _side(watched, frames[0]), _side(alone, frames[1])


def _side(told: list[list[float]], frames: list[float]) -> Side:
    walls, cpus, spent = (list(each) for each in zip(*told, strict=True))
    return Side(walls, cpus, spent, frames)


def _more(watched: list[float], alone: list[float]) -> float:
    """How much more it is with the graph, as a share: the median of the pairs."""
    return statistics.median(one / other for one, other in zip(watched, alone, strict=True)) - 1


def main() -> int:
    """Print the tables."""
    if (reason := why_not()) is not None:
        print(reason, file=sys.stderr)
        return 1
    with Lab() as lab:
        clicked = clicks.rows(clicks.measure(lab))
        with lab.open(CELLS, width=1200, height=1000) as page:
            found = rows(*measure(page))
    show(
        f"From a click on Pause or Resume to its effect, {clicks.CLICKS} clicks each",
        ("while the cell runs", "p50", "p95", "target"),
        clicked,
    )
    show(
        f"Watching {RUNS:,} mapped task runs, the median of {ROUNDS} times",
        ("what", "with the graph", "target", "without"),
        found,
    )
    return 1 if any(row[-1] is False for row in [*clicked, *found]) else 0


def show(title: str, columns: Sequence[str], found: Sequence[tuple[str, str, str, str, bool | None]]) -> None:
    """Print a table; the last of each row is whether it is within its target, null if it has none."""
    table = Table(title=title)
    for name in (*columns, "ok"):
        table.add_column(name)
    for *texts, ok in found:
        table.add_row(*map(str, texts), {True: "ok", False: "NO", None: ""}[ok])
    Console().print(table)


def rows(watched: Side, alone: Side) -> list[tuple[str, str, str, str, bool | None]]:
    """What was measured, with its target, the same without the graph, and whether it is within the target."""
    wall, cpu = (statistics.median(each) for each in (watched.walls, watched.cpus))
    wall_alone, cpu_alone = (statistics.median(each) for each in (alone.walls, alone.cpus))
    share, share_alone = (
        statistics.median(spent / took for spent, took in zip(each.spent, each.walls, strict=True))
        for each in (watched, alone)
    )
    slower = _more(watched.walls, alone.walls)
    return [
        ("frames of the page, p99", f"{watched.p99:.0f} ms", "50 ms", f"{alone.p99:.0f} ms", watched.p99 <= 50),
        ("the longest frame", f"{max(watched.frames):.0f} ms", "", f"{max(alone.frames):.0f} ms", None),
        ("the kernel's side of the graph, of one core", f"{share:.1%}", "2 %", f"{share_alone:.1%}", share <= 0.02),
        ("the run", f"{wall:.2f} s, {slower:+.1%}", "+3 %", f"{wall_alone:.2f} s", slower <= 0.03),
        ("CPU of the kernel", f"{cpu:.3f} s, {_more(watched.cpus, alone.cpus):+.1%}", "", f"{cpu_alone:.3f} s", None),
    ]


if __name__ == "__main__":
    sys.exit(main())
