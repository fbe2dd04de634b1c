"""A task run that has ended, as a future that was pickled brings it along: no store and no engine is needed for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from .errors import MissingResult, NotSendable, UpstreamNotCompleted
from .latch import Latch
from .model.record import record
from .model.states import State, StateType, Unloaded

if TYPE_CHECKING:
    from .run.task_run import TaskRun


@record
class Ended:
    """What there is to know of it."""

    name: str
    flow_run: int
    number: int
    run_count: int
    seconds: float | None
    identity: Any
    state: State

    @classmethod
    def of(cls, run: TaskRun) -> Ended:
        """All of a task run.  Raises `NotSendable` for one that has not ended."""
        if not run.done():
            raise NotSendable(
                f"The future of {run.name!r} cannot be pickled before its task run has ended. Wait for it first, or "
                "hand it to a task as an argument, which waits."
            )
        state = run.state
        if isinstance(state.data, Unloaded):
            try:
                state = state.with_data(state.data.load())
            except MissingResult:
                state = state.without_data()
        return cls(run.name, run.flow_run.number, run.number, run.run_count, run.took(), run.identity, state)


class EndedRun(Latch):
    """What a future asks of a task run."""

    __slots__ = ("_ended", "attempts", "flow_run", "identity", "name", "native", "number", "run_count", "state")

    def __init__(self, ended: Ended) -> None:
        super().__init__()
        self.set()
        self._ended = ended
        self.name, self.number, self.run_count = ended.name, ended.number, ended.run_count
        self.flow_run = SimpleNamespace(number=ended.flow_run)
        self.identity, self.state = ended.identity, ended.state
        self.attempts = 0
        self.native = None

    def took(self) -> float | None:
        """Seconds of the last attempt."""
        return self._ended.seconds

    def recorded_state(self) -> State:
        """The state that it ended in."""
        return self.state

    def value(self, raise_on_failure: bool = True) -> Any:
        """What the function returned; raises what it raised, or returns it instead."""
        __tracebackhide__ = True
        if self.state.type is not StateType.PENDING:
            return self.state.result(raise_on_failure)
        error = UpstreamNotCompleted(f"{self.name} never began: {self.state.message}")
        if raise_on_failure:
            raise error
        return error
