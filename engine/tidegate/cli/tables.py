"""Runs as text: tables, and what to say about a run that has ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from .. import moments
from ..model.states import State, StateType
from ..model.views import FlowRow, TaskRow
from ..moments import duration

FAILURES = 20
"""Failures that are listed; the others are counted."""

WIDEST = 100
"""Characters of a message in a table."""

_FAILED = (StateType.FAILED, StateType.CRASHED)
_COLOURS = {
    StateType.RUNNING: "blue",
    StateType.PAUSED: "yellow",
    StateType.CANCELLING: "yellow",
    StateType.COMPLETED: "green",
    StateType.FAILED: "red",
    StateType.CRASHED: "red",
}


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], indent: str = "") -> str:
    """Columns of text; numbers stand to the right, states have their colour."""
    body = list(rows)
    texts = [list(head), *([_text(cell) for cell in row] for row in body)]
    widths = [max(len(row[at]) for row in texts) for at in range(len(head))]
    right = [bool(body) and isinstance(body[0][at], int) for at in range(len(head))]
    lines = []
    for at, row in enumerate(texts):
        columns = zip(row, widths, right, strict=True)
        cells = [text.rjust(width) if flush else text.ljust(width) for text, width, flush in columns]
        if at:
            cells = [paint(cell, text) for cell, text in zip(body[at - 1], cells, strict=True)]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _text(cell: Any) -> str:
    if isinstance(cell, State):
        return cell.name
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def paint(cell: Any, text: str) -> str:
    """The text in the colour of a state; other cells as they are."""
    colour = _COLOURS.get(cell.type) if isinstance(cell, State) else None
    return click.style(text, fg=colour) if colour else text


def took(row: FlowRow) -> str:
    """The time from its begin to its end, or until now; empty if it has not begun."""
    return moments.took(row.started, row.ended)


def shortened(text: str) -> str:
    """One line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"


# Runs -----------------------------------------------------------------------------------------------------------------


def summary(row: FlowRow, tasks: Sequence[TaskRow]) -> Iterator[str]:
    """What there is to say about a run: its state, its tasks, and what failed."""
    after = f" after {took(row)}" if row.started is not None else ""
    message = f" {row.state.message}" if row.state.message else ""
    yield f"Flow run {row.number} ({row.name}) of {row.flow}: {paint(row.state, row.state.name)}{after}.{message}"
    if tasks:
        yield ""
        yield by_task(tasks)
    failed = [each for each in tasks if each.state.type in _FAILED]
    if failed:
        yield ""
        yield f"{len(failed):,} task run{'' if len(failed) == 1 else 's'} failed:"
        yield table(("name", "state", "message"), _told(failed[:FAILURES]), "  ")
        if len(failed) > FAILURES:
            yield f"  … and {len(failed) - FAILURES:,} more: tidegate show {row.number} --failed --limit 0"


def _told(rows: Iterable[TaskRow]) -> Iterator[tuple[Any, ...]]:
    return ((each.name, each.state, shortened(each.state.message)) for each in rows)


def by_task(rows: Iterable[TaskRow]) -> str:
    """A line for each task: how many runs, how they ended, how long they ran in all."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        line = found.setdefault(row.task, [row.task, 0, 0, 0, 0, 0.0])
        line[1] += 1
        kind = row.state.type
        line[2 if kind is StateType.COMPLETED else 3 if kind in _FAILED else 4] += 1
        line[5] += row.ran
    lines = ([*line[:5], duration(line[5])] for line in found.values())
    return table(("task", "runs", "completed", "failed", "other", "ran"), lines, "  ")


def flow_json(row: FlowRow) -> dict[str, Any]:
    """A flow run for programs; times in seconds since the epoch."""
    return {
        **_run_json(row),
        "uuid": row.uuid,
        "flow": row.flow,
        "parameters": json.loads(row.parameters),
        "parent": None if row.parent is None else {"flow_run": row.parent[0], "task_run": row.parent[1]},
        "target": row.target or None,
    }


def task_json(row: TaskRow) -> dict[str, Any]:
    """A task run for programs; times in seconds since the epoch."""
    return {**_run_json(row), "task": row.task}


def _run_json(row: FlowRow | TaskRow) -> dict[str, Any]:
    state = row.state
    return {
        "number": row.number,
        "name": row.name,
        "state": state.name,
        "type": state.type.value,
        "message": state.message,
        "created": row.created,
        "started": row.started,
        "ended": row.ended,
        "ran": row.ran,
        "attempts": row.attempts,
        "tags": list(row.tags),
    }
