"""Cancel: whatever is at work ends soon, wherever it runs, and nothing else starts."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

import tidegate
from support.flows import (
    SOON,
    Feed,
    Start,
    Started,
    cancelled,
    flow,
    in_time,
    opened,
    states_in_store,
    task,
)
from tidegate import CancelledRun, pause_flow_run
from tidegate.engine import Engine
from tidegate.model.states import StateType
from tidegate.run.leftovers import still_alive


@pytest.fixture
def loops() -> Iterator[threading.Event]:
    """Set it, and bodies that spin end: so that none outlives its test if it is not interrupted."""
    enough = threading.Event()
    yield enough
    enough.set()


def spin(until: threading.Event, ticks: list[int]) -> None:
    """Compute, in Python, as long as nobody ends it."""
    while not until.is_set():
        ticks[0] += 1


@pytest.mark.conforms("B208", "B213", "B296")
def test_cancel_ends_bodies_on_workers(stored: Engine, start: Start, loops: threading.Event) -> None:
    ticks, began = [0], threading.Semaphore(0)

    @task
    def busy(x: int) -> None:
        began.release()
        spin(loops, ticks)

    @flow(task_runner=tidegate.ConcurrentTaskRunner(3))
    def work() -> None:
        busy.map(range(8)).wait()

    running = start(work)
    for _ in range(3):
        assert began.acquire(timeout=SOON)
    cancelled(running, 3)
    count = ticks[0]
    assert not loops.wait(0.1)
    assert ticks[0] == count, "a body goes on computing"
    assert not began.acquire(blocking=False), "a queued one began after the cancel"


def test_cancel_ends_async_bodies(stored: Engine, start: Start) -> None:
    began, ended = threading.Semaphore(0), threading.Semaphore(0)

    @task
    async def waits(x: int) -> None:
        began.release()
        try:
            await asyncio.sleep(60)
        finally:
            ended.release()

    @flow
    def work() -> None:
        waits.map(range(5)).wait()

    running = start(work)
    for _ in range(5):
        assert began.acquire(timeout=SOON)
    cancelled(running, 3)
    assert all(ended.acquire(blocking=False) for _ in range(5))


@pytest.mark.parametrize("direct", [True, False], ids=["awaited", "submitted"])
def test_cancel_ends_an_async_flow(stored: Engine, start: Start, direct: bool) -> None:
    began = threading.Event()
    after: list[int] = []

    @task
    async def waits() -> None:
        began.set()
        await asyncio.sleep(60)

    @flow
    async def work() -> None:
        if direct:
            await waits()
        else:
            waits.submit()
            await asyncio.sleep(60)
        after.append(1)

    running = start(lambda: asyncio.run(work()))
    opened(began)
    cancelled(running, 3)
    assert after == []


@pytest.mark.parametrize("body", ["sleep", "spin", "wait for a future", "sleep in a task"])
@pytest.mark.conforms("B208", "B213")
def test_cancel_ends_a_body_on_the_main_thread(stored: Engine, feed: Feed, loops: threading.Event, body: str) -> None:
    """Here the flow runs on the main thread, as in a cell; the cancel comes from another one."""
    assert threading.current_thread() is threading.main_thread()
    began = threading.Event()
    after: list[int] = []

    @task
    async def endless() -> None:
        began.set()
        await asyncio.sleep(60)

    @task
    def sleeps() -> None:
        began.set()
        time.sleep(12)

    @flow
    def work() -> None:
        if body == "wait for a future":
            endless.submit().wait()
        elif body == "sleep in a task":
            sleeps()
        else:
            began.set()
            time.sleep(12) if body == "sleep" else spin(loops, [0])
        after.append(1)

    def canceller() -> None:
        opened(began)
        feed.runs[0].cancel()

    threading.Thread(target=canceller, daemon=True).start()
    guard = threading.Timer(SOON, loops.set)
    guard.daemon = True
    guard.start()
    begun = time.monotonic()
    state = work(return_state=True)
    guard.cancel()
    assert time.monotonic() - begun < 3
    assert state.is_cancelled()
    assert after == []
    assert feed.flow_states() == ["Running", "Cancelling", "Cancelled"]
    assert states_in_store(stored.store, 1) == ["Running", "Cancelling", "Cancelled"]
    assert work.with_options(name="next").fn is work.fn
    assert flow(lambda: 5, name="next")() == 5  # no late interrupt hits what comes after


def test_a_flow_may_cancel_itself(stored: Engine, feed: Feed) -> None:
    after: list[int] = []

    @task
    def step() -> None: ...

    @flow
    def work() -> None:
        tidegate.cancel_flow_run(feed.runs[0])
        step()
        after.append(1)

    state = work(return_state=True)
    assert state.is_cancelled()
    assert after == []
    with pytest.raises(CancelledRun):
        state.result()


def test_cancel_while_paused_ends_it(stored: Engine, feed: Feed, start: Start) -> None:
    after: list[int] = []

    @flow
    def waits() -> None:
        pause_flow_run()
        after.append(1)
        time.sleep(12)

    running = start(waits)
    feed.await_flow(StateType.PAUSED)
    cancelled(running, 3)
    assert feed.flow_states() == ["Running", "Paused", "Cancelling", "Cancelled"]


def test_cancel_reaches_subflows(stored: Engine, start: Start) -> None:
    began = threading.Event()

    @task
    async def endless() -> None:
        began.set()
        await asyncio.sleep(60)

    @flow
    def child() -> None:
        endless()

    @flow
    def parent() -> None:
        child()

    running = start(parent)
    opened(began)
    cancelled(running, 3)
    assert states_in_store(stored.store, 2)[-1] == "Cancelled"


def test_cancel_in_the_middle_of_a_map_does_not_wait_for_what_never_began(engine: Engine, feed: Feed) -> None:
    count = [0]
    monotonic, enough = engine.monotonic, threading.Event()

    @task
    def step(x: int) -> int:
        return x

    def tick() -> float:
        """Called whenever a task run is made known: at the fifth one, somebody cancels."""
        count[0] += feed.runs != []
        if count[0] == 8:
            other = threading.Thread(target=feed.runs[0].cancel, daemon=True)
            other.start()
            other.join(SOON)
        return monotonic()

    engine.monotonic = tick

    @flow
    def work() -> None:
        step.map(range(100)).wait()
        enough.set()

    begun = time.monotonic()
    state = in_time(lambda: work(return_state=True), 20)
    assert state.is_cancelled()
    assert time.monotonic() - begun < 3
    assert not enough.is_set()
    assert all(row.state.is_final() for row in engine.store.task_runs(1))


@pytest.mark.usefixtures("hectic")
def test_a_task_run_that_is_interrupted_again_and_again_as_it_ends_has_its_end(engine: Engine, feed: Feed) -> None:
    """A cancel may come together with the end of the flow's code, which ends what is at work as well."""
    runs, pestered = 200, threading.Event()

    @task
    def step(x: int) -> None:
        for _ in range(1000):
            x += 1

    @flow
    def work() -> None:
        opened(pestered)
        step.map(range(runs)).wait()

    running = Started(feed, work)

    def pester() -> None:
        pestered.set()
        while not running.run.finished.done():
            for each in list(running.run.bodies.values()):
                each.interrupt_body()

    pesterers = [threading.Thread(target=pester, daemon=True) for _ in range(2)]
    for thread in pesterers:
        thread.start()
    with contextlib.suppress(KeyboardInterrupt):
        running.ended(2 * SOON)
    for thread in pesterers:
        thread.join(SOON)
    assert running.run.bodies == {}
    ends = [row.state.name for row in engine.store.task_runs(1)]
    assert len(ends) == runs
    assert "Interrupted" in ends
    assert set(ends) <= {"Interrupted", "Completed"}, "one lost its end"


def test_a_body_that_will_not_end_is_named(engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.run.lifecycles.CANCEL_GRACE", 0.2)
    began, free, left = threading.Event(), threading.Event(), threading.Event()

    @task
    def stubborn() -> None:
        while not free.is_set():
            with contextlib.suppress(BaseException):
                began.set()
                opened(free)
        left.set()

    @flow
    def work() -> None:
        stubborn.submit().wait()

    running = start(work)
    opened(began)
    running.run.cancel()
    with pytest.raises(CancelledRun):
        running.ended(5)
    assert still_alive(running.run) == "stubborn-0"
    (row,) = engine.store.task_runs(1)
    assert row.state.is_cancelled()
    events = len(engine.store.events(1))
    free.set()
    opened(left)
    assert len(engine.store.events(1)) == events, "a late outcome was recorded after the end"
