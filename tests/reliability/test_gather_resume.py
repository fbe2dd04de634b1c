"""Tasks that are submitted at once and end in any order, killed and resumed: each call gets what belongs to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reliability.trials import Trials
from support.killed_runs import MAIN, Place
from support.tampering import tampered
from support.victims import Victims

GATHERS = """
import asyncio, json, os, sys, time
from tidegate import ConcurrentTaskRunner, as_completed, flow, resume, task
from witness import in_some_order, say, seen, some_time

@task
async def fetch(x, y):
    say("begin", f"fetch({x},{y})")
    await asyncio.sleep(some_time())
    return 10 * x + y

@task
def crunch(x):
    say("begin", f"crunch({x})")
    time.sleep(some_time())
    return x * x

@flow(task_runner=ConcurrentTaskRunner(3))
async def gathers(n):
    async def one(x):
        first = seen(f"fetch({x},1)", await fetch(x, 1))
        second, third = await asyncio.gather(fetch(x, 2), fetch(x, 3))
        seen(f"fetch({x},2)", second), seen(f"fetch({x},3)", third)
        squared = await asyncio.to_thread(crunch.submit(second).result)
        return x, [first, second, third, seen(f"crunch({second})", squared)]
    return [got for _, got in sorted(await asyncio.gather(*[one(x) for x in in_some_order(n)]))]

@flow(task_runner=ConcurrentTaskRunner(3))
def submits(n):
    ends = {}
    for x in in_some_order(n):
        ends[crunch.submit(fetch.submit(x, 0))] = x
    got = {ends[each]: seen(f"crunch({10 * ends[each]})", each.result()) for each in as_completed(ends)}
    return [got[x] for x in range(n)]
"""
SHAPES = {
    "gathers": [[10 * x + 1, 10 * x + 2, 10 * x + 3, (10 * x + 2) ** 2] for x in range(4)],
    "submits": [(10 * x) ** 2 for x in range(4)],
}
"""What each gives."""
LINES = {"gathers": 30, "submits": 10}
"""Lines of the witness before the end, at least."""


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as made:
        yield made


@pytest.mark.scorecard(19)
def test_each_call_gets_its_own_result(tmp_path: Path, victims: Victims, trials: Trials) -> None:
    for trial in trials:
        seed = trials.chance.getrandbits(32)
        shape = list(SHAPES)[trial % 2]
        place = Place(tmp_path / str(trial), victims, GATHERS + MAIN)
        with trials.judged(f"trial {trial}, {shape}, seed {seed}"):
            assert place.go(shape, die_at=1 + seed % LINES[shape], seed=seed) is None
            assert place.go(shape, 1, seed=seed + 1) == SHAPES[shape]
            assert place.ran_twice() == []


@pytest.mark.scorecard(19, control=True)
def test_control_results_that_change_places_are_seen(tmp_path: Path, victims: Victims, trials: Trials) -> None:
    """As they would by keys that count the calls: what two calls gave is exchanged in the record."""
    for trial in trials:
        seed = trials.chance.getrandbits(32)
        place = Place(tmp_path / str(trial), victims, GATHERS + MAIN)
        assert place.go("gathers", die_at=LINES["gathers"], seed=seed) is None
        with closing(sqlite3.connect(place.home / "store.db")) as connection, connection:
            kept = connection.execute(
                "SELECT number, result FROM task_run WHERE task = 'fetch' AND state = 5"
            ).fetchall()
        (one, first), (two, second) = trials.chance.sample(kept, 2)
        tampered(place.home / "store.db", "UPDATE task_run SET result = ? WHERE number = ?", first, two)
        tampered(place.home / "store.db", "UPDATE task_run SET result = ? WHERE number = ?", second, one)
        trials.found(place.go("gathers", 1, seed=seed + 1) != SHAPES["gathers"])
    assert trials.caught == trials.count
