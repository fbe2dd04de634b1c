"""A node of the run graph: all task runs of one call site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tidegate.model.states import State, StateType

from .same_errors import SameErrors
from .task_runs import ENDED, TaskRuns

T = TypeVar("T")

LETTERS = "wradfc"
"""Waiting, running, awaiting retry, done, failed, cancelled: what a task run is, as one letter."""

WORST_FIRST = "fcarwd"
"""The same, what needs a look before what does not."""

MOST_ATTEMPTS = 255
"""Attempts of a task run, and versions of its code, that are told apart."""

PENDING = State(StateType.PENDING, "Pending")


@dataclass(slots=True)
class Member:
    """The story of one task run that did not complete."""

    number: int
    state: State
    traceback: str = ""


@dataclass(slots=True)
class Node:
    """All task runs of one call site."""

    site: int
    task: str
    subflow: bool
    first_index: int
    first_created: float
    runs: TaskRuns
    """The columns that have the task runs of the flow run."""
    members: list[int] = field(default_factory=list)
    in_a_row: bool = True
    """True if the members are numbered one after the other, so that a slice has all of them."""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LETTERS, 0))
    """By letter."""
    letters: str = ""
    """What the members were when they were counted, one letter each, in the order of the calls; empty if they are to be
    counted again."""
    state: State = PENDING
    """Of the only member, where there is one."""
    told: str = "w"
    """The letter of the member that had this state."""
    attempts: int = 0
    first_started: float | None = None
    failures: list[Member] = field(default_factory=list)
    errors: SameErrors = field(default_factory=SameErrors)
    not_ready: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    """Digests of the code that its members ran with, each with its number from 1."""
    throttled: int = 0
    _seconds: float | None = None
    """What `seconds` was found to be; a picture asks for it again and again."""

    def of(self, column: Sequence[T], beyond: int = 0) -> Iterable[T]:
        """What stands in a column of `runs` for the members, in the order of the calls; without the first `beyond`."""
        members = self.members
        if self.in_a_row:
            return column[members[beyond] : members[-1] + 1]
        return map(column.__getitem__, members[beyond:])

    def count(self, letters: str) -> None:
        """The members are these now."""
        self.letters = letters
        self.counts = {each: letters.count(each) for each in LETTERS}
        self._seconds = None

    @property
    def seconds(self) -> float:
        """Spent in all by the members that had ended when they were counted, each in its last attempt."""
        if self._seconds is None:
            attempts, since, until = self.runs.attempts, self.runs.since, self.runs.until
            ended = [
                n for n, letter in zip(self.members, self.letters, strict=False) if letter in ENDED and attempts[n]
            ]
            self._seconds = sum(until[n] - since[n] for n in ended)
        return self._seconds

    @property
    def ended(self) -> int:
        """Members that have ended."""
        counts = self.counts
        return counts["d"] + counts["f"] + counts["c"]

    def version(self, digest: str) -> int:
        """The number of that code among those of this node, which may be new."""
        return min(self.versions.setdefault(digest, len(self.versions) + 1), MOST_ATTEMPTS)

    def failure(self, number: int) -> Member | None:
        """The story of that failed member, as far as it is kept."""
        return next((each for each in self.failures if each.number == number), None)
