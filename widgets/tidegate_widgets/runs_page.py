"""The list of the flow runs of a store, as rows of a table: the newest first, each with a link to its graph."""

from __future__ import annotations

import time
from html import escape

from tidegate.dead_runs import bury_all
from tidegate.engine import Engine
from tidegate.model.views import FlowRow
from tidegate.moments import duration, moment
from tidegate.ports import EventStore

from .palette import shape_of
from .picture_svg import shape, shape_style, shortened
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
    now = time.time()
    return "".join(_row(row, now) for row in roots[:SHOWN])


def _row(row: FlowRow, now: float) -> str:
    state = state_view(row.state)
    took = "" if row.started is None else duration((now if row.ended is None else row.ended) - row.started)
    icon = (
        f'<svg width="14" height="14" viewBox="0 0 16 16" aria-hidden="true" {shape_style(state["family"])}>'
        f"{shape(shape_of(state), state['family'])}</svg>"
    )
    return (
        f'<tr><td><a href="{row.number}/">{row.number}</a></td><td>{_plain(row.flow)}</td><td>{_plain(row.name)}</td>'
        f"<td>{icon}{_plain(state['name'])}</td><td>{moment(row.created)}</td><td>{took}</td>"
        f"<td>{_plain(row.state.message)}</td></tr>"
    )


def _plain(text: str) -> str:
    return escape(shortened(text, LONGEST))
