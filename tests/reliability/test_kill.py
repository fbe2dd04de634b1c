"""`kill -9` at random moments: what a witness outside saw as completed is there, whole, and no run is left a ghost."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reliability.scorecard import within
from reliability.trials import Trials
from support.flows import SOON, engine_over
from support.victims import Victims
from tidegate.dead_runs import bury_all
from tidegate.engine import Engine
from tidegate.model.events import TaskState
from tidegate.model.states import StateType
from tidegate.results.blob import is_saved
from tidegate.store.sqlite import SQLiteStore

RUNS_FOR_EVER = """
import asyncio, os, sys, threading
from itertools import count
from tidegate import ConcurrentTaskRunner, flow, task
from tidegate.engine import engine
from tidegate.model.events import FlowState, SavingChanged, TaskState

early = sys.argv[1] == "early"

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def value(x):
    "Of several kinds and sizes, in the row and in files of their own; x stands in it."
    return [x, ["", "text" * 900, list(range(50)), {"k": x}, b"x" * 100_000][x % 5]]

def hook(task, task_run, state):
    say("value", state.result()[0])

def made(x):
    if early:
        say("value", x)
    return value(x)

@task(persist_result=True, on_completion=[hook])
def make(x):
    return made(x)

@task(persist_result=True)
async def make_async(x):
    return made(x)

def seen(value):
    if not early:
        say("value", value[0])

@flow(task_runner=ConcurrentTaskRunner(4))
def mixed(first):
    seen(make(first))
    for future in make.map(range(first + 1, first + 9)):
        seen(future.result())
    seen(make_async(first + 9))
    return first

@flow
async def awaits(first):
    async def one(x):
        seen(await make_async(x))
    await asyncio.gather(*[one(x) for x in range(first, first + 9)])
    seen(make(first + 9))
    return first

def watch(run):
    def take(events):
        for event in events:
            if isinstance(event, (TaskState, FlowState)) and event.state.is_completed():
                say("shown", event.flow_run, getattr(event, "task_run", 0))
            elif isinstance(event, SavingChanged):
                say("unsaved", event.problem.replace(" ", "_"))
    engine().subscribe(run.number, take)

if not early:
    engine().observers.append(watch)

def work(body, first):
    for x in count(first, 10):
        body(x)

threading.Thread(target=work, args=(lambda x: asyncio.run(awaits(x)), 1_000_000), daemon=True).start()
work(mixed, 0)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kill") / "script.py"
    path.write_text(RUNS_FOR_EVER)
    return path


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as made:
        yield made


def killed(victims: Victims, script: Path, home: Path, mode: str, trials: Trials) -> list[list[str]]:
    """What a process said that was killed after some lines and some moments more."""
    lines, more = int(10 ** trials.chance.uniform(0, 2.6)), trials.chance.uniform(0, 0.01)
    with victims.go(script, mode, home=home) as process:
        assert process.stdout is not None
        told = b"".join(process.stdout.readline() for _ in range(lines))
        time.sleep(more)  # the moment of the kill, which is to be any
        process.kill()
        told += process.stdout.read()
        process.wait(SOON)
        assert process.returncode == -signal.SIGKILL
    return [line.split() for line in told.decode().splitlines()]


def missing(here: Engine, told: list[list[str]]) -> list[str]:
    """What the witness saw and the record does not have."""
    runs = {row.number: row for row in here.store.flow_runs(10_000)}
    tasks = {(row.flow_run, row.number): row for run in runs for row in here.store.task_runs(run)}
    values = {value_of(here, row)[0] for row in tasks.values() if row.state.is_completed()}
    found = []
    for kind, *numbers in told:
        if kind == "value":
            if int(numbers[0]) not in values:
                found.append(f"value {numbers[0]}")
            continue
        run, number = map(int, numbers)
        row = tasks.get((run, number)) if number else runs.get(run)
        if row is None or not row.state.is_completed():
            found.append(f"run {run}, task run {number}")
    return found


