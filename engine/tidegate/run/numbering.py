"""What the task runs of a flow run are called: numbers, indexes within their task, and numbers of call sites."""

from __future__ import annotations

from itertools import count
from types import CodeType


class Numbering:
    """Numbers from 1, indexes from 0, in the order of the calls.  Safe from any thread."""

    __slots__ = ("_indexes", "_numbers", "_sites")

    def __init__(self) -> None:
        self._numbers = count(1)
        self._indexes: dict[str, count[int]] = {}
        self._sites: dict[tuple[str, CodeType, int], int] = {}

    def next(self, task: str) -> tuple[int, int]:
        """The number and the index of the next run of a task."""
        # By the name and not by the function: or two tasks of one name would have runs of one name.
        indexes = self._indexes.get(task)
        if indexes is None:
            indexes = self._indexes.setdefault(task, count())
        return next(self._numbers), next(indexes)

    def site(self, task: str, place: tuple[CodeType, int]) -> int:
        """The number of the place in the code where a task is called."""
        key = (task, *place)
        number = self._sites.get(key)
        if number is None:
            number = self._sites.setdefault(key, len(self._sites) + 1)
        return number
