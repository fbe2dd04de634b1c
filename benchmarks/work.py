"""The work that is measured, with Tidegate."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from tidegate import ConcurrentTaskRunner, ProcessTaskRunner, flow, task
from tidegate.engine import Engine, using
from tidegate.ports import EventStore
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.layout import layout
from tidegate_widgets.palette import node_size


@task
def increment(x: int) -> int:
    return x + 1


@task
async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


@task
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@task
def same(x: Any) -> Any:
    return x


@flow
def chain(n: int) -> int:
    x = 0
    for _ in range(n):
        x = increment(x)
    return x


@flow
def mapped(n: int) -> int:
    return sum(increment.map(range(n)).result())


@flow
async def napping(n: int, seconds: float) -> None:
    await asyncio.gather(*(nap(seconds) for _ in range(n)))


@flow(task_runner=ConcurrentTaskRunner(max_workers=50))
def sleeping(n: int, seconds: float) -> None:
    sleep.map([seconds] * n).wait()


@flow(task_runner=ProcessTaskRunner(2))
def to_processes(n: int) -> float:
    """Seconds per task, one at a time, once the process is there."""
    increment.submit(0).wait()
    begun = time.perf_counter()
    for i in range(n):
        increment.submit(i).wait()
    return (time.perf_counter() - begun) / n


@flow
def passing(array: Any, n: int) -> bool:
    given = array
    for _ in range(n):
        array = same(array)
    return array is given


def timed(call: Any, store: EventStore) -> float:
    """Seconds of one call, with the record in `store`."""
    with using(Engine(store)):
        gc.collect()
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun


def random_graph(number: int, seed: int) -> tuple[list[tuple[int, float, float]], list[tuple[int, int]]]:
    """Call sites with their sizes, and two inputs of each: most from the last few, one in twenty from anywhere."""
    chance = random.Random(seed)
    nodes = [(at, *node_size("group" if chance.random() < 0.15 else "task", 50)) for at in range(number)]
    edges = {
        (chance.randrange(0 if chance.random() < 0.05 else max(0, at - 25), at), at)
        for at in range(1, number)
        for _ in range(2)
    }
    return nodes, sorted(edges)


def laid_out(nodes: list[tuple[int, float, float]], edges: list[tuple[int, int]], known: int = 0) -> float:
    """Seconds that the layout of a graph takes, or of one of which the first `known` nodes stand already."""
    before = layout(nodes[:known], [edge for edge in edges if max(edge) < known]) if known else None
    gc.collect()
    begun = time.perf_counter()
    layout(nodes, edges, before)
    return time.perf_counter() - begun


def process_hops(store: EventStore, n: int) -> float:
    """Seconds per task of one that runs in a worker process."""
    with using(Engine(store)):
        return to_processes(n)


def import_seconds() -> float:
    """Seconds that ``import tidegate`` adds to the start of a process."""
    code = "import time; t = time.perf_counter(); import tidegate; print(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


FIRST = """
from tidegate import flow, task
@task
def one(): return 1
@flow
def first(): return one()
first()
# Not getrusage: a child's figure begins with what its parent had when it forked.
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(int(status["VmHWM"].split()[0]) / 1024)
"""


def first_flow(home: Path) -> tuple[float, float]:
    """Seconds from the start of a process to its end after one flow, and its peak memory in MB."""
    environment = {**os.environ, "TIDEGATE_HOME": str(home)}
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True, env=environment)
    return time.perf_counter() - begun, float(done.stdout)


def kept(folder: Path, n: int) -> tuple[float, float]:
    """MB of memory and of disk that are kept of a map of `n` while its results are still in hand."""
    store = SQLiteStore(folder / "kept" / "store.db")
    hands: list[Any] = []

    @flow
    def holding() -> int:
        hands.append(increment.map(range(1000, 1000 + n)))
        return len(hands[0].result())

    with using(Engine(store)):
        mapped(10)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        holding()
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    store.close()
    disk = sum(path.stat().st_size for path in (folder / "kept").iterdir())
    return memory / 1e6, disk / 1e6
