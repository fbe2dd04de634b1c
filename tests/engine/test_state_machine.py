"""Two clients who start, pause, resume, cancel, fail and finish runs, alone and at once: every history is legal.

`Spec` says, apart from the code, what a run is and what each step does to it.  A race is right if some order of the
two steps, with what the run does by itself in between, explains both answers and the state that the run comes to.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from reliability.trials import Trials
from support.flows import SOON, Feed, Started, flow, task
from support.histories import BEGINS, ENDS, illegal
from tidegate import CancelledRun, ControlError
from tidegate.engine import Engine
from tidegate.model import states
from tidegate.model.events import Event, FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import Cancelled, Cancelling, Completed, Paused, Running, State, StateType
from tidegate.run.flow_run import FlowRun

AT_ONCE = 40
"""Steps of one machine."""
GLANCE = 0.002
"""Seconds after which a body that waits for an order looks whether it was told to end."""

Tasks = tuple[tuple[str, int], ...]
Status = tuple[str, int, str, Tasks]
Step = tuple[str, int]
"""What a client does, and to which task run."""

OPEN = ("held", "running")
SEEN_AS = {
    "Running": "running", "Retrying": "running", "AwaitingRetry": "held", "Completed": "done", "Failed": "failed",
    "Cancelled": "cancelled",
}  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """A flow run as it ought to be.  Task runs are held back, running, done, failed or cancelled, in some attempt."""

    retries: int
    control: str = "Running"
    attempt: int = 1
    body: str = "at work"
    tasks: Tasks = ()

    @property
    def status(self) -> Status:
        """What an observer sees of it."""
        return self.control, self.attempt, self.body, self.tasks

    def by_itself(self) -> Iterator[Spec]:
        """What it may do next without being asked."""
        for at, (kind, attempt) in enumerate(self.tasks):
            if kind == "held" and self.control == "Running":
                yield self._task(at, "running", attempt + 1)
            if kind in OPEN and self.control == "Cancelling":
                yield self._task(at, "cancelled", attempt)
        if self.control == "AwaitingRetry":
            yield replace(self, control="Running", attempt=self.attempt + 1, body="at work")
        if self.body == "at work":
            if self.control == "Cancelling":
                yield replace(self, body="stopped")
        elif not any(kind in OPEN for kind, _ in self.tasks):
            yield from self._end()

    def _end(self) -> Iterator[Spec]:
        if self.control == "Cancelling":
            yield replace(self, control="Cancelled")
        elif self.control in ("Running", "Paused"):
            again = self.control == "Running" and self.attempt <= self.retries
            failed = "AwaitingRetry" if again else "Failed"
            yield replace(self, control="Completed" if self.body == "returned" else failed)

    def after(self, step: Step, seen: Spec) -> tuple[Spec, str]:
        """What it becomes by a step of a client who saw it as `seen`, and what the client is answered."""
        verb, at = step
        if verb == "pause":
            return (replace(self, control="Paused"), "yes") if self.control == "Running" else (self, "NotRunning")
        if verb == "resume":
            return (replace(self, control="Running"), "yes") if self.control == "Paused" else (self, "NotPaused")
        if verb == "cancel":
            may = self.control in ("Running", "Paused", "AwaitingRetry")
            return (replace(self, control="Cancelling"), "yes") if may else (self, "NotRunning")
        if verb in ("done", "fail"):
            return self._order(verb, at, seen), ""
        if self.body != "at work" or self.attempt != seen.attempt:
            return self, ""
        if verb == "submit":
            return (self if self.control == "Cancelling" else replace(self, tasks=(*self.tasks, ("held", 0)))), ""
        return replace(self, body={"return": "returned", "raise": "raised"}[verb]), ""

    def _order(self, verb: str, at: int, seen: Spec) -> Spec:
        if at >= len(self.tasks) or at >= len(seen.tasks) or self.tasks[at] != seen.tasks[at]:
            return self  # it is no longer, or not yet, what the order was for
        kind, attempt = self.tasks[at]
        if kind != "running":
            return self
        if verb == "done":
            return self._task(at, "done", attempt)
        return self._task(at, "held" if attempt == 1 and self.control != "Cancelling" else "failed", attempt)

    def _task(self, at: int, kind: str, attempt: int) -> Spec:
        return replace(self, tasks=(*self.tasks[:at], (kind, attempt), *self.tasks[at + 1 :]))


def outcomes(seen: Spec, steps: list[Step]) -> dict[tuple[str, ...], set[Spec]]:
    """For each way to answer these steps at once, what the run may come to in the end."""
    found: dict[tuple[str, ...], set[Spec]] = {}
    stack = [(seen, tuple[str | None, ...]([None] * len(steps)))]
    known = set(stack)
    while stack:
        spec, answers = stack.pop()
        following = [(each, answers) for each in spec.by_itself()]
        for at, step in enumerate(steps):
            if answers[at] is None:
                new, answer = spec.after(step, seen)
                following.append((new, (*answers[:at], answer, *answers[at + 1 :])))
        if not following:
            found.setdefault(tuple(str(each) for each in answers), set()).add(spec)
        for each in following:
            if each not in known:
                known.add(each)
                stack.append(each)
    return found


class Orders:
    """What a body is told to do.  An order is for one attempt; those for others are passed over."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()

    def give(self, attempt: int, order: str) -> None:
        self._orders.put((attempt, order))

    def take(self, attempt: int) -> str:
        while True:
            with contextlib.suppress(queue.Empty):
                wanted, order = self._orders.get(timeout=GLANCE)
                if wanted == attempt:
                    return order

    async def take_async(self, attempt: int) -> str:
        while True:
            try:
                wanted, order = self._orders.get_nowait()
            except queue.Empty:
                await asyncio.sleep(GLANCE)
                continue
            if wanted == attempt:
                return order


