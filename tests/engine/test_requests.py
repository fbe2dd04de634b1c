"""Pause, resume and cancel by way of the store: carried out by the process that runs it, and whoever asks is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.flows import SOON, Feed, Start, cancelled, engine_over, flow, in_time, states_in_store, task
from tidegate.engine import Engine
from tidegate.errors import CancelledRun, NotRunning
from tidegate.flow_runs import create_flow_run
from tidegate.model.events import FlowCreated, FlowState
from tidegate.model.requests import Request, Verb
from tidegate.model.states import Cancelled, Cancelling, Completed, Running
from tidegate.ports import EventStore
from tidegate.requests import LOOK, ask, attend
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore

CLI = "the command line"


@pytest.fixture
def waiting(gate: threading.Event) -> Any:
    """A flow whose task waits for the gate, and that calls one more."""

    @task
    def wait() -> None:
        while not gate.wait(0.01):  # in slices, between which a cancel can end it
            pass

    @task
    def after() -> str:
        return "done"

    @flow
    def nightly() -> Any:
        wait.submit().wait()
        return after()

    return nightly


def request(flow_run: int, verb: Verb = "cancel", *, seconds: float = SOON) -> Request:
    now = time.time()
    return Request(0, flow_run, verb, "somebody", now, now + seconds)


# Carried out ----------------------------------------------------------------------------------------------------------


def test_pause_and_resume_are_kept_when_whoever_asked_is_told(
    stored: Engine, start: Start, gate: threading.Event, waiting: Any
) -> None:
    running = start(waiting)
    ask(stored.store, 1, "pause", by=CLI)
    assert states_in_store(stored.store, 1)[-1] == "Paused"
    row = stored.store.flow_run(1)
    assert row is not None
    assert str(row.state.message) == "Paused by the command line."
    gate.set()
    ask(stored.store, 1, "resume", by=CLI)
    assert running.ended() == "done"
    events = [event for _, event in stored.store.events(1) if isinstance(event, FlowState) and event.by]
    assert [(event.state.name, event.by) for event in events] == [("Paused", CLI), ("Resuming", CLI)]


def test_cancel_ends_it(stored: Engine, start: Start, waiting: Any) -> None:
    running = start(waiting)
    ask(stored.store, 1, "cancel", by=CLI)
    with pytest.raises(CancelledRun):
        running.ended()
    assert states_in_store(stored.store, 1)[-2:] == ["Cancelling", "Cancelled"]


def test_a_run_of_another_engine_thread_that_awaits_is_cancelled_too(stored: Engine, start: Start) -> None:
    @flow
    async def endless() -> None:
        await asyncio.sleep(SOON)

    running = start(lambda: asyncio.run(endless()))
    ask(stored.store, 1, "cancel")
    with pytest.raises(CancelledRun):
        running.ended()


def test_requests_are_carried_out_in_order_and_those_for_others_are_left_alone(
    stored: Engine, start: Start, waiting: Any
) -> None:
    store = stored.store
    running = start(waiting)
    elsewhere = store.put_request(request(999))
    store.put_request(request(1, "cancel", seconds=-1))  # whoever asked has stopped waiting
    store.put_request(request(1, "pause"))
    ask(store, 1, "resume")  # after the pause, which was asked for before
    assert states_in_store(store, 1)[-2:] == ["Paused", "Resuming"]
    assert [each.number for each in store.open_requests(time.time())] == [elsewhere]
    assert store.answer_to(elsewhere) is None
    cancelled(running, SOON)


# Refused --------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_done_is_told(stored: Engine, start: Start, waiting: Any) -> None:
    running = start(waiting)
    with pytest.raises(NotRunning, match="is not paused: it is Running"):
        ask(stored.store, 1, "resume")
    with pytest.raises(NotRunning, match="There is no flow run 7"):
        ask(stored.store, 7, "pause")
    cancelled(running, SOON)
    with pytest.raises(NotRunning, match=r"The flow run 1 \(.*\) has ended: it is Cancelled\."):
        ask(stored.store, 1, "pause")


def test_input_goes_along_with_a_resume(
    stored: Engine, start: Start, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(waiting)
    taken: list[tuple[Any, ...]] = []
    monkeypatch.setattr(running.run, "resume", lambda by, **more: taken.append((by, more)))
    ask(stored.store, 1, "resume", detail={"input": {"rows": [1, None]}})
    ask(stored.store, 1, "resume", detail={"input": None})
    ask(stored.store, 1, "resume", by=CLI)
    assert taken == [("you", {"run_input": {"rows": [1, None]}}), ("you", {"run_input": None}), (CLI, {})]
    cancelled(running, SOON)


def test_a_defect_is_an_answer_too(stored: Engine, start: Start, waiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start(waiting)

    def broken(by: str) -> None:
        raise ZeroDivisionError("oh \ud800")

    monkeypatch.setattr(running.run, "pause", broken)
    with pytest.raises(NotRunning, match="ZeroDivisionError: oh "):
        ask(stored.store, 1, "pause")
    cancelled(running, SOON)


def test_nobody_answers_for_a_run_whose_process_is_gone(store: EventStore) -> None:
    number = store.create_flow_run(FlowCreated(0, 1.0, "u", "nightly", "brave-otter", "{}"))
    store.commit(FlowState(number, 2.0, Running(at=2.0), "", 1))
    wanted = r"Nothing was done: the flow run 1 \(brave-otter\) is Running, and its process does not answer; it may be"
    with pytest.raises(NotRunning, match=wanted):
        ask(store, number, "pause", patience=0)
    assert store.open_requests(0.0) == []  # a process that resumes it later must not find this


def test_nobody_answers_for_a_run_that_was_not_begun(stored: Engine) -> None:
    number = create_flow_run("nightly")
    with pytest.raises(NotRunning, match="is Pending, and no process answers; it may not have begun"):
        ask(stored.store, number, "cancel", patience=0)


def test_a_run_that_ends_before_anybody_looks(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    number = store.create_flow_run(FlowCreated(0, 1.0, "u", "nightly", "brave-otter", "{}"))
    with engine_over(store) as engine:

        def claim(_: int) -> bool:
            engine.commit(FlowState(number, 3.0, Completed(None, at=3.0), "", 1))
            return True

        monkeypatch.setattr(store, "claim_request", claim)
        with pytest.raises(NotRunning, match="has ended meanwhile: it is Completed"):
            ask(store, number, "pause", patience=0)


def test_what_was_taken_at_the_last_moment_is_waited_for(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    number = store.create_flow_run(FlowCreated(0, 1.0, "u", "nightly", "brave-otter", "{}"))

    taken = []

    def claim(request: int) -> bool:
        taken.append(request)
        store.answer_request(request, "")
        return False

    monkeypatch.setattr(store, "claim_request", claim)
    ask(store, number, "pause", patience=0)  # and raises nothing
    assert [store.answer_to(each) for each in taken] == [""]


@pytest.mark.parametrize("done", [True, False])
def test_a_process_that_ends_before_it_can_answer(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    number = store.create_flow_run(FlowCreated(0, 1.0, "u", "nightly", "brave-otter", "{}"))
    put = store.put_request

    def taken_at_once(asked: Request) -> int:
        request = put(asked)
        store.claim_request(request)
        if done:
            store.commit(FlowState(number, asked.at, Cancelling("Cancelled by you.", at=asked.at), asked.by, 1))
        store.commit(FlowState(number, asked.at, Cancelled("", at=asked.at), "", 1))
        return request

    monkeypatch.setattr(store, "put_request", taken_at_once)
    if done:
        in_time(lambda: ask(store, number, "cancel", patience=2 * SOON))  # what the record says is believed at once
    else:
        with pytest.raises(NotRunning, match="has ended meanwhile: it is Cancelled"):
            in_time(lambda: ask(store, number, "cancel", patience=2 * SOON))


def test_who_looks_does_not_wait_for_those_that_write(tmp_path: Path) -> None:
    """It looks on the engine's loop, where clicks are drawn as well."""
    store = SQLiteStore(tmp_path / "store.db")
    number = store.create_flow_run(FlowCreated(0, 1.0, "u", "nightly", "amber-otter", "{}", owner=store.process))
    assert store.open_requests(time.time()) == []
    with store._lock:  # as while a large group is written
        assert in_time(lambda: store.open_requests(time.time())) == []
        assert in_time(store.taken_over) == []
    other = SQLiteStore(tmp_path / "store.db")
    other.put_request(request(number))
    for _ in range(2):  # as long as it is open
        assert [each.flow_run for each in store.open_requests(time.time())] == [number]
    assert store.claim_request(1)
    assert store.open_requests(time.time()) == []
    other.close()
    store.close()


