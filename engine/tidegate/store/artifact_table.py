"""The table of artifacts: beside the events, so that what is large slows no look at a run."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..model.events import ArtifactMade
from . import codec

# What they hold stands last: a reader of the rest does not touch the pages that it spills over to.
TABLE = """
CREATE TABLE artifact(
    flow_run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    task_run INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    key TEXT,
    description TEXT,
    data TEXT NOT NULL,
    PRIMARY KEY (flow_run, number)
) STRICT, WITHOUT ROWID;
"""

COLUMNS = "flow_run, number, task_run, at, kind, key, description, data"
UPSERT = (
    " ON CONFLICT(flow_run, number) DO UPDATE SET task_run = excluded.task_run, at = excluded.at, "
    "kind = excluded.kind, key = excluded.key, description = excluded.description, data = excluded.data"
)


def row(event: ArtifactMade) -> list[Any]:
    """The row of an artifact, or of its newest version."""
    texts = (event.kind, event.key, event.description)
    clean = [None if text is None else codec.clean(text) for text in texts]
    return [event.flow_run, event.number, event.task_run, event.at, *clean, codec.clean(event.data)]


def read(connection: sqlite3.Connection, flow_run: int) -> list[ArtifactMade]:
    """The artifacts of a flow run by number."""
    found = connection.execute(
        "SELECT flow_run, at, task_run, number, kind, data, key, description FROM artifact "
        "WHERE flow_run = ? ORDER BY number",
        (flow_run,),
    )
    return [ArtifactMade(*each) for each in found]
