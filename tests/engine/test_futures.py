"""Futures that are waited for from elsewhere, and many at once."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import Any

import pytest

from support.flows import SOON, flow, in_time, opened, task
from tidegate import NotSendable, UpstreamNotCompleted, UsageError
from tidegate.engine import Engine


class Others:
    """Threads that ask a future for its result, an awaited one each on a loop of its own."""

    def __init__(self, future: Any) -> None:
        self.got: list[Any] = []
        self._asking = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._ask, args=(future,), daemon=True) for _ in range(3)]
        for each in self._threads:
            each.start()
        for _ in self._threads:
            assert self._asking.acquire(timeout=SOON)

    def _ask(self, future: Any) -> None:
        self._asking.release()
        given = future.result()
        self.got.append(asyncio.run(given) if asyncio.iscoroutine(given) else given)

    def answers(self) -> list[Any]:
        for each in self._threads:
            each.join(SOON)
        return self.got


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B089")
def test_a_future_is_waited_for_from_other_threads_and_loops(
    engine: Engine, kind: str, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits is woken by the end: nobody sleeps and looks again."""

    def no_sleep(*args: object) -> None:
        raise AssertionError("it sleeps and looks again")

    for module in (time, asyncio):
        monkeypatch.setattr(module, "sleep", no_sleep)

    @task
    def slow() -> int:
        opened(gate)
        return 5

    @task
    async def slow_async() -> int:
        await asyncio.to_thread(gate.wait, SOON)
        return 5

    @flow
    def work() -> list[int]:
        others = Others(slow.submit())
        gate.set()
        return others.answers()

    @flow
    async def work_async() -> list[int]:
        others = Others(slow_async.submit())
        gate.set()
        return await asyncio.to_thread(others.answers)

    assert in_time(lambda: work() if kind == "sync" else asyncio.run(work_async())) == [5, 5, 5]


class Unequal:
    """Cannot be compared, as an array in a condition cannot."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B298")
def test_the_results_of_a_map_keep_the_order_of_its_items(engine: Engine, kind: str) -> None:
    """However they end, and whatever they are; before the end there are none to be had."""
    ends = [threading.Event() for _ in range(4)]

    @task
    def sync(x: int) -> Unequal:
        opened(ends[x])
        return Unequal(x)

    @task
    async def coroutine(x: int) -> Unequal:
        await asyncio.to_thread(ends[x].wait, SOON)
        return Unequal(x)

    @flow
    def work() -> list[int]:
        futures = (sync if kind == "sync" else coroutine).map(range(4))
        for x in (3, 2, 1):
            ends[x].set()
            futures[x].wait()
        with pytest.raises(TimeoutError, match="1 of 4"):
            futures.result(timeout=0.01)
        ends[0].set()
        return [each.number for each in futures.result()]

    assert in_time(work) == [0, 1, 2, 3]


class Unlike(Exception):
    """An error of the user's."""


@pytest.mark.conforms("B088")
def test_a_future_is_pickled_with_its_end(stored: Engine) -> None:
    """What comes of it has the same name, place and end, and needs neither the store nor the run."""

    @task(retries=1)
    def step(x: int) -> Any:
        if x < 0:
            raise Unlike(x)
        return [x]

    @flow
    def work() -> list[bytes]:
        one, bad = step.submit(1), step.submit(-1)
        never = step.submit(bad)
        mapped = step.map([3, 4])
        for each in (one, bad, never, *mapped):
            each.wait()
        return [pickle.dumps(each) for each in (one, bad, never, mapped)]

    one, bad, never, mapped = (pickle.loads(each) for each in in_time(lambda: work(return_state=True)).data)
    assert (one.name, one.flow_run, one.number, one.attempts) == ("step-0", 1, 1, 1)
    assert one.done()
    assert one.result() == one.wait().result() == [1]
    assert (bad.state.name, bad.attempts) == ("Failed", 2)
    with pytest.raises(Unlike):
        bad.result()
    assert never.state.name == "NotReady"
    with pytest.raises(UpstreamNotCompleted):
        never.result()
    assert mapped.result() == [[3], [4]]
    with pytest.raises(UsageError, match="were pickled"):
        type(mapped)([bad]).retry()
    again = pickle.loads(pickle.dumps(one))
    assert again.result() == [1]

    @flow
    def other() -> int:
        return int(task(len).submit(one).result())

    assert in_time(other) == 1


@pytest.mark.conforms("B088")
def test_a_future_that_has_not_ended_is_not_pickled(engine: Engine, gate: threading.Event) -> None:
    @task
    def step() -> None:
        opened(gate)

    @flow
    def work() -> None:
        future = step.submit()
        with pytest.raises(NotSendable, match="cannot be pickled before its task run has ended") as caught:
            pickle.dumps(future)
        assert "\n" not in str(caught.value)
        gate.set()
        future.wait()
        assert pickle.loads(pickle.dumps(future)).state.is_completed()

    in_time(work)


@pytest.mark.conforms("B088")
def test_an_awaited_future_is_pickled_as_one(engine: Engine) -> None:
    @task
    async def step() -> int:
        return 1

    @flow
    async def work() -> int:
        future = await step.submit()
        await future.wait()
        return int(await pickle.loads(pickle.dumps(future)).result())

    assert in_time(lambda: asyncio.run(work())) == 1
