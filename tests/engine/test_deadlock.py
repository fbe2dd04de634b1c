"""Waiting never holds a worker: graphs of nested work that would stop any ordinary pool all end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import flow, in_time, python, seeded, task
from support.graphs import DEPTH, INNER, LEAVES, Plan, graph, leaves
from tidegate import ConcurrentTaskRunner, as_completed
from tidegate.engine import Engine

GRAPHS = 300
SIZES = (1, 2, 3, 4)


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task(concurrency=1)
def limited(number: int) -> int:
    return number


@task
async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number


@task(concurrency=2)
async def limited_later(number: int) -> int:
    await asyncio.sleep(0)
    return number


@task
def node(plan: Plan) -> int:
    return work(plan)


@task
async def awaited(plan: Plan) -> int:
    """All of it is async from here on: a loop that blocks is the doing of whoever blocks it."""
    kind, children = plan
    if not children:
        return 1 if kind == "leaf" else int(await (limited_later if "limited" in kind else later)(1))
    if kind in ("call", "chain"):
        return sum([await awaited(each) for each in children])
    futures = awaited.map(children) if kind == "map" else [awaited.submit(each) for each in children]
    return sum([await each.result() for each in futures])


def leaf(kind: str) -> int:
    made = {"leaf": None, "limited": limited, "async": later, "limited async": limited_later}[kind]
    return 1 if made is None else int(made.submit(1).result())


def work(plan: Plan) -> int:
    kind, children = plan
    if not children:
        return leaf(kind)
    if kind == "subflow":
        runner = ConcurrentTaskRunner(len(children))  # 1 to 3
        return sum(flow(work, name="sub", task_runner=runner)(each) for each in children)
    if kind == "call":
        return sum(node(each) for each in children)
    if kind == "map":
        return int(sum(node.map(children).result()))
    if kind == "awaited":
        return int(awaited.submit(plan).result())
    futures: list[Any] = []
    for each in children:
        futures.append(node.submit(each, wait_for=futures[-1:] if kind == "chain" else None))
    if kind == "reduce":
        return int(total.submit(futures).result())
    return sum(each.result() for each in (as_completed(futures) if kind == "as they end" else futures))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.conforms("B259")
@pytest.mark.scorecard(24, parts=len(SIZES))
def test_random_graphs_end(engine: Engine, size: int, trials: Trials) -> None:
    root = flow(work, name="root", task_runner=ConcurrentTaskRunner(size))
    for at in trials:
        seed = trials.chance.getrandbits(32)
        plan = graph(random.Random(seed))
        begun = time.monotonic()
        try:
            assert in_time(partial(root, plan)) == leaves(plan)
        except AssertionError as error:
            raise AssertionError(f"graph {at}, random.Random({seed}): {error}") from error
        trials.most("seconds", time.monotonic() - begun)


ORDINARY = """
import os, random, sys
from concurrent.futures import ThreadPoolExecutor

sys.path.append(sys.argv[1])
from support.graphs import graph, leaves

def work(pool, plan):
    children = plan[1]
    if not children:
        return 1
    futures = [pool.submit(work, pool, each) for each in children]
    return sum(each.result() for each in futures)

for seed in range(int(sys.argv[2])):
    plan = graph(random.Random(seed))
    pool = ThreadPoolExecutor(1)
    try:
        ended = pool.submit(work, pool, plan).result(timeout=0.2) == leaves(plan)
    except TimeoutError:
        ended = False
    print("ended" if ended else "hangs", flush=True)
os._exit(0)  # an ordinary end would wait for the threads
"""


@pytest.mark.scorecard(24, control=True)
def test_control_an_ordinary_pool_hangs(trials: Trials) -> None:
    with python(ORDINARY, Path(__file__).parents[1], 10) as process:
        out, err = process.communicate(timeout=60)
    for each in out.decode().split():
        trials.did(1)
        trials.found(each == "hangs")
    assert out.decode().split() == ["hangs"] * 10, err.decode()


def test_the_graphs_are_deep_and_of_all_kinds() -> None:
    chance = seeded("deadlock_kinds")
    plans = [graph(random.Random(chance.getrandbits(32))) for _ in range(GRAPHS)]
    kinds = {kind for plan in plans for kind in kinds_in(plan)}
    assert kinds == {"subflow", *INNER, *LEAVES}
    assert min(map(depth, plans)) >= DEPTH


def kinds_in(plan: Plan) -> Iterator[str]:
    kind, children = plan
    yield kind
    for each in children:
        yield from kinds_in(each)


def depth(plan: Plan) -> int:
    return 1 + max(map(depth, plan[1])) if plan[1] else 0


def test_a_map_of_ten_thousand_on_one_worker(engine: Engine) -> None:
    """One in a hundred waits for one that comes later in the queue, which takes the place that it lends."""

    @task
    def inner(number: int) -> int:
        return number

    @task
    def outer(number: int) -> int:
        return int(inner.submit(number).result()) if number % 100 == 0 else number

    @flow(task_runner=ConcurrentTaskRunner(1))
    def wide() -> int:
        return int(total(outer.map(range(10_000))))

    assert in_time(wide, 40) == sum(range(10_000))
    rows = engine.store.task_runs(1)
    assert len(rows) == 10_000 + 100 + 1
    assert all(row.state.is_completed() for row in rows)
