"""Whatever a task raises, however it runs: its siblings finish, the flow can go on, and so can the next one."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import SOON, flow, in_time, opened, task
from tidegate import ConcurrentTaskRunner, SequentialTaskRunner
from tidegate.engine import Engine
from tidegate.model.states import Failed
from tidegate.run import task_run


class Own(BaseException):
    """No ordinary exception, and nobody's but the user's."""


ERRORS: list[tuple[Callable[[], BaseException], str]] = [
    (lambda: SystemExit(3), "Crashed"),
    (KeyboardInterrupt, "Interrupted"),
    (GeneratorExit, "Crashed"),
    (asyncio.CancelledError, "Crashed"),
    (lambda: BaseException("base"), "Crashed"),
    (lambda: BaseExceptionGroup("group", [SystemExit(1), ValueError("in it")]), "Crashed"),
    (lambda: Own("own"), "Crashed"),
    (lambda: StopIteration(1), "Failed"),
    (lambda: StopAsyncIteration(1), "Failed"),
    (lambda: RecursionError("deep"), "Failed"),
    (MemoryError, "Failed"),
    (lambda: TimeoutError("late"), "Failed"),
]
"""Twelve types, and the name of the state that each gives."""

each_error = pytest.mark.parametrize(("make", "name"), ERRORS, ids=[type(make()).__name__ for make, _ in ERRORS])
RUNNERS = {
    "workers": ConcurrentTaskRunner(2),
    "one worker": ConcurrentTaskRunner(1),
    "in order": SequentialTaskRunner(),
}


def raising(error: BaseException, kind: str) -> Any:
    """A task that raises it."""

    def body() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    return task(body if kind == "sync" else coroutine, name="raises", retries=1)


def check(state: Any, error: BaseException, name: str, kind: str) -> None:
    """The task run ended in that state and holds the very exception."""
    assert state.name == name
    held = state.result(raise_on_failure=False)
    if kind == "async" and isinstance(error, StopIteration):  # which Python itself forbids a coroutine to raise
        assert isinstance(held, RuntimeError)
    else:
        assert held is error


@task
def fine(x: int) -> int:
    return x


@flow
def next_flow() -> list[int]:
    return [fine(1), *fine.map([2, 3]).result()]


@each_error
@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", ["call", "submit"])
@pytest.mark.conforms("B214", "B221", "B251")
@pytest.mark.scorecard(25, case=True)
def test_siblings_and_engine_are_unharmed(
    engine: Engine, make: Callable[[], BaseException], name: str, way: str, kind: str, runner: str
) -> None:
    error, over = make(), threading.Event()
    raises = raising(error, kind)

    @task
    def sibling(x: int) -> int:
        opened(over)
        return x

    @task
    async def async_sibling(x: int) -> int:
        await asyncio.to_thread(over.wait, SOON)
        return x

    @flow(task_runner=RUNNERS[runner])
    def work() -> list[int]:
        siblings = [async_sibling.submit(1)]
        if runner == "workers":  # elsewhere it would take the only place
            siblings.append(sibling.submit(2))
        check(raises(return_state=True) if way == "call" else raises.submit().wait(), error, name, kind)
        over.set()
        return [each.result() for each in siblings]

    final = in_time(lambda: work(return_state=True))
    rows = engine.store.task_runs(1)
    assert {row.name: row.attempts for row in rows if row.name == "raises-0"} == {"raises-0": 1 + (name == "Failed")}
    assert {row.state.name for row in rows if row.name != "raises-0"} == {"Completed"}
    if isinstance(error, (SystemExit, KeyboardInterrupt)):  # of which nobody was told: not to be passed over
        assert final.is_crashed()
        assert final.data is error
    else:
        assert final.data == [1, 2][: len(rows) - 1]
    assert in_time(next_flow) == [1, 2, 3]


@pytest.mark.scorecard(25, control=True, case=True)
def test_control_an_exit_that_counts_as_a_failure_is_found(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(task_run, "of_error", lambda error, cancelling, now: Failed(error, at=now))
    monkeypatch.setattr(sys.modules[__name__], "SOON", 0.1)  # for which its siblings wait
    trials.did(1)
    with pytest.raises(AssertionError):
        test_siblings_and_engine_are_unharmed(engine, lambda: SystemExit(3), "Crashed", "call", "sync", "one worker")
    trials.found(True)


@each_error
@pytest.mark.conforms("B214")
def test_in_an_async_flow(engine: Engine, make: Callable[[], BaseException], name: str) -> None:
    error, over = make(), asyncio.Event()
    raises = raising(error, "async")

    @task
    async def sibling(x: int) -> int:
        await asyncio.wait_for(over.wait(), SOON)
        return x

    @flow
    async def work() -> int:
        future = sibling.submit(2)
        check(await raises(return_state=True), error, name, "async")
        check(await raises.submit().wait(), error, name, "async")
        over.set()
        return int(await future.result())

    final = in_time(lambda: asyncio.run(work(return_state=True)))
    assert final.is_crashed() if isinstance(error, (SystemExit, KeyboardInterrupt)) else final.data == 2
    assert in_time(next_flow) == [1, 2, 3]


@each_error
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("way", ["call", "result"])
@pytest.mark.conforms("B060", "B221")
def test_on_the_main_thread_what_is_raised_can_be_caught(
    engine: Engine, make: Callable[[], BaseException], name: str, kind: str, way: str
) -> None:
    """Whoever catches it was told: the flow goes on to a good end, and the interpreter with it."""
    error = make()
    raises = raising(error, kind)
    caught: list[BaseException] = []

    @flow
    def work() -> int:
        try:
            raises() if way == "call" else raises.submit().result()
        except BaseException as given:
            caught.append(given)
        return int(fine(5))

    assert work() == 5
    if not (kind == "async" and isinstance(error, StopIteration)):
        assert caught == [error]
    assert next_flow() == [1, 2, 3]
