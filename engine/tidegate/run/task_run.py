"""A task run in the process that owns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from ..context import Frame
from ..errors import UpstreamNotCompleted
from ..latch import Latch
from ..model.events import TaskState
from ..model.states import UNSUCCESSFUL, State, StateType, TimedOut
from ..model.views import PENDING
from ..rules.decide import RetryPolicy
from ..rules.outcome import of_error, of_return
from ..run_names import RunName, fill_in
from ..tags import NONE
from .bodies import interrupt, quiet
from .deadline import Deadline

if TYPE_CHECKING:
    from ..concurrency import ConcurrencyLimit
    from ..hooks import Hooks
    from ..inputs import Inputs
    from .effects import Lifecycle
    from .flow_run import FlowRun


class Called(Protocol):
    """What a task run is a run of: a task, or a flow called in a flow."""

    name: str
    key: str
    concurrency: int | None
    limit_seconds: float | None
    """Seconds that one attempt may take; null for any."""
    tags: frozenset[str]
    hooks: Mapping[StateType, Hooks]
    run_name: RunName | None
    is_async: bool
    is_flow: bool
    fn: Callable[..., Any]

    @property
    def policy(self) -> RetryPolicy:
        """When its runs are tried again."""
        ...

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by parameter, defaults filled in."""
        ...


