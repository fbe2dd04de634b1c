"""Retries of flows: the function runs again in the same run, and of its task runs only what is missing."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from support.flows import (
    Feed,
    Start,
    created,
    edges,
    engine_over,
    flow,
    in_time,
    opened,
    seeded,
    states_in_store,
    task,
)
from tidegate import ConcurrentTaskRunner, allow_failure
from tidegate.engine import Engine
from tidegate.model.events import FlowCreated, FlowState, TaskState
from tidegate.model.states import State, StateType
from tidegate.store.memory import MemoryStore

AGAIN = ["AwaitingRetry", "Retrying"]
KINDS = ["call", "submit", "map", "async", "async in async"]


class Fails:
    """Fails at the calls of these numbers, by name; counts all of them."""

    def __init__(self, **at: set[int]) -> None:
        self.at = at
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> Any:
        with self._lock:
            self.calls[name] += 1
            number = self.calls[name]
        if number in self.at.get(name, ()):
            raise ValueError(f"{name}, call {number}")


def run(body: Any, *args: Any, **options: Any) -> State:
    """The final state of a flow with this body, sync or async."""
    made = flow(body, **{"name": "work", "retries": 1, **options})

    def call() -> State:
        final: State = asyncio.run(made(*args, return_state=True)) if made.is_async else made(*args, return_state=True)
        return final

    return in_time(call)


def ends(engine: Engine, flow_run: int = 1) -> dict[str, tuple[str, int]]:
    """Final states and run counts by the names of the task runs."""
    return {row.name: (row.state.name, row.attempts) for row in engine.store.task_runs(flow_run)}


# What runs again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.conforms("B077", "B121", "B122", "B267", "B219")
def test_only_what_did_not_complete_runs_again(stored: Engine, feed: Feed, kind: str) -> None:
    """The result of what completed is the same object; the failed one is the same task run, once more."""
    fails = Fails(second={1}, work={1})
    got: list[Any] = []

    def first_body(x: int) -> list[int]:
        fails("first")
        return [x]

    def second_body(x: list[int]) -> int:
        fails("second")
        return x[0] + 1

    async def first_async(x: int) -> list[int]:
        return first_body(x)

    async def second_async(x: list[int]) -> int:
        return second_body(x)

    is_async = kind.startswith("async")
    first = task(first_async if is_async else first_body, name="first")
    second = task(second_async if is_async else second_body, name="second")

    def once(step: Any, x: Any) -> Any:
        if kind == "submit":
            return step.submit(x).result()
        return step.map([x]).result()[0] if kind == "map" else step(x)

    def work() -> Any:
        got.append(once(first, 1))
        result = once(second, got[-1])
        fails("work")
        return result

    async def awaits() -> Any:
        got.append(await first(1))
        result = await second(got[-1])
        fails("work")
        return result

    final = run(awaits if kind == "async in async" else work, retries=2)
    assert final.result() == 2
    assert fails.calls == {"first": 1, "second": 2, "work": 2}
    assert got[0] is got[1] is got[2]
    assert ends(stored) == {"first-0": ("Completed", 1), "second-0": ("Completed", 2)}
    assert states_in_store(stored.store, 1) == ["Running", *AGAIN, *AGAIN, "Completed"]
    assert states_in_store(stored.store, 1, 1) == ["Running", "Completed"]
    assert states_in_store(stored.store, 1, 2) == ["Running", "Failed", "Retrying", "Completed"]
    assert feed.task_states(2) == ["Running", "Failed", "Retrying", "Completed"]
    assert len(created(feed.events)) == 2
    assert edges(stored.store) == {(1, 2)}
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.attempts == 3


@pytest.mark.conforms("B121")
def test_run_counts_and_messages_are_in_the_record(stored: Engine) -> None:
    def work() -> None:
        raise ValueError("no")

    assert run(work, retries=2).is_failed()
    events = [event for _, event in stored.store.events(1) if isinstance(event, FlowState)]
    assert [(event.state.name, event.attempt) for event in events] == [
        ("Running", 1),
        ("AwaitingRetry", 1),
        ("Retrying", 2),
        ("AwaitingRetry", 2),
        ("Retrying", 3),
        ("Failed", 3),
    ]
    assert {event.state.message for event in events if event.state.is_scheduled()} == {"ValueError: no"}
    assert sum(isinstance(event, FlowCreated) for _, event in stored.store.events(1)) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("task_retries", "flow_retries"), [(0, 0), (0, 2), (2, 0), (1, 1), (2, 3)])
@pytest.mark.conforms("B122", "B123")
def test_each_attempt_of_the_flow_gives_each_task_its_whole_budget(
    engine: Engine, kind: str, task_retries: int, flow_retries: int
) -> None:
    fails = Fails(step=set(range(1, 100)))

    @task(retries=task_retries)
    def step() -> None:
        fails("step")

    async def awaits() -> None:
        step()

    assert run(awaits if kind == "async" else (lambda: step()), retries=flow_retries).is_failed()
    times = (task_retries + 1) * (flow_retries + 1)
    assert fails.calls["step"] == times
    assert ends(engine) == {"step-0": ("Failed", times)}
    attempt = ["Retrying", *AGAIN * task_retries, "Failed"]
    wanted = attempt * (flow_retries + 1)
    assert states_in_store(engine.store, 1, 1) == ["Running", *wanted[1:]]


@pytest.mark.parametrize("failures", range(1, 10))
def test_it_stops_at_the_first_success(engine: Engine, failures: int) -> None:
    fails = Fails(step=set(range(1, failures + 1)))
    step = task(lambda: fails("step"), name="step", retries=1)
    final = run(lambda: step.submit().result() or 5, retries=3)
    assert fails.calls["step"] == min(failures + 1, 8)
    assert final.is_completed() == (failures < 8)


def test_crashed_and_cancelled_task_runs_run_again(stored: Engine) -> None:
    """The flow goes on after a crash in a task, and fails for another reason."""
    calls: Counter[str] = Counter()

    @task
    def crashes() -> str:
        calls["crashes"] += 1
        if calls["crashes"] == 1:
            raise KeyboardInterrupt
        return "did not"

    @task
    def never_began(x: Any) -> str:
        calls["never began"] += 1
        return f"x {x}"

    def work() -> Any:
        future = crashes.submit()
        found = never_began.submit(future)
        found.wait()
        if future.result(raise_on_failure=False) != "did not":
            raise ValueError
        return found.result()

    assert run(work).result() == "x did not"
    assert ends(stored) == {"crashes-0": ("Completed", 2), "never_began-0": ("Completed", 1)}
    assert states_in_store(stored.store, 1, 1) == [
        "Running",
        "Interrupted",
        "Retrying",
        "Completed",
    ]
    assert states_in_store(stored.store, 1, 2) == ["NotReady", "Running", "Completed"]


def test_dependents_that_never_began_begin_in_the_next_attempt(stored: Engine, feed: Feed) -> None:
    fails = Fails(first={1})
    first = task(lambda: fails("first") or 1, name="first")
    step = task(lambda x: x + 1, name="step")
    assert run(lambda: step.submit(step.submit(first.submit())).result()).result() == 3
    assert ends(stored) == {name: ("Completed", n) for name, n in [("first-0", 2), ("step-0", 1), ("step-1", 1)]}
    assert states_in_store(stored.store, 1, 2) == ["NotReady", "Running", "Completed"]
    assert [event.task_run for event in created(feed.events)] == [1, 2, 3]


@pytest.mark.conforms("B122")
def test_of_a_map_only_the_failed_ones_run_again(stored: Engine) -> None:
    calls: Counter[int] = Counter()
    lock = threading.Lock()

    @task
    def step(x: int) -> int:
        with lock:
            calls[x] += 1
            first = calls[x] == 1
        if first and x % 7 == 3:
            raise ValueError(x)
        return x * x

    final = run(lambda: list(step.map(range(100)).result()))
    assert final.result() == [x * x for x in range(100)]
    assert {x for x, n in calls.items() if n == 2} == {x for x in range(100) if x % 7 == 3}
    assert set(calls.values()) == {1, 2}
    assert len(stored.store.task_runs(1)) == 100


@pytest.mark.parametrize("kind", ["call", "submit"])
def test_a_downstream_of_a_failure_that_was_allowed_runs_again_with_the_value(stored: Engine, kind: str) -> None:
    """It completed, with the exception as its input; now there is a value, and what is below it runs again as well."""
    fails = Fails(first={1})
    seen: list[str] = []

    @task
    def first() -> int:
        fails("first")
        return 7

    @task
    def notes(x: Any) -> str:
        seen.append(type(x).__name__)
        return type(x).__name__

    @task
    def below(x: str) -> str:
        return f"below {x}"

    @task
    def beside() -> str:
        fails("beside")
        return "beside"

    def work() -> Any:
        up = first.submit()
        noted = notes.submit(allow_failure(up))
        last = below.submit(noted)
        beside.submit().result()
        last.wait()
        up.result()
        return last.result() if kind == "submit" else below(noted.result())

    assert run(work).result() == "below int"
    assert seen == ["ValueError", "int"]
    assert fails.calls == {"first": 2, "beside": 1}
    assert states_in_store(stored.store, 1, 2) == ["Running", "Completed", "Rerunning", "Completed"]
    assert states_in_store(stored.store, 1, 3) == ["Running", "Completed", "Rerunning", "Completed"]
    assert states_in_store(stored.store, 1, 4) == ["Running", "Completed"]


# Who is who -----------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B127")
def test_another_branch_gets_nothing_that_belongs_to_something_else(engine: Engine) -> None:
    """The first calls of both attempts are different ones, and so are their places."""
    fails = Fails(work={1})
    made: list[str] = []

    @task
    def step(x: Any) -> str:
        made.append(str(x))
        return f"step {x}"

    def work() -> list[str]:
        if fails.calls["work"] == 0:
            got = [step("a"), step("b"), step("c")]
        else:
            got = [step("d"), step("b"), step("b"), step("a")]
        fails("work")
        return got

    assert run(work).result() == ["step d", "step b", "step b", "step a"]
    assert made == ["a", "b", "c", "d", "b"]
    assert [row.name for row in engine.store.task_runs(1)] == [f"step-{x}" for x in range(5)]


@pytest.mark.conforms("B127")
def test_other_inputs_of_which_some_cannot_be_told_apart(engine: Engine) -> None:
    """A lock has no digest; what stands beside it has."""
    fails = Fails(work={1})

    @task
    def step(lock: Any, x: int) -> int:
        return x

    def work() -> list[int]:
        numbers = [1, 2] if fails.calls["work"] == 0 else [2, 3, 1]
        got = [step(threading.Lock(), x) for x in numbers]
        fails("work")
        return got

    assert run(work).result() == [2, 3, 1]
    assert len(engine.store.task_runs(1)) == 3


@pytest.mark.parametrize("how", ["gather", "submit", "threads"])
@pytest.mark.conforms("B127")
def test_what_runs_side_by_side_may_begin_in_another_order(engine: Engine, how: str) -> None:
    """In each attempt the calls come in an order of its own."""
    chance = seeded(f"order_{how}")
    calls: Counter[int] = Counter()
    lock = threading.Lock()
    attempts = [0]

    def body(x: int) -> str:
        with lock:
            calls[x] += 1
            number = calls[x]
        if x % 5 == 0 and number <= 2:
            raise ValueError(x)
        return f"made of {x}"

    async def coroutine(x: int) -> str:
        await asyncio.sleep(0)
        return body(x)

    step = task(coroutine if how == "gather" else body, name="step")

    def order() -> list[int]:
        attempts[0] += 1
        return chance.sample(range(20), 20)

    async def gathers() -> dict[int, str]:
        numbers = order()
        return dict(zip(numbers, await asyncio.gather(*(step(x) for x in numbers)), strict=True))

    def submits() -> dict[int, str]:
        futures = {x: step.submit(x) for x in order()}
        return {x: future.result() for x, future in futures.items()}

    @task
    def caller(turn: int, mine: list[int]) -> dict[int, str]:
        return {x: step.submit(x).result() for x in mine}

    def threads() -> dict[int, str]:
        numbers = order()
        plain = [step.submit(x) for x in numbers[::2]] + [step.submit(x) for x in numbers[1::2]]
        return {x: future.result() for x, future in zip(numbers[::2] + numbers[1::2], plain, strict=True)}

    body_of = {"gather": gathers, "submit": submits, "threads": threads}[how]
    final = run(body_of, retries=2)
    assert final.result() == {x: f"made of {x}" for x in range(20)}
    assert attempts == [3]
    assert calls == {x: 3 if x % 5 == 0 else 1 for x in range(20)}
    assert len(engine.store.task_runs(1)) == 20


@pytest.mark.parametrize("how", ["call", "submit"])
def test_tasks_in_tasks_are_kept_where_they_belong(stored: Engine, how: str) -> None:
    """The outer one runs again; of what it had called only the failed one does; another outer one has its own."""
    fails = Fails(inner_1={1})
    parents: dict[str, int] = {}

    @task
    def inner(x: int) -> int:
        fails(f"inner_{x}")
        return x

    @task
    def outer(name: str) -> int:
        fails(f"outer_{name}")
        numbers = [0, 1, 2] if name == "a" else [0, 5]
        return sum(inner(x) if how == "call" else inner.submit(x).result() for x in numbers)

    final = run(lambda: [outer.submit("b").result(), outer.submit("a").result()])
    assert final.result() == [5, 3]
    assert fails.calls == {"outer_a": 2, "outer_b": 1, "inner_0": 2, "inner_1": 2, "inner_2": 1, "inner_5": 1}
    for row in stored.store.task_runs(1):
        parents[row.name] = row.parent
    assert [row.attempts for row in stored.store.task_runs(1) if row.name.startswith("outer")] == [1, 2]
    assert sorted(Counter(parents.values()).items()) == [(0, 2), (1, 2), (4, 3)]


# Subflows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B124", "B196")
def test_a_completed_subflow_is_kept_and_a_failed_one_runs_as_a_new_run(stored: Engine, kind: str) -> None:
    """Under the same tracking task run; the older run keeps its failed state."""
    fails = Fails(bad={1}, work={2})

    def good_body(x: int) -> int:
        fails("good")
        return x

    def bad_body(x: int) -> int:
        fails("bad")
        return x

    async def good_async(x: int) -> int:
        return good_body(x)

    async def bad_async(x: int) -> int:
        return bad_body(x)

    good = flow(good_async if kind == "async" else good_body, name="good")
    bad = flow(bad_async if kind == "async" else bad_body, name="bad")

    def work() -> int:
        total = good(1) + bad(2)
        fails("work")
        return int(total)

    async def awaits() -> int:
        total = await good(1) + await bad(2)
        fails("work")
        return int(total)

    fails.at["work"] = {1}
    assert run(awaits if kind == "async" else work, retries=2).result() == 3
    assert fails.calls == {"good": 1, "bad": 2, "work": 2}
    assert ends(stored) == {"good-0": ("Completed", 1), "bad-0": ("Completed", 2)}
    assert states_in_store(stored.store, 1, 2) == ["Running", "Failed", "Retrying", "Completed"]
    rows = sorted(stored.store.flow_runs(), key=lambda row: row.number)
    assert [(row.flow, row.state.name, row.attempts) for row in rows] == [
        ("work", "Completed", 3),
        ("good", "Completed", 1),
        ("bad", "Failed", 1),
        ("bad", "Completed", 1),
    ]
    assert [row.parent for row in rows] == [None, (1, 1), (1, 2), (1, 2)]
    assert states_in_store(stored.store, 3) == ["Running", "Failed"]


@pytest.mark.parametrize(("child_retries", "parent_retries"), [(0, 2), (2, 0), (1, 1), (2, 1)])
@pytest.mark.conforms("B125")
def test_a_child_uses_its_own_retries_first_and_has_all_of_them_again(
    engine: Engine, child_retries: int, parent_retries: int
) -> None:
    order: list[str] = []

    @flow(retries=child_retries)
    def child() -> None:
        order.append("child")
        raise ValueError

    def parent() -> None:
        order.append("parent")
        child()

    assert run(parent, retries=parent_retries).is_failed()
    assert order == ["parent", *["child"] * (child_retries + 1)] * (parent_retries + 1)
    rows = [row for row in engine.store.flow_runs() if row.flow == "child"]
    assert [row.attempts for row in rows] == [child_retries + 1] * (parent_retries + 1)


def test_a_retry_of_a_subflow_keeps_what_completed_in_it(engine: Engine) -> None:
    fails = Fails(child={1})
    step = task(lambda: fails("step") or 5, name="step")

    @flow(retries=1)
    def child() -> int:
        value = step()
        fails("child")
        return int(value)

    assert run(lambda: child(), retries=0).result() == 5
    assert fails.calls == {"step": 1, "child": 2}
    assert ends(engine, 1) == {"child-0": ("Completed", 1)}
    assert ends(engine, 2) == {"step-0": ("Completed", 1)}


# When -----------------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return self.at

    monotonic = now


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B118")
def test_the_delay_passes_before_the_next_attempt(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine asks to be woken after the right number of seconds; here a wait makes that time pass at once."""
    from tidegate import host
    from tidegate.run import drivers

    clock, slept = Clock(), list[float]()

    def passes(seconds: float | None) -> float | None:
        if seconds is None or seconds < 5:
            return seconds
        slept.append(seconds)
        clock.at += seconds
        return 0.0

    block, wait_any = host.wait, drivers.wait_async_any
    monkeypatch.setattr(host, "wait", lambda latch, timeout=None: block(latch, passes(timeout)))

    async def quick(effect: Any) -> bool:
        return await wait_any(type(effect)(effect.latch, passes(effect.timeout)))

    monkeypatch.setattr(drivers, "wait_async_any", quick)
    fails = Fails(work={1, 2, 3})

    def work() -> int:
        fails("work")
        return 7

    async def awaits() -> int:
        return work()

    with engine_over(MemoryStore(), clock=clock) as engine:
        final = run(awaits if kind == "async" else work, retries=4, retry_delay_seconds=[10, 20])
        assert final.result() == 7
        assert slept == [10, 20, 20]
        running = [e.at for _, e in engine.store.events(1) if isinstance(e, FlowState) and e.state.is_running()]
        assert [b - a for a, b in itertools.pairwise(running)] == [10, 20, 20]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_cancel_during_the_delay(stored: Engine, feed: Feed, start: Start, kind: str) -> None:
    calls = [0]

    def work() -> None:
        calls[0] += 1
        raise ValueError

    async def awaits() -> None:
        work()

    running = start(lambda: run(awaits if kind == "async" else work, retry_delay_seconds=60))
    feed.await_flow(StateType.SCHEDULED)
    running.run.cancel()
    running.ended()
    assert running.value.is_cancelled()
    assert calls == [1]
    assert states_in_store(stored.store, 1) == ["Running", "AwaitingRetry", "Cancelling", "Cancelled"]


