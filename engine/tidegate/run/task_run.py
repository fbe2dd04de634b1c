"""A task run in the process that owns it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from ..context import Frame
from ..latch import Latch
from ..model.events import TaskState
from ..model.states import State, StateType
from ..model.views import PENDING
from ..rules.decide import RetryPolicy
from ..rules.outcome import of_error, of_return
from .bodies import interrupt, quiet

if TYPE_CHECKING:
    from ..concurrency import ConcurrencyLimit
    from ..inputs import Inputs
    from .effects import Lifecycle
    from .flow_run import FlowRun


class Called(Protocol):
    """What a task run is a run of: a task, or a flow called in a flow."""

    name: str
    key: str
    policy: RetryPolicy
    concurrency: int | None
    is_async: bool
    is_flow: bool
    fn: Callable[..., Any]


class TaskRun(Latch):
    """One call of a task: its inputs, its present state, what runs it now.  As a latch, it opens when its end is saved.

    There may be a hundred thousand of them waiting, so each is one object, and has nothing before it needs it: the
    garbage collector's work grows with every object that is kept.
    """

    __slots__ = (
        "_ending",
        "args",
        "attempts",
        "context",
        "flow_run",
        "fn",
        "handle",
        "index",
        "inputs",
        "kwargs",
        "lifecycle",
        "limit",
        "number",
        "state",
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
        self.handle: Any = None
        self.lifecycle: Lifecycle | None = None
        self.context: Context
        """The caller's context variables, for submitted runs; also what sends their output to the caller's cell.
        Shared by all runs of a map until `advance` takes a copy of its own."""
        self.limit: ConcurrencyLimit | None = None
        self._ending = False

    @property
    def name(self) -> str:
        """``locate-17``."""
        return f"{self.task.name}-{self.index}"

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

    def now(self) -> float:
        """Seconds since the epoch, by the engine's clock."""
        return self.flow_run.engine.now()

    def enter(self, state: State) -> None:
        """Be in a state that is not final; show it now, keep it before long."""
        if state.type is StateType.RUNNING:
            self.attempts += 1
        self.flow_run.engine.note(self.event(state))
        self.state = state

    def event(self, state: State) -> TaskState:
        """The event of entering a state."""
        return TaskState(self.flow_run.number, state.timestamp, self.number, state, self.attempts)

    # Body -----------------------------------------------------------------------------------------------------------

    def call(self) -> Any:
        """Call the task's function with the inputs; a coroutine if it is async."""
        __tracebackhide__ = True
        return self.fn(*self.args, **self.kwargs)

    def entered(self, handle: Any) -> None:
        """The function begins, on this thread (its ident) or asyncio task."""
        self.handle = handle
        self.flow_run.bodies[self.number] = self

    def left(self) -> None:
        """The function has ended."""
        self.flow_run.bodies.pop(self.number, None)
        quiet(self)

    def judge(self, value: Any, error: BaseException | None) -> State:
        """The state that the end of the function proposes."""
        now = self.now()
        if error is None:
            return of_return(value, now)
        return of_error(error, self.flow_run.gate is StateType.CANCELLING, now)

    # End ------------------------------------------------------------------------------------------------------------

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
        self.flow_run.child_ended(self)
        self.set()

    def interrupt_body(self) -> None:
        """Have the user's code end, if it is at work and can be reached."""
        handle = self.handle
        if isinstance(handle, int) and handle == get_ident():
            return  # it is this very thread that asks
        interrupt(self)
