"""Time limits of tasks and flows: what is over its limit ends on time, whatever it does, and harms nothing later."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from reliability.scorecard import within
from reliability.trials import Trials
from support.flows import SOON, Feed, Start, flow, in_time, opened, seeded, states_in_store, task
from tidegate import ConcurrentTaskRunner, SequentialTaskRunner, pause_flow_run
from tidegate.engine import Engine
from tidegate.model.events import TaskState
from tidegate.model.states import State, StateType
from tidegate.run import deadline

T = TypeVar("T")

LIMIT = 0.1
"""Seconds; what it limits would go on for `SOON`."""

THREADS = ["main", "thread"]
FLOWS = ["sync", "async"]


def on(thread: str, call: Callable[[], T]) -> T:
    """Call it on pytest's main thread, which gets signals, or on another one."""
    return call() if thread == "main" else in_time(call)


def run(body: Any, thread: str = "main", **options: Any) -> State:
    """The final state of a flow with this body, sync or async, on this thread."""
    made = flow(body, **{"name": "work", **options})
    final: State = on(
        thread,
        lambda: asyncio.run(made(return_state=True)) if made.is_async else made(return_state=True),
    )
    return final


def timed_out(state: State, seconds: float = LIMIT) -> bool:
    """True for Failed/TimedOut that says so in all its ways."""
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut"), state
    assert f"exceeded its limit of {seconds:g} s." in state.message
    with pytest.raises(TimeoutError, match=f"limit of {seconds:g} s"):
        state.result()
    return True


def states(engine: Engine, flow_run: int = 1) -> dict[str, str]:
    """Names of the final states by the names of the task runs."""
    return {row.name: row.state.name for row in engine.store.task_runs(flow_run)}


def spin(until: threading.Event) -> None:
    """Compute, in Python."""
    while not until.is_set():
        pass


def stuck(until: threading.Event) -> None:
    """Wait in C, where only a signal to the main thread gets through."""
    until.wait(SOON)


def sleep(until: threading.Event) -> None:
    time.sleep(0.5)


def workers_gone() -> None:
    """Wait until all workers have ended, those that were left behind as well."""
    for thread in threading.enumerate():
        if thread.name == "tidegate-worker":
            thread.join(SOON)
            assert not thread.is_alive()


BODIES = [spin, stuck, sleep]

Body = Callable[[threading.Event], None]


def reachable(how: str, thread: str, body: Body) -> bool:
    """False for code that no signal reaches and no worker can leave behind: on a thread of the user's, in C."""
    return (how, thread, body) != ("call", "thread", stuck)


# Tasks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize(
    ("how", "thread", "body"),
    [case for case in itertools.product(["call", "submit", "map"], THREADS, BODIES) if reachable(*case)],
)
@pytest.mark.conforms("B135", "B220")
def test_a_sync_task_over_its_limit(
    engine: Engine, gate: threading.Event, thread: str, kind: str, how: str, body: Body
) -> None:
    """Its dependents never begin, what is independent completes, the flow is failed and not crashed."""
    after: list[str] = []

    @task(timeout_seconds=LIMIT)
    def slow(x: int) -> None:
        body(gate)
        after.append("the next line")

    @task
    def step(x: Any) -> None: ...

    def calls() -> None:
        if how == "call":
            slow(1, return_state=True)
        else:
            future = slow.submit(1) if how == "submit" else slow.map([1])[0]
            step.submit(future)
        step.submit(1).wait()

    async def awaits() -> None:
        calls()
        await asyncio.sleep(0)  # where a cancellation that was sent astray would arrive

    final = run(calls if kind == "sync" else awaits, thread)
    assert (final.type, final.name) == (StateType.FAILED, "Failed"), final
    slow_row = engine.store.task_runs(1)[0]
    assert slow_row.state.name == "TimedOut"
    assert slow_row.state.message == "The task run 'slow-0' exceeded its limit of 0.1 s."
    assert states_in_store(engine.store, 1, 1) == ["Running", "TimedOut"]
    others = {"step-0": "Completed"} if how == "call" else {"step-0": "NotReady", "step-1": "Completed"}
    assert states(engine) == {"slow-0": "TimedOut", **others}
    if body is not sleep:
        assert after == []
    assert flow(lambda: 5, name="next")() == 5  # no late interrupt hits what comes after


