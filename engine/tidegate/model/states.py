"""States: what can be said of a flow run or a task run at one moment.

A state has a *type*, which rules decide by, and a *name*, which people read: ``FAILED/TimedOut`` is a failure whose
name says why.  Types and names are those of Prefect 2.7 and its successors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from ..errors import CancelledRun, CrashedRun, FailedRun, MissingResult, PausedRun, UntrustedResult
from .record import become
from .tracking import is_untrackable


class StateType(Enum):
    """The kinds of state that rules tell apart.  The last four are terminal."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"

    # An enum's own hash runs Python code; the identity is as good and is looked up several times per task run.
    __hash__ = object.__hash__


# By these names where each task run comes along: Python 3.11 is slow to find the member of an enum.
SCHEDULED, PENDING, RUNNING = StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING
PAUSED, CANCELLING, COMPLETED = StateType.PAUSED, StateType.CANCELLING, StateType.COMPLETED
FAILED, CRASHED, CANCELLED = StateType.FAILED, StateType.CRASHED, StateType.CANCELLED
TERMINAL = frozenset({COMPLETED, FAILED, CRASHED, CANCELLED})
UNSUCCESSFUL = frozenset({FAILED, CRASHED, CANCELLED})


class _Nothing:
    def __reduce__(self) -> str:
        return "_NOTHING"  # one and the same, wherever a state is unpickled


_NOTHING: Any = _Nothing()


class Unloaded:
    """A value that is kept somewhere and is fetched each time that it is asked for."""

    __slots__ = ()

    def load(self) -> Any:
        """The value.  Raises `MissingResult` if it is not to be had."""
        raise MissingResult("The value is gone.")


_RUN_ERRORS = {
    FAILED: FailedRun,
    CRASHED: CrashedRun,
    CANCELLED: CancelledRun,
}


@dataclass(frozen=True, slots=True)
class StateDetails:
    """Where a state comes from: numbers of runs, times in seconds since the epoch; null for what does not apply."""

    flow_run_id: int | None = None
    task_run_id: int | None = None
    child_flow_run_id: int | None = None
    scheduled_time: float | None = None
    cache_key: str | None = None
    cache_expiration: float | None = None
    untrackable: bool = False
    """True if its value, or a member of it, gives no edge when it is handed on as a plain value: null, truth values,
    small numbers, enum members, classes.  Handing on the future or the state always gives one."""