class Told:
    """A real flow run whose bodies do as they are told, and what is shown of it."""

    def __init__(self, engine: Engine, retries: int, kind: str) -> None:
        self.body = Orders()
        self.tasks: list[Orders] = []
        self._engine = engine
        self._attempts = 0
        self._left = ""
        self._looked = threading.Event()
        self._feed = Feed(engine)
        body = self._flow(retries, kind)
        started = Started(self._feed, body if kind == "sync" else lambda: asyncio.run(body(return_state=True)))
        self.run: FlowRun = started.run
        self._started = started

    def _flow(self, retries: int, kind: str) -> Any:
        tries: Counter[int] = Counter()

        def heed(number: int, order: str) -> None:
            if order == "fail":
                raise ValueError(number)

        @task(retries=1)
        def sync_step(number: int) -> None:
            tries[number] += 1
            heed(number, self.tasks[number].take(tries[number]))

        @task(retries=1)
        async def async_step(number: int) -> None:
            tries[number] += 1
            heed(number, await self.tasks[number].take_async(tries[number]))

        def goes_on(order: str) -> bool:
            if order == "raise":
                raise ValueError(order)
            if order == "submit":
                number = len(self.tasks)
                self.tasks.append(Orders())
                (async_step if number % 2 else sync_step).submit(number)
            return order != "return"

        @flow(retries=retries)
        def sync_flow() -> int:
            with self._at_work():
                while goes_on(self.body.take(self._attempts)):
                    pass
            return 1

        @flow(retries=retries)
        async def async_flow() -> int:
            with self._at_work():
                while goes_on(await self.body.take_async(self._attempts)):
                    pass
            return 1

        return sync_flow if kind == "sync" else async_flow

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Around an attempt of the flow's body: what becomes of it is seen at once, while the run waits for tasks."""
        self._left = left = "stopped"
        self._attempts += 1
        try:
            self._left = "at work"
            yield
            left = "returned"
        except ValueError:
            left = "raised"
            raise
        finally:
            self._left = left

    def do(self, step: Step, seen: Spec) -> str:
        """What a client does, who sees the run as `seen`, and the answer."""
        verb, at = step
        if verb in ("pause", "resume", "cancel"):
            try:
                getattr(self.run, verb)()
            except ControlError as error:
                return type(error).__name__
            return "yes"
        if verb not in ("done", "fail"):
            self.body.give(seen.attempt, verb)
        elif at < len(seen.tasks):
            self.tasks[at].give(seen.tasks[at][1], verb)
        return ""

    def status(self) -> Status:
        """What an observer sees: the fold of all that was shown."""
        control, attempt = "", 0
        tasks: dict[int, tuple[str, int]] = {}
        for event in list(self._feed.events):
            if isinstance(event, FlowState):
                control, attempt = event.state.name, event.attempt
            elif isinstance(event, TaskCreated):
                tasks[event.task_run] = ("held", 0)
            elif isinstance(event, TaskState):
                tasks[event.task_run] = (SEEN_AS[event.state.name], event.attempt)
        running = control in ("Resuming", "Retrying")
        control = "Running" if running else control
        left = self._left
        if self._attempts != attempt or (left == "at work" and control in ENDS):
            left = "stopped"  # before it began, or on its way in or out
        return control, attempt, left, tuple(tasks[number] for number in sorted(tasks))

    def comes_to(self, expected: Mapping[Status, Spec]) -> Spec:
        """Wait until it is in one of these, and say which."""
        last = time.monotonic() + SOON
        while (status := self.status()) not in expected:
            assert time.monotonic() < last, f"{status} is none of {sorted(expected)}"
            self._looked.wait(GLANCE)
        return expected[status]

    def close(self) -> None:
        """End it, if it has not ended, and look at its whole history."""
        with contextlib.suppress(ControlError):
            self.run.cancel()
        with contextlib.suppress(ValueError, CancelledRun):
            self._started.ended()
        self._engine.observers.remove(self._feed._began)
        kept = [event for _, event in self._engine.store.events(self.run.number)]
        assert illegal(self._feed.events) == []
        assert illegal(kept) == []
        assert names(kept) == names(self._feed.events), "what is kept is not what was shown"
        row = self._engine.store.flow_run(self.run.number)
        assert row is not None
        assert row.state.name == self.status()[0] == self.run.state.name


