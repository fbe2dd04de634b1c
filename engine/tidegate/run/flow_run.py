"""A flow run in the process that owns it: its tasks, its links, and who may pause, resume or cancel it."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import CodeType
from typing import TYPE_CHECKING, Any

from .. import run_logs, sampling
from ..annotations import quote
from ..context import Frame
from ..errors import CancelledRun, NotRunning, StoreError
from ..inputs import resolve_to_states
from ..interrupts import guard, on_main_thread
from ..latch import Latch
from ..links import LinkTable
from ..model.events import FlowCreated, FlowState, Links, TaskCreated
from ..model.states import (
    CANCELLING,
    RUNNING,
    Cancelled,
    Pending,
    Running,
    State,
    Suspended,
    TimedOut,
    Unloaded,
)
from ..model.views import PENDING_STATE
from ..rules import decide as rules
from ..rules.outcome import judge_by_children, of_error, of_return
from ..sampling import Cut
from ..saving import Saving
from ..tags import NONE
from .bodies import interrupt, leave_behind, quiet
from .children import Children
from .controlled import Controlled
from .deadline import Deadline
from .identity import Identities, Identity
from .numbering import Numbering
from .pauses import Pauses
from .recall import Recall
from .task_here import TaskHere
from .task_run import TaskRun

if TYPE_CHECKING:
    from ..engine import Engine
    from ..failed_inputs import FailedInputs
    from ..flow import Flow
    from ..inputs import Inputs
    from ..ports import Runner
    from ..replay import RunReplay
    from .called import Called


class FlowRun(Controlled):
    """One run of a flow.  The controls (`pause`, `resume`, `cancel`) may be called from any thread."""

    orphaned = False
    """True in a child that its code has forked: the run is that of the parent, and goes on there alone."""
    timed_out = False
    """True once the time of the present attempt is up."""
    replay: RunReplay | None = None
    """What it takes the results of its tasks from, or records them to; null for nothing."""
    _quoted = False
    """True if the flow returned something that is not to be interpreted."""

    def __init__(
        self,
        engine: Engine,
        flow: Flow[..., Any],
        created: FlowCreated,
        runner: Runner,
        saving: Saving,
        now: Callable[[], float],
    ) -> None:
        self.engine = engine
        self.now = now
        """Seconds since the epoch by the clock of the root run, see `Engine.run_clock`."""
        self.flow = flow
        self.created = created
        self.number, self.name = created.flow_run, created.name
        self.tags = frozenset(created.tags)
        self.scheduled = created.at
        """When it was to begin, in seconds since the epoch."""
        self.runner, self.policy = runner, flow.policy
        self._taken_up = now()
        self.state: State = Pending(at=self._taken_up)
        self.saving = saving
        """How its result is saved, and those of its tasks that say nothing about it."""
        self.refused: State | None = None
        """The state in which it ends at once, because its parameters cannot be."""
        self.gate = RUNNING
        """RUNNING while task runs may start, PAUSED while they wait, CANCELLING when none will start again."""
        self.tracking: TaskRun | None = None
        """What stands for a subflow in the flow that called it."""
        self.attempts = 0
        self.reopened = ""
        """Why it may begin once more, though it has ended: it is resumed."""
        self.lock = threading.Lock()
        self.frame = Frame(self)
        self.finished = Latch()
        """Opens when the run has ended and its end is saved."""
        self.stopped = Latch()
        """Opens when the run was cancelled or interrupted, or its time is up; a new one with each attempt."""
        self.moved = Latch()
        """Opens at the next resume, cancel or end of the run; a new one with each pause."""
        self.beginning: set[TaskRun] = set()
        """Task runs between their look at the gate and the record of what came of it."""
        self.bodies: dict[int, TaskRun] = {}
        """Task runs whose function is at work now."""
        self.deserted: dict[int, TaskRun] = {}
        """Task runs whose function goes on although they were given up, by thread."""
        self.sample = flow.sample
        """How many members of each mapped call of its function are run; null for all."""
        self.cuts: list[Cut] = []
        """The mapped calls of which not all were."""
        self.failed_inputs: FailedInputs = {}
        """The inputs of the first task runs that failed, by number, as long as somebody holds this run."""
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.parameters: dict[str, Any] = {}
        """The parameters by name, defaults filled in."""
        self.subflows: set[FlowRun] = set()
        self.children = Children()
        self.pauses = Pauses()
        self.recall = Recall() if flow.policy.retries else None
        """What earlier attempts did; null where there is one attempt only."""
        self._deadline: Deadline | None = None
        self.links = LinkTable()
        """The values that task runs of this flow run returned."""
        self.identities = Identities(self.number, self.links, self.parameters)
        self.numbering = Numbering()
        self._tasks: dict[Called, TaskHere] = {}

    # Task runs ------------------------------------------------------------------------------------------------------

    def new_task_run(self, task: Called, given: Sequence[tuple[str, Any]], parent: TaskRun | None) -> TaskRun:
        """The next task run, or one of an earlier attempt once more; not known to anybody before `announce`."""
        if self.gate is not RUNNING or self.suspending or self.orphaned:  # which it is once it has ended as well
            self._check_begins()
        key, nth = self.identities.next(task, given, parent)
        before = None if self.recall is None else self.recall.find(Identity(key, nth), task.name)
        run = before.again(task) if before is not None else TaskRun(self, *self.numbering.next(task.name), task)
        run.key, run.nth = key, nth
        if self.recall is not None:
            self.recall.note(run)
        run.here = self._tasks.get(task) or self.of(task)
        if self.replay is not None:
            self.replay.called(run, given, parent)
        if task.durability is not None and not task.is_flow:
            self.engine.store.set_durability(self.number, run.number, task.durability)
        return run

    def _check_begins(self) -> None:
        if self.finished.done():
            raise NotRunning(f"The flow run {self.name!r} has ended; it takes no new task runs.")
        if self.orphaned:
            raise NotRunning(f"The flow run {self.name!r} goes on in the process that this one was forked from.")
        if self.gate is CANCELLING:
            if self.timed_out:
                raise TimeoutError(f"The time of the flow run {self.name!r} is up; no new task run begins.")
            raise CancelledRun(f"The flow run {self.name!r} is being cancelled; no new task run begins.")
        self.go_no_further()
        self.give_way()

    def once_more(self, ended: TaskRun, found: Inputs) -> TaskRun:
        """A task run that has ended without completing, in this attempt once more; not begun.

        `found` is what its inputs hold.  Raises as a new task run does.
        """
        self._check_begins()
        run = ended.again(ended.task)
        run.args, run.kwargs, run.inputs = ended.args, ended.kwargs, found
        run.key, run.nth, run.tags, run.here = ended.key, ended.nth, ended.tags, ended.here
        self.children.reopen(ended, run)
        if self.recall is not None:
            self.recall.note(run)
        return run

    def announce(self, run: TaskRun, site: tuple[CodeType, int], parent: TaskRun | None, links: Links) -> None:
        """Make a task run known."""
        self.children.add(run)
        if run.state is not PENDING_STATE:  # it is known from an earlier attempt
            known = 0 if self.recall is None else self.recall.site(run.number)
            if known:
                self.numbering.learn(run.task.key, site, known)
            return
        task, name = run.task, run.task.name
        where = self.numbering.site(task.key, site, name, "" if parent is None else parent.task.name)
        above = 0 if parent is None else parent.number
        tags = () if run.tags is NONE else tuple(sorted(run.tags))
        created = TaskCreated(
            self.number, self.now(), run.number, name, where, run.index, links, above, task.is_flow, tags,
            run.key, run.nth, run.here.source, task.version or None,
        )  # fmt: skip
        self.engine.note(created)

    def link(self, state: State, task_run: int) -> None:
        """Remember what a completed task run returned."""
        if not isinstance(state.data, Unloaded):
            self.links.add(state.data, task_run)

    @property
    def tasks(self) -> tuple[Called, ...]:
        """The tasks and flows that it has called."""
        return tuple(self._tasks)

    def of(self, task: Called) -> TaskHere:
        """What this run keeps about a task."""
        found = self._tasks.get(task)
        if found is None:
            places = getattr(self.runner, "places", None)
            found = self._tasks.setdefault(task, TaskHere(task, self.saving, places))
        return found

    # Body -----------------------------------------------------------------------------------------------------------

    def call(self) -> Any:
        """Call the flow's function; a coroutine if it is async."""
        __tracebackhide__ = True
        return self.flow.body(*self.args, **self.kwargs)

    def entered(self, handle: Any) -> None:
        """The function begins, on this thread (its ident) or asyncio task."""
        self.handle = handle
        if self.told_to_end:
            raise KeyboardInterrupt  # whoever cancelled it found no body to interrupt
        if self.flow.limit_seconds is not None:
            self._deadline = Deadline(self.flow.limit_seconds, self.engine.portal, self._time_out)
            self._deadline.start()

    def left(self) -> None:
        """The function has ended."""
        quiet(self)

    def judge(self, value: Any, error: BaseException | None) -> State:
        """The state that the end of the function proposes."""
        now = self.now()
        if self.timed_out:
            return self._too_late()
        if self.gate is CANCELLING:
            return Cancelled(self.state.message, at=now)
        if self.suspending and (self._cut or error is not None):
            return self.suspended()
        if isinstance(error, CancelledError) and guard.taken():
            # Which the loop had turned into a cancellation; where it hit the user's code is worth keeping.
            error = KeyboardInterrupt().with_traceback(error.__traceback__)
        if self.flow.final_state == "raised" and not isinstance(value, quote):
            value = quote(value)
        self._quoted = isinstance(value, quote)
        return of_return(value, now) if error is None else of_error(error, False, now)

    def judge_children(self, proposed: State) -> State:
        """The state that this attempt ends in, once every task run has ended."""
        now = self.now()
        if self.state.type is CANCELLING and not proposed.is_crashed():
            return Cancelled(self.state.message, at=now)
        if self.suspending and self.children.left():
            return self.suspended()
        if self.cuts and proposed.is_completed() and not self.children.exit():
            return self._sampled()
        crash = self.children.exit()
        if crash is not None and not proposed.is_crashed():
            return of_error(crash, False, now)
        if not proposed.is_completed() or self._quoted:
            return proposed
        if proposed.data is not None:
            returned = resolve_to_states(proposed.data)
            return proposed if returned is proposed.data else of_return(returned, now)
        if self.flow.final_state == "returned":
            return proposed
        return judge_by_children(proposed, self.children.tally(), self.children.failures, now)

    def _sampled(self) -> State:
        """It rests once its sample is through, and a resume runs the rest."""
        with suppress(StoreError):
            told = sampling.told(self.cuts, self.engine.store.task_runs(self.number))
            return Suspended(f"{sampling.SAMPLED} {told} {self.goes_on}", at=self.now())
        return Suspended(f"{sampling.SAMPLED} {self.goes_on}", at=self.now())

    # Attempts -------------------------------------------------------------------------------------------------------

    def enter_running(self) -> rules.Decision:
        """Begin an attempt, if it may begin now."""
        now = self.now()
        with self.lock:
            if self.tracking is not None and self.gate is not CANCELLING:
                above = self.tracking.flow_run  # which may be paused: this run could not be
                self.gate, self.moved, self.suspending = above.gate, above.moved, above.suspending
            decision = rules.decide(self, Running(at=now), self.policy, now)
            if isinstance(decision, rules.Accept):
                self.attempts += 1
                (self.enter if self.attempts == 1 else self._ask)(decision.state)
        return decision

    def decide_end(self, final: State, draw: float) -> State | None:
        """The state that it ends in, whatever is asked for from now on; null if another attempt will come."""
        now = self.now()
        with self.lock:
            if self.timed_out and self.state.type is not CANCELLING:
                self.gate = RUNNING  # closed by the time limit, and not by anybody
            if self.state.type is CANCELLING and not (final.is_crashed() or final.is_cancelled()):
                final = Cancelled(self.state.message, at=now)  # it came after the body's end, and was told yes
            decision = rules.decide(self, final, self.policy, now, draw)
            if isinstance(decision, rules.Reject):
                self._begin_again(decision.state)
                return None
            self.gate = CANCELLING
            return final

    def _begin_again(self, state: State) -> None:
        """Another attempt will come: what this one did is remembered, and the gate is open again.

        Bodies that are still at work get no place in it, neither in the record nor on a worker.
        """
        for run in list(self.bodies.values()):
            if leave_behind(run, self.deserted, self.runner.desert):
                self.bodies.pop(run.number, None)
        run_logs.tried_again(self.frame, state)
        self._ask(state)  # behind whatever was asked for and is not kept yet
        self.stopped = Latch()
        self.timed_out = False
        self.pauses.begin_again()
        self.identities = Identities(self.number, self.links, self.parameters)
        self.children = Children()
        self.cuts = []
        if self.recall is not None:
            self.recall.begin_again()

    @property
    def told_to_end(self) -> bool:
        """True once the body is to go no further."""
        return self.timed_out or self.state.type is CANCELLING

    def _time_out(self) -> None:
        self.timed_out = True
        self.stop()
        interrupt(self)

    def time_is_up(self, final: State) -> State:
        """The end of the time limit: nothing is timed out after this.  Gives the state that the attempt ends in."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.end()
        return self._too_late() if self.timed_out and self.state.type is not CANCELLING else final

    def _too_late(self) -> State:
        return TimedOut(self.flow.limit_seconds or 0.0, f"The flow run {self.name!r}", at=self.now())

    # Control --------------------------------------------------------------------------------------------------------

    def enter(self, state: State) -> None:
        """Be in a state that is not final and that nobody asked for; show it now, keep it before long."""
        self.state = state
        self.engine.note(self.event(state))

    # End ------------------------------------------------------------------------------------------------------------

    def keep(self, state: State) -> tuple[State, FlowState]:
        """Save what the final state holds; the state to go on with, and the event of its end."""
        if state.is_suspended():
            return state, self.event(state, pause=self.pauses.pass_on(None, answered=False))
        if not _is_aggregate(state.data):
            state, blob = self.saving.keep(state, self.seconds(state.timestamp), (self.number, 0))
            return state, self.event(state, result=blob)
        return state, self.event(state)

    def seconds(self, now: float) -> float:
        """Seconds since it came into this process."""
        return now - self._taken_up

    def end(self, state: State) -> None:
        """The final state is kept: let go of everything, tell everybody."""
        with self.lock:
            self.state = state
            self.gate = CANCELLING
        if state.is_cancelled() and on_main_thread():
            guard.drop()  # what was sent to end the body
        self.args, self.kwargs = (), {}
        self.links = LinkTable()
        self.recall = None
        self.runner.close()
        self.engine.forget(self.number)
        self.moved.set()
        self.stopped.set()
        self.finished.set()

    def unobserved(self) -> int:
        """Task runs that did not complete."""
        return self.children.unsuccessful()


def _is_aggregate(data: Any) -> bool:
    """True for the states of other runs, which have saved their results themselves."""
    return isinstance(data, State) or (isinstance(data, (list, tuple, set)) and any(isinstance(x, State) for x in data))
