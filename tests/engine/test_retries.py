"""Retries: how often, when, with what record."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from support.flows import Feed, engine_over, flow, in_time, states_in_store, task
from tidegate import exponential_backoff
from tidegate.engine import Engine
from tidegate.model.events import Event, TaskState
from tidegate.model.states import StateType
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore

KINDS = ["direct", "submit", "map", "async", "async in async"]


class Flaky:
    """Fails so many times, then gives 7."""

    def __init__(self, failures: int, error: type[BaseException] = ValueError) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error(self.calls)
        return 7


def run(kind: str, body: Callable[[], int], **options: Any) -> Any:
    """The final state of one task run of this kind, whose body is `body`."""

    @task(**options)
    def sync(x: int = 0) -> int:
        return body()

    @task(**options)
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return body()

    @flow
    def calls() -> Any:
        if kind == "direct":
            found = sync(return_state=True)
        elif kind == "submit":
            found = sync.submit().wait()
        elif kind == "map":
            (found,) = sync.map([1]).wait()
        else:
            found = coroutine(return_state=True)
        return [found]

    @flow
    async def awaits() -> Any:
        return [await coroutine(return_state=True)]

    final = in_time(
        lambda: asyncio.run(awaits(return_state=True)) if kind == "async in async" else calls(return_state=True)
    )
    (state,) = final.data
    return state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("failures", "retries"), [(0, 0), (0, 3), (1, 0), (1, 1), (2, 3), (3, 3), (4, 3), (9, 2)])
@pytest.mark.conforms("B061", "B116", "B117")
def test_attempts_and_their_record(stored: Engine, feed: Feed, kind: str, failures: int, retries: int) -> None:
    body = Flaky(failures)
    state = run(kind, body, retries=retries)
    attempts = min(failures, retries) + 1
    assert body.calls == attempts
    assert state.is_completed() == (failures <= retries)
    end = "Completed" if failures <= retries else "Failed"
    wanted = ["Running", *["AwaitingRetry", "Retrying"] * (attempts - 1), end]
    assert states_in_store(stored.store, 1, 1) == wanted
    assert feed.task_states(1) == wanted
    (row,) = stored.store.task_runs(1)
    assert row.attempts == attempts
    if failures > retries:
        error = state.result(raise_on_failure=False)
        assert error.args == (attempts,)  # of the last attempt


@pytest.mark.conforms("B117", "B273")
def test_each_failure_is_told_in_the_record(stored: Engine) -> None:
    run("direct", Flaky(2), retries=2)
    events = [e.state for _, e in stored.store.events(1) if isinstance(e, TaskState)]
    assert [s.message for s in events if s.type is StateType.SCHEDULED] == ["ValueError: 1", "ValueError: 2"]


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return self.at

    monotonic = now


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.conforms("B118")
def test_the_delay_passes_before_the_next_attempt(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine asks to be woken after the right number of seconds; here a wait makes that time pass at once."""
    clock, slept = Clock(), list[float]()
    lock = threading.Lock()

    def passes(seconds: float | None) -> float | None:
        if seconds is None or seconds < 0.5:
            return seconds
        with lock:
            slept.append(seconds)
            clock.at += seconds
        return 0.0

    from tidegate import host
    from tidegate.run import drivers

    block, wait_any = host.wait, drivers.wait_async_any
    monkeypatch.setattr(host, "wait", lambda latch, timeout=None: block(latch, passes(timeout)))

    async def quick(effect: Any) -> bool:
        return await wait_any(type(effect)(effect.latch, passes(effect.timeout)))

    monkeypatch.setattr(drivers, "wait_async_any", quick)
    body = Flaky(4)
    with engine_over(MemoryStore(), clock=clock, chance=lambda: 0.5) as engine:
        after = engine.portal.after
        monkeypatch.setattr(engine.portal, "after", lambda seconds, call: after(passes(seconds) or 0.0, call))
        state = run(kind, body, retries=4, retry_delay_seconds=[10, 20, 40])
        assert state.is_completed()
        assert slept == [10, 20, 40, 40]
        running = [e.at for _, e in engine.store.events(1) if isinstance(e, TaskState) and e.state.is_running()]
        assert [b - a for a, b in itertools.pairwise(running)] == [10, 20, 40, 40]


def test_a_real_delay_is_waited_for(engine: Engine) -> None:
    run("submit", Flaky(1), retries=1, retry_delay_seconds=0.15)
    first, second = (e.at for _, e in engine.store.events(1) if isinstance(e, TaskState) and e.state.is_running())
    assert 0.15 <= second - first < 1.5