@dataclass(frozen=True, slots=True, init=False)
class State:
    """One state of a run; immutable.

    `timestamp` is in seconds since the epoch; `scheduled_time`, for scheduled states, says when the run may begin.
    `data` is what the run returned or raised, and lives in this process only: no record holds it.
    """

    type: StateType
    name: str
    message: str = ""
    timestamp: float = 0.0
    data: Any = field(default=_NOTHING, repr=False, compare=False)
    scheduled_time: float | None = None
    origin: tuple[int, int] | None = field(default=None, compare=False)
    """The flow run and the task run that ended in it, by number (0 for the flow run itself); null where nobody did."""
    extra: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """What only some states carry: `cache_key`, `cache_expiration`, `child_flow_run`."""

    def __init__(
        self: Any,
        type: StateType,  # noqa: A002
        name: str,
        message: str = "",
        timestamp: float = 0.0,
        data: Any = _NOTHING,
        scheduled_time: float | None = None,
        origin: tuple[int, int] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        # What a frozen dataclass has sets each field through `object.__setattr__`, and each task run has two states to
        # pay for.  So it is of a class that may be changed while it is filled.
        become(self, _Unfrozen)
        self.type = type
        self.name = name
        self.message = message
        self.timestamp = timestamp
        self.data = data
        self.scheduled_time = scheduled_time
        self.origin = origin
        self.extra = extra
        self.__class__ = State

    @property
    def details(self) -> StateDetails:
        """Where the state comes from."""
        flow_run, task_run = self.origin or (None, None)
        more = self.extra or {}
        return StateDetails(
            flow_run,
            task_run or None,
            more.get("child_flow_run"),
            self.scheduled_time,
            more.get("cache_key"),
            more.get("cache_expiration"),
            not isinstance(self.data, Unloaded) and is_untrackable(self.data),
        )

    def is_scheduled(self) -> bool:
        """True for every kind of SCHEDULED."""
        return self.type is SCHEDULED

    def awaits_retry(self) -> bool:
        """True between two attempts: failed and to be tried again, or throttled."""
        return self.type is SCHEDULED and self.name in ("AwaitingRetry", "Throttled")

    def is_pending(self) -> bool:
        """True for every kind of PENDING, NotReady included."""
        return self.type is PENDING

    def is_running(self) -> bool:
        """True for every kind of RUNNING."""
        return self.type is RUNNING

    def is_paused(self) -> bool:
        """True for every kind of PAUSED."""
        return self.type is PAUSED

    def is_suspended(self) -> bool:
        """True once a paused run has let go of its process: it goes on when it is resumed, wherever that is."""
        return self.type is PAUSED and self.name == "Suspended"

    def is_cancelling(self) -> bool:
        """True while a cancelled run waits for its bodies to end."""
        return self.type is CANCELLING

    def is_completed(self) -> bool:
        """True for every kind of COMPLETED."""
        return self.type is COMPLETED

    def is_failed(self) -> bool:
        """True for every kind of FAILED (not for crashes)."""
        return self.type is FAILED

    def is_crashed(self) -> bool:
        """True for every kind of CRASHED."""
        return self.type is CRASHED

    def is_cancelled(self) -> bool:
        """True once cancelled for good."""
        return self.type is CANCELLED

    def is_final(self) -> bool:
        """True for the four terminal types: nothing follows."""
        return self.type in TERMINAL

    def is_at_rest(self) -> bool:
        """True once no process has the run any more: it has ended, or is suspended."""
        return self.type in TERMINAL or self.is_suspended()

    def result(self, raise_on_failure: bool = True) -> Any:
        """What the run returned.

        A failed, crashed or cancelled state raises what it holds; with ``raise_on_failure=False`` it returns the
        exception instead.  Raises `PausedRun` for a suspended run, and `MissingResult` where there is nothing to return
        for another reason: the run has not ended, or its result was not kept.
        """
        __tracebackhide__ = True
        if self.type in UNSUCCESSFUL:
            error = self.error()
            if raise_on_failure:
                raise error
            return error
        if self.is_suspended():
            raise PausedRun(self.message or "The run is suspended.")
        data = self.data
        if data is _NOTHING:
            raise MissingResult(f"The state {self.name!r} holds no result: {self._why_missing()}.")
        return data.load() if isinstance(data, Unloaded) else data

    def error(self) -> BaseException:
        """The exception of a failed, crashed or cancelled state; raises `ValueError` for any other.

        An exception that the state holds is given as it is.  A text, or nothing but a message, stands in `FailedRun`,
        `CrashedRun` or `CancelledRun`.  Of states, also in nested containers, it is that of the first one that did not
        succeed; a `ValueError` if there is none.  Anything else gives a `TypeError`.
        """
        if self.type not in UNSUCCESSFUL:
            raise ValueError(f"A {self.name} state has no exception.")
        data = self.data
        if isinstance(data, Unloaded):
            try:
                data = data.load()
            except (MissingResult, UntrustedResult):
                data = None
        if isinstance(data, BaseException):
            return data
        if data is None or data is _NOTHING or isinstance(data, str):
            text = data if isinstance(data, str) else ""
            return _RUN_ERRORS[self.type](text or self.message or f"The run is {self.name}.")
        none = True
        for state in _states_in(data):
            if state.type in UNSUCCESSFUL:
                return state.error()
            none = False
        if none:
            kind = type(data).__name__
            return TypeError(
                f"The state {self} holds an object of type {kind}: give it an exception, a text or states."
            )
        return ValueError(f"The state {self} holds no state that failed, crashed or was cancelled.")

    def without_data(self) -> State:
        """The same state as a record keeps it, so that keeping it does not keep the result alive."""
        return self if self.data is _NOTHING else self.with_data(_NOTHING)

    def with_data(self, data: Any) -> State:
        """The same state, holding something else."""
        kept = (self.timestamp, data, self.scheduled_time, self.origin, self.extra)
        return State(self.type, self.name, self.message, *kept)

    def copy(self, **changes: Any) -> State:
        """The same state, of the same run, with some fields changed."""
        return replace(self, **changes)

    def fresh(self, at: float, extra: Mapping[str, Any] | None = None) -> State:
        """The same state for another run to enter, `at` seconds since the epoch: it is of no run yet."""
        return State(self.type, self.name, self.message, at, self.data, self.scheduled_time, extra=extra)

    def of_run(self, flow_run: int, task_run: int) -> State:
        """The same state as that of a run."""
        if self.origin == (flow_run, task_run):
            return self
        # Not `replace`: it is needed for every task run, and takes four times as long.
        where = (flow_run, task_run)
        kept = (self.timestamp, self.data, self.scheduled_time, where, self.extra)
        return State(self.type, self.name, self.message, *kept)

    def _why_missing(self) -> str:
        return "its value was not kept" if self.is_final() else "the run has not ended"

    def __str__(self) -> str:
        kind = f"{self.name}({self.message!r})" if self.message else f"{self.name}()"
        return kind if self.name.upper() == self.type.value else f"{kind} [{self.type.value}]"


class _Unfrozen:
    __slots__ = State.__slots__


def _states_in(data: Any) -> Iterator[State]:
    """The states that a value is, or that stand in lists, tuples and sets, at any depth."""
    seen: set[int] = set()
    stack = [data]
    while stack:
        each = stack.pop()
        if isinstance(each, State):
            yield each
        elif isinstance(each, (list, tuple, set, frozenset)) and id(each) not in seen:
            seen.add(id(each))
            stack.extend(reversed(list(each)))


# The constructors below are named like the classes they stand for in the field; `at` is the timestamp.


def AwaitingRetry(due: float, *, message: str = "", data: Any = _NOTHING, at: float = 0.0) -> State:  # noqa: N802
    """Failed, and will be tried again at `due` (seconds since the epoch)."""
    return State(SCHEDULED, "AwaitingRetry", message, at, data, due)


def Throttled(due: float, *, message: str = "", data: Any = _NOTHING, at: float = 0.0) -> State:  # noqa: N802
    """Asked by a service to come later, and will be tried again at `due` (seconds since the epoch): no failure yet."""
    return State(SCHEDULED, "Throttled", message, at, data, due)


def Scheduled(due: float | None = None, *, name: str = "Scheduled", at: float = 0.0) -> State:  # noqa: N802
    """Will begin at `due` (seconds since the epoch), which is now by default; named Late if it has not by then."""
    return State(SCHEDULED, name, "", at, scheduled_time=at if due is None else due)


def Pending(*, at: float = 0.0) -> State:  # noqa: N802
    """Known, but not begun."""
    return State(PENDING, "Pending", "", at)


def NotReady(message: str, *, at: float = 0.0) -> State:  # noqa: N802
    """Will not begin, because something it needs did not complete."""
    return State(PENDING, "NotReady", message, at)


def Running(name: str = "Running", *, message: str = "", at: float = 0.0) -> State:  # noqa: N802
    """At work; named Retrying, Rerunning or Resuming when it is not the first time."""
    return State(RUNNING, name, message, at)


def Paused(message: str = "", *, at: float = 0.0) -> State:  # noqa: N802
    """Starts nothing until it is resumed; what had started goes on."""
    return State(PAUSED, "Paused", message, at)


def Suspending(message: str = "", *, at: float = 0.0) -> State:  # noqa: N802
    """Will be suspended as soon as what had started has ended."""
    return State(PAUSED, "Suspending", message, at)


def Suspended(message: str = "", *, at: float = 0.0) -> State:  # noqa: N802
    """Paused, and its process has let go of it: it goes on when somebody resumes it."""
    return State(PAUSED, "Suspended", message, at)


def Cancelling(message: str = "", *, at: float = 0.0) -> State:  # noqa: N802
    """Asked to end; its bodies are still alive."""
    return State(CANCELLING, "Cancelling", message, at)


def Completed(  # noqa: N802
    data: Any = None, *, message: str = "", at: float = 0.0, origin: tuple[int, int] | None = None
) -> State:
    """Ended well, with a result."""
    return State(COMPLETED, "Completed", message, at, data, None, origin)


def Cached(data: Any, *, extra: Mapping[str, Any] | None = None, at: float = 0.0) -> State:  # noqa: N802
    """Ended well without running: an earlier run with the same cache key had the result."""
    return State(COMPLETED, "Cached", "", at, data, extra=extra)


def TimedOut(seconds: float, what: str, *, at: float = 0.0) -> State:  # noqa: N802
    """Failed because its time was up; its result raises `TimeoutError`."""
    text = f"{what} exceeded its limit of {seconds:g} s."
    return State(FAILED, "TimedOut", text, at, TimeoutError(text))


def Failed(data: Any = _NOTHING, *, message: str = "", name: str = "Failed", at: float = 0.0) -> State:  # noqa: N802
    """Ended by an exception of the user's code, or by the aggregate of states that it returned."""
    return State(FAILED, name, message, at, data)


def Crashed(data: Any = _NOTHING, *, message: str = "", name: str = "Crashed", at: float = 0.0) -> State:  # noqa: N802
    """Ended by something that is not an ordinary exception: an interrupt, an exit, a defect of the engine."""
    return State(CRASHED, name, message, at, data)


def Cancelled(message: str = "", *, at: float = 0.0) -> State:  # noqa: N802
    """Ended because somebody asked for it."""
    return State(CANCELLED, "Cancelled", message, at)