def value_of(here: Engine, row: Any) -> Any:
    """What a task run returned, which must be what its number makes."""
    assert is_saved(row.result), f"{row.name} is completed and has no result"
    value = here.saving.recorded(row).result()
    x = value[0]
    assert value == [x, ["", "text" * 900, list(range(50)), {"k": x}, b"x" * 100_000][x % 5]], f"{row.name} is torn"
    return value


def torn(here: Engine) -> list[str]:
    """What is there by half: events without their row or the other way round, an end before what it is the end of."""
    found = []
    for run in here.store.flow_runs(10_000):
        rows = here.store.task_runs(run.number)
        by_row = {row.number for row in rows if row.state.is_completed()}
        events = [event for _, event in here.store.events(run.number)]
        by_event = {each.task_run for each in events if isinstance(each, TaskState) and each.state.is_completed()}
        if by_row != by_event:
            found.append(f"run {run.number}: rows {sorted(by_row)}, events {sorted(by_event)}")
        if run.state.is_completed() and len(by_row) != 10:
            found.append(f"run {run.number} is completed with {len(by_row)} of 10 task runs")
    return found


@pytest.mark.scorecard(1)
def test_what_a_witness_saw_survives_the_kill(tmp_path: Path, script: Path, victims: Victims, trials: Trials) -> None:
    saw = 0
    for trial in trials:
        home = tmp_path / str(trial)
        told = killed(victims, script, home, "late", trials)
        store = SQLiteStore(home / "store.db")
        with engine_over(store) as here, trials.judged():
            assert missing(here, told) == []
            assert torn(here) == []
            saw += len(told)
        store.close()
        remove(home)
    print(f"{saw} sightings")
    assert saw > 5 * trials.count


@pytest.mark.scorecard(2)
@pytest.mark.scorecard(1, control=True)
def test_control_what_is_told_too_early_is_missed(
    tmp_path: Path, script: Path, victims: Victims, trials: Trials
) -> None:
    for trial in trials:
        home = tmp_path / str(trial)
        told = killed(victims, script, home, "early", trials)
        store = SQLiteStore(home / "store.db")
        with engine_over(store) as here:
            trials.found(missing(here, told) != [])
        store.close()
        remove(home)
    assert (trials.caught or 0) >= trials.count / 2


@pytest.mark.scorecard(6)
def test_whoever_looks_finds_it_crashed(tmp_path: Path, script: Path, victims: Victims, trials: Trials) -> None:
    """At once: from the end of the process until all of its runs are found over."""
    for trial in trials:
        home = tmp_path / str(trial)
        killed(victims, script, home, "late", trials)
        died = time.monotonic()
        store = SQLiteStore(home / "store.db")
        with engine_over(store) as here, trials.judged():
            bury_all(here)
            states = {row.state.type for row in store.flow_runs(10_000)}
            seconds = time.monotonic() - died
            trials.most("seconds until Crashed", seconds)
            assert seconds < within(1)
            assert states <= {StateType.COMPLETED, StateType.CRASHED}
        store.close()
        remove(home)


@pytest.mark.scorecard(6, control=True)
def test_control_a_run_whose_process_lives_is_no_ghost(
    tmp_path: Path, script: Path, victims: Victims, trials: Trials
) -> None:
    """What the test above counts as Crashed is not so before the kill, nor after it until somebody looks."""
    for trial in trials:
        home = tmp_path / str(trial)
        with victims.go(script, "late", home=home) as process:
            assert process.stdout is not None
            process.stdout.readline()
            store = SQLiteStore(home / "store.db")
            os.kill(process.pid, signal.SIGSTOP)
            with engine_over(store) as here:
                assert bury_all(here) == []
                ghosts = [row.number for row in store.flow_runs() if not row.state.is_final()]
                process.kill()
                process.wait(SOON)
                trials.found([row.number for row in store.flow_runs() if not row.state.is_final()] == ghosts != [])
                assert bury_all(here) == ghosts
            store.close()
        remove(home)
    assert (trials.caught or 0) >= trials.count / 2  # it may be stopped between two flows


def remove(home: Path) -> None:
    """A trial leaves megabytes, and there are thousands."""
    shutil.rmtree(home)
