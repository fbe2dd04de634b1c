"""The list of the flow runs of a store, as rows of a table: the newest first, each with a link to its graph."""

from __future__ import annotations

from tidegate.dead_runs import bury_all
from tidegate.engine import Engine
from tidegate.model.views import FlowRow
from tidegate.moments import moment, took
from tidegate.ports import EventStore

from .palette import shape_of
from .picture_svg import icon, plain
from .wording import state_view

SHOWN = 200
"""Runs that are listed; `tidegate runs` lists more."""

LOOKED_AT = 2_000
"""Runs that are looked at for that: subflows are among them, and are shown in the graph of what called them."""

LONGEST = 120
"""Characters of a name or a message."""


def rows(store: EventStore) -> str:
    """The rows of the table, as HTML.  Raises `StoreError` if the store cannot be read."""
    bury_all(Engine(store))
    roots = [row for row in store.flow_runs(LOOKED_AT) if row.parent is None]
    return "".join(map(_row, roots[:SHOWN]))


def _row(row: FlowRow) -> str:
    state = state_view(row.state)
    said = (row.flow, row.name, state["name"], row.state.message)
    flow, name, told, message = (plain(each, LONGEST) for each in said)
    return (
        f'<tr><td><a href="{row.number}/">{row.number}</a></td><td>{flow}</td><td>{name}</td>'
        f"<td>{icon(shape_of(state), state['family'])}{told}</td><td>{moment(row.created)}</td>"
        f"<td>{took(row.started, row.ended)}</td><td>{message}</td></tr>"
    )
