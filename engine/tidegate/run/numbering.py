"""What the task runs of a flow run are called: numbers, indexes within their task, and numbers of call sites."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from types import CodeType

from ..model.views import TaskRow


class Numbering:
    """Numbers from 1, indexes from 0, in the order of the calls.  Safe from any thread."""

    __slots__ = ("_codes", "_indexes", "_last_site", "_numbers", "_recorded", "_sites")

    def __init__(self) -> None:
        self._numbers = count(1)
        self._indexes: dict[str, count[int]] = {}
        self._sites: dict[tuple[str, int, int], int] = {}
        """By the task, the code that calls it, and the line there."""
        self._codes: dict[int, CodeType] = {}
        """That code, by its identity: Python would read it through for a hash, at each call of a task."""
        self._last_site = 0
        self._recorded: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        """Call sites of the record whose place is not known yet: by the task, and the one whose code calls it."""

    def next(self, task: str) -> tuple[int, int]:
        """The number and the index of the next run of a task."""
        # By the name and not by the function: or two tasks of one name would have runs of one name.
        indexes = self._indexes.get(task)
        if indexes is None:
            indexes = self._indexes.setdefault(task, count())
        return next(self._numbers), next(indexes)

    def go_on_after(self, rows: Sequence[TaskRow]) -> None:
        """Give no number and no index that the record has."""
        self._numbers = count(max((row.number for row in rows), default=0) + 1)
        last: dict[str, int] = {}
        for row in rows:
            last[row.task] = max(last.get(row.task, -1), row.index)
        self._indexes = {task: count(index + 1) for task, index in last.items()}
        self._last_site = max((row.site for row in rows), default=0)
        names = {row.number: row.task for row in rows}
        for row in rows:
            sites = self._recorded[row.task, names.get(row.parent, "")]
            if row.site not in sites:
                sites.append(row.site)

    def learn(self, task: str, place: tuple[CodeType, int], site: int) -> None:
        """The place in the code is that call site, as an earlier process numbered it."""
        code, line = place
        key = (task, id(code), line)
        if key in self._sites:
            return
        self._codes[id(code)] = code
        self._sites[key] = site
        for sites in self._recorded.values():
            if site in sites:
                sites.remove(site)

    def site(self, task: str, place: tuple[CodeType, int], name: str = "", above: str = "") -> int:
        """The number of the place in the code where a task is called.

        With its `name`, and that of the task whose code it is: a place of which no recorded call was made here, as
        inside of a task that is kept, is taken for the first that an earlier process had there.
        """
        code, line = place
        key = (task, id(code), line)
        number = self._sites.get(key)
        if number is None:
            self._codes[id(code)] = code
            left = self._recorded.get((name, above)) if self._recorded else None
            if left:
                return self._sites.setdefault(key, left.pop(0))
            self._last_site += 1
            number = self._sites.setdefault(key, self._last_site)
        return number
