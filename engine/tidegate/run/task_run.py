"""A task run in the process that owns it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from dataclasses import replace
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from ..context import Frame
from ..errors import UpstreamNotCompleted
from ..failed_inputs import held_along
from ..latch import Latch
from ..model.events import TaskState
from ..model.states import (
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    PENDING,
    RUNNING,
    UNSUCCESSFUL,
    Cancelled,
    State,
    StateType,
    TimedOut,
)
from ..model.views import PENDING_STATE
from ..results.blob import is_saved
from ..rules.decide import RetryPolicy
from ..rules.outcome import of_error, of_return
from ..run_names import fill_in
from ..tags import NONE
from .bodies import interrupt, leave_behind, quiet
from .deadline import Deadline
from .drivers import advance
from .identity import Identity

if TYPE_CHECKING:
    from ..cache_policies import CacheKey
    from ..hits import Hit
    from ..hooks import Hooks
    from ..inputs import Inputs
    from ..tag_slots import Ticket
    from .called import Called
    from .effects import Lifecycle
    from .flow_run import FlowRun
    from .task_here import TaskHere


ONCE = RetryPolicy()
_NO_KWARGS: dict[str, Any] = {}  # of all that have none: to keep one for each is to keep ten thousand of a map
_NO_CONTEXT = Context()


class TaskRun(Latch):
    """One call of a task: its inputs, its present state, what runs it now.  As a latch, it opens when its end is saved.

    There may be a hundred thousand of them waiting, so each is one object, and has nothing before it needs it: the
    garbage collector's work grows with every object that is kept.
    """

    __slots__ = (
        "args", "attempts", "before", "cache_key", "cached", "called", "caller", "carry_on", "context", "deadline",
        "earlier", "flow_run", "fn", "given_name", "handle", "here", "index", "inputs", "key", "kwargs",
        "lifecycle", "native", "nth", "number", "reopened", "seconds", "state", "tags", "task", "ticket", "unchanged",
        "why_missed",
    )  # fmt: skip

    def __init__(self, flow_run: FlowRun, number: int, index: int, task: Called) -> None:
        self._done, self._callbacks = False, None
        self.flow_run, self.number = flow_run, number
        self.task = task
        self.fn = task.body
        self.index = index
        self.args: tuple[Any, ...] = ()
        self.kwargs, self.context = _NO_KWARGS, _NO_CONTEXT
        """The caller's context variables, for submitted runs; also what sends their output to the caller's cell.
        Shared by all runs of a map until `advance` takes a copy of its own."""
        self.inputs: Inputs | None = None
        self.key, self.nth = "", 0
        self.state: State = PENDING_STATE
        self.attempts = 0
        self.seconds: float | None = None
        """How long its last attempt took; null if it has not ended, or did not have to run."""
        self.before: bytes | None = None
        """What an earlier process kept of its result, for the case that it runs once more all the same."""
        self.unchanged = False
        """True if it ran once more, and what came of it is what it was."""
        self.earlier = 0
        """How often it entered RUNNING in earlier attempts of its flow run."""
        self.reopened = ""
        """Why it may begin once more, though it has ended, in this attempt of its flow run; see `RunFacts`."""
        self.given_name, self.tags = "", NONE
        self.handle: Any = None
        self.caller: TaskRun | None = None
        """The task run whose code has called this one and waits for it; null for submitted ones."""
        self.called: set[TaskRun] | None = None
        """The task runs that its code has called and waits for."""
        self.cached: Hit | None = None
        """What the cache has for it."""
        self.cache_key: CacheKey | None = None
        self.why_missed = ""
        """Why the cache had no result for it; empty if it was not asked."""
        self.carry_on: Callable[[State], object] | None = None
        """Goes on with the lifecycle at the end of an attempt; for runs on workers that have a time limit."""
        self.deadline: Deadline | None = None
        self.lifecycle: Lifecycle | None = None
        self.native: Any = None  # where a cluster has what it returned as well
        self.here: TaskHere
        """What its flow run keeps about the task."""
        self.ticket: Ticket | None = None
        """What it asks for, or holds, of the slots of limited tags."""

    def again(self, task: Called) -> TaskRun:
        """The same task run in the next attempt of its flow run: if it did not complete, it may try again."""
        run = TaskRun(self.flow_run, self.number, self.index, task)
        run.state, run.given_name = self.state, self.given_name
        run.earlier, run.seconds = self.earlier + self.attempts, self.seconds
        if self.state.type in UNSUCCESSFUL:
            run.reopened = "Retrying"
        return run

    @property
    def name(self) -> str:
        """``locate-17``, or the name that its `task_run_name` gave it."""
        return self.given_name or f"{self.task.name}-{self.index}"

    @property
    def identity(self) -> Identity:
        """Which call of its task it is."""
        return Identity(self.key, self.nth)

    @property
    def frame(self) -> Frame:
        """What the function sees as the innermost run."""
        return Frame(self.flow_run, self)

    @property
    def gate(self) -> StateType:
        """The gate of its flow run."""
        return self.flow_run.gate

    @property
    def policy(self) -> RetryPolicy:
        """When it is tried again; a subflow sees to that itself."""
        return ONCE if self.task.is_flow else self.task.policy

    @property
    def run_count(self) -> int:
        """How often it entered RUNNING, in all attempts of its flow run."""
        return self.earlier + self.attempts

    @property
    def is_kept(self) -> bool:
        """True if its end is that of an earlier attempt, and stays whatever ends the wait for its inputs."""
        return self.state.is_final() and not self.reopened

    def took(self) -> float | None:
        """Seconds of the last attempt, or of the present one so far; null if there was none."""
        return self.now() - self.state.timestamp if self.state.type is RUNNING else self.seconds

    def now(self) -> float:
        """Seconds since the epoch, by the clock of its flow run."""
        return self.flow_run.now()

    def enter(self, state: State) -> None:
        """Be in a state that is not final; show it now, keep it before long."""
        if state.type is RUNNING:
            self.attempts += 1
        self.state = state
        event = self.event(state)
        if self.reopened and state.type is RUNNING:
            event = replace(event, source=self.flow_run.of(self.task).source)
        self.flow_run.engine.note(event)

    def mirror(self, state: State) -> None:
        """The subflow that it stands for is in a state that is not final."""
        with self.flow_run.lock:
            if not self.flow_run.children.is_claimed(self):
                self.state = state
                self.flow_run.engine.note(self.event(state))

    def event(self, state: State, result: bytes | None = None) -> TaskState:
        """The event of entering a state."""
        count = self.earlier + self.attempts
        return TaskState(self.flow_run.number, state.timestamp, self.number, state, count, self.given_name, result)

    def called_by(self, caller: TaskRun) -> None:
        """The code of `caller` waits for this one: if its time is up, so is that of this one."""
        self.caller = caller
        if caller.called is None:
            caller.called = set()
        caller.called.add(self)

    def __call__(self) -> None:
        """A submitted run is itself the job of a worker: it is carried on until it has to wait."""
        advance(self)

    # Body -----------------------------------------------------------------------------------------------------------

    def call(self) -> Any:
        """Call the task's function with the inputs; a coroutine if it is async."""
        __tracebackhide__ = True
        return self.fn(*self.args, **self.kwargs)

    def entered(self, handle: Any) -> None:
        """The function begins, on this thread (its ident) or asyncio task."""
        self.handle = handle
        self.flow_run.bodies[self.number] = self
        if self.flow_run.gate is CANCELLING:
            raise KeyboardInterrupt  # whoever closed the gate did not find it among the bodies
        seconds = self.task.limit_seconds
        if seconds is not None and not self.task.is_flow:
            portal = self.flow_run.engine.portal
            desert = None if self.carry_on is None else self._desert
            self.deadline = Deadline(seconds, portal, self._overrun, desert)
            self.deadline.start()

    def left(self) -> None:
        """The function has ended."""
        in_time = self.deadline is None or self.deadline.end()
        quiet(self)
        deserted, bodies = self.flow_run.deserted, self.flow_run.bodies
        if deserted and deserted.get(get_ident()) is self:
            del deserted[get_ident()]  # somebody else may be at this run by now
        elif in_time and bodies.get(self.number) is self:  # a late one may find a later attempt of the flow there
            del bodies[self.number]

    def judge(self, value: Any, error: BaseException | None) -> State:
        """The state that the end of the function proposes."""
        now = self.flow_run.now()
        if self.deadline is not None and self.deadline.passed:
            return self._timed_out()
        if error is None:
            return of_return(value, now, (self.flow_run.number, self.number))
        return of_error(error, self.cancelling, now)

    @property
    def overdue(self) -> bool:
        """True once the time of the present attempt is up, or that of the task which has called it."""
        return (self.deadline is not None and self.deadline.passed) or self._caller_overdue

    @property
    def _caller_overdue(self) -> bool:
        return self.caller is not None and self.caller.overdue

    @property
    def cancelling(self) -> bool:
        """True once it is to end because something around it does: that is no crash."""
        return self.flow_run.gate is CANCELLING or self._caller_overdue

    def _timed_out(self) -> State:
        return TimedOut(self.task.limit_seconds or 0.0, f"The task run {self.name!r}", at=self.now())

    def _overrun(self) -> None:
        inner = [run for run in list(self.called or ()) if run.called or run.handle is not None]
        for run in inner:
            run._overrun()
        if not inner:  # else it learns of it when those have ended
            self.interrupt_body()

    def _desert(self, thread: int) -> None:
        """Leave a worker behind that does not end: the run goes on without it, and another has its place."""
        flow_run = self.flow_run
        flow_run.bodies.pop(self.number, None)
        leave_behind(self, flow_run.deserted, flow_run.runner.desert, thread)
        for run in list(self.called or ()):
            run.give_up(f"The time of {self.name!r}, which had called it, was up.")
        self.context = self.context.copy()  # that thread is still in the other one
        if self.carry_on is not None:
            flow_run.runner.submit(partial(self.carry_on, self._timed_out()))

    def give_up(self, why: str) -> None:
        """End it although its function may be at work; whatever comes of that is refused."""
        if self.claim_end():
            if self.is_kept:
                self.end(self.state)
                return
            state = Cancelled(why, at=self.now()).of_run(self.flow_run.number, self.number)
            self.flow_run.bodies.pop(self.number, None)
            self.flow_run.engine.commit_soon(self.event(state), partial(self.end, state))
        for run in list(self.called or ()):
            run.give_up(why)

    # Before and after ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """The inputs are in place: name the run, and look whether its result is there already.

        Raises what the user's template or key function raises.
        """
        task = self.task
        if task.run_name is not None and not self.given_name and not task.is_flow:
            self.given_name = fill_in(task.run_name, task.arguments(self.args, self.kwargs))
        replay = self.flow_run.replay
        self.cached = self.cached if replay is None else replay.hit(self)
        caching = task.caching
        if caching is not None and self.cached is None and (self.reopened or not self.state.is_final()):
            self.cache_key = caching.key(self)
            if self.cache_key is not None:
                self.cached, self.why_missed = caching.look_up(self, self.cache_key)

    def keep(self, state: State) -> tuple[State, TaskState]:
        """Save what a final state holds; the state to go on with, and the event of its end."""
        flow_run = self.flow_run
        if self.task.is_flow:  # the subflow has saved it
            return state, self.event(state)
        saving, place = self.here.saving, (flow_run.number, self.number)
        if self.cached is not None and state.name == "Cached":
            state, blob = saving.keep_hit(state, self.cached.blob, place)
            return state, self.event(state, blob)
        if self.state.type is RUNNING:
            self.seconds = state.timestamp - self.state.timestamp
        if state.type is FAILED:
            with self._inputs_along(state, place):
                state, blob = saving.keep(state, self.seconds or 0.0, place)
        else:
            state, blob = saving.keep(state, self.seconds or 0.0, place)
        self.unchanged = self.before is not None and blob == self.before
        event = self.event(state, blob)
        caching, key = self.task.caching, self.cache_key
        if caching is not None and key is not None and is_saved(blob) and state.name == "Completed":
            event = replace(event, cache=caching.entry(self, key, state.timestamp))
        return state, event

    def _inputs_along(self, state: State, place: tuple[int, int]) -> AbstractContextManager[None]:
        """While its failure is saved, the inputs are saved with it."""
        flow_run = self.flow_run
        error = state.data
        if not isinstance(error, Exception) or flow_run.of(self.task).saving.policy is False:
            return nullcontext()
        return held_along(error, place, self.task.arguments(self.args, self.kwargs), flow_run.failed_inputs)

    def hooks(self, kind: StateType) -> Hooks | None:
        """Whom to tell; the run that stands for a subflow tells nobody, the subflow does."""
        return None if self.task.is_flow else self.task.hooks.get(kind)

    def claim_end(self) -> bool:
        """True for the one who may end this run: its own lifecycle, or the flow run that gave up waiting for it."""
        flow_run = self.flow_run
        if self.task.is_flow:
            with flow_run.lock:  # not while `mirror` is at it
                return flow_run.children.claim(self)
        return flow_run.children.claim(self)

    def end(self, state: State) -> None:
        """The final state is kept: link the result, let go of the inputs, tell everybody."""
        if self.flow_run.replay is not None:
            self.flow_run.replay.ended(self, state)
        self.state = state
        if self.ticket is not None:  # given up while its body is at work
            self.flow_run.engine.tag_slots.leave(self.ticket)
        if state.type is COMPLETED:
            self.flow_run.link(state, self.number)
            self.args, self.kwargs, self.context = (), _NO_KWARGS, _NO_CONTEXT  # else `MapResult.retry` needs them
        self.inputs, self.lifecycle, self.cached = None, None, None
        if self.caller is not None and self.caller.called is not None:
            self.caller.called.discard(self)
        self.flow_run.children.ended(self)
        self.set()

    def recorded_state(self) -> State:
        """The state that the store has of it now."""
        row = self.flow_run.engine.store.task_run(self.flow_run.number, self.number)
        return PENDING_STATE if row is None else self.flow_run.of(self.task).saving.recorded(row)

    def value(self, raise_on_failure: bool = True) -> Any:
        """What the function returned, once the run has ended; raises what it raised, or returns it instead.

        Raises `UpstreamNotCompleted` if it never began.
        """
        __tracebackhide__ = True
        state = self.state
        if state.type is not COMPLETED and not state.is_final():
            self.flow_run.go_no_further()
        if state.type is PENDING:
            error = UpstreamNotCompleted(f"{self.name} never began: {state.message}")
            if raise_on_failure:
                raise error
            return error
        if state.type is CRASHED:
            self.flow_run.children.raised.add(self.number)
        return state.result(raise_on_failure)

    def interrupt_body(self) -> None:
        """Have the user's code end, if it is at work and can be reached."""
        handle = self.handle
        if isinstance(handle, int) and handle == get_ident():
            return  # it is this very thread that asks
        interrupt(self)
