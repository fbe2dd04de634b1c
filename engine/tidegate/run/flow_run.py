"""A flow run in the process that owns it: its tasks, its links, and who may pause, resume or cancel it."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from contextlib import suppress
from dataclasses import replace
from itertools import count
from types import CodeType
from typing import TYPE_CHECKING, Any

from ..annotations import quote
from ..concurrency import ConcurrencyLimit
from ..context import Frame
from ..errors import CancelledRun, NotPaused, NotRunning
from ..inputs import resolve_to_states
from ..interrupts import guard
from ..latch import Latch
from ..links import LinkTable
from ..model.events import FlowCreated, FlowState, Links, TaskCreated
from ..model.states import (
    TERMINAL,
    UNSUCCESSFUL,
    Cancelled,
    Cancelling,
    Paused,
    Pending,
    Running,
    State,
    StateType,
)
from ..rules import decide as rules
from ..rules.outcome import aggregate, of_error, of_return
from .bodies import interrupt, quiet
from .task_run import TaskRun

if TYPE_CHECKING:
    from ..engine import Engine
    from ..flow import Flow
    from ..ports import Runner
    from .task_run import Called

KEPT_FAILURES = 1_000
"""States of unsuccessful task runs that a flow run keeps; the counts go on beyond."""

NAMED_BODIES = 3
"""Bodies still alive after a cancel that are named; the others are counted."""


class FlowRun:
    """One run of a flow.  The controls (`pause`, `resume`, `cancel`) may be called from any thread."""

    def __init__(self, engine: Engine, flow: Flow[..., Any], created: FlowCreated, runner: Runner) -> None:
        self.engine = engine
        self.flow = flow
        self.created = created
        self.number = created.flow_run
        self.name = created.name
        self.runner = runner
        self.state: State = Pending(at=engine.now())
        self.gate = StateType.RUNNING
        """RUNNING while task runs may start, PAUSED while they wait, CANCELLING when none will start again."""
        self.attempts = 0
        self.lock = threading.Lock()
        self.frame = Frame(self)
        self.finished = Latch()
        """Opens when the run has ended and its end is saved."""
        self.stopped = Latch()
        """Opens when the run was cancelled or interrupted."""
        self.moved = Latch()
        """Opens at the next resume, cancel or end of the run; a new one with each pause."""
        self.bodies: dict[int, TaskRun] = {}
        """Task runs whose function is at work now."""
        self.handle: Any = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.subflows: set[FlowRun] = set()
        self._links = LinkTable()
        self._numbers = count(1)
        self._indexes: dict[str, count[int]] = {}
        self._sites: dict[tuple[str, CodeType, int], int] = {}
        self._limits: dict[Called, ConcurrencyLimit] = {}
        self._open: dict[int, TaskRun] = {}
        self._children: Latch | None = None
        self._tally = dict.fromkeys(StateType, 0)
        self._failures: list[State] = []
        self._quoted = False
        """True if the flow returned something that is not to be interpreted."""

    # Task runs ------------------------------------------------------------------------------------------------------

    def new_task_run(self, task: Called) -> TaskRun:
        """The next task run; it is not known to anybody before `announce`."""
        if self.finished.done():
            raise NotRunning(f"The flow run {self.name!r} has ended; it takes no new task runs.")
        if self.gate is StateType.CANCELLING:
            raise CancelledRun(f"The flow run {self.name!r} is being cancelled; no new task run begins.")
        name = task.name
        indexes = self._indexes.get(name)
        if indexes is None:
            indexes = self._indexes.setdefault(name, count())
        run = TaskRun(self, next(self._numbers), task, next(indexes))
        run.limit = self._limit_of(task)
        return run

    def announce(self, run: TaskRun, site: tuple[CodeType, int], parent: TaskRun | None, links: Links) -> None:
        """Make a task run known."""
        place = (run.task.key, *site)
        number = self._sites.get(place)
        if number is None:
            number = self._sites.setdefault(place, len(self._sites) + 1)
        self._open[run.number] = run
        above = parent.number if parent is not None else 0
        now = self.engine.now()
        self.engine.note(
            TaskCreated(self.number, now, run.number, run.task.name, number, run.index, links, above, run.task.is_flow)
        )

    @property
    def links(self) -> LinkTable:
        """The values that task runs of this flow run returned."""
        return self._links

    def link(self, state: State, task_run: int) -> None:
        """Remember what a completed task run returned."""
        self._links.add(state.data, task_run)

    def child_ended(self, run: TaskRun) -> None:
        """Count the end of a task run."""
        state = run.state
        with self.lock:
            self._tally[state.type] += 1
            if state.type is not StateType.COMPLETED and len(self._failures) < KEPT_FAILURES:
                self._failures.append(state)
            del self._open[run.number]
            latch = None if self._open else self._children
        if latch is not None:
            latch.set()

    def children_ended(self) -> Latch:
        """Opens when no task run is left open."""
        with self.lock:
            latch = self._children = Latch()
            none = not self._open
        if none:
            latch.set()
        return latch

    def _limit_of(self, task: Called) -> ConcurrencyLimit | None:
        if task.concurrency is None:
            return None
        found = self._limits.get(task)
        if found is None:
            found = self._limits.setdefault(task, ConcurrencyLimit(task.concurrency))
        return found

    def now(self) -> float:
        """Seconds since the epoch, by the engine's clock."""
        return self.engine.now()

    # Body -----------------------------------------------------------------------------------------------------------

    def call(self) -> Any:
        """Call the flow's function; a coroutine if it is async."""
        __tracebackhide__ = True
        return self.flow.fn(*self.args, **self.kwargs)

    def entered(self, handle: Any) -> None:
        """The function begins, on this thread (its ident) or asyncio task."""
        self.handle = handle

    def left(self) -> None:
        """The function has ended."""
        quiet(self)

    def judge(self, value: Any, error: BaseException | None) -> State:
        """The state that the end of the function proposes."""
        now = self.engine.now()
        if self.gate is StateType.CANCELLING:
            return Cancelled(self.state.message, at=now)
        if isinstance(error, CancelledError) and guard.taken():
            # Which the loop had turned into a cancellation; where it hit the user's code is worth keeping.
            error = KeyboardInterrupt().with_traceback(error.__traceback__)
        self._quoted = isinstance(value, quote)
        return of_return(value, now) if error is None else of_error(error, False, now)

    def judge_children(self, proposed: State) -> State:
        """The final state, once every task run has ended.

        A flow that returns nothing is judged by its task runs, as in Prefect 2.7.
        """
        if self.state.type is StateType.CANCELLING and proposed.type is not StateType.CRASHED:
            return Cancelled(self.state.message, at=self.engine.now())
        if self._quoted:
            return proposed
        if proposed.type is StateType.COMPLETED and proposed.data is not None:
            returned = resolve_to_states(proposed.data)
            return proposed if returned is proposed.data else of_return(returned, self.engine.now())
        tally = self._tally
        total = sum(tally.values())
        if proposed.type is not StateType.COMPLETED or proposed.data is not None or not total:
            return proposed
        failed = tally[StateType.FAILED] + tally[StateType.CRASHED]
        not_final = tally[StateType.PENDING]
        data = self._failures or None
        return aggregate(total, failed, tally[StateType.CANCELLED], not_final, data, self.engine.now())

    # Control --------------------------------------------------------------------------------------------------------

    def enter(self, state: State, by: str = "") -> None:
        """Be in a state that is not final and that nobody asked for; show it now, keep it before long."""
        if state.type is StateType.RUNNING:
            self.attempts += 1
        self.engine.note(self.event(state, by))
        self.state = state

    def event(self, state: State, by: str = "") -> FlowState:
        """The event of entering a state."""
        return FlowState(self.number, state.timestamp, state, by, self.attempts)

    def pause(self, by: str = "you") -> None:
        """Start no new task run; those that have started go on.  Raises `NotRunning` if the run has ended."""
        now = self.engine.now()
        with self.lock:
            decision = rules.decide(self, Paused(f"Paused by {by}.", at=now), rules.RetryPolicy(), now)
            if not isinstance(decision, rules.Accept):
                raise NotRunning(f"The flow run {self.name!r} cannot be paused: it is {self.state.name}.")
            self.gate = StateType.PAUSED
            self.moved = Latch()
            self._ask(decision.state, by)
        for subflow in list(self.subflows):
            with suppress(NotRunning):
                subflow.pause(by)

    def resume(self, by: str = "you") -> None:
        """Go on after a pause; this is no new attempt.  Raises `NotPaused` if the run is not paused."""
        now = self.engine.now()
        with self.lock:
            if self.state.type is not StateType.PAUSED:
                raise NotPaused(f"The flow run {self.name!r} is not paused: it is {self.state.name}.")
            self.gate = StateType.RUNNING
            moved = self.moved
            self._ask(Running("Resuming", at=now), by)
        moved.set()
        for subflow in list(self.subflows):
            with suppress(NotPaused):
                subflow.resume(by)

    def cancel(self, by: str = "you") -> None:
        """End the run: nothing new starts, what is at work is told to end.  Raises `NotRunning` if it has ended."""
        now = self.engine.now()
        with self.lock:
            decision = rules.decide(self, Cancelling(f"Cancelled by {by}.", at=now), rules.RetryPolicy(), now)
            if not isinstance(decision, rules.Accept) or self.gate is StateType.CANCELLING:
                raise NotRunning(f"The flow run {self.name!r} cannot be cancelled: it is {self.state.name}.")
            self.gate = StateType.CANCELLING
            self._ask(decision.state, by)
        interrupt(self)  # before its tasks end, or it would go on with their ends for a moment
        self._end_bodies()
        for subflow in list(self.subflows):
            with suppress(NotRunning):
                subflow.cancel(by)

    def stop(self) -> None:
        """The body has ended before its time: nothing new starts, what is at work is told to end."""
        with self.lock:
            self.gate = StateType.CANCELLING
        self._end_bodies()

    def _ask(self, state: State, by: str) -> None:
        """Somebody asked for this state: it is in force at once, and shown once it is kept."""
        event = self.event(state, by)
        self.state = state
        self.engine.commit_soon(event, lambda: None)

    def _end_bodies(self) -> None:
        self.moved.set()
        self.stopped.set()
        for run in list(self.bodies.values()):
            run.interrupt_body()

    # End ------------------------------------------------------------------------------------------------------------

    def abandon_bodies(self, final: State) -> State:
        """Give up waiting: whatever is left ends here, and its late outcome will be refused.

        Gives the final state, which names the bodies that are still at work.
        """
        alive = self.still_alive()
        if alive:
            final = replace(final, message=f"{final.message} Still at work: {alive}.".strip())
        now = self.engine.now()
        events = []
        left = []
        for run in list(self._open.values()):
            if run.claim_end():
                state = Cancelled(f"The flow run ended ({final.name}) before this did.", at=now)
                events.append(run.event(state))
                left.append((run, state))
        if events:
            self.engine.commit_all(events)
        for run, state in left:
            run.end(state)
        return final

    def still_alive(self) -> str:
        """The bodies that go on although the run was told to end: ``locate-3, locate-7 and 2 more``."""
        names = [run.name for run in list(self.bodies.values())]
        more = len(names) - NAMED_BODIES
        return ", ".join(names[:NAMED_BODIES]) + (f" and {more} more" if more > 0 else "")

    def end(self, state: State) -> None:
        """The final state is kept: let go of everything, tell everybody."""
        with self.lock:
            self.state = state
            self.gate = StateType.CANCELLING
        if state.type is StateType.CANCELLED:
            guard.drop()  # what was sent to end the body
        self.args, self.kwargs = (), {}
        self._links = LinkTable()
        self.runner.close()
        self.engine.forget(self.number)
        self.moved.set()
        self.stopped.set()
        self.finished.set()

    def unobserved(self) -> int:
        """Task runs that did not complete."""
        return sum(n for kind, n in self._tally.items() if kind in UNSUCCESSFUL or kind not in TERMINAL)
