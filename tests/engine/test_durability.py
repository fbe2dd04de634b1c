"""How much of a run a power cut may take: as much as its level of durability says, and no more."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reliability.trials import Trials
from support import power_cut
from support.flows import engine_over, flow, opened, python, states_in_store, task
from tidegate.engine import Engine
from tidegate.errors import SettingsError, UsageError
from tidegate.model.events import FlowCreated
from tidegate.ports import EventStore
from tidegate.recovery import resume
from tidegate.settings import Settings, temporary_settings
from tidegate.store import write_connection
from tidegate.store.sqlite import SQLiteStore

LEVELS = ("memory", "process", "power")

RUNNER = """
import os, sys, threading
from pathlib import Path
from tidegate import flow, task
from tidegate.engine import Engine, using
from tidegate.store import write_connection
from tidegate.store.sqlite import SQLiteStore

home, level = Path(sys.argv[1]), sys.argv[2]
write_connection.BARRIER = 0.2
write_connection.LOG_SIZE = 300_000  # so that the log is folded in now and then
said = os.open(home / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
never = threading.Event()

@task
def step(n):
    never.wait(0.004)
    return n

@flow(durability=level)
def work():
    for n in range(1, 251):
        step(n)
        os.write(said, b"%d\\n" % n)

store = SQLiteStore(home / "store.db")
with using(Engine(store)):
    work()
    os.write(said, b"end\\n")
    never.wait(0.1)  # what nobody asked for is written meanwhile
store.close()
"""


def after_a_cut(home: Path) -> tuple[set[int], bool]:
    """The task runs that the store has as completed, and whether the flow run has ended; the store must be sound."""
    store = SQLiteStore(home / "store.db")
    try:
        assert store._file.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        done = {row.number for row in store.task_runs(1) if row.state.is_completed()}
        run = store.flow_run(1)
        return done, run is not None and run.state.is_final()
    finally:
        store.close()


RECORDING = 100
"""Cuts that are made of one run: the next ones are of another."""


@dataclass(frozen=True)
class Recording:
    """What a run did and said, cut off at one place after another."""

    operations: list[power_cut.Operation]

    def cut(self, trial: int, trials: Trials, home: Path) -> tuple[list[tuple[int, float]], bool]:
        """Cut it somewhere, each eighth time after the end of the flow.

        What was shown and is lost, each with the seconds since it was, and whether the end was told.  An end that was
        told must be there, and the store sound.
        """
        operations, chance = self.operations, trials.chance
        first = next(at for at, each in enumerate(operations) if each.name == "said")
        end = next(at for at, each in enumerate(operations) if each.data == b"end\n")
        upto = chance.randrange(first + 1 if trial % 8 else end + 1, len(operations) + 1)
        power_cut.cut(operations[:upto], chance, home)
        done, ended = after_a_cut(home)
        words = power_cut.said(operations[:upto])
        now = operations[upto - 1].at
        shutil.rmtree(home)
        assert ended or words[-1][0] != "end", "the flow's end is lost"
        lost = [(int(word), now - at) for word, at in words if word != "end" and int(word) not in done]
        return lost, words[-1][0] == "end"


def recordings(folder: Path, level: str, trials: Trials) -> Iterator[tuple[int, Recording]]:
    """The number of each trial, and what it is to cut."""
    made: list[Recording] = []
    for trial in trials:
        if trial % RECORDING == 0:
            home = folder / f"recorded{trial}"
            home.mkdir()
            operations = power_cut.recorded(home, RUNNER, level)
            assert [word for word, _ in power_cut.said(operations)] == [*map(str, range(1, 251)), "end"]
            made = [Recording(operations)]
        yield trial, made[0]


def too_much(lost: list[tuple[int, float]], ended: bool, level: str) -> list[tuple[int, float]]:
    """What of that this level does not allow."""
    if level == "power" or ended:
        return lost
    # A barrier each 0.2 s; the rest is for a machine that has other things to do.
    return [each for each in lost if each[1] > 0.2 + 0.6]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.scorecard(3, parts=len(LEVELS))
def test_a_power_cut_takes_no_more_than_the_level_says(tmp_path: Path, level: str, trials: Trials) -> None:
    lost_in = 0
    for trial, recording in recordings(tmp_path, level, trials):
        with trials.judged(f"cut {trial}"):
            lost, ended = recording.cut(trial, trials, tmp_path / f"cut{trial}")
            lost_in += bool(lost)
            trials.most("seconds lost", max((seconds for _, seconds in lost), default=0.0))
            assert too_much(lost, ended, level) == []
    print(f"{level}: {trials.count} cuts, {lost_in} lost something that was shown")


@pytest.mark.scorecard(3, control=True)
def test_control_a_cut_takes_what_was_not_synced(tmp_path: Path, trials: Trials) -> None:
    """So that a run which waits for nothing is found, if it says that it waits for the disk."""
    for trial, recording in recordings(tmp_path, "process", trials):
        lost, ended = recording.cut(trial, trials, tmp_path / f"cut{trial}")
        trials.found(too_much(lost, ended, "power") != [])
    assert trials.caught


# The level -----------------------------------------------------------------------------------------------------------


@task
def one() -> int:
    return 1


def levels(store: EventStore) -> list[str]:
    """Of the flow runs in the record, and the same of the events."""
    rows = store.flow_runs()[::-1]
    created = [event for row in rows for _, event in store.events(row.number) if isinstance(event, FlowCreated)]
    assert [event.durability for event in created if event.durability] == [row.durability for row in rows]
    return [row.durability for row in rows]


def test_the_level_is_that_of_the_flow_else_of_the_settings_and_stands_in_the_record(stored: Engine) -> None:
    @flow
    def plain() -> int:
        return int(one())

    @flow(durability="power")
    def safe() -> int:
        return int(one())

    plain()
    safe()
    with temporary_settings({"durability": "memory"}):
        plain()
        safe()
    plain.with_options(durability="memory")()
    assert levels(stored.store) == ["process", "power", "memory", "power", "memory"]


def test_a_subflow_has_the_level_of_the_flow_that_calls_it_unless_it_has_one(stored: Engine) -> None:
    @flow
    def inner() -> int:
        return int(one())

    @flow(durability="power")
    def outer() -> int:
        return int(inner() + inner.with_options(durability="memory")())

    assert outer() == 2
    assert levels(stored.store) == ["power", "power", "memory"]


def test_a_resumed_run_keeps_its_level(stored: Engine) -> None:
    tries: list[int] = []

    @flow(durability="power")
    def work() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("once")
        return int(one())

    with pytest.raises(ValueError, match="once"):
        work()
    resume(1, work.with_options(durability="memory"))
    assert levels(stored.store) == ["power"]
    assert states_in_store(stored.store, 1)[-1] == "Completed"


def test_a_level_that_is_none_is_told(engine: Engine) -> None:
    with pytest.raises(UsageError, match="durability of 'one' must be one of memory, process, power, not 'disk'"):
        flow(durability="disk")(one.fn)
    with pytest.raises(SettingsError, match=r"durability .* must be one of memory, process, power"):
        Settings(durability="disk")
    assert Settings(durability=" Power").durability == "power"


@pytest.fixture
def on_disk(make_store: Callable[[str], EventStore]) -> SQLiteStore:
    store = make_store("sqlite")
    assert isinstance(store, SQLiteStore)
    return store


@pytest.fixture
def held(on_disk: SQLiteStore) -> Iterator[sqlite3.Connection]:
    """A foreign connection, to lock the store with; nobody waits five seconds for it."""
    on_disk._file.connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(on_disk.path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


@pytest.mark.parametrize("level", LEVELS)
def test_at_memory_nobody_waits_for_the_end_of_a_task_run(
    on_disk: SQLiteStore, held: sqlite3.Connection, level: str
) -> None:
    kept: list[list[str]] = []

    @flow(durability=level)
    def work() -> Any:
        held.execute("BEGIN IMMEDIATE")
        futures = [one(), one(return_state=True), one.submit().result()]
        kept.append([row.state.name for row in on_disk.task_runs(1)])
        held.execute("ROLLBACK")
        return len(futures)

    problems: list[str] = []
    with engine_over(on_disk) as engine:
        commit = on_disk.commit

        def watched(event: Any) -> None:
            try:
                commit(event)
            except Exception as error:
                problems.append(str(error))
                raise

        on_disk.commit = watched  # type: ignore[method-assign]
        assert engine is not None
        assert work() == 3
    assert kept == [[]]
    assert bool(problems) is (level != "memory"), "whoever waits is told that it could not be kept"
    assert [row.state.name for row in on_disk.task_runs(1)] == ["Completed"] * 3


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_connection, "BARRIER", 0.05)


@pytest.mark.usefixtures("quick")
def test_what_nothing_follows_is_on_the_disk_before_long(on_disk: SQLiteStore) -> None:
    synced = threading.Event()
    sync = on_disk._file._sync

    def seen() -> None:
        sync()
        synced.set()

    on_disk._file._sync = seen  # type: ignore[method-assign]
    on_disk.create_flow_run(FlowCreated(0, 1.0, "u", "f", "n", "{}"))
    opened(synced, "the barrier")
    assert not on_disk._file._unsynced


KILLED = """
import os, sys
from pathlib import Path
from tidegate import flow, task
from tidegate.engine import Engine, using
from tidegate.store.sqlite import SQLiteStore

@task
def step(n):
    return n

@flow(durability="memory")
def inner():
    return sum(step(n) for n in range(500))

with using(Engine(SQLiteStore(Path(sys.argv[1])))):
    inner()
    print("shown", flush=True)
    sys.stdin.readline()
"""


def test_at_memory_the_end_of_the_flow_run_takes_all_before_it_along(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with python(KILLED, path) as process:
        assert process.stdout.readline() == b"shown\n"
        process.kill()
        process.wait()
    store = SQLiteStore(path)
    assert states_in_store(store, 1)[-1] == "Completed"
    rows = store.task_runs(1)
    assert [row.state.name for row in rows] == ["Completed"] * 500
    assert all(first.number < second.number for first, second in pairwise(rows))
    store.close()
