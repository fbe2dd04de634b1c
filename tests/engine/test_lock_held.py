"""Another program holds the store while a flow runs: the flow goes on, says so, and all is saved once it lets go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reliability.trials import Trials
from support.flows import Feed, engine_over, flow, in_time, python, task
from tidegate.errors import StoreError
from tidegate.model.events import FlowCreated
from tidegate.store.sqlite import SQLiteStore

HOLDS = """
import sqlite3, sys
sys.stdin.readline()
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("free", flush=True)
"""
IMPATIENT = 50
"""Milliseconds for which the store waits for a lock here; five seconds would only make the test longer."""


@task
def step(x: int) -> int:
    return x


def made_impatient(store: SQLiteStore) -> None:
    store._file._gate.patience = IMPATIENT / 1000
    store._file.connection.execute(f"PRAGMA busy_timeout = {IMPATIENT}")


def impatient(path: Path) -> SQLiteStore:
    store = SQLiteStore(path)
    made_impatient(store)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "store.db")
    made_impatient(made)
    yield made
    made.close()


def held_during(store: SQLiteStore, tasks: int, before: int) -> tuple[int, list[str]]:
    """What a flow gives during which the store is held from one of its tasks on; what is said of saving then."""
    with engine_over(store) as here, python(HOLDS, store.path) as other:
        feed = Feed(here)

        def told(what: bytes) -> None:
            other.stdin.write(b"\n")
            other.stdin.flush()
            assert in_time(other.stdout.readline) == what

        @flow
        def work() -> int:
            total = 0
            for x in range(tasks):
                if x == before:
                    told(b"held\n")
                total += step(x) + step.submit(x).result()
            return total

        got = in_time(work, 30)
        problems = feed.saving()
        told(b"free\n")
        in_time(lambda: written(store))
        return got, problems


def written(store: SQLiteStore) -> None:
    """Wait until the run is over in the record: nobody is told when the last of it is written."""
    while not store.flow_runs(1)[0].state.is_final():
        threading.Event().wait(0.01)


@pytest.mark.scorecard(12)
def test_a_flow_goes_on_and_is_saved_afterwards(store: SQLiteStore, trials: Trials) -> None:
    for trial in trials:
        tasks = 4
        with trials.judged(f"trial {trial}"):
            got, problems = held_during(store, tasks, trials.chance.randrange(tasks))
            assert got == 2 * sum(range(tasks))
            assert problems, "nobody was told"
            assert "locked" in problems[0]
            row = store.flow_runs(1)[0]
            assert row.state.is_completed()
            assert [each.state.name for each in store.task_runs(row.number)] == ["Completed"] * 2 * tasks


@pytest.mark.scorecard(12, control=True, case=True)
def test_control_the_lock_is_one(store: SQLiteStore) -> None:
    """While it is held nothing can be written, and what was not is not there."""
    with python(HOLDS, store.path) as other:
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert in_time(other.stdout.readline) == b"held\n"
        with pytest.raises(StoreError, match="is locked"):
            store.create_flow_run(FlowCreated(0, 1.0, "u", "f", "f", "{}"))
        assert store.flow_runs() == []


def test_whoever_still_looks_is_told_when_a_run_that_ended_unsaved_is_saved(store: SQLiteStore) -> None:
    with engine_over(store) as here, python(HOLDS, store.path) as other:
        feed = Feed(here)

        @flow
        def work() -> int:
            other.stdin.write(b"\n")
            other.stdin.flush()
            assert in_time(other.stdout.readline) == b"held\n"
            return int(step(1))

        assert in_time(work, 30) == 1
        assert feed.saving()[-1:] != [""], "it ended unsaved"
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert in_time(other.stdout.readline) == b"free\n"
        feed.until(lambda: feed.saving()[-1:] == [""], "that it is saved")
        assert [row.state.name for row in store.task_runs(1)] == ["Completed"]
