"""The task runs of one flow run, as columns of a few bytes each.

Nearly all that happens to them is that one begins or completes.  Both are written into the columns where they happen,
on whatever thread that is: kept as events until the next drawing they were objects, which grew old by the ten thousand,
and the garbage collector went through them over and over while the run waited.
"""

from __future__ import annotations

import threading
from array import array
from contextlib import suppress

from tidegate.model.events import TaskState
from tidegate.model.states import COMPLETED, RUNNING

_ROOM = 1024
"""So many task runs the columns grow by."""

ENDED = "dfc"


class TaskRuns:
    """What is known of each task run, by its number.

    The columns may be read on any thread, and written for one task run by one thread at a time.
    """

    __slots__ = ("_lock", "attempts", "letters", "odd", "since", "until", "versions")

    def __init__(self) -> None:
        self.letters: list[str] = []
        """What it is, as one of `node.LETTERS`."""
        self.since = array("d")
        """When its last attempt began; 0 for none."""
        self.until = array("d")
        """When it entered the last state in which it was not at work."""
        self.attempts = bytearray()
        """How often it was begun."""
        self.versions = bytearray()
        """Which version of the code of its node it has, counted from 1."""
        self.odd: dict[int, str] = {}
        """Those that are NotReady or Throttled: the letter alone does not tell them."""
        self._lock = threading.Lock()
        self.make_room(0)

    def make_room(self, number: int) -> None:
        """Have room for the task run of that number."""
        with self._lock:
            more = number + _ROOM - len(self.letters)
            if more < _ROOM:
                return
            self.since.frombytes(bytes(8 * more))
            self.until.frombytes(bytes(8 * more))
            self.attempts += bytes(more)
            self.versions += bytes(more)
            self.letters += "w" * more  # at last: whoever finds a letter finds all else

    def write(self, event: TaskState) -> bool:
        """Write a state down if it is one of the two that nearly all are: the task run began for the first time, or it
        completed; false for all others."""
        number, state = event.task_run, event.state
        try:
            before = self.letters[number]
        except IndexError:
            self.make_room(number)
            before = "w"
        if self.odd or state.message:
            return False
        kind = state.type
        if kind is COMPLETED:
            if before != "r" or state.name != "Completed":
                return False
            self.until[number] = event.at
            self.letters[number] = "d"
            return True
        if kind is not RUNNING or before != "w" or event.attempt != 1 or event.source or state.name != "Running":
            return False
        self.since[number] = event.at
        self.attempts[number] = 1
        self.letters[number] = "r"
        return True

    def span(self, number: int) -> tuple[float, float | None] | None:
        """When the last attempt of a task run began and ended, or null for the end while it is at work; null for one
        that never ran.  What was not run because its result was there has the moment when that was found."""
        letter = self.letters[number]
        if letter == "r":
            return self.since[number], None
        if self.attempts[number] and letter in "dfca":
            return self.since[number], self.until[number]
        return (self.until[number], self.until[number]) if letter == "d" else None

    def failed_after(self, number: int) -> int | None:
        """The first failed task run beyond that number; null if there is none."""
        with suppress(ValueError):
            return self.letters.index("f", max(0, number) + 1)
        return None