def test_a_delay_holds_no_worker(engine: Engine) -> None:
    """On a single worker the others go on while one waits for its retry."""
    from tidegate import ConcurrentTaskRunner

    order: list[str] = []

    @task(retries=1, retry_delay_seconds=0.2)
    def fails_once() -> None:
        order.append("again" if order else "first")
        if order == ["first"]:
            raise ValueError

    @task
    def other() -> None:
        order.append("other")

    @flow(task_runner=ConcurrentTaskRunner(1))
    def work() -> int:
        waiting = [fails_once.submit(), other.submit(), other.submit()]
        for each in waiting:
            each.wait()
        return 1

    in_time(work)
    assert order == ["first", "other", "other", "again"]


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 0.05), (0.5, 0.1), (0.999, 0.15)])
def test_jitter_takes_its_chance_from_the_engine(draw: float, seconds: float) -> None:
    with engine_over(MemoryStore(), chance=lambda: draw) as engine:
        run("direct", Flaky(1), retries=1, retry_delay_seconds=0.1, retry_jitter_factor=0.5)
        states = [e.state for _, e in engine.store.events(1) if isinstance(e, TaskState)]
        (waiting,) = [state for state in states if state.type is StateType.SCHEDULED]
        assert waiting.scheduled_time is not None
        assert waiting.scheduled_time - waiting.timestamp == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_decides_by_the_error(engine: Engine, kind: str) -> None:
    asked: list[BaseException] = []

    def worth_it(error: BaseException) -> bool:
        asked.append(error)
        return isinstance(error, OSError)

    body = Flaky(1, OSError)
    assert run(kind, body, retries=2, retry_condition_fn=worth_it).is_completed()
    hopeless = Flaky(1, KeyError)
    assert run(kind, hopeless, retries=2, retry_condition_fn=worth_it).is_failed()
    assert (body.calls, hopeless.calls) == (2, 1)
    assert [type(error) for error in asked] == [OSError, KeyError]


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_that_breaks_ends_the_run_with_its_error(engine: Engine, kind: str) -> None:
    def breaks(error: BaseException) -> bool:
        raise ZeroDivisionError("in the condition")

    state = run(kind, Flaky(1), retries=2, retry_condition_fn=breaks)
    assert state.is_failed() or state.is_crashed()
    assert isinstance(state.result(raise_on_failure=False), (ZeroDivisionError, ValueError))
    (row,) = engine.store.task_runs(1)
    assert row.state.is_final()
    assert row.attempts == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.conforms("B214")
def test_what_is_no_ordinary_exception_is_not_retried(engine: Engine, error: type[BaseException]) -> None:
    body = Flaky(1, error)

    @task(retries=3)
    def leaves() -> int:
        return body()

    @flow
    def work() -> None:
        leaves()

    with pytest.raises(error):
        in_time(work)
    assert body.calls == 1
    (row,) = engine.store.task_runs(1)
    assert row.state.is_crashed()
    flow_row = engine.store.flow_run(1)
    assert flow_row is not None
    assert flow_row.state.is_crashed()


def test_backoff_doubles() -> None:
    assert exponential_backoff(10)(4) == [10, 20, 40, 80]
    made = task(retries=3, retry_delay_seconds=exponential_backoff(2))(lambda_named)
    assert made.policy.delays == (2, 4, 8)


def lambda_named() -> None: ...


@pytest.mark.conforms("B116")
def test_each_run_has_a_budget_of_its_own(engine: Engine) -> None:
    calls: dict[int, int] = {}

    @task(retries=2)
    def step(x: int) -> int:
        calls[x] = calls.get(x, 0) + 1
        if calls[x] <= 2:
            raise ValueError
        return x

    @flow
    def work() -> list[int]:
        return list(step.map(range(10)).result())

    assert in_time(work) == list(range(10))
    assert set(calls.values()) == {3}


@pytest.mark.parametrize("what", ["task", "flow"])
def test_a_clock_that_is_set_back_does_not_make_a_delay_longer(what: str) -> None:
    class Wall:
        offset = 0.0

        def now(self) -> float:
            return time.time() + self.offset

        monotonic = staticmethod(time.monotonic)

    wall = Wall()
    tries: list[int] = []

    def fails_once() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return 7

    retried = {"retries": 1, "retry_delay_seconds": 0.05}
    if what == "task":
        work = flow(lambda: task(fails_once, name="step", **retried)(), name="work")
    else:
        work = flow(fails_once, name="work", **retried)
    with engine_over(MemoryStore(), clock=wall) as here:

        def hear(events: Sequence[Event]) -> None:
            if any(getattr(getattr(each, "state", None), "name", "") == "AwaitingRetry" for each in events):
                wall.offset -= 7200

        def listen(run: FlowRun) -> None:
            here.subscribe(run.number, hear)

        here.observers.append(listen)
        assert in_time(work) == 7
