"""The task runs of one attempt of a flow run: which are open, and how the others ended."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from ..latch import Latch
from ..model.states import TERMINAL, UNSUCCESSFUL, State, StateType

if TYPE_CHECKING:
    from .task_run import TaskRun

KEPT_FAILURES = 1_000
"""States of unsuccessful task runs that are kept; the counts go on beyond."""


class Children:
    """The task runs of one attempt.  Safe from any thread, under the lock of the flow run."""

    __slots__ = ("_lock", "_none_left", "failures", "open", "raised", "tally")

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._none_left: Latch | None = None
        self.open: dict[int, TaskRun] = {}
        self.tally = dict.fromkeys(StateType, 0)
        self.failures: list[State] = []
        self.raised: set[int] = set()
        """Crashed task runs whose exception has reached somebody who asked for their result."""

    def ended(self, run: TaskRun) -> None:
        """Count the end of a task run."""
        state = run.state
        with self._lock:
            self.tally[state.type] += 1
            if state.type is not StateType.COMPLETED and len(self.failures) < KEPT_FAILURES:
                self.failures.append(state)
            del self.open[run.number]
            latch = None if self.open else self._none_left
        if latch is not None:
            latch.set()

    def all_ended(self) -> Latch:
        """Opens when no task run is left open."""
        with self._lock:
            latch = self._none_left = Latch()
            none = not self.open
        if none:
            latch.set()
        return latch

    def unsuccessful(self) -> int:
        """Task runs that did not complete."""
        return sum(n for kind, n in self.tally.items() if kind in UNSUCCESSFUL or kind not in TERMINAL)

    def exit(self) -> BaseException | None:
        """An interrupt or an exit that a task run crashed with, and nobody was told: the flow is not to end as if
        nothing had happened."""
        for state in self.failures:
            told = state.origin is not None and state.origin[1] in self.raised
            if state.type is StateType.CRASHED and isinstance(state.data, (KeyboardInterrupt, SystemExit)) and not told:
                return state.data
        return None
