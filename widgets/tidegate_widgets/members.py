"""The task runs of one node, a page at a time: ten thousand are there to be looked at, and none is sent unasked."""

from __future__ import annotations

from tidegate.model.states import State, StateType
from tidegate.moments import duration

from .graph_model import GraphModel
from .node import WORST_FIRST, Node
from .protocol import PAGE, MemberPage, MemberRow, Sort, Steps
from .same_errors import error_text
from .wording import state_view

ONLY = {"done": "d", "running": "r", "retrying": "a", "failed": "f", "cancelled": "c", "waiting": "w"}
"""The letters of the counts."""

_STATES = {
    "w": State(StateType.PENDING, "Pending"),
    "r": State(StateType.RUNNING, "Running"),
    "a": State(StateType.SCHEDULED, "AwaitingRetry"),
    "d": State(StateType.COMPLETED, "Completed"),
    "f": State(StateType.FAILED, "Failed"),
    "c": State(StateType.CANCELLED, "Cancelled"),
}


def label(node: Node, place: int) -> str:
    """What to call a task run: ``locate[17]``, or the task alone where it is the only one of its node."""
    return f"{node.task}[{place}]" if len(node.members) > 1 else node.task


def member_state(model: GraphModel, node: Node, number: int) -> State:
    """The state of a task run, as near as the model knows it."""
    if len(node.members) == 1:
        return node.state
    kept = node.failure(number)
    return kept.state if kept is not None and kept.state.is_final() else _STATES[model.runs.letters[number]]


def page(model: GraphModel, node: Node, first: int, only: str, sort: Sort = "place") -> MemberPage:
    """The task runs of a node from the place `first` on among those that `only` names; all for an empty text."""
    letters, wanted = model.letters(node), ONLY.get(only)
    places = [at for at, each in enumerate(letters) if wanted in (None, each)]
    if sort == "state":
        places.sort(key=lambda at: WORST_FIRST.index(letters[at]))
    elif sort == "duration":
        places.sort(key=lambda at: _seconds(model, node.members[at]), reverse=True)
    first = max(0, first)
    rows = [_row(model, node, place) for place in places[first : first + PAGE]]
    return {
        "node": model.base + node.site,
        "first": first,
        "only": only,
        "sort": sort,
        "total": len(places),
        "rows": rows,
    }


def _seconds(model: GraphModel, number: int) -> float:
    """How long a task run took; below 0 for one that has not ended."""
    span = model.runs.span(number)
    return -1.0 if span is None or span[1] is None else span[1] - span[0]


def _row(model: GraphModel, node: Node, place: int) -> MemberRow:
    number = node.members[place]
    state = member_state(model, node, number)
    return {
        "number": model.base + number,
        "label": label(node, place),
        "state": state_view(state),
        "line": _line(model, number, state),
    }


def _line(model: GraphModel, number: int, state: State) -> str:
    span, attempts = model.runs.span(number), model.runs.attempts[number]
    parts = [duration(span[1] - span[0])] if span is not None and span[1] is not None and attempts else []
    if attempts > 1:
        parts.append(f"attempt {attempts}")
    if state.is_failed() or state.is_crashed():
        parts.append(error_text(state))
    return " · ".join(filter(None, parts))


def steps(model: GraphModel, node: Node, place: int) -> Steps:
    """The failed task runs around one of a node."""
    letters = model.letters(node)
    before, after = letters.rfind("f", 0, place), letters.find("f", place + 1)
    return {
        "at": letters.count("f", 0, place + 1) if letters[place] == "f" else 0,
        "of": letters.count("f"),
        "before": model.base + node.members[before] if before >= 0 else None,
        "after": model.base + node.members[after] if after >= 0 else None,
    }
