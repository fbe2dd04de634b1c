"""The task runs of one attempt of a flow run: which are open, and how the others ended."""

from __future__ import annotations

from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from ..latch import Latch
from ..model.states import COMPLETED, CRASHED, TERMINAL, UNSUCCESSFUL, State, StateType

if TYPE_CHECKING:
    from .task_run import TaskRun

KEPT_FAILURES = 1_000
"""States of unsuccessful task runs that are kept; the counts go on beyond."""


class Children:
    """The task runs of one attempt.  Safe from any thread.

    A task run that completes takes no lock here, each step is one operation of the interpreter.  Under a lock that all
    of them share, threads that compute end up in a line: the next one is handed the lock while it still waits for the
    interpreter, so that from then on every task is two switches of threads, and a map takes twice its time.
    """

    __slots__ = ("_completed", "_lock", "_none_left", "_unclaimed", "_unsuccessful", "failures", "open", "raised")

    def __init__(self) -> None:
        self._lock = Lock()
        self._none_left: Latch | None = None
        self.open: dict[int, TaskRun] = {}
        self._unclaimed: set[TaskRun] = set()
        self._completed = count()
        self._unsuccessful = dict.fromkeys(StateType, 0)
        self.failures: list[State] = []
        self.raised: set[int] = set()
        """Crashed task runs whose exception has reached somebody who asked for their result."""

    def add(self, run: TaskRun) -> None:
        """A task run is open from now on."""
        self._unclaimed.add(run)
        self.open[run.number] = run

    def claim(self, run: TaskRun) -> bool:
        """True for the first who asks, who is then to end the run."""
        try:
            self._unclaimed.remove(run)
        except KeyError:
            return False
        return True

    def is_claimed(self, run: TaskRun) -> bool:
        """True once somebody ends the run."""
        return run not in self._unclaimed

    def ended(self, run: TaskRun) -> None:
        """Count the end of a task run."""
        state = run.state
        if state.type is COMPLETED:
            next(self._completed)
        else:
            with self._lock:
                self._unsuccessful[state.type] += 1
                if len(self.failures) < KEPT_FAILURES:
                    self.failures.append(state)
        del self.open[run.number]
        if self._none_left is not None and not self.open:
            self._none_left.set()

    def reopen(self, ended: TaskRun, run: TaskRun) -> None:
        """A task run that did not complete is open once more, as `run`; how it had ended does not count."""
        with self._lock:
            self._unsuccessful[ended.state.type] -= 1
            self.failures = [each for each in self.failures if each is not ended.state]
            self.raised.discard(ended.number)
        self.add(run)

    def all_ended(self) -> Latch:
        """Opens when no task run is left open."""
        latch = self._none_left = Latch()  # first, so that the last one finds it, or is found to have gone
        if not self.open:
            latch.set()
        return latch

    def tally(self) -> dict[StateType, int]:
        """How many ended in which state.  To be asked once, when all have: it counts itself."""
        return {**self._unsuccessful, COMPLETED: next(self._completed)}

    def unsuccessful(self) -> int:
        """Task runs that did not complete."""
        return sum(n for kind, n in self._unsuccessful.items() if kind in UNSUCCESSFUL or kind not in TERMINAL)

    def left(self) -> int:
        """Task runs that ended here without an end: they are for a later process."""
        return sum(n for kind, n in self._unsuccessful.items() if kind not in TERMINAL)

    def exit(self) -> BaseException | None:
        """An interrupt or an exit that a task run crashed with, and nobody was told: the flow is not to end as if
        nothing had happened."""
        for state in self.failures:
            told = state.origin is not None and state.origin[1] in self.raised
            if state.type is CRASHED and isinstance(state.data, (KeyboardInterrupt, SystemExit)) and not told:
                return state.data
        return None
