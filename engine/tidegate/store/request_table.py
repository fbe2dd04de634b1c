"""The table of requests: what other processes ask of flow runs, and what came of it."""

from __future__ import annotations

import sqlite3

from ..model.requests import Request
from . import codec

# The index holds what is open, which is next to nothing: looking for it costs the same whatever was asked before.
TABLE = """
CREATE TABLE request(
    number INTEGER PRIMARY KEY,
    flow_run INTEGER NOT NULL,
    verb TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    at REAL NOT NULL,
    expires REAL NOT NULL,
    detail TEXT NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0,
    answer TEXT
) STRICT;
CREATE INDEX request_open ON request(number) WHERE claimed = 0;
"""

COLUMNS = "flow_run, verb, asked_by, at, expires, detail"


def put(connection: sqlite3.Connection, request: Request) -> int:
    """Insert it and let SQLite number it."""
    values = (request.flow_run, request.verb, codec.clean(request.by), request.at, request.expires, request.detail)
    cursor = connection.execute(f"INSERT INTO request({COLUMNS}) VALUES (?,?,?,?,?,?)", values)
    return int(cursor.lastrowid or 0)


def open_ones(connection: sqlite3.Connection, now: float) -> list[Request]:
    """Those that nobody has claimed and somebody waits for, in order."""
    sql = f"SELECT number, {COLUMNS} FROM request WHERE claimed = 0 AND expires > ? ORDER BY number"
    return [Request(*row) for row in connection.execute(sql, (now,))]


def claim(connection: sqlite3.Connection, number: int) -> bool:
    """Take it, unless somebody has."""
    return connection.execute("UPDATE request SET claimed = 1 WHERE number = ? AND claimed = 0", (number,)).rowcount > 0


def answer(connection: sqlite3.Connection, number: int, text: str) -> None:
    """Say what came of it."""
    connection.execute("UPDATE request SET answer = ? WHERE number = ?", (codec.clean(text), number))


def answer_to(connection: sqlite3.Connection, number: int) -> str | None:
    """What came of it, if anything has."""
    row = connection.execute("SELECT answer FROM request WHERE number = ?", (number,)).fetchone()
    return None if row is None else row[0]