@pytest.mark.parametrize("how", ["call", "submit", "map"])
@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.conforms("B135", "B220")
def test_an_async_task_over_its_limit(stored: Engine, thread: str, kind: str, how: str) -> None:
    after: list[str] = []

    @task(timeout_seconds=LIMIT)
    async def slow(x: int) -> None:
        await asyncio.sleep(SOON)
        after.append("the next line")

    @task
    def step(x: Any) -> None: ...

    def calls() -> None:
        if how == "call":
            slow(1, return_state=True)
        else:
            step.submit(slow.submit(1) if how == "submit" else slow.map([1])[0])
        step.submit(1).wait()

    async def awaits() -> None:
        if how == "call":
            await slow(1, return_state=True)
        else:
            step.submit(slow.submit(1) if how == "submit" else slow.map([1])[0])
        step.submit(1)

    final = run(calls if kind == "sync" else awaits, thread)
    assert final.name == "Failed"
    others = {"step-0": "Completed"} if how == "call" else {"step-0": "NotReady", "step-1": "Completed"}
    assert states(stored) == {"slow-0": "TimedOut", **others}
    assert after == []


def test_a_signal_that_comes_again_when_the_task_has_ended_ends_nothing_else(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two, sent because the first one seemed not to be heard: whoever sends it may be kept for long."""
    kill, sent = signal.pthread_kill, list[tuple[int, int]]()

    def noted(thread: int, number: int) -> None:
        sent.append((thread, number))
        kill(thread, number)

    monkeypatch.setattr(signal, "pthread_kill", noted)

    @task(timeout_seconds=0.02)
    def late_at_home() -> None:
        time.sleep(0.2)

    @flow(final_state="returned")
    def goes_on_after_it() -> str:
        state = late_at_home(return_state=True)
        kill(*sent[0])
        time.sleep(0.01)
        return str(state.name)

    assert goes_on_after_it() == "TimedOut"
    assert len(sent) == 1


def test_the_result_of_a_task_over_its_limit_raises_a_timeout_error(engine: Engine, gate: threading.Event) -> None:
    @task(timeout_seconds=LIMIT)
    def slow() -> None:
        stuck(gate)

    @flow
    def work() -> None:
        for give in (slow, slow.submit().result):
            with pytest.raises(TimeoutError, match=r"exceeded its limit of 0\.1 s"):
                give()
        assert timed_out(slow(return_state=True))

    work(return_state=True).result(raise_on_failure=False)
    assert set(states(engine).values()) == {"TimedOut"}


@pytest.mark.parametrize("how", ["call", "submit", "async", "inline"])
@pytest.mark.conforms("B120")
def test_each_attempt_of_a_task_has_a_limit_of_its_own(engine: Engine, gate: threading.Event, how: str) -> None:
    """Two attempts are over it; the third one is not, though all three together are."""
    limit, calls = 0.5, [0]

    def body() -> int:
        calls[0] += 1
        if calls[0] <= 2:
            stuck(gate)
        time.sleep(limit * 0.5)
        return calls[0]

    async def coroutine() -> int:
        calls[0] += 1
        await asyncio.sleep(SOON if calls[0] <= 2 else limit * 0.5)
        return calls[0]

    slow = task(coroutine if how == "async" else body, name="slow", retries=2, timeout_seconds=limit)

    def work() -> Any:
        return slow() if how in ("call", "async") else slow.submit().result()

    final = run(work, task_runner=SequentialTaskRunner() if how == "inline" else ConcurrentTaskRunner(1))
    assert final.result() == 3
    again = ["AwaitingRetry", "Retrying"]
    assert states_in_store(engine.store, 1, 1) == ["Running", *again, *again, "Completed"]
    events = [e.state for _, e in engine.store.events(1) if isinstance(e, TaskState)]
    waiting = [state.message for state in events if state.type is StateType.SCHEDULED]
    assert waiting == ["The task run 'slow-0' exceeded its limit of 0.5 s."] * 2


def test_a_task_that_is_always_over_its_limit_uses_its_retries_up(engine: Engine, gate: threading.Event) -> None:
    calls = [0]

    @task(retries=2, timeout_seconds=0.03)
    def slow() -> None:
        calls[0] += 1
        stuck(gate)

    assert timed_out(run(lambda: [slow.submit().wait()]).data[0], 0.03)
    assert calls == [3]


@pytest.mark.parametrize("how", ["call", "submit"])
@pytest.mark.conforms("B131")
def test_a_timeout_error_of_the_users_is_an_ordinary_failure(engine: Engine, how: str) -> None:
    @task(timeout_seconds=60)
    def gives_up() -> None:
        raise TimeoutError("the service did not answer")

    def work() -> None:
        gives_up() if how == "call" else gives_up.submit().result()

    final = run(work, timeout_seconds=60)
    assert (final.type, final.name) == (StateType.FAILED, "Failed")
    (row,) = engine.store.task_runs(1)
    assert (row.state.name, row.state.message) == ("Failed", "TimeoutError: the service did not answer")
    with pytest.raises(TimeoutError, match=r"^the service did not answer$"):
        final.result()


@pytest.mark.parametrize("given", [0, 0.0, None])
@pytest.mark.conforms("B010")
def test_no_limit(engine: Engine, given: float | None) -> None:
    step = task(lambda: time.sleep(0.01), name="step", timeout_seconds=given)
    work = flow(lambda: step() or step.submit().result() or 5, name="work", timeout_seconds=given)
    assert step.timeout_seconds is None
    assert work.timeout_seconds is None
    assert work() == 5
    for made in (step.with_options(timeout_seconds=3), work.with_options(timeout_seconds=3)):
        assert made.timeout_seconds == 3
        assert isinstance(made.timeout_seconds, float)
        assert made.with_options(timeout_seconds=given).timeout_seconds is None


@pytest.mark.parametrize("how", ["call", "submit", "async"])
@pytest.mark.conforms("B136")
def test_a_limit_that_is_not_reached_changes_nothing_and_leaves_nothing(engine: Engine, how: str) -> None:
    gone = threading.Event()

    @task(timeout_seconds=1_000)
    def step(x: int) -> int:
        return x + 1

    @task(timeout_seconds=1_000)
    async def coroutine(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    def work() -> int:
        weakref.finalize(engine.live[1], gone.set)
        chosen = coroutine if how == "async" else step
        return int(chosen.submit(1).result() if how == "submit" else chosen(1))

    final = run(work, timeout_seconds=1_000)
    assert final.is_completed()
    assert final.result() == 2
    assert states_in_store(engine.store, 1) == ["Running", "Completed"]
    assert states_in_store(engine.store, 1, 1) == ["Running", "Completed"]
    for _ in range(int(SOON / 0.05)):  # a worker may still be on its way out
        gc.collect()
        if gone.wait(0.05):
            return
    raise AssertionError("a timer keeps the run alive")


# Workers that are left behind -----------------------------------------------------------------------------------------


def test_a_stuck_task_gives_its_place_to_the_next_one(engine: Engine, gate: threading.Event) -> None:
    @task(timeout_seconds=LIMIT)
    def sticks() -> None:
        stuck(gate)

    @task
    def step(x: int) -> int:
        return x

    def work() -> Any:
        first = sticks.submit()
        return [step.map(range(5)).result(), first.wait().name, sticks.submit().wait().name, step.submit(5).result()]

    final = run(work, "thread", task_runner=ConcurrentTaskRunner(1))
    assert final.result() == [[0, 1, 2, 3, 4], "TimedOut", "TimedOut", 5]
    assert final.message == "Still at work: sticks-0, sticks-1."


@pytest.mark.parametrize("workers", [8, 100])
@pytest.mark.timed
@pytest.mark.scorecard(29, case=True)
def test_a_hundred_stuck_tasks_end_on_time_and_write_nothing_later(
    stored: Engine, feed: Feed, gate: threading.Event, workers: int, trials: Trials
) -> None:
    """How late the latest one was is printed: a busy machine says nothing about the code."""
    limit, left = 0.05 if workers == 8 else 0.3, threading.Semaphore(0)

    @task(timeout_seconds=limit)
    def sticks(x: int) -> int:
        try:
            stuck(gate)
            return x
        finally:
            left.release()

    final = run(lambda: [str(s) for s in sticks.map(range(100)).wait()], task_runner=ConcurrentTaskRunner(workers))
    assert len([text for text in final.result() if text.startswith("TimedOut")]) == 100
    assert final.message == "Still at work: sticks-0, sticks-1, sticks-2 and 97 more."
    began: dict[int, float] = {}
    late = []
    for event in feed.events:
        if isinstance(event, TaskState) and event.state.is_running():
            began[event.task_run] = event.at
        elif isinstance(event, TaskState):
            late.append(event.at - began[event.task_run] - limit)
    print(f"{workers} workers: up to {max(late):.3f} s late, {min(late):.3f} s at least")
    trials.did(len(late))
    trials.most(f"seconds late on {workers} workers", max(late))
    assert len(late) == 100
    assert min(late) >= 0
    for each in late:
        with trials.judged():
            assert each < within(0.2)
    shown, kept = len(feed.events), len(stored.store.events(1))
    assert not left.acquire(blocking=False), "nothing was stuck: the test shows nothing"
    gate.set()
    for _ in range(100):
        assert left.acquire(timeout=SOON)
    workers_gone()
    assert (len(feed.events), len(stored.store.events(1))) == (shown, kept), "a late outcome was written"
    assert feed.runs[0].deserted == {}


@pytest.mark.scorecard(29, control=True, case=True)
def test_control_a_limit_that_is_late_is_found(
    engine: Engine, feed: Feed, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(deadline, "STUCK", 0.5)
    trials.did(1)
    sticks = task(lambda: stuck(gate), name="sticks", timeout_seconds=LIMIT)
    run(lambda: sticks.submit().wait().name, task_runner=ConcurrentTaskRunner(1))
    begun, ended = [event.at for event in feed.events if isinstance(event, TaskState)]
    trials.found(ended - begun - LIMIT > 0.2)
    assert trials.caught


@pytest.mark.parametrize("swallows", [True, False], ids=["swallows", "lets go"])
@pytest.mark.usefixtures("hectic")
def test_a_worker_that_comes_back_harms_nothing_during_a_retry(
    stored: Engine, feed: Feed, gate: threading.Event, swallows: bool
) -> None:
    """It comes back while a retry of the same run is at work, and may neither call tasks nor end it."""
    came_back, attempts = threading.Event(), [0]

    @task
    def child(who: str) -> str:
        return who

    @task(retries=1, timeout_seconds=5.0)
    def sticks() -> str:
        attempts[0] += 1
        if attempts[0] == 2:
            gate.set()
            opened(came_back)
            return str(child("retry") + child.submit(" may").result())
        try:
            with contextlib.suppress(BaseException):
                stuck(gate)
            if swallows:
                for call in (child, child.submit, child.map):
                    with contextlib.suppress(BaseException):
                        call("late")
                with contextlib.suppress(BaseException):
                    child.submit("late").result()
            return "late"
        finally:
            came_back.set()

    quick = sticks.with_options(timeout_seconds=1.0)
    result = run(lambda: quick.submit().result(), "thread", task_runner=ConcurrentTaskRunner(2)).result()
    assert result == "retry may"
    assert states(stored) == {"sticks-0": "Completed", "child-0": "Completed", "child-1": "Completed"}
    assert states_in_store(stored.store, 1, 1) == ["Running", "AwaitingRetry", "Retrying", "Completed"]
    assert feed.task_states(1) == ["Running", "AwaitingRetry", "Retrying", "Completed"]


def test_a_worker_that_waits_for_a_task_is_left_behind_as_well(engine: Engine, gate: threading.Event) -> None:
    """It has lent its place; the pool has neither more nor fewer of them in the end."""
    attempts, after, at_once, most = [0], list[str](), [0], [0]
    lock = threading.Lock()

    @task
    def slow() -> int:
        stuck(gate)
        return 1

    @task(timeout_seconds=LIMIT, retries=1)
    def waits() -> str:
        attempts[0] += 1
        if attempts[0] == 1:
            slow.submit().result()
            after.append("went on")
        return f"attempt {attempts[0]}"

    @task
    def counts(x: int) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.005)
        with lock:
            at_once[0] -= 1

    def work() -> Any:
        first = waits.submit().result()
        gate.set()
        counts.map(range(20)).wait()
        return first

    final = run(work, "thread", task_runner=ConcurrentTaskRunner(2))
    assert final.result() == "attempt 2"
    workers_gone()
    assert after == []
    assert most == [2]
    assert states(engine)["slow-0"] == "Completed"


def test_hooks_of_a_task_that_was_left_behind_are_all_called(engine: Engine, gate: threading.Event) -> None:
    """They are told of its end, and do not share it."""
    told: list[str] = []

    async def first(task: Any, run: Any, state: State) -> None:
        await asyncio.sleep(0.01)
        told.append(f"first {state.name}")

    async def second(task: Any, run: Any, state: State) -> None:
        told.append(f"second {state.name}")

    sticks = task(lambda: stuck(gate), name="sticks", timeout_seconds=LIMIT, on_failure=[first, second])
    assert run(lambda: sticks.submit().wait().name).result() == "TimedOut"
    assert told == ["first TimedOut", "second TimedOut"]


# Tasks in tasks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [True, False], ids=["asks for the state", "asks for the value"])
@pytest.mark.parametrize(
    ("how", "thread", "body"),
    [case for case in itertools.product(["call", "submit", "async"], THREADS, [spin, stuck]) if reachable(*case)],
)
def test_a_task_that_was_called_in_one_over_its_limit_ends_with_it(
    engine: Engine, gate: threading.Event, thread: str, how: str, body: Body, state: bool
) -> None:
    """It is cancelled, which is no crash, and the code that called it goes no further."""
    after: list[str] = []

    @task(retries=3)
    def inner() -> None:
        body(gate)
        after.append("inner")

    @task(retries=3)
    async def inner_async() -> None:
        await asyncio.sleep(SOON)
        after.append("inner")

    @task(timeout_seconds=2 * LIMIT)
    def outer() -> None:
        inner(return_state=state)
        after.append("outer")
        body(gate)

    @task(timeout_seconds=2 * LIMIT)
    async def outer_async() -> None:
        await inner_async(return_state=state)
        after.append("outer")
        await asyncio.sleep(SOON)

    def work() -> Any:
        if how == "async":
            return [str(outer_async(return_state=True))]
        return [str(outer(return_state=True) if how == "call" else outer.submit().wait())]

    final = run(work, thread)
    assert final.is_completed(), final
    name = "outer_async" if how == "async" else "outer"
    assert final.result()[0].startswith("TimedOut")
    assert states(engine) == {f"{name}-0": "TimedOut", name.replace("outer", "inner") + "-0": "Cancelled"}
    assert after == []


@pytest.mark.parametrize("how", ["call", "submit", "async"])
def test_a_retry_delay_in_a_task_over_its_limit_ends_with_it(engine: Engine, how: str) -> None:
    @task(retries=1, retry_delay_seconds=60)
    def inner() -> None:
        raise ValueError

    @task(retries=1, retry_delay_seconds=60)
    async def inner_async() -> None:
        raise ValueError

    @task(timeout_seconds=2 * LIMIT)
    def outer() -> None:
        inner()

    @task(timeout_seconds=2 * LIMIT)
    async def outer_async() -> None:
        await inner_async()

    def work() -> Any:
        if how == "async":
            return [outer_async(return_state=True).name]
        return [(outer(return_state=True) if how == "call" else outer.submit().wait()).name]

    assert run(work).result() == ["TimedOut"]
    assert sorted(states(engine).values()) == ["Cancelled", "TimedOut"]


def test_a_task_with_a_longer_limit_than_that_of_its_caller(engine: Engine, gate: threading.Event) -> None:
    """The other way round the caller learns of it and goes on."""

    @task(timeout_seconds=LIMIT)
    def inner() -> None:
        stuck(gate)

    @task(timeout_seconds=SOON)
    def outer() -> str:
        return str(inner(return_state=True).name)

    @task(timeout_seconds=LIMIT)
    def short() -> None:
        inner.with_options(timeout_seconds=SOON, name="long")()

    assert run(lambda: outer()).result() == "TimedOut"
    assert run(lambda: short(return_state=True)).name == "TimedOut"
    assert states(engine, 2) == {"short-0": "TimedOut", "long-0": "Cancelled"}


# Flows ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.conforms("B130", "B133", "B220")
def test_a_sync_flow_over_its_limit(engine: Engine, feed: Feed, gate: threading.Event, thread: str, body: Body) -> None:
    """It waits for no thread that sleeps; its own code stops where it can be reached, and calls no task any more."""
    after: list[str] = []
    limit, began = 3 * LIMIT, threading.Event()

    @task
    def sticks() -> None:
        began.set()
        stuck(gate)

    @task
    def step() -> None: ...

    def work() -> None:
        sticks.submit()
        opened(began)
        if body is stuck and thread == "thread":  # nothing gets through to it: let it come back and try
            with contextlib.suppress(BaseException):
                gate.wait(2 * limit)
            step()
        else:
            body(gate)
        after.append("the next line")

    final = run(work, thread, timeout_seconds=limit)
    name = feed.runs[0].name
    assert final.message == f"The flow run {name!r} exceeded its limit of {limit:g} s. Still at work: sticks-0."
    assert timed_out(final, limit)
    assert after == []
    assert states(engine) == {"sticks-0": "Cancelled"}
    assert feed.flow_states() == states_in_store(engine.store, 1) == ["Running", "TimedOut"]
    assert flow(lambda: 5, name="next")() == 5  # no late interrupt hits what comes after


@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.conforms("B130", "B132", "B220")
def test_an_async_flow_over_its_limit(stored: Engine, thread: str) -> None:
    after: list[str] = []

    @task
    async def waits() -> None:
        await asyncio.sleep(SOON)

    async def work() -> None:
        await waits(return_state=True)
        after.append("the next line")

    async def sleeps() -> None:
        await asyncio.sleep(SOON)
        after.append("the next line")

    for body in (work, sleeps):
        assert timed_out(run(body, thread, timeout_seconds=2 * LIMIT), 2 * LIMIT)
    assert after == []
    assert states(stored) == {"waits-0": "Cancelled"}


@pytest.mark.conforms("B078")
def test_a_task_call_after_the_time_is_up_raises_and_ends_the_flow(engine: Engine, gate: threading.Event) -> None:
    """Even where the code swallows what told it to end."""
    ran, told = list[int](), list[BaseException]()

    @task
    def step() -> None:
        ran.append(1)

    @flow(timeout_seconds=LIMIT)
    def work() -> None:
        try:
            stuck(gate)
        except KeyboardInterrupt as error:
            told.append(error)
        step()

    final = work(return_state=True)
    assert timed_out(final)
    assert len(told) == 1

    @flow(timeout_seconds=LIMIT)
    def looks() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            stuck(gate)
        for call in (step, step.submit, lambda: step.map([1])):
            with pytest.raises(TimeoutError, match="no new task run begins"):
                call()

    assert timed_out(looks(return_state=True))
    assert ran == []
    assert engine.store.task_runs(1) == []


@pytest.mark.conforms("B139")
def test_what_was_submitted_is_cancelled_when_the_flows_time_is_up(stored: Engine, gate: threading.Event) -> None:
    """At work in Python or awaiting, queued, paused between attempts: none of it goes on."""
    after: list[str] = []

    @task
    def spins() -> None:
        spin(gate)
        after.append("spins")

    @task
    async def waits() -> None:
        await asyncio.sleep(SOON)
        after.append("waits")

    @task(retries=1, retry_delay_seconds=60)
    async def flaky() -> None:
        raise ValueError

    @task
    def queued(x: int) -> None:
        after.append("queued")

    def work() -> None:
        spins.submit()
        waits.submit()
        flaky.submit()
        queued.map(range(3))

    assert timed_out(run(work, task_runner=ConcurrentTaskRunner(1), timeout_seconds=2 * LIMIT), 2 * LIMIT)
    assert states(stored) == {
        "spins-0": "Cancelled",
        "waits-0": "Cancelled",
        "flaky-0": "Cancelled",
        **{f"queued-{x}": "Cancelled" for x in range(3)},
    }
    assert after == []


@pytest.mark.parametrize("state", [True, False], ids=["asks for the state", "asks for the value"])
@pytest.mark.parametrize("whose", ["its own", "its parent's"])
@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.conforms("B134")
def test_a_subflow_over_a_limit(
    engine: Engine, gate: threading.Event, thread: str, kind: str, whose: str, state: bool
) -> None:
    """Over its own, it has failed and the parent learns of it; over its parent's, it is cancelled."""
    after: list[str] = []
    own = LIMIT if whose == "its own" else None

    @flow(timeout_seconds=own)
    def child() -> None:
        spin(gate)
        after.append("child")

    @flow(timeout_seconds=own)
    async def child_async() -> None:
        await asyncio.sleep(SOON)
        after.append("child")

    def parent() -> None:
        child(return_state=state)
        after.append("parent")
        spin(gate)

    async def parent_async() -> None:
        await child_async(return_state=state)
        after.append("parent")
        await asyncio.sleep(SOON)

    body = parent_async if kind == "async" else parent
    if own is None:
        assert timed_out(run(body, thread, timeout_seconds=2 * LIMIT), 2 * LIMIT)
        assert after == []
    elif state:
        assert timed_out(run(body, thread, timeout_seconds=10 * LIMIT), 10 * LIMIT)
        assert after == ["parent"]
    else:
        final = run(body, thread)
        assert final.name == "Failed"
        assert final.message.startswith("TimeoutError: The flow run ")
        assert after == []
    end = "Cancelled" if own is None else "TimedOut"
    assert states_in_store(engine.store, 2)[-1] == end
    assert list(states(engine).values()) == [end]


@pytest.mark.conforms("B137")
def test_an_outer_cancellation_is_a_crash_and_no_timeout(stored: Engine) -> None:
    @flow(timeout_seconds=60)
    async def work() -> None:
        await asyncio.sleep(SOON)

    async def around() -> None:
        running = asyncio.ensure_future(work())
        await asyncio.sleep(LIMIT)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        in_time(lambda: asyncio.run(around()))
    row = stored.store.flow_run(1)
    assert row is not None
    assert (row.state.type, row.state.message) == (StateType.CRASHED, "Cancelled by its surroundings.")


@pytest.mark.parametrize("who", ["the flow", "you"])
@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.conforms("B206")
def test_a_pause_that_is_longer_than_the_limit(engine: Engine, feed: Feed, thread: str, kind: str, who: str) -> None:
    """Whoever paused it, and also when the body has ended and its tasks wait."""

    @task
    def step() -> None: ...

    def work() -> None:
        if who == "the flow":
            pause_flow_run(timeout=None)
        feed.runs[0].pause()
        step.submit()

    async def awaits() -> None:
        if who == "the flow":
            pausing = pause_flow_run(timeout=None)
            assert pausing is not None
            await pausing
        feed.runs[0].pause()
        step.submit()

    assert timed_out(run(work if kind == "sync" else awaits, thread, timeout_seconds=4 * LIMIT), 4 * LIMIT)
    assert states_in_store(engine.store, 1) == ["Running", "Paused", "TimedOut"]
    assert states(engine) == ({} if who == "the flow" else {"step-0": "Cancelled"})


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.conforms("B120")
def test_each_attempt_of_a_flow_has_a_limit_of_its_own(
    engine: Engine, gate: threading.Event, thread: str, kind: str
) -> None:
    """The first one leaves a stuck task on the only worker; the second one takes more than half of its own."""
    limit, calls = 0.8, [0]

    @task
    def sticks() -> str:
        if calls[0] == 1:
            stuck(gate)
        return "done"

    def work() -> Any:
        calls[0] += 1
        if calls[0] == 2:
            time.sleep(limit * 0.6)
        return sticks.submit().result()

    async def awaits() -> Any:
        calls[0] += 1
        if calls[0] == 2:
            await asyncio.sleep(limit * 0.6)
        return await asyncio.to_thread(sticks.submit().result)

    options = {"timeout_seconds": limit, "retries": 1, "task_runner": ConcurrentTaskRunner(1)}
    final = run(work if kind == "sync" else awaits, thread, **options)
    assert final.result() == "done"
    assert final.message == "Still at work: sticks-0."
    assert states_in_store(engine.store, 1) == ["Running", "AwaitingRetry", "Retrying", "Completed"]
    assert states_in_store(engine.store, 1, 1) == ["Running", "Cancelled", "Retrying", "Completed"]
    kept = len(engine.store.events(1))
    gate.set()
    workers_gone()
    assert len(engine.store.events(1)) == kept, "the outcome of an earlier attempt was written"


def test_a_cancel_is_no_timeout(stored: Engine, start: Start, gate: threading.Event) -> None:
    began = threading.Event()

    @task(timeout_seconds=60)
    def spins() -> None:
        began.set()
        spin(gate)

    running = start(lambda: run(lambda: spins.submit().wait(), timeout_seconds=60, retries=3))
    opened(began)
    running.run.cancel()
    running.ended()
    assert running.value.is_cancelled()
    assert states(stored) == {"spins-0": "Cancelled"}


# Races ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["call", "submit", "async", "flow", "call in async"])
@pytest.mark.parametrize("thread", THREADS)
@pytest.mark.usefixtures("hectic")
def test_a_body_that_ends_with_its_limit(engine: Engine, thread: str, how: str) -> None:
    """Either it made it or it did not, and nothing hits what comes after it."""
    chance = seeded(f"limit_{thread}_{how}")
    trials, limit = 40, 0.006
    ends: list[str] = []

    def body(seconds: float) -> int:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        return 7

    async def coroutine(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 7

    called = task(coroutine if how == "async" else body, name="body", timeout_seconds=limit)
    whole = flow(body, name="whole", timeout_seconds=limit)

    def once(seconds: float) -> State:
        if how == "flow":
            state: State = whole(seconds, return_state=True)
        else:
            state = called.submit(seconds).wait() if how == "submit" else called(seconds, return_state=True)
        return state

    def work() -> int:
        for _ in range(trials):
            state = once(chance.uniform(limit * 0.8, limit * 1.1))
            ends.append(state.name)
            assert state.name == "TimedOut" or state.result() == 7
        return trials

    async def awaits() -> int:
        for _ in range(trials):
            work_one = once(chance.uniform(limit * 0.8, limit * 1.1))
            ends.append(work_one.name)
            await asyncio.sleep(0)
        return trials

    final = run(awaits if how == "call in async" else work, thread)
    assert final.is_completed(), final
    assert final.result() == trials
    print({name: ends.count(name) for name in set(ends)})
    assert set(ends) <= {"Completed", "TimedOut"}
    rows = engine.store.task_runs(1)
    assert [row.state.name for row in rows] == ends