def names(events: Sequence[Event]) -> dict[int, list[str]]:
    """The states of the flow run (0) and of each task run, in order."""
    found: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, (FlowState, TaskState)):
            found.setdefault(getattr(event, "task_run", 0), []).append(event.state.name)
    return found


class TwoClients(RuleBasedStateMachine):
    """Steps of one client, and of two at once.

    Every rule can always be drawn and draws the same whatever happened before, since how a race ends is not up to
    Hypothesis; what makes no sense in the present state must be refused, or does nothing.
    """

    steps = st.tuples(
        st.sampled_from(["pause", "resume", "cancel", "submit", "submit", "done", "fail", "raise", "return"]),
        st.integers(0, 2),
    )
    told: Told
    spec: Spec

    def __init__(self, engine: Engine, taken: Counter[str]) -> None:
        super().__init__()
        self._engine = engine
        self._taken = taken
        self._after_the_end = 0

    @initialize(retries=st.integers(0, 2), kind=st.sampled_from(["sync", "async"]))
    def start(self, retries: int, kind: str) -> None:
        self._begin(retries, kind)

    @rule(step=steps, retries=st.integers(0, 2), kind=st.sampled_from(["sync", "async"]))
    def one(self, step: Step, retries: int, kind: str) -> None:
        self._take([step])
        if self.spec.control in ENDS:
            self._after_the_end += 1
            if self._after_the_end > 2:
                self.told.close()
                self._begin(retries, kind)

    @rule(first=steps, second=steps)
    def two_at_once(self, first: Step, second: Step) -> None:
        self._take([first, second])

    def teardown(self) -> None:
        if hasattr(self, "told"):
            self.told.close()

    def _begin(self, retries: int, kind: str) -> None:
        self._after_the_end = 0
        self.told = Told(self._engine, retries, kind)
        self.spec = Spec(retries)
        self.told.comes_to({self.spec.status: self.spec})

    def _take(self, steps: list[Step]) -> None:
        self._taken[" and ".join(sorted(verb for verb, _ in steps))] += 1
        seen = self.spec
        answers = at_once([partial(self.told.do, step, seen) for step in steps])
        possible = outcomes(seen, steps)
        assert answers in possible, f"{seen}: {steps} were answered {answers}, which no order explains"
        self.spec = self.told.comes_to({spec.status: spec for spec in possible[answers]})


