"""A map as a table: what became of each of its task runs, for a data frame, a notebook and plain text."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import RunError, UsageError
from .model.states import State, StateType, Unloaded
from .moments import duration
from .rules.outcome import describe

if TYPE_CHECKING:
    from pandas import DataFrame

    from .futures import TaskFuture

SHOWN = 30
"""Rows of a table that is drawn, at most."""

FAILED_FIRST = 20
"""Rows among them that are kept for what did not complete."""

WIDEST = 60
"""Characters of a value or an error that is drawn."""

NOTHING: Any = None
"""Stands where there is no value."""


class MapRow(NamedTuple):
    """What became of one task run of a map."""

    place: int
    """In the map, counted from 0."""
    name: str
    status: str
    attempts: int
    seconds: float | None
    """Of the last attempt; null if it did not have to run."""
    error: str
    """Empty where there is none."""
    value: Any
    """What it returned, or a short text of it; null where there is none."""


def row(place: int, future: TaskFuture[Any], *, values: bool) -> MapRow:
    """The row of a future as it is now: with the value itself if `values`, else with a short text of it."""
    state = future.state
    value = NOTHING
    if state.is_completed():
        value = _value(state) if values else preview(state)
    return MapRow(place, future.name, status(state), future.attempts, future.seconds, _error(state), value)


def status(state: State) -> str:
    """The name of a state; what ran but once is told apart from the rest by its type alone."""
    return "Running" if state.type is StateType.RUNNING else state.name


def _value(state: State) -> Any:
    try:
        return state.result()
    except RunError:  # it was not kept
        return NOTHING


def _error(state: State) -> str:
    if state.is_completed() or state.is_running():
        return ""
    held = state.data
    return describe(held) if isinstance(held, BaseException) else state.message


_ADDRESS = re.compile(" at 0x[0-9a-fA-F]+")
"""Another one with each run, which is nothing to look at."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = WIDEST


def preview(state: State) -> str:
    """A short text of what a completed run returned; what would have to be fetched is left where it is."""
    if isinstance(state.data, Unloaded):
        return "(saved)"
    return _cut(_ADDRESS.sub("", _SHORT.repr(state.data)))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"


def shown(well: Sequence[bool]) -> list[int]:
    """Which rows of a long table are drawn: those that need a look come first, and all stand in order."""
    if len(well) <= SHOWN:
        return list(range(len(well)))
    badly = [at for at, fine in enumerate(well) if not fine][:FAILED_FIRST]
    chosen = set(badly)
    for at in range(len(well)):
        if len(chosen) == SHOWN:
            break
        chosen.add(at)
    return sorted(chosen)


def told(counts: Mapping[str, int]) -> str:
    """How many are in which state: ``3,364 completed, 12 failed``."""
    return ", ".join(f"{count:,} {name.lower()}" for name, count in sorted(counts.items(), key=_most_first))


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _cells(row: MapRow) -> tuple[str, ...]:
    seconds = "" if row.seconds is None else duration(row.seconds)
    value = "" if row.value is NOTHING else str(row.value)
    return str(row.place), row.status, value, _cut(row.error), str(row.attempts), seconds


_HEAD = ("", "status", "value", "error", "attempts", "seconds")


def text(title: str, rows: Iterable[MapRow], more: int) -> str:
    """As plain text, without times."""
    table = [_HEAD[:-1], *(_cells(row)[:-1] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip() for each in table]
    return "\n".join([title, *(lines if len(table) > 1 else []), *([f"… {more:,} more"] if more else [])])


def html(title: str, rows: Sequence[MapRow], more: int) -> str:
    """As HTML, on one line: a tool that compares notebooks can leave it out by its class."""
    if not rows:
        return f'<div class="tidegate-map">{escape(title)}</div>'
    left = ' style="text-align:left"'
    head = "".join(f"<th{left}>{escape(name)}</th>" for name in _HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td{left}>{escape(cell)}</td>" for cell in map(_visible, _cells(row))) + "</tr>"
        for row in rows
    )
    foot = f"<div>… {more:,} more</div>" if more else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="tidegate-map"><div>{escape(title)}</div>{table}{foot}</div>'


def _visible(text: str) -> str:
    """Text that any page can be sent: halves of surrogate pairs cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


def frame(rows: Iterable[MapRow]) -> DataFrame:
    """As a data frame.  Raises `UsageError` if pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise UsageError("`.df` makes a pandas DataFrame, and pandas is not installed: `pip install pandas`.") from None
    found = list(rows)
    columns = {
        name: pandas.Series([getattr(each, name) for each in found], dtype=kind)
        for name, kind in (
            ("name", object),
            ("status", object),
            ("attempts", "int64"),
            ("seconds", "float64"),
            ("error", object),
            ("value", object),
        )
    }
    made = pandas.DataFrame(columns)
    made.index = pandas.Index([each.place for each in found], name="index", dtype="int64")
    return made
