"""A task may say how durable its runs are, whatever its flow says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.test_durability import RUNNER, after_a_cut
from support import power_cut
from support.flows import engine_over, flow, seeded, task
from tidegate.engine import Engine
from tidegate.errors import UsageError
from tidegate.ports import EventStore
from tidegate.store.sqlite import SQLiteStore

PRECIOUS = RUNNER.replace("@task\n", '@task(durability="power")\n')


@pytest.mark.parametrize(("script", "safe"), [(PRECIOUS, True), (RUNNER, False)], ids=["power", "control"])
def test_a_task_at_power_is_on_the_disk_in_a_flow_that_waits_for_less(tmp_path: Path, script: str, safe: bool) -> None:
    chance = seeded(f"task_power_{safe}")
    operations = power_cut.recorded(tmp_path, script, "process")
    first = next(at for at, each in enumerate(operations) if each.name == "said")
    lost_in = 0
    for trial in range(20):
        upto = chance.randrange(first + 1, len(operations) + 1)
        home = tmp_path / f"cut{trial}"
        power_cut.cut(operations[:upto], chance, home)
        done, _ = after_a_cut(home)
        words = [word for word, _ in power_cut.said(operations[:upto])]
        lost_in += any(word.isdigit() and int(word) not in done for word in words)
    assert bool(lost_in) is not safe


@pytest.mark.parametrize(
    ("of_flow", "of_task", "waits"),
    [("process", "memory", False), ("memory", "process", True), ("memory", None, False), ("process", None, True)],
)
def test_whether_somebody_waits_for_its_end_is_what_the_task_says(
    make_store: Callable[[str], EventStore], of_flow: str, of_task: str | None, waits: bool
) -> None:
    """With a foreign lock on the store, whoever waits is told that it could not be kept."""
    store = make_store("sqlite")
    assert isinstance(store, SQLiteStore)
    store._file.connection.execute("PRAGMA busy_timeout = 50")

    @task(durability=of_task)
    def one() -> int:
        return 1

    @flow(durability=of_flow)
    def work() -> int:
        held.execute("BEGIN IMMEDIATE")
        done = int(one())
        problems.append(engine._problem.get(1, ""))
        held.execute("ROLLBACK")
        return done

    problems: list[str] = []
    with closing(sqlite3.connect(store.path, isolation_level=None)) as held, engine_over(store) as engine:
        assert work() == 1
    assert ["cannot be written" in each for each in problems] == [waits]
    assert [row.state.name for row in store.task_runs(1)] == ["Completed"]


def test_a_level_that_is_none_is_told(engine: Engine) -> None:
    with pytest.raises(UsageError, match="durability of 'one' must be one of memory, process, power, not 'disk'"):

        @task(durability="disk")
        def one() -> None: ...
