"""Pause and resume: what starts, what goes on, what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tidegate
from support.flows import (
    SOON,
    Feed,
    Start,
    flow,
    in_time,
    is_terminal,
    opened,
    states_in_store,
    task,
)
from tidegate import ControlError, NotPaused, NotRunning, PauseTimeout, pause_flow_run
from tidegate.engine import Engine
from tidegate.model.events import Event, FlowState, TaskCreated, TaskState
from tidegate.model.states import StateType
from tidegate.run import controlled


@pytest.mark.conforms("B199", "B201")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_while_paused_what_runs_goes_on_and_nothing_starts(
    stored: Engine, feed: Feed, start: Start, gate: threading.Event, kind: str
) -> None:
    started, went_on, about_to = threading.Event(), threading.Event(), threading.Event()

    @task
    def long() -> str:
        started.set()
        opened(gate)
        went_on.set()
        return "done"

    @task
    def step() -> None: ...

    @task
    async def step_async() -> None: ...

    @flow
    def steps() -> str:
        future = long.submit()
        opened(started)
        opened(paused)
        about_to.set()
        step()
        step.submit().wait()
        return str(future.result())

    @flow
    async def steps_async() -> str:
        future = long.submit()
        await asyncio.to_thread(started.wait)
        await asyncio.to_thread(paused.wait)
        about_to.set()
        await step_async()
        return str(await asyncio.to_thread(future.result))

    paused = threading.Event()
    running = start(steps if kind == "sync" else lambda: asyncio.run(steps_async()))
    opened(started)
    running.run.pause()
    feed.await_flow(StateType.PAUSED)
    paused.set()
    opened(about_to)
    gate.set()  # the running one goes on, to its end
    opened(went_on)
    feed.await_task(1, "Completed")
    assert not running.run.finished.done()
    assert feed.task_states(2) == [], "a task run started although the flow run is paused"
    running.run.resume()
    assert running.ended() == "done"
    assert feed.flow_states() == ["Running", "Paused", "Resuming", "Completed"]
    assert feed.task_states(1) == ["Running", "Completed"]
    assert feed.task_states(2) == ["Running", "Completed"]
    assert states_in_store(stored.store, 1) == ["Running", "Paused", "Resuming", "Completed"]
    shown = [event for event in feed.events if isinstance(event, (FlowState, TaskState))]
    resumed = next(at for at, event in enumerate(shown) if event.state.name == "Resuming")
    began = next(at for at, e in enumerate(shown) if isinstance(e, TaskState) and e.task_run == 2)
    long_ended = next(at for at, e in enumerate(shown) if isinstance(e, TaskState) and e.state.is_completed())
    assert long_ended < resumed
    assert began > long_ended


@pytest.mark.conforms("B199")
def test_mapped_runs_that_wait_for_a_worker_stay_waiting(engine: Engine, feed: Feed, start: Start) -> None:
    turnstile, in_body = threading.Semaphore(0), threading.Semaphore(0)

    @task
    def step(x: int) -> int:
        in_body.release()
        assert turnstile.acquire(timeout=SOON)
        return x

    @flow(task_runner=tidegate.ConcurrentTaskRunner(2))
    def steps() -> list[int]:
        return list(step.map(range(10)).result())

    running = start(steps)
    for _ in range(2):
        assert in_body.acquire(timeout=SOON)
    running.run.pause()
    feed.await_flow(StateType.PAUSED)
    for _ in range(10):
        turnstile.release()
    feed.until(lambda: sum(is_terminal(event) for event in feed.events) == 2, "the end of both that ran")
    assert not in_body.acquire(timeout=0.1)
    running.run.resume()
    assert running.ended() == list(range(10))


@pytest.mark.conforms("B205")
def test_resume_is_no_attempt(engine: Engine, feed: Feed, start: Start) -> None:
    go = threading.Event()

    @task(retries=1)
    def step() -> int:
        return 1

    @flow
    def steps() -> int:
        opened(go)
        return int(step())

    running = start(steps)
    for _ in range(3):
        running.run.pause()
        running.run.resume()
    go.set()
    assert running.ended() == 1
    assert running.run.attempts == 1
    (row,) = engine.store.task_runs(1)
    assert row.attempts == 1
    flow_row = engine.store.flow_run(1)
    assert flow_row is not None
    assert flow_row.started == next(e.at for e in feed.events if isinstance(e, FlowState))


def test_a_retry_waits_for_the_resume(engine: Engine, feed: Feed, start: Start, gate: threading.Event) -> None:
    tries: list[int] = []

    @task(retries=1)
    def step() -> int:
        tries.append(1)
        if len(tries) == 1:
            opened(gate)
            raise ValueError
        return 7

    @flow
    def steps() -> int:
        return int(step())

    running = start(steps)
    feed.await_task(1, "Running")
    running.run.pause()
    feed.await_flow(StateType.PAUSED)
    gate.set()
    feed.await_task(1, "AwaitingRetry")
    assert feed.task_states(1) == ["Running", "AwaitingRetry"]
    assert len(tries) == 1
    running.run.resume()
    assert running.ended() == 7
    assert feed.task_states(1) == ["Running", "AwaitingRetry", "Retrying", "Completed"]


def test_a_pause_and_a_resume_reach_subflows(stored: Engine, feed: Feed, start: Start) -> None:
    in_child, go, done = threading.Event(), threading.Event(), threading.Event()

    @task
    def step() -> int:
        done.set()
        return 1

    @flow
    def child() -> int:
        in_child.set()
        opened(go)
        return int(step())

    @flow
    def parent() -> int:
        return int(child())

    running = start(parent)
    opened(in_child)
    running.run.pause()
    go.set()
    feed.await_flow(StateType.PAUSED)
    assert not done.wait(0.1)
    running.run.resume()
    assert running.ended() == 1
    assert states_in_store(stored.store, 2) == ["Running", "Paused", "Resuming", "Completed"]


@pytest.mark.conforms("B199", "B203", "B204")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_flow_that_pauses_itself_waits_for_the_resume(stored: Engine, feed: Feed, start: Start, kind: str) -> None:
    @flow
    def waits() -> str:
        pause_flow_run()
        return "resumed"

    @flow
    async def waits_async() -> str:
        await pause_flow_run()
        return "resumed"

    running = start(waits if kind == "sync" else lambda: asyncio.run(waits_async()))
    paused = feed.await_flow(StateType.PAUSED)
    assert paused.by == "the flow"
    begun = time.monotonic()
    tidegate.resume_flow_run(running.run.number)
    assert running.ended() == "resumed"
    assert time.monotonic() - begun < 1, "it polls"
    assert states_in_store(stored.store, 1) == ["Running", "Paused", "Resuming", "Completed"]


@pytest.mark.conforms("B202", "B207")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_pause_that_nobody_ends_fails_the_flow(stored: Engine, kind: str) -> None:
    @flow
    def waits() -> None:
        pause_flow_run(timeout=0.05)

    @flow
    async def waits_async() -> None:
        await pause_flow_run(timeout=0.05)

    def run() -> Any:
        call = waits if kind == "sync" else waits_async
        given = call(return_state=True)
        return asyncio.run(given) if kind == "async" else given

    state = in_time(run)
    assert state.is_failed()
    error = state.result(raise_on_failure=False)
    assert isinstance(error, PauseTimeout)
    assert isinstance(error, TimeoutError)
    assert "0.05 s" in str(error)
    assert states_in_store(stored.store, 1)[-1] == "Failed"
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.state.is_failed()


@pytest.mark.conforms("B202")
def test_a_caught_pause_timeout_lets_the_flow_go_on(engine: Engine) -> None:
    @task
    def step() -> int:
        return 1

    @flow
    def waits() -> int:
        with pytest.raises(PauseTimeout):
            pause_flow_run(timeout=0.01)
        return int(step())

    assert in_time(waits) == 1


def test_a_resume_that_comes_with_the_timeout_is_no_error(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait says that the time is up; before the flow looks, somebody has resumed it."""
    feed = Feed(engine)

    def too_late(latch: object, timeout: float | None = None) -> bool:
        feed.runs[0].resume("somebody")
        return False

    @flow
    def waits() -> str:
        with monkeypatch.context() as patch:
            patch.setattr("tidegate.control.host.wait", too_late)
            pause_flow_run(timeout=0.01)
        return "resumed"

    assert in_time(waits) == "resumed"