def test_an_interrupt_during_the_delay(stored: Engine, feed: Feed) -> None:
    """A real one: this is pytest's main thread."""
    calls = [0]

    @flow(retries=1, retry_delay_seconds=60)
    def work() -> None:
        calls[0] += 1
        raise ValueError

    def interrupt() -> None:
        feed.await_flow(StateType.SCHEDULED)
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        work()
    assert calls == [1]
    assert states_in_store(stored.store, 1) == ["Running", "AwaitingRetry", "Interrupted"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_crash_is_not_tried_again(engine: Engine, error: type[BaseException]) -> None:
    calls = [0]

    @flow(retries=3)
    def work() -> None:
        calls[0] += 1
        raise error

    with pytest.raises(error):
        in_time(work)
    assert calls == [1]


def test_a_pause_in_a_later_attempt_holds_it(stored: Engine, feed: Feed, start: Start) -> None:
    fails = Fails(work={1})
    ran: list[int] = []
    step = task(ran.append, name="step")
    paused = threading.Event()

    def work() -> None:
        fails("work")
        feed.runs[0].pause()
        paused.set()
        step.submit(1)

    running = start(lambda: run(work))
    opened(paused)
    assert ran == []
    running.run.resume()
    running.ended()
    assert running.value.is_completed()
    assert ran == [1]
    wanted = ["Running", *AGAIN, "Paused", "Resuming", "Completed"]
    assert states_in_store(stored.store, 1) == wanted


@pytest.mark.conforms("B014")
def test_with_options_takes_the_retries_away(engine: Engine) -> None:
    """For flows as for tasks."""
    fails = Fails(step=set(range(99)))
    step = task(lambda: fails("step"), name="step", retries=2)
    work = flow(lambda: step.with_options(retries=0)(), name="work", retries=2)
    assert in_time(lambda: work.with_options(retries=0)(return_state=True)).is_failed()
    assert fails.calls["step"] == 1
    assert work.with_options(name="other").policy.retries == 2


def test_a_flow_judged_by_its_tasks_is_tried_again(engine: Engine) -> None:
    """It returned nothing and raised nothing: what failed are its task runs."""
    fails = Fails(step={1})
    step = task(lambda: fails("step"), name="step")

    def work() -> None:
        step.submit()

    assert run(work).is_completed()
    assert fails.calls["step"] == 2


# Random flows ---------------------------------------------------------------------------------------------------------


class Plan:
    """A random flow of layers of steps: what each step takes, how it is run, and which of its attempts fail."""

    def __init__(self, name: str, failing: bool) -> None:
        chance = seeded(name)
        self.layers = [chance.randint(1, 6) for _ in range(chance.randint(2, 5))]
        self.takes: dict[tuple[int, int], list[int]] = {}
        self.how: dict[tuple[int, int], str] = {}
        self.failures: dict[tuple[int, int], int] = {}
        self.calls: Counter[tuple[int, int]] = Counter()
        self.completed: Counter[tuple[int, int]] = Counter()
        self._lock = threading.Lock()
        for layer, width in enumerate(self.layers):
            for place in range(width):
                above = self.layers[layer - 1] if layer else 0
                self.takes[layer, place] = chance.sample(range(above), chance.randint(0, above))
                self.how[layer, place] = chance.choice(["call", "submit", "nested", "subflow", "async"])
                self.failures[layer, place] = chance.choice([0, 0, 0, 1, 2]) * failing

    def step(self, layer: int, place: int, given: list[int]) -> int:
        with self._lock:
            self.calls[layer, place] += 1
            number = self.calls[layer, place]
        if number <= self.failures[layer, place]:
            raise ValueError(f"step {layer}/{place}, call {number}")
        with self._lock:
            self.completed[layer, place] += 1
        return (sum(given) * 31 + layer * 7 + place) % 1_000_003

    def run(self, retries: int) -> State:
        step = task(self.step, name="step")

        @task
        async def step_async(layer: int, place: int, given: list[int]) -> int:
            return self.step(layer, place, given)

        @task
        def nested(layer: int, place: int, given: list[int]) -> int:
            return int(step(layer, place, given))

        @flow
        def subflow(layer: int, place: int, given: list[int]) -> int:
            return int(step(layer, place, given))

        def begun(how: str, *args: Any) -> Callable[[], int]:
            if how in ("submit", "nested", "async"):
                future = {"submit": step, "nested": nested, "async": step_async}[how].submit(*args)
                return lambda: int(future.result())
            value = (step if how == "call" else subflow)(*args)
            return lambda: int(value)

        def work() -> list[int]:
            values: list[int] = []
            for layer, width in enumerate(self.layers):
                waiting = [
                    begun(self.how[layer, place], layer, place, [values[x] for x in self.takes[layer, place]])
                    for place in range(width)
                ]
                values = [result() for result in waiting]
            return values

        return run(work, retries=retries, task_runner=ConcurrentTaskRunner(3))


@pytest.mark.parametrize("trial", range(25))
@pytest.mark.conforms("B122")
def test_a_random_flow_with_failures_gives_what_it_gives_without(engine: Engine, trial: int) -> None:
    """And each body has completed once, however often the flow was tried."""
    name = f"flow_retries_{trial}"
    smooth = Plan(name, failing=False).run(retries=0).result()
    plan = Plan(name, failing=True)
    final = plan.run(retries=60)
    assert final.result() == smooth
    assert set(plan.completed.values()) == {1}
    assert plan.calls == {key: failures + 1 for key, failures in plan.failures.items()}
    whole, first = (row.number for row in engine.store.flow_runs(10_000) if row.flow == "work")
    rows = engine.store.task_runs(whole)
    assert len(rows) == len(engine.store.task_runs(first))
    assert {row.state.name for row in rows} == {"Completed"}
    events = [event for _, event in engine.store.events(whole) if isinstance(event, TaskState)]
    assert Counter(event.task_run for event in events if event.state.is_completed()) == {row.number: 1 for row in rows}
