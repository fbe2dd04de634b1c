"""Many futures at once: `wait` says which have ended, `as_completed` gives them as they end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from support.flows import SOON, flow, in_time, opened, seeded, task
from tidegate import (
    AsyncTaskFuture,
    ConcurrentTaskRunner,
    DoneAndNotDone,
    InvalidOption,
    TaskFuture,
    UsageError,
    as_completed,
    wait,
)
from tidegate.engine import Engine


class Gates:
    """A gate for each item; all opened at the end, so that no thread outlives its test."""

    def __init__(self, count: int) -> None:
        self.each = [threading.Event() for _ in range(count)]

    def open(self, *which: int) -> None:
        for at in which:
            self.each[at].set()


@pytest.fixture
def gates() -> Iterator[Gates]:
    made = Gates(4)
    yield made
    made.open(*range(4))


@pytest.fixture
def step(gates: Gates) -> Any:
    @task
    def step(x: int) -> int:
        opened(gates.each[x])
        if x == 2:
            raise ValueError("two")
        return x

    return step


@pytest.fixture
def step_async(gates: Gates) -> Any:
    @task
    async def step_async(x: int) -> int:
        await asyncio.to_thread(gates.each[x].wait, SOON)
        if x == 2:
            raise ValueError("two")
        return x

    return step_async


@pytest.mark.parametrize("kind", ["sync", "async"], ids="{} task".format)
def test_sync_code_waits_for_all_and_keeps_the_order(
    engine: Engine, gates: Gates, step: Any, step_async: Any, kind: str
) -> None:
    @flow
    def work() -> str:
        futures = (step if kind == "sync" else step_async).map(range(4))
        gates.open(3, 1)
        futures[3].wait()
        futures[1].wait()
        done, not_done = wait(futures, timeout=0.02)
        assert (done, not_done) == ([futures[1], futures[3]], [futures[0], futures[2]])
        gates.open(0, 2)
        assert wait(futures) == (futures, [])
        assert wait([]) == ([], [])
        return "plain"

    assert in_time(work) == "plain"


def test_how_they_end_does_not_matter(engine: Engine, gates: Gates, step: Any) -> None:
    @flow
    def work() -> Any:
        gates.open(1, 2)
        done, _ = wait([step.submit(2), step.submit(1)])
        return [each.state.name for each in done]

    assert work() == ["Failed", "Completed"]


def test_async_code_awaits_and_its_loop_goes_on(engine: Engine, gates: Gates, step: Any, step_async: Any) -> None:
    beats: list[int] = []

    async def heart() -> None:
        while len(beats) < 3:
            beats.append(len(beats))
            await asyncio.sleep(0)
        gates.open(0, 1)

    @flow
    async def work() -> str:
        futures = step_async.map(range(2))
        assert isinstance(futures[0], AsyncTaskFuture)
        beating = asyncio.create_task(heart())
        found = await wait(futures)
        assert isinstance(found, DoneAndNotDone)
        assert found == (futures, [])
        await beating
        late = step_async.submit(3)
        assert await wait([late], timeout=0.01) == ([], [late])
        gates.open(3)
        plain = step.submit(1)
        assert await wait([plain]) == ([plain], [])  # a future of a sync task: there is nothing to await, but one may
        assert await wait([]) == ([], [])
        await late.wait()
        return "plain"

    assert in_time(lambda: asyncio.run(work())) == "plain"
    assert beats == [0, 1, 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_waits_lends_its_place(engine: Engine, workers: int) -> None:
    @task
    def leaf(x: int) -> int:
        return x

    @task
    def branch(x: int) -> int:
        futures = leaf.map(range(3))
        done, not_done = wait(futures)
        assert (len(done), not_done) == (3, [])
        total: int = sum(each.result() for each in as_completed(futures))
        return total + x

    @flow(task_runner=ConcurrentTaskRunner(max_workers=workers))
    def work() -> Any:
        return branch.map(range(4)).result()

    assert in_time(work) == [3, 4, 5, 6]


def test_async_for_gives_them_as_they_end(engine: Engine, gates: Gates, step: Any, step_async: Any) -> None:
    order = [2, 0, 3, 1]
    seeded("async for").shuffle(order)

    @flow
    async def work() -> str:
        futures = [*step_async.map([0, 1]), *step.map([2, 3])]
        got: list[TaskFuture[Any]] = []
        gates.open(order[0])
        async for future in as_completed(futures):
            got.append(future)
            gates.open(*order[len(got) : len(got) + 1])
        assert got == [futures[at] for at in order]
        return "plain"

    assert in_time(lambda: asyncio.run(work())) == "plain"


def test_async_for_has_a_time_limit_and_goes_on_after_it(engine: Engine, gates: Gates, step_async: Any) -> None:
    @flow
    async def work() -> Any:
        futures = step_async.map([0, 1])
        gates.open(0)
        await futures[0].wait()
        given = as_completed(futures, timeout=0.05)
        seen = [await anext(given)]
        with pytest.raises(TimeoutError, match=r"1 have not ended after 0\.05 s"):
            await anext(given)
        gates.open(1)
        await futures[1].wait()
        seen += [each async for each in given]
        return seen == list(futures)

    assert in_time(lambda: asyncio.run(work())) is True


def test_a_for_that_would_stop_its_own_loop_is_refused(engine: Engine, gates: Gates, step_async: Any) -> None:
    @flow
    async def work() -> str:
        futures = step_async.map([0, 1])
        with pytest.raises(UsageError, match="async for future in as_completed"):
            next(iter(as_completed(futures)))
        gates.open(0, 1)
        # On a thread of its own it harms nobody.
        assert len(await asyncio.to_thread(lambda: list(as_completed(futures)))) == 2
        return "plain"

    assert in_time(lambda: asyncio.run(work())) == "plain"


@pytest.mark.parametrize("call", [wait, as_completed])
def test_what_is_no_future_is_named(engine: Engine, gates: Gates, step: Any, call: Any) -> None:
    @flow
    def work() -> str:
        gates.open(0)
        with pytest.raises(InvalidOption, match=rf"{call.__name__}\(\) takes futures.*not 5"):
            call([step.submit(0), 5])
        return "plain"

    assert work() == "plain"


@pytest.mark.usefixtures("hectic")
def test_each_future_comes_once_however_they_end(engine: Engine) -> None:
    """Ends that come while the next one is looked for are neither lost nor given twice."""

    @task
    def quick(x: int) -> int:
        return x

    @flow
    def work() -> list[int]:
        return [each.result() for each in as_completed(quick.map(range(500)))]

    assert sorted(in_time(work)) == list(range(500))
