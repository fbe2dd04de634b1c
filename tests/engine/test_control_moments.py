"""Controls at the worst moments, each met on purpose: between a decision and its record, before a subflow begins."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from support.flows import SOON, Feed, Start, Started, engine_over, flow, in_time, opened, task
from support.histories import illegal
from tidegate import CancelledRun, NotPaused, NotRunning
from tidegate.engine import Engine
from tidegate.model.events import Event, FlowCreated, FlowState, TaskState
from tidegate.model.states import TERMINAL, Paused, StateType
from tidegate.run import drivers, lifecycles, task_run
from tidegate.run.flow_run import FlowRun
from tidegate.run.task_run import TaskRun
from tidegate.store.memory import MemoryStore


class Interfering(MemoryStore):
    """Calls somebody once the end of a flow run is kept, and before it is told."""

    def __init__(self, call: Callable[[], None]) -> None:
        super().__init__()
        self._call = call

    def commit(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, FlowState) and event.state.type in TERMINAL:
            self._call()


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_nothing_follows_an_end_that_is_kept(verb: str) -> None:
    refused: list[Exception] = []

    def interfere() -> None:
        try:
            getattr(feed.runs[0], verb)()
        except (NotRunning, NotPaused) as error:
            refused.append(error)

    @flow
    def nothing() -> int:
        return 1

    with engine_over(Interfering(interfere)) as engine:
        feed = Feed(engine)
        state = in_time(lambda: nothing(return_state=True))
    assert state.is_completed()
    assert [type(each) for each in refused] == [NotPaused if verb == "resume" else NotRunning]
    assert feed.flow_states() == ["Running", "Completed"]


@pytest.mark.parametrize("how", ["returns", "raises", "tries again"])
def test_a_cancel_between_the_body_s_end_and_the_decision_wins(
    engine: Engine, feed: Feed, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whoever was told yes must find the run cancelled."""
    decide_end = FlowRun.decide_end

    def late(run: FlowRun, *args: Any) -> Any:
        if run.attempts == 1 and run.gate.name == "RUNNING":
            run.cancel("the latecomer")
        return decide_end(run, *args)

    @flow(retries=int(how == "tries again"))
    def work() -> int:
        if how != "returns":
            raise ValueError(how)
        return 1

    monkeypatch.setattr(FlowRun, "decide_end", late)
    state = in_time(lambda: work(return_state=True))
    assert (state.name, state.message) == ("Cancelled", "Cancelled by the latecomer.")
    assert feed.flow_states() == ["Running", "Cancelling", "Cancelled"]


@pytest.mark.parametrize("verb", ["pause", "cancel"])
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_control_that_meets_a_subflow_before_its_attempt_begins(
    engine: Engine, feed: Feed, monkeypatch: pytest.MonkeyPatch, verb: str, attempt: int
) -> None:
    """It has no state yet that could be paused; it begins after the resume, and then it really does."""
    enter_running = FlowRun.enter_running
    looked = threading.Event()
    tries: list[int] = []
    entering: list[int] = []

    def met(run: FlowRun) -> Any:
        if run.flow.name != "child":
            return enter_running(run)
        entering.append(len(entering))
        try:
            if len(entering) == attempt:
                in_time(getattr(feed.runs[0], verb))  # a cancel is felt here at once
            return enter_running(run)
        finally:
            if len(entering) == attempt:
                looked.set()

    @task
    def step() -> int:
        return 1

    @flow(retries=1)
    def child() -> int:
        tries.append(len(tries))
        if len(tries) < attempt:
            raise ValueError("once")
        return int(step())

    @flow
    def parent() -> int:
        return int(child())

    monkeypatch.setattr(FlowRun, "enter_running", met)
    running = Started(feed, parent)
    opened(looked)
    assert len(tries) == attempt - 1
    if verb == "cancel":
        with pytest.raises(CancelledRun):
            running.ended()
        assert len(tries) == attempt - 1
        return
    running.run.resume()
    assert running.ended() == 1
    assert len(tries) == attempt
    assert feed.flow_states() == ["Running", "Paused", "Resuming", "Completed"]


@pytest.mark.parametrize("whose", [TaskRun, FlowRun])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_cancel_between_running_and_the_body_is_not_lost(
    engine: Engine, feed: Feed, monkeypatch: pytest.MonkeyPatch, kind: str, whose: Any
) -> None:
    """It finds no body to interrupt: the body must find out for itself, and not begin."""
    entered = whose.entered
    began: list[str] = []
    met: list[int] = []

    def meet(run: Any, handle: Any) -> None:
        if not met:
            met.append(1)
            in_time(feed.runs[0].cancel)
        entered(run, handle)

    def body() -> None:
        began.append("body")

    async def coroutine() -> None:
        body()

    step = task(body if kind == "sync" else coroutine, name="step")

    @flow
    def sync_flow() -> int:
        if whose is FlowRun:
            body()
        step.submit().wait()
        return 1

    @flow
    async def async_flow() -> int:
        if whose is FlowRun:
            body()
        waited = step.submit().wait()
        await waited
        return 1

    monkeypatch.setattr(whose, "entered", meet)
    running = Started(feed, sync_flow if kind == "sync" else lambda: asyncio.run(async_flow()))
    with pytest.raises(CancelledRun):
        running.ended(5)
    assert began == []
    assert feed.flow_states() == ["Running", "Cancelling", "Cancelled"]
    assert {row.state.name for row in engine.store.task_runs(1)} <= {"Cancelled"}


