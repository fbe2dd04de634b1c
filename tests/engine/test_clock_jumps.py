"""A clock that jumps by hours and days, ahead and back, while flows run: order, limits and times stay right."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reliability.trials import Trials
from support.flows import SOON, Feed, Start, edges, engine_over, flow, in_time, task
from support.histories import illegal
from tidegate import ConcurrentTaskRunner
from tidegate.engine import Engine
from tidegate.model.events import FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import Crashed, Running
from tidegate.model.views import FlowRow, TaskRow
from tidegate.ports import EventStore

JUMPS = (-86_400.0, -3_600.0, 3_600.0, 86_400.0)


class Jumping:
    """The clock of the machine, set anew now and then."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    monotonic = staticmethod(time.monotonic)


@contextmanager
def jumps(clock: Jumping, chance: random.Random) -> Iterator[None]:
    """It jumps every few milliseconds."""
    over = threading.Event()

    def jump() -> None:
        while not over.wait(chance.uniform(0.002, 0.02)):
            clock.ahead += chance.choice(JUMPS)

    thread = threading.Thread(target=jump, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(SOON)


@task
def step(x: int, y: int = 0) -> int:
    time.sleep(0.002)
    return x + y


@task(timeout_seconds=0.15)
def too_long() -> None:
    while True:
        time.sleep(0.001)


@task(timeout_seconds=5)
def in_good_time() -> str:
    time.sleep(0.03)
    return "done"


def worked() -> tuple[list[int], str, str, float]:
    """What a flow gives that meets one limit and keeps another; and the seconds that it took, by no clock."""

    @flow(task_runner=ConcurrentTaskRunner(4), final_state="returned")
    def work() -> tuple[list[int], str, str]:
        numbers = step.map(step.map(range(4)), 1)
        late = too_long.submit()
        good = in_good_time.submit()
        return list(numbers.result()), late.wait().name, good.wait().name

    begun = time.monotonic()
    got = in_time(work, 20)
    return (*got, time.monotonic() - begun)


@pytest.mark.scorecard(33, parts=2)
def test_a_clock_that_jumps_harms_no_flow(store: EventStore, trials: Trials) -> None:
    clock = Jumping()
    with engine_over(store, clock=clock) as here:
        for trial in trials:
            feed = Feed(here)
            with trials.judged(f"trial {trial}"):
                with jumps(clock, random.Random(trials.chance.getrandbits(32))):
                    numbers, late, good, seconds = worked()
                trials.most("seconds", seconds)
                assert (numbers, late, good) == ([1, 2, 3, 4], "TimedOut", "Completed")
                assert 0.15 <= seconds < 2, f"it took {seconds:.2f} s"
                check(here, feed)
            here.observers.remove(feed._began)


def check(here: Engine, feed: Feed) -> None:
    """The history is legal, as it was shown and as it is kept, and no task ran before what it needs had ended."""
    number = feed.runs[0].number
    assert illegal(feed.events) == []
    assert illegal([event for _, event in here.store.events(number)]) == []
    order = [(event.task_run, event.state.name) for event in feed.events if isinstance(event, TaskState)]
    for up, down in edges(here.store, number):
        assert order.index((up, "Completed")) < order.index((down, "Running"))
    assert wrong_times(here, number) == []


def wrong_times(here: Engine, number: int) -> list[str]:
    """The runs that took less than no time, or too much, or another one than from their begin to their end."""
    found = []
    flow_run = here.store.flow_run(number)
    assert flow_run is not None
    rows: list[FlowRow | TaskRow] = [flow_run, *here.store.task_runs(number)]
    for row in rows:
        assert row.started is not None
        assert row.ended is not None
        if not 0 <= row.ran < 2 or abs(row.ended - row.started - row.ran) > 0.001 or row.started < row.created:
            found.append(f"{row.name} ran {row.ran} s, from {row.started} to {row.ended}")
    return found


@pytest.mark.scorecard(33, control=True, case=True)
def test_control_the_clock_is_the_one_that_flows_use(store: EventStore) -> None:
    clock = Jumping()
    with engine_over(store, clock=clock) as here:
        worked()
        clock.ahead = 86_400
        worked()
        later, first = here.store.flow_runs()
        assert 86_000 < later.created - first.created < 87_000


@pytest.mark.scorecard(33, control=True, case=True)
def test_control_times_by_the_clock_that_jumps_are_wrong(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "run_clock", lambda self: self.now)
    clock = Jumping()
    with engine_over(store, clock=clock) as here:
        with jumps(clock, random.Random(1)):
            worked()
        assert wrong_times(here, 1)


@pytest.mark.scorecard(33, case=True)
def test_a_retry_delay_while_the_clock_is_set_back(engine: Engine, feed: Feed, start: Start) -> None:
    clock = Jumping()
    engine.now = clock.now
    tries: list[int] = []

    @task(retries=1, retry_delay_seconds=0.3)
    def stumbles() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError(1)
        return 1

    running = start(flow(lambda: stumbles(), name="work"))
    feed.await_task(1, "AwaitingRetry")
    clock.ahead = -3_600
    assert running.ended() == 1


@pytest.mark.scorecard(33, case=True)
def test_how_long_a_task_ran_while_the_clock_was_set_back(engine: Engine) -> None:
    clock = Jumping()
    engine.now = clock.now

    def body() -> None:
        clock.ahead = -3_600

    flow(lambda: task(body, name="sets")(), name="work")()
    assert 0 <= engine.store.task_runs(1)[0].ran < 1
    assert wrong_times(engine, 1) == []


@pytest.mark.scorecard(33, case=True)
def test_how_long_a_run_took_whose_end_another_process_has_told(store: EventStore) -> None:
    """Its clock is another one: a run that was found dead before it had begun took no time."""
    run = store.create_flow_run(FlowCreated(0, 5000.0, "u", "f", "n", "{}"))
    begun = Running(at=5000.0)
    store.append(FlowState(run, 5000.0, begun, attempt=1))
    store.append(TaskCreated(run, 5000.0, 1, "t", 1, 0, {}))
    store.commit_all([TaskState(run, 5000.0, 1, begun, 1)])
    over = Crashed(at=1000.0)
    store.commit_all([TaskState(run, 1000.0, 1, over, 1), FlowState(run, 1000.0, over, attempt=1)])
    assert [row.ran for row in store.flow_runs()] == [row.ran for row in store.task_runs(run)] == [0.0]
