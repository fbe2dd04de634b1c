"""The table of what runs logged: beside the events, so that a storm of lines slows no look at a run.

A line is numbered within its flow run when it is written, so that the lines of a run are one clustered tree.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from ..model.events import LogLine, LogLines

TABLE = """
CREATE TABLE log(
    flow_run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    task_run INTEGER NOT NULL,
    at REAL NOT NULL,
    level INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (flow_run, seq)
) STRICT, WITHOUT ROWID;
"""

COLUMNS = "flow_run, seq, task_run, at, level, text"


def rows(connection: sqlite3.Connection, event: LogLines) -> list[tuple[Any, ...]]:
    """The rows of a batch, numbered on from the last of its flow run."""
    sql = "SELECT COALESCE(MAX(seq), 0) FROM log WHERE flow_run = ?"
    (last,) = connection.execute(sql, (event.flow_run,)).fetchone()
    lines = enumerate(event.lines, start=last + 1)
    return [(event.flow_run, seq, line.task_run, line.at, line.level, line.text) for seq, line in lines]


def read(
    connection: sqlite3.Connection, flow_run: int, task_run: int | None, level: int, after: int, limit: int
) -> list[tuple[int, LogLine]]:
    """The lines of a flow run in order, as `EventStore.logs` describes them."""
    found = connection.execute(
        "SELECT seq, at, task_run, level, text FROM log "
        "WHERE flow_run = ? AND seq > ? AND level >= ? AND (? IS NULL OR task_run = ?) ORDER BY seq LIMIT ?",
        (flow_run, after, level, task_run, task_run, limit),
    )
    return [(row[0], LogLine(*row[1:])) for row in found]
