"""``%%flow --task-runner process`` in a real kernel: what a cell defines runs in worker processes."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from reliability.scorecard import within
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

TASKS = """
import itertools, os
from dataclasses import dataclass
@dataclass
class Point: x: int
FACTOR = 3
@task
def scale(x): print(f'scales {x}\\n', end=''); return Point(x * FACTOR)
@task
def where(_): return os.getpid()
@task
def fails(x):
    raise ValueError(f'no {x}')
@task
def endless(_): print('begun\\n', end=''); sum(itertools.count())
"""


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    if kernel.expr("'endless' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    return kernel


def is_alive(pid: int) -> bool:
    """False for a process that has ended, and nobody but its parent is still to know."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int]) -> None:
    end = time.monotonic() + 10
    while any(map(is_alive, pids)):
        assert time.monotonic() < end, "a worker process is left"
        time.sleep(0.02)


def workers(kernel: FrontEnd) -> list[int]:
    """The worker processes of the kernel."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            ours = int((each / "stat").read_text().rpartition(")")[2].split()[1]) == kernel.pid
            if ours and b"tidegate.task_runners.worker" in (each / "cmdline").read_bytes():
                found.append(int(each.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("first", ["", "await asyncio.sleep(0)\n"], ids=["sync", "awaiting"])
def test_what_the_cell_defines_and_prints(ready: FrontEnd, first: str) -> None:
    running = ready.execute(f"%%flow --task-runner process --max-workers 2\n{first}scale.map([1, 2]).result()")
    queued = ready.execute("print('queued')")
    reply = ready.reply(running)
    assert (reply.status, reply.result) == ("ok", "[Point(x=3), Point(x=6)]"), reply.content
    assert sorted(reply.text.split("\n")) == ["", "scales 1", "scales 2"]
    assert ready.reply(queued).text == "queued\n"


def test_where_they_run(ready: FrontEnd) -> None:
    seen = ready.run("%%flow --task-runner process\nset(where.map(range(8)).result())")
    assert seen.status == "ok"
    pids = [int(each) for each in (seen.result or "").strip("{}").split(",")]
    assert ready.expr("os.getpid()") not in map(str, pids)
    gone(pids)


def test_an_error_is_shown_where_it_was_raised(ready: FrontEnd) -> None:
    reply = ready.run("%%flow --task-runner process\nfails.submit(1).result()")
    assert reply.status == "error"
    shown = re.sub("\x1b\\[[0-9;]*m", "", "\n".join(reply.content["traceback"]))
    assert (reply.content["ename"], reply.content["evalue"]) == ("ValueError", "no 1")
    assert "fails" in shown
    assert "raise ValueError(f'no {x}')" in shown, shown


def test_an_interrupt_ends_the_cell_and_its_workers(ready: FrontEnd) -> None:
    running = ready.execute("%%flow --task-runner process --max-workers 1\nendless.map([1, 2])")
    ready.wait_text(running, "begun")
    there = workers(ready)
    assert len(there) == 1
    begun = time.monotonic()
    ready.interrupt()
    reply = ready.reply(running)
    assert time.monotonic() - begun < within(2)
    assert reply.content["ename"] == "KeyboardInterrupt"
    gone(there)
    assert ready.run("%%flow --task-runner process\nscale.submit(5).result()").result == "Point(x=15)"


def test_a_kernel_that_is_killed_takes_them_along(newest: FrontEnd) -> None:
    assert newest.run(TASKS).status == "ok"
    running = newest.execute("%%flow --task-runner process --max-workers 2\nendless.map([1, 2])")
    newest.wait_text(running, "begun\nbegun")
    there = workers(newest)
    assert len(there) == 2
    assert all(map(is_alive, there))
    newest.kill()
    gone(there)