class TaskRun(Latch):
    """One call of a task: its inputs, its present state, what runs it now.  As a latch, it opens when its end is saved.

    There may be a hundred thousand of them waiting, so each is one object, and has nothing before it needs it: the
    garbage collector's work grows with every object that is kept.
    """

    __slots__ = (
        "_ending",
        "args",
        "attempts",
        "cached",
        "carry_on",
        "context",
        "deadline",
        "earlier",
        "flow_run",
        "fn",
        "given_name",
        "handle",
        "index",
        "inputs",
        "kwargs",
        "lifecycle",
        "limit",
        "number",
        "reopened",
        "state",
        "tags",
        "task",
    )

    def __init__(self, flow_run: FlowRun, number: int, task: Called, index: int) -> None:
        self._done = False
        self._callbacks = None
        self.flow_run = flow_run
        self.number = number
        self.task = task
        self.fn = task.fn
        self.index = index
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.inputs: Inputs | None = None
        self.state: State = PENDING
        self.attempts = 0
        self.earlier = 0
        """How often it entered RUNNING in earlier attempts of its flow run."""
        self.reopened = ""
        """Why it may begin once more, though it has ended, in this attempt of its flow run; see `RunFacts`."""
        self.given_name = ""
        self.tags = NONE
        self.handle: Any = None
        self.cached: State | None = None
        """The state of an earlier run with the same cache key."""
        self.carry_on: Callable[[State], object] | None = None
        """Goes on with the lifecycle at the end of an attempt; for runs on workers that have a time limit."""
        self.deadline: Deadline | None = None
        self.lifecycle: Lifecycle | None = None
        self.context: Context
        """The caller's context variables, for submitted runs; also what sends their output to the caller's cell.
        Shared by all runs of a map until `advance` takes a copy of its own."""
        self.limit: ConcurrencyLimit | None = None
        self._ending = False

    def again(self, task: Called) -> TaskRun:
        """The same task run in the next attempt of its flow run: if it did not complete, it may try again."""
        run = TaskRun(self.flow_run, self.number, task, self.index)
        run.state, run.given_name = self.state, self.given_name
        run.earlier = self.earlier + self.attempts
        if self.state.type in UNSUCCESSFUL:
            run.reopened = "Retrying"
        return run

    @property
    def name(self) -> str:
        """``locate-17``, or the name that its `task_run_name` gave it."""
        return self.given_name or f"{self.task.name}-{self.index}"

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
        """When it is tried again."""
        return self.task.policy

    @property
    def run_count(self) -> int:
        """How often it entered RUNNING, in all attempts of its flow run."""
        return self.earlier + self.attempts

    def now(self) -> float:
        """Seconds since the epoch, by the engine's clock."""
        return self.flow_run.engine.now()

    def enter(self, state: State) -> None:
        """Be in a state that is not final; show it now, keep it before long."""
        if state.type is StateType.RUNNING:
            self.attempts += 1
        self.state = state
        self.flow_run.engine.note(self.event(state))

    def event(self, state: State, result: bytes | None = None) -> TaskState:
        """The event of entering a state."""
        place = (self.flow_run.number, state.timestamp, self.number)
        return TaskState(*place, state, self.earlier + self.attempts, self.given_name, result)

    # Body -----------------------------------------------------------------------------------------------------------

    def call(self) -> Any:
        """Call the task's function with the inputs; a coroutine if it is async."""
        __tracebackhide__ = True
        return self.fn(*self.args, **self.kwargs)

    def entered(self, handle: Any) -> None:
        """The function begins, on this thread (its ident) or asyncio task."""
        self.handle = handle
        self.flow_run.bodies[self.number] = self
        if self.flow_run.gate is StateType.CANCELLING:
            raise KeyboardInterrupt  # whoever closed the gate did not find it among the bodies
        seconds = self.task.limit_seconds
        if seconds is not None and not self.task.is_flow:
            portal = self.flow_run.engine.portal
            desert = None if self.carry_on is None else self._desert
            self.deadline = Deadline(seconds, portal, self.interrupt_body, desert)

    def left(self) -> None:
        """The function has ended."""
        if self.deadline is not None and not self.deadline.end():
            self.flow_run.deserted.pop(get_ident(), None)
            return  # it had been given up, and somebody else may be at this run by now
        bodies = self.flow_run.bodies
        if bodies.get(self.number) is self:  # a late one may find a later attempt of the flow there
            del bodies[self.number]
        quiet(self)

    def judge(self, value: Any, error: BaseException | None) -> State:
        """The state that the end of the function proposes."""
        now = self.now()
        if self.deadline is not None and self.deadline.passed:
            return self._timed_out()
        if error is None:
            return of_return(value, now)
        return of_error(error, self.flow_run.gate is StateType.CANCELLING, now)

    @property
    def overdue(self) -> bool:
        """True once the time of the present attempt is up."""
        return self.deadline is not None and self.deadline.passed

    def _timed_out(self) -> State:
        return TimedOut(self.task.limit_seconds or 0.0, f"The task run {self.name!r}", at=self.now())

    def _desert(self, thread: int) -> None:
        """Leave a worker behind that does not end: the run goes on without it, and another has its place."""
        flow_run = self.flow_run
        flow_run.deserted[thread] = self.name
        flow_run.bodies.pop(self.number, None)
        self.handle = None
        self.context = self.context.copy()  # that thread is still in the other one
        flow_run.runner.desert(thread)
        if self.carry_on is not None:
            flow_run.runner.submit(partial(self.carry_on, self._timed_out()))

    # Before and after ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """The inputs are in place: name the run.  Raises what the user's template raises."""
        task = self.task
        if task.run_name is not None and not self.given_name:
            self.given_name = fill_in(task.run_name, task.arguments(self.args, self.kwargs))

    def keep(self, state: State) -> bytes | None:
        """What the record keeps of the value of its end."""
        return None

    def hooks(self, kind: StateType) -> Hooks | None:
        """Whom to tell; the run that stands for a subflow tells nobody, the subflow does."""
        return None if self.task.is_flow else self.task.hooks.get(kind)

    def claim_end(self) -> bool:
        """True for the one who may end this run: its own lifecycle, or the flow run that gave up waiting for it."""
        with self.flow_run.lock:
            if self._ending:
                return False
            self._ending = True
            return True

    def end(self, state: State) -> None:
        """The final state is kept: link the result, let go of the inputs, tell everybody."""
        self.state = state
        if state.type is StateType.COMPLETED:
            self.flow_run.link(state, self.number)
        self.args, self.kwargs, self.inputs, self.lifecycle = (), {}, None, None
        self.flow_run.children.ended(self)
        self.set()

    def value(self, raise_on_failure: bool = True) -> Any:
        """What the function returned, once the run has ended; raises what it raised, or returns it instead.

        Raises `UpstreamNotCompleted` if it never began.
        """
        __tracebackhide__ = True
        state = self.state
        if state.type is StateType.PENDING:
            error = UpstreamNotCompleted(f"{self.name} never began: {state.message}")
            if raise_on_failure:
                raise error
            return error
        if state.type is StateType.CRASHED:
            self.flow_run.children.raised.add(self.number)
        return state.result(raise_on_failure)

    def interrupt_body(self) -> None:
        """Have the user's code end, if it is at work and can be reached."""
        handle = self.handle
        if isinstance(handle, int) and handle == get_ident():
            return  # it is this very thread that asks
        interrupt(self)