def test_a_flow_that_pauses_itself_while_it_is_paused_waits(engine: Engine, feed: Feed, start: Start) -> None:
    go, last = threading.Event(), threading.Event()

    @flow
    def waits() -> str:
        opened(go)
        last.set()
        pause_flow_run()
        return "resumed"

    running = start(waits)
    running.run.pause()  # the button, just before
    go.set()
    opened(last)
    running.run.resume()
    # Whichever came first: it waited for that resume, or paused once more.
    for _ in range(int(SOON / 0.01)):
        if running.run.finished.done():
            break
        with contextlib.suppress(ControlError):
            running.run.resume()
        time.sleep(0.01)
    assert running.ended() == "resumed"


@pytest.mark.conforms("B200")
def test_pausing_in_a_task_or_outside_is_refused(engine: Engine) -> None:
    @task
    def pauses() -> None:
        pause_flow_run()

    @flow
    def work() -> str:
        with pytest.raises(RuntimeError, match="in a task"):
            pauses()
        return "went on"

    assert in_time(work) == "went on"
    with pytest.raises(RuntimeError, match="outside of a flow"):
        pause_flow_run()


@pytest.mark.conforms("B204")
def test_each_control_that_cannot_be_done_says_why(engine: Engine, feed: Feed, start: Start) -> None:
    go = threading.Event()

    @flow
    def waits() -> int:
        opened(go)
        return 1

    running = start(waits)
    run = running.run

    def refused(call: Callable[[], None], error: type[ControlError], text: str) -> None:
        before = run.state
        with pytest.raises(error, match=text) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert run.state == before

    refused(run.resume, NotPaused, "is not paused")
    run.pause()
    refused(run.pause, NotRunning, "cannot be paused: it is Paused")
    run.resume()
    refused(run.resume, NotPaused, "is not paused")
    go.set()
    running.ended()
    for call, error in ((run.pause, NotRunning), (run.resume, NotPaused), (run.cancel, NotRunning)):
        refused(call, error, "Completed")
    for act in (tidegate.resume_flow_run, tidegate.cancel_flow_run):
        with pytest.raises(NotRunning, match="does not run in this process"):
            act(run.number)
    assert feed.flow_states() == ["Running", "Paused", "Resuming", "Completed"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_flow_that_makes_task_runs_by_the_thousand_lets_a_pause_be_shown_first(
    stored: Engine, feed: Feed, start: Start, kind: str
) -> None:
    @task
    def step(x: int) -> int:
        return x

    @flow
    def maps() -> list[int]:
        for _ in range(20):
            pause_flow_run(flow_run=1)  # as a click does, in the middle of a map
            futures = step.map(range(3))
            tidegate.resume_flow_run(1)
            futures.wait()
        return [1]

    @flow
    async def maps_async() -> list[int]:
        made: list[int] = maps.fn()
        return made

    assert start(maps if kind == "sync" else lambda: asyncio.run(maps_async())).ended() == [1]
    told = [event for event in feed.events if isinstance(event, (FlowState, TaskCreated))]
    names = ["created" if isinstance(event, TaskCreated) else event.state.name for event in told]
    assert names[1:-1] == ["Paused", "created", "created", "created", "Resuming"] * 20


def test_a_pause_that_cannot_be_shown_holds_its_flow_up_once(
    stored: Engine, feed: Feed, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon, held = stored.store.commit_soon, list[Callable[[], None]]()

    def hold(event: Event, done: Callable[[str], None]) -> None:
        if isinstance(event, FlowState) and event.state.is_paused():
            soon(event, lambda problem: held.append(lambda: done(problem)))
        else:
            soon(event, done)

    monkeypatch.setattr(stored.store, "commit_soon", hold)
    monkeypatch.setattr(controlled, "PATIENCE", 0.2)

    @task
    def step(x: int) -> int:
        return x

    @flow
    def steps() -> int:
        pause_flow_run(flow_run=1)
        begun = time.monotonic()
        futures = step.map(range(100))
        took = time.monotonic() - begun
        assert 0.2 <= took < 0.2 * 50, took
        tidegate.resume_flow_run(1)
        return sum(futures.result())

    assert start(steps).ended() == 4950
    assert [name for name in feed.flow_states() if name in ("Paused", "Completed")] == ["Paused", "Completed"]
    held[0]()
