"""Tasks and flows that are generator functions: their runs give the list of what they yield."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from support.flows import edges, flow, in_time, states_in_store, task
from tidegate.cache_policies import INPUTS
from tidegate.engine import Engine
from tidegate.store.memory import MemoryStore


@task
def numbers(count: int) -> Iterator[int]:
    yield from range(count)


@task
async def numbers_async(count: int) -> AsyncIterator[int]:
    for n in range(count):
        await asyncio.sleep(0)
        yield n


@task
def total(items: list[int]) -> int:
    assert type(items) is list
    return sum(items)


@pytest.mark.parametrize("kind", [numbers, numbers_async], ids=["sync", "async"])
def test_in_a_sync_flow_each_way_of_calling_gives_a_list(stored: Engine, kind: Any) -> None:
    @flow
    def work() -> Any:
        called = kind(3)
        future = kind.submit(4)
        return called, total(called), total(future), kind.map([1, 2]).result(), kind(2, return_state=True).result()

    assert in_time(work) == ([0, 1, 2], 3, 6, [[0], [0, 1]], [0, 1])
    assert states_in_store(stored.store, 1, 1) == ["Running", "Completed"]
    assert edges(stored.store) == {(1, 3), (2, 4)}


def test_in_an_async_flow_async_generators_are_awaited(engine: Engine) -> None:
    @flow
    async def work() -> Any:
        called, other = await asyncio.gather(numbers_async(3), numbers_async(2))
        future = numbers_async.submit(1)
        return called, other, await future.result(), numbers(2), await numbers_async.map([1, 2]).result()

    assert in_time(lambda: asyncio.run(work())) == ([0, 1, 2], [0, 1], [0], [0, 1], [[0], [0, 1]])


def test_flows_that_yield(engine: Engine) -> None:
    @flow
    def sync() -> Iterator[int]:
        for part in numbers.map([1, 2]):
            yield len(part.result())

    @flow
    async def coroutine() -> AsyncIterator[list[int]]:
        yield await numbers_async(2)

    @flow
    def parent() -> Any:
        return sync(), coroutine()

    assert sync() == [1, 2]
    assert in_time(lambda: asyncio.run(coroutine())) == [[0, 1]]
    assert in_time(parent) == ([1, 2], [[0, 1]])
    assert [row.state.name for row in engine.store.flow_runs()] == ["Completed"] * 5
    assert len(coroutine.visualize().nodes) == 1


def test_a_wrapped_flow_that_yields(engine: Engine) -> None:
    def noted(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            return fn(*args)

        return wrapper

    @flow
    @noted
    async def coroutine(count: int) -> AsyncIterator[int]:
        for n in range(count):
            yield n

    assert in_time(lambda: asyncio.run(coroutine(2))) == [0, 1]


def test_one_that_raises_half_way_failed_and_is_tried_again_from_its_beginning(stored: Engine) -> None:
    begun: list[int] = []

    @task(retries=1)
    def shaky() -> Iterator[int]:
        begun.append(1)
        yield 1
        if len(begun) < 2:
            raise ValueError("half way")
        yield 2

    @task
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("half way")

    @flow
    def work() -> Any:
        with pytest.raises(ValueError, match="half way"):
            broken()
        return shaky()

    assert work() == [1, 2]  # nobody got the first item twice
    assert states_in_store(stored.store, 1, 1) == ["Running", "Failed"]
    assert states_in_store(stored.store, 1, 2) == ["Running", "AwaitingRetry", "Retrying", "Completed"]


def test_the_list_is_cached_and_linked(stored: Engine) -> None:
    ran: list[int] = []

    @task(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
    def made(n: int) -> Iterator[dict[str, int]]:
        ran.append(n)
        yield {"n": n}
        yield {"n": n + 1}

    @flow
    def work() -> Any:
        first = made(1)
        total([first[1]["n"]])
        total.map([[1]], wait_for=first)
        return first, made(1)

    assert work() == ([{"n": 1}, {"n": 2}],) * 2
    assert ran == [1]
    assert (1, 3) in edges(stored.store)


def test_callable_objects_and_outside_of_a_flow(engine: Engine) -> None:
    class Counter:
        def __call__(self, count: int) -> Iterator[int]:
            yield from range(count)

    counter = task(Counter(), name="counter")

    @flow
    def work() -> Any:
        return counter(2)

    assert work() == [0, 1]
    outside = counter(2)  # just its function
    assert next(outside) == 0
    assert list(outside) == [1]
    assert isinstance(engine.store, MemoryStore)


def test_a_function_that_returns_a_generator_is_none(engine: Engine) -> None:
    """Only what is written with yield: the same object comes back, as from any task."""

    @task
    def lazily() -> Iterator[int]:
        return (n for n in range(2))

    @flow
    def work() -> Any:
        return list(lazily())

    assert work() == [0, 1]
