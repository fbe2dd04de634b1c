"""Which task runs of a record a name means, and which others have to do with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import UsageError
from .model.views import TaskRow

NAMED = 5
"""Tasks that an error names; the others are counted."""


def named(rows: Sequence[TaskRow], task: str | int) -> set[int]:
    """The task runs of that number, of that name (``locate-17``), or of the task of that name.

    Raises `UsageError` if there is none.
    """
    found = {row.number for row in rows if task in (row.number, row.name)} or {
        row.number for row in rows if row.task == task
    }
    if found:
        return found
    tasks = list(dict.fromkeys(row.task for row in rows))
    more = f" and {len(tasks) - NAMED} more" if len(tasks) > NAMED else ""
    there = f"Its tasks are {', '.join(tasks[:NAMED])}{more}." if tasks else "It has none."
    raise UsageError(f"The flow run has no task run {task!r}. {there}")


def downstream(rows: Iterable[TaskRow], sources: set[int]) -> set[int]:
    """The task runs that need one of `sources`, or one that needs it, and so on; without `sources`."""
    found = set(sources)
    for row in sorted(rows, key=lambda row: row.number):  # an input always has the smaller number
        ranges = (each for links in row.links.values() for each in links)
        if any(not found.isdisjoint(range(first, last + 1)) for _, first, last in ranges):
            found.add(row.number)
    return found - sources


def above(rows: Iterable[TaskRow], inner: set[int]) -> set[int]:
    """The task runs whose code called one of `inner`: without them running, nobody would."""
    parents = {row.number: row.parent for row in rows}
    found: set[int] = set()
    for number in inner:
        while (number := parents[number]) and number not in found:
            found.add(number)
    return found


def below(rows: Iterable[TaskRow], outer: set[int]) -> set[int]:
    """The task runs that the code of one of `outer` called."""
    found = set(outer)
    for row in sorted(rows, key=lambda row: row.number):
        if row.parent in found:
            found.add(row.number)
    return found - outer
