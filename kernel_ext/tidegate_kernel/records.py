"""Flow runs of the record as the commands of a notebook name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from IPython.core.error import UsageError

from tidegate.engine import engine
from tidegate.errors import TidegateError
from tidegate.model.views import FlowRow

T = TypeVar("T")

NAMED = 1000
"""Newest runs among which a name is looked for."""


def told(call: Callable[[], T]) -> T:
    """What a call gives; an error of ours is one line without a traceback."""
    try:
        return call()
    except TidegateError as error:
        raise UsageError(str(error)) from None


def found(run: str | int) -> FlowRow:
    """The flow run of that number, or the newest that has that name or whose flow has it, in this order.

    Raises `UsageError` if there is none.
    """
    word = str(run)
    row = told(lambda: engine().store.flow_run(int(word)) if word.isdecimal() else _named(word))
    if row is None:
        raise UsageError(f"There is no flow run {word}. `%tidegate runs` lists those that are there.")
    return row


def newest(verb: str) -> FlowRow:
    """The newest flow run that is no subflow.  Raises `UsageError`, with what was to be done, if there is none."""
    rows = told(lambda: engine().store.flow_runs(NAMED))
    row = next((row for row in rows if row.parent is None), None)
    if row is None:
        raise UsageError(f"There is no flow run yet: nothing to {verb}.")
    return row


def _named(name: str) -> FlowRow | None:
    newest = engine().store.flow_runs(NAMED)
    of_flow = (row for row in newest if row.flow == name and row.parent is None)
    return next((row for row in newest if row.name == name), None) or next(of_flow, None)


def title(row: FlowRow) -> str:
    """What to call a run."""
    return f"Flow run {row.number} ({row.name})"
