"""The owner of a run is stopped, this process takes the run over, the owner goes on: what it writes is refused."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import SOON, engine_over, flow, in_time, states_in_store, task
from support.stopping import stop_between_commits
from support.victims import Victims
from tidegate.engine import engine
from tidegate.errors import RunError, TidegateError
from tidegate.model.states import State
from tidegate.model.views import TaskRow
from tidegate.recovery import resume
from tidegate.store.sqlite import SQLiteStore

OWNER = """
import os, sys, time
from tidegate import flow, task
from tidegate.errors import TidegateError
from tidegate.store.fence import Fence

if sys.argv[1] == "careless":
    Fence.look = lambda self, connection, claims: False
    Fence.find = lambda self, connection: False

@task(persist_result=True)
def step(x):
    time.sleep(0.001)
    return [x, os.getpid()]

@flow(name="fenced below")
def below(n):
    done = [step(0)]
    os.write(1, b"up" + os.linesep.encode())
    return done + [step(x) for x in range(1, n)]

@flow(name="fenced")
def work(n):
    return below(n)

ended = "Completed"
try:
    work(400)
except TidegateError as error:
    ended = type(error).__name__
os.write(1, ended.encode() + os.linesep.encode())
"""
"""Half a second of work in a subflow; says how it ended here.  A `careless` one does not look whose its run is."""

RUNNING_AGAIN = ["Running", "Crashed", "Resuming", "Completed"]


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as made:
        yield made


def taken_over(
    home: Path, victims: Victims, trials: Trials, *, owner: str = "careful", out_of_sight: bool = False
) -> tuple[list[str], str]:
    """What is wrong in the record after a run was taken over, and how it ended for the process that had it.

    `out_of_sight`: somebody has removed the files by which a process shows that it lives.
    """
    script = home.parent / "owner.py"
    script.write_text(OWNER)
    with victims.go(script, owner, home=home) as process:
        assert process.stdout is not None
        assert in_time(process.stdout.readline) == b"up\n", victims.errors()
        time.sleep(trials.chance.uniform(0, 0.1))
        trials.most("stops in a commit", stop_between_commits(process.pid, home))
        if out_of_sight:
            shutil.rmtree(home / "processes")
        store = SQLiteStore(home / "store.db")
        with engine_over(store):
            wakes = trials.chance.randrange(400)
            wakes_at[:], woken[:] = [wakes], [partial(os.kill, process.pid, signal.SIGCONT)]
            result = resumed_here(not out_of_sight)
            ended = in_time(process.stdout.readline).decode().strip()
            wrong = differences(store, result)
        store.close()
        process.wait(SOON)
    return wrong, ended


woken: list[Callable[[], None]] = []
"""What lets the other process go on."""
wakes_at: list[int] = []
"""Before which step, here, that is to happen."""


@task(name="step", persist_result=True)
def step(x: int) -> list[int]:
    return [x, os.getpid()]


@flow(name="fenced below")
def below(n: int) -> list[list[int]]:
    done = []
    for x in range(n):
        if woken and x >= wakes_at[0]:
            woken.pop()()
        done.append(step(x))
    return done


@flow(name="fenced")
def work(n: int) -> list[list[int]]:
    done: list[list[int]] = below(n)
    return done


def resumed_here(take_over: bool) -> list[list[int]]:
    final = resume(1, work, on_change="reuse", take_over=take_over)
    assert isinstance(final, State)
    done: list[list[int]] = final.result()
    return done


def differences(store: SQLiteStore, result: list[list[int]]) -> list[str]:
    """How the record differs from what this process did, and the result from what is right."""
    wrong = []
    here = [owner == os.getpid() for _, owner in result]
    first = here.index(True) if True in here else len(here)
    if [x for x, _ in result] != list(range(400)) or not all(here[first:]):
        wrong.append(f"the result is not that of one process, then the other: {result}")
    for number in (1, 2):
        states = states_in_store(store, number)
        if states != RUNNING_AGAIN:
            wrong.append(f"run {number} was {states}")
    rows = store.task_runs(2)
    if len(rows) != 400 or any(row.state.name != "Completed" for row in rows):
        wrong.append(f"{len(rows)} task runs, not all completed")
    if [result_of(row) for row in rows] != result:
        wrong.append("the record has results that this process has not seen")
    return wrong


def result_of(row: TaskRow) -> Any:
    """What the record has of it; nothing if two have written to it."""
    try:
        return engine().saving.recorded(row).result()
    except RunError:
        return None


@pytest.mark.scorecard(8, parts=2)
@pytest.mark.parametrize("out_of_sight", [False, True], ids=["stopped", "out of sight"])
def test_what_the_old_owner_writes_is_refused(
    tmp_path: Path, victims: Victims, trials: Trials, out_of_sight: bool
) -> None:
    """And it ends the run by itself."""
    for trial in trials:
        with trials.judged(f"trial {trial}"):
            home = tmp_path / str(trial)
            assert taken_over(home, victims, trials, out_of_sight=out_of_sight) == ([], "CancelledRun")


@pytest.mark.scorecard(8, control=True)
def test_control_one_that_does_not_look_is_found(tmp_path: Path, victims: Victims, trials: Trials) -> None:
    for trial in trials:
        try:
            wrong, ended = taken_over(tmp_path / str(trial), victims, trials, owner="careless")
            trials.found(bool(wrong) and ended == "Completed")
        except TidegateError:  # two number their events alike, and this process finds out
            trials.found(True)
    assert trials.caught == trials.count