def test_a_request_is_taken_once(store: EventStore) -> None:
    number = store.put_request(request(1))
    got: list[bool] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait(SOON)
        got.append(store.claim_request(number))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SOON)
    assert sorted(got) == [False] * 7 + [True]
    assert store.claim_request(number + 1) is False


# Looking --------------------------------------------------------------------------------------------------------------


class Timers:
    """A portal that notes what is to come, and leaves it to the test to make it happen."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], object]]] = []

    def after(self, seconds: float, callback: Callable[[], object]) -> None:
        self.due.append((seconds, callback))

    def fire(self) -> None:
        ((_, callback),) = self.due
        self.due.clear()
        callback()


@pytest.fixture
def timers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Timers:
    made = Timers()
    monkeypatch.setattr(engine, "portal", made)
    return made


def test_a_process_looks_only_while_it_has_live_runs(engine: Engine, timers: Timers) -> None:
    seen: list[int] = []

    @flow
    def short() -> None:
        seen.append(len(timers.due))
        timers.fire()
        seen.append(len(timers.due))

    short()
    short()
    assert seen == [1, 1, 1, 1]  # one timer, however many runs
    assert timers.due[0][0] == LOOK
    timers.fire()
    assert timers.due == []  # no run is live: nobody looks any more
    short()
    assert seen[4:] == [1, 1]
    timers.fire()


@pytest.mark.usefixtures("hectic")
def test_a_run_that_begins_when_the_looking_ends_is_looked_after(engine: Engine, timers: Timers) -> None:
    for _ in range(200):
        engine.live.clear()
        attend(engine)
        ending = threading.Thread(target=timers.fire)
        ending.start()
        engine.live[1] = None  # type: ignore[assignment]  # live first, then attended to, as `_begin` does
        attend(engine)
        ending.join(SOON)
        assert len(timers.due) == 1
        engine.live.clear()
        timers.fire()


def test_a_store_that_fails_is_asked_again(engine: Engine, timers: Timers, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def broken(now: float) -> list[Request]:
        asked.append(now)
        raise OSError("disk")

    monkeypatch.setattr(engine.store, "open_requests", broken)

    @flow
    def nightly() -> str:
        timers.fire()
        timers.fire()
        return "done"

    assert nightly() == "done"
    assert len(asked) == 2
    timers.fire()


def test_no_task_run_pays_for_it(engine: Engine, timers: Timers, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(now: float) -> list[Request]:
        raise AssertionError

    monkeypatch.setattr(MemoryStore, "open_requests", never)

    @task
    def load(row: int) -> int:
        return row

    @flow
    def nightly() -> int:
        return sum(load(row) for row in range(100))

    assert in_time(nightly) == 4950
    timers.fire()


def test_feed_shows_who_asked(stored: Engine, feed: Feed, start: Start, waiting: Any) -> None:
    running = start(waiting)
    ask(stored.store, 1, "pause", by="Ana in another terminal")
    feed.until(lambda: "Paused" in feed.flow_states(), "the pause")
    assert running.run.state.message == "Paused by Ana in another terminal."
    cancelled(running, SOON)