def at_once(calls: Sequence[Callable[[], str]]) -> tuple[str, ...]:
    """What these calls answer, each on a thread of its own, begun together."""
    if len(calls) == 1:
        return (calls[0](),)
    barrier = threading.Barrier(len(calls))
    answers = [""] * len(calls)

    def client(at: int) -> None:
        barrier.wait(SOON)
        answers[at] = calls[at]()

    threads = [threading.Thread(target=client, args=(at,), daemon=True) for at in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive(), "a client waits for its answer"
    return tuple(answers)


@pytest.fixture
def no_collections() -> Iterator[None]:
    """Hypothesis has the garbage collector call it, in any thread: what is raised in there to end a body is lost."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("hectic", "no_collections")
@pytest.mark.conforms("B204", "B267")
@pytest.mark.scorecard(22, parts=2)
def test_two_clients_at_once(stored: Engine, trials: Trials) -> None:
    taken: Counter[str] = Counter()
    machine: Any = seed(trials.chance.getrandbits(32))(lambda: TwoClients(stored, taken))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(3, 3 * trials.count // (2 * AT_ONCE)),  # some machines take fewer steps
            stateful_step_count=AT_ONCE,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{taken.total()} steps, {sum(n for verbs, n in taken.items() if ' and ' in verbs)} of them at once")
    trials.did(taken.total())
    assert taken.total() >= trials.count
    assert sum(" and " in verbs for verbs in taken) > 20


# Controls: what is illegal is noticed ---------------------------------------------------------------------------------


def history(*states: State | tuple[int, State]) -> list[Event]:
    """The events of a run, numbered as the engine numbers them; a pair is the state of a task run."""
    events: list[Event] = [FlowCreated(1, 0.0, "", "f", "f", "{}")]
    attempts: Counter[int] = Counter()
    for each in states:
        number, state = each if isinstance(each, tuple) else (0, each)
        if number and number not in attempts:
            events.append(TaskCreated(1, 0.0, number, "t", 1, number, {}))
        attempts[number] += state.name in BEGINS
        attempt = attempts[number]
        events.append(TaskState(1, 0.0, number, state, attempt) if number else FlowState(1, 0.0, state, "", attempt))
    return events


R, DONE, PAUSED, ON, OFF = Running(), Completed(1), Paused(), Running("Resuming"), Cancelled("off")
LEGAL = history(R, (1, R), PAUSED, ON, (1, DONE), DONE)
FORGED: list[tuple[list[Event], str]] = [
    (history(R, DONE, PAUSED), "the flow run is Paused after Completed"),
    (history(R, DONE, ON), "the flow run is Resuming after Completed"),
    (history(R, DONE, R), "the flow run is Running after Completed"),
    (history(R, OFF, DONE), "the flow run is Completed after Cancelled"),
    (history(R, PAUSED, PAUSED, ON, DONE), "the flow run is Paused after Paused"),
    (history(R, ON, DONE), "the flow run is Resuming after Running"),
    (history(R, Cancelling(), DONE), "the flow run is Completed after Cancelling"),
    (history(R, Cancelling(), states.AwaitingRetry(0.0), OFF), "the flow run is AwaitingRetry after Cancelling"),
    (history(R), "the flow run has no end"),
    (history(R, (1, R), DONE), "task run 1 is left open"),
    (history(R, (1, R), (1, DONE), (1, DONE), DONE), "task run 1 is Completed after Completed"),
    (history(R, (1, DONE), DONE), "task run 1 is Completed after nothing"),
    (
        history(R, (1, R), (1, states.Failed()), (1, Running("Retrying")), (1, DONE), DONE),
        "task run 1 is Retrying after Failed",
    ),
    (history(R, DONE, (1, R), (1, DONE)), "TaskState comes after the end of the flow run"),
    ([*LEGAL, LEGAL[0]], "the flow run is made twice, or late"),
    ([each for each in LEGAL if not isinstance(each, TaskCreated)], "task run 1 has a state before it is made"),
    ([*LEGAL[:-1], FlowState(1, 0.0, DONE, "", 2)], "the flow run is Completed in attempt 2"),
    (history(R, State(StateType.FAILED, "Completed")), "the flow run is FAILED/Completed"),
]


def test_a_legal_history_is_accepted() -> None:
    assert illegal(LEGAL) == []


@pytest.mark.parametrize(("events", "told"), FORGED, ids=[told for _, told in FORGED])
@pytest.mark.scorecard(22, control=True, case=True)
def test_control_a_forged_history_is_noticed(events: list[Event], told: str) -> None:
    assert any(each.startswith(told) for each in illegal(events)), illegal(events)


def test_control_answers_that_no_order_explains() -> None:
    running, paused = Spec(0), Spec(0, control="Paused")
    assert set(outcomes(running, [("pause", 0), ("pause", 0)])) == {("yes", "NotRunning"), ("NotRunning", "yes")}
    assert set(outcomes(paused, [("resume", 0), ("resume", 0)])) == {("yes", "NotPaused"), ("NotPaused", "yes")}
    assert set(outcomes(running, [("cancel", 0), ("cancel", 0)])) == {("yes", "NotRunning"), ("NotRunning", "yes")}
    ends = outcomes(running, [("cancel", 0), ("return", 0)])
    assert {answers: {spec.control for spec in specs} for answers, specs in ends.items()} == {
        ("yes", ""): {"Cancelled"}, ("NotRunning", ""): {"Completed"},
    }  # fmt: skip
