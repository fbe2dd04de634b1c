"""Checksums of rows: what a disk gives back wrongly is noticed, and never believed.

Of 300 single bits that were turned round in a store, SQLite's own look at its pages noticed 8 in a hundred; nearly all
the others would have been wrong values.  A row that was made in this process is summed here; one that SQLite puts
together from what was there is summed by SQLite, which calls `row_crc` for that.

What a row holds is written down by `marshal`, in the version that knows no references and no interned strings: a
quarter of the price of a text.  A test holds that it stays the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from marshal import dumps
from typing import Any
from zlib import crc32

TABLES = {
    "flow_run": "number, uuid, flow, name, parameters, source, parent_flow_run, parent_task_run, state, state_name, "
    "message, created, at, started, ended, scheduled, attempts, ran, tags, policy, owner, body, result, target, "
    "durability, forked_from",
    "task_run": "flow_run, number, task, site, place, parent, subflow, links, state, state_name, message, attempts, "
    "created, at, started, ended, scheduled, ran, name, tags, key, nth, source, version, seq, result",
    "event": "flow_run, seq, task_run, kind, at, detail",
    "cache": "key, at, flow_run, task_run, attempt, task, expires, parts",
    "deployment": "name, flow, target, folder, parameters, schedules, tags, queue, paused, created",
    "dispatch": "flow_run, deployment, queue, due, folder, planned, key, agent, host, pid, began",
}
"""The columns that are summed, in order; they are all but the sum itself, which is the last, `crc`."""

_HAD_NONE = ("flow_run", "task_run", "event", "cache")

COLUMNS = "".join(f"ALTER TABLE {table} ADD COLUMN crc INTEGER;\n" for table in _HAD_NONE)

SINCE = 3
"""The version of the schema that brought them."""

_FORMAT = 2


def of(values: list[Any]) -> int:
    """The checksum of a row; its values are as SQLite gives them back: no booleans, no subclasses."""
    return crc32(dumps(values, _FORMAT))


def sealed(values: list[Any]) -> list[Any]:
    """The row with its checksum at the end; the list is the same."""
    values.append(crc32(dumps(values, _FORMAT)))
    return values


def fits(row: sqlite3.Row | Sequence[Any]) -> bool:
    """True if a row, with its checksum as the last value, is what was written."""
    *values, crc = row
    return bool(crc == of(values))


def teach(connection: sqlite3.Connection) -> None:
    """Let SQLite sum rows: ``row_crc(value, ...)``."""
    connection.create_function("row_crc", -1, lambda *values: of(list(values)), deterministic=True)


def seal_flow_run(connection: sqlite3.Connection, number: int) -> None:
    """The row of a flow run has been changed."""
    connection.execute(f"UPDATE flow_run SET crc = row_crc({TABLES['flow_run']}) WHERE number = ?", (number,))


def seal_dispatch(connection: sqlite3.Connection, flow_run: int) -> None:
    """The row of what was dispatched has been changed."""
    connection.execute(f"UPDATE dispatch SET crc = row_crc({TABLES['dispatch']}) WHERE flow_run = ?", (flow_run,))


def seal_all(connection: sqlite3.Connection, tables: Iterable[str] = _HAD_NONE) -> None:
    """Give all rows a checksum that have none: by default those of a store of a version before `SINCE`."""
    for table in tables:
        connection.execute(f"UPDATE {table} SET crc = row_crc({TABLES[table]}) WHERE crc IS NULL")