class Late(MemoryStore):
    """What nobody waits for is kept with the next commit that somebody does wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._later: list[tuple[Event, Callable[[str], None]]] = []

    def commit_soon(self, event: Event, done: Callable[[str], None]) -> None:
        self._later.append((event, done))

    def commit(self, event: Event) -> None:
        later, self._later = self._later, []
        for each, done in later:
            super().commit_soon(each, done)
        super().append(event)


def test_what_is_shown_of_another_attempt_waits_for_what_was_asked_before() -> None:
    tries: list[int] = []

    @flow(retries=1)
    def work() -> int:
        tries.append(1)
        if len(tries) == 1:
            feed.runs[0].pause()
            feed.runs[0].resume()
            raise ValueError("once")
        return 1

    with engine_over(Late()) as engine:
        feed = Feed(engine)
        assert in_time(work) == 1
    assert feed.flow_states() == ["Running", "Paused", "Resuming", "AwaitingRetry", "Retrying", "Completed"]
    assert illegal(feed.events) == []


class Tardy(MemoryStore):
    """Keeps everything at once, and tells those who asked only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.tell: list[Callable[[], None]] = []

    def commit_soon(self, event: Event, done: Callable[[str], None]) -> None:
        super().append(event)
        self.tell.append(lambda: done(""))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_end_is_shown_after_all_that_was_asked_for_before(kind: str) -> None:
    """Whichever thread wrote it, and however late that one is to tell: nothing is shown twice or out of turn."""

    def body() -> int:
        for verb in ("pause", "resume", "pause", "resume"):
            getattr(feed.runs[0], verb)()
        return 1

    async def coroutine() -> int:
        return body()

    work = flow(body if kind == "sync" else coroutine)
    store = Tardy()
    with engine_over(store) as engine:
        feed = Feed(engine)
        in_time(lambda: asyncio.run(work()) if kind == "async" else work())
        shown = ["Running", *["Paused", "Resuming"] * 2, "Completed"]
        assert feed.flow_states() == shown
        for tell in reversed(store.tell):
            tell()
        assert feed.flow_states() == shown


@pytest.mark.usefixtures("hectic")
def test_what_is_asked_while_another_thread_tells_is_shown_once_and_in_order() -> None:
    """A writer that walked what waits while others were adding to it once ended there, and all runs with it."""
    many = 3_000
    shown: list[float] = []
    told: list[BaseException] = []
    store = Tardy()

    def tell() -> None:
        try:
            while len(shown) < many:
                if store.tell:
                    store.tell[-1]()
        except BaseException as error:
            told.append(error)

    with engine_over(store) as engine:
        run = engine.create(FlowCreated(0, 0.0, "0" * 32, "many", "brave-otter", "{}", None, ""))
        engine.subscribe(run, lambda events: shown.extend(event.at for event in events))
        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        for at in range(many):
            engine.commit_soon(FlowState(run, at, Paused(at=at)), lambda: None)
        teller.join(SOON)
    assert told == []
    assert shown == list(range(many))


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_task_run_that_found_the_gate_open_is_recorded_before_it_closes(
    feed: Feed, start: Start, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Or it would be shown to begin after somebody was told that nothing does."""
    decided, closing, go_on = threading.Event(), threading.Event(), threading.Event()
    decide, close = lifecycles._decide_running, FlowRun._close

    def late(run: TaskRun) -> Any:
        decision = decide(run)
        decided.set()
        opened(go_on)
        return decision

    def closes(run: FlowRun, gate: StateType) -> None:
        closing.set()
        close(run, gate)

    monkeypatch.setattr(lifecycles, "_decide_running", late)
    monkeypatch.setattr(FlowRun, "_close", closes)

    @task
    def nothing() -> None:
        pass

    @flow
    def work() -> None:
        nothing.submit().wait()
        gate.wait()  # or it might end while it is paused

    running = start(work)
    opened(decided)
    closer = threading.Thread(target=getattr(running.run, verb), daemon=True)
    closer.start()
    opened(closing)
    closer.join(0.1)
    assert closer.is_alive()
    go_on.set()
    closer.join(SOON)
    if verb == "pause":
        running.run.resume()
    gate.set()
    with pytest.raises(CancelledRun) if verb == "cancel" else nullcontext():
        running.ended()
    shown = [(type(e).__name__, e.state.name) for e in feed.events if isinstance(e, (FlowState, TaskState))]
    closed = ("FlowState", "Paused" if verb == "pause" else "Cancelling")
    assert shown.index(("TaskState", "Running")) < shown.index(closed)


@pytest.mark.parametrize("how", ["called", "submitted"])
def test_a_task_run_that_meets_the_gate_as_it_closes_goes_on_with_the_resume(
    feed: Feed, start: Start, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    waiting = threading.Event()
    close, not_now, advance = FlowRun._close, lifecycles._not_now, drivers.advance

    def closes(run: FlowRun, kind: StateType) -> None:
        close(run, kind)
        gate.set()
        opened(waiting)  # it has found the gate closed, and the pause is not complete yet

    def waits(run: TaskRun, decision: Any) -> Any:
        effect = not_now(run, decision)
        first = next(effect)
        waiting.set()
        yield first
        yield from effect
        return None

    def advances(run: TaskRun) -> None:
        advance(run)
        waiting.set()

    monkeypatch.setattr(FlowRun, "_close", closes)
    if how == "called":
        monkeypatch.setattr(lifecycles, "_not_now", waits)
    else:
        monkeypatch.setattr(task_run, "advance", advances)  # what has not begun does not come to the gate

    @task
    def one() -> int:
        return 1

    @flow
    def work() -> int:
        gate.wait()
        return one() if how == "called" else int(one.submit().result())

    running = start(work)
    running.run.pause()
    running.run.resume()
    assert running.ended() == 1
