"""The upkeep of a store: what is in it, whether it is sound, a copy of it, and what is deleted from it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError
from ..model.states import TERMINAL
from . import checksums, codec, schema
from .sql_errors import SQL_ERRORS

_FINAL = ", ".join(str(codec.CODES[each]) for each in sorted(TERMINAL, key=lambda each: each.value))

_OF_RUNS = {
    "task_run": "length(result), length(links), length(message), 130",
    "event": "length(detail), 30",
    "log": "length(text), 30",
    "artifact": "length(data), 40",
    "cache": "length(parts), 120",
    "request": "length(detail), 60",
    "tag_slot": "80",
    "dispatch": "length(folder), 120",
}
"""The tables with rows of flow runs, and what a row takes, in bytes and about."""

_REFERENCE = 8000
"""Bytes of a blob at most that stands for a file."""

Access = Callable[[], AbstractContextManager[sqlite3.Connection]]


@dataclass(frozen=True, slots=True)
class Stats:
    """What is in a store."""

    schema: int
    counts: dict[str, int]
    """Rows by table."""
    states: dict[str, int]
    """Flow runs by the type of their state."""
    size: int
    """Bytes of the file."""
    log_size: int
    """Bytes that are still in the write-ahead log."""
    free: int
    """Bytes of the file in which nothing is."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A root flow run that has ended, with all its subflows."""

    number: int
    flow: str
    name: str
    ended: float
    members: tuple[int, ...]
    """It and its subflows."""
    size: int
    """Bytes that it takes in the store, about."""


class Upkeep:
    """The upkeep of the store at `path`; `reading` and `writing` are its connections, the latter in a transaction, and
    `vacuum` gives free room back."""

    def __init__(self, path: Path, reading: Access, writing: Access, vacuum: Callable[[], None]) -> None:
        self._path = path
        self._reading = reading
        self._writing = writing
        self.vacuum = vacuum

    def stats(self) -> Stats:
        """What is in the store."""
        with self._reading() as connection:
            tables = [*checksums.TABLES, "log", "artifact"]
            counts = {each: _number(connection, f"SELECT count(*) FROM {each}") for each in tables}
            found = connection.execute("SELECT state, count(*) FROM flow_run GROUP BY state ORDER BY state")
            states = {codec.NAMES[codec.TYPES[code]]: many for code, many in found if 0 <= code < len(codec.TYPES)}
            page, free = _number(connection, "PRAGMA page_size"), _number(connection, "PRAGMA freelist_count")
            size = page * _number(connection, "PRAGMA page_count")
            version = _number(connection, "PRAGMA user_version")
        log = self._path.with_name(f"{self._path.name}-wal")
        return Stats(version, counts, states, size, log.stat().st_size if log.exists() else 0, page * free)

    def problems(self) -> Iterator[str]:
        """What is damaged, a line each."""
        with self._reading() as connection:
            try:
                for (line,) in connection.execute("PRAGMA integrity_check(50)"):
                    if line != "ok":
                        yield f"SQLite: {line}"
            except SQL_ERRORS as error:
                yield f"SQLite: {error}"
            for table in checksums.TABLES:
                try:
                    yield from _wrong_rows(connection, table)
                except SQL_ERRORS as error:
                    yield f"{table} cannot be read any further: {error}."

    def blobs(self) -> Iterator[tuple[int, int, bytes]]:
        """Flow run, task run (0 for the flow run itself) and blob of all results that may stand for a file."""
        with self._reading() as connection:
            yield from (
                (row[0], row[1], row[2])
                for row in connection.execute(
                    "SELECT flow_run, number, result FROM task_run WHERE length(result) < ?1 "
                    "UNION ALL SELECT number, 0, result FROM flow_run WHERE length(result) < ?1",
                    (_REFERENCE,),
                )
            )

    def backup(self, target: Path) -> None:
        """Copy the store as it is at one moment, while others may write to it.  Raises `StoreError`."""
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            if target.exists():
                raise StoreError(f"{target} is there already. Name a file that is not.")
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            with self._reading() as connection, contextlib.closing(sqlite3.connect(draft)) as copy:
                connection.backup(copy)
            os.link(draft, target)  # not a rename: it would take the place of what came there meanwhile
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"The store cannot be copied to {target}: {error}.") from error
        finally:
            draft.unlink(missing_ok=True)

    def ended_runs(self) -> list[EndedRun]:
        """The root flow runs that may be deleted, the oldest first: they have ended, and so have all their subflows.

        The newest number stays, with its root: none is ever given twice.  What is damaged stays, too.
        """
        with self._reading() as connection:
            columns = checksums.TABLES["flow_run"]
            rows = connection.execute(f"SELECT {columns}, crc FROM flow_run ORDER BY number").fetchall()
            roots: dict[int, int] = {}
            members: dict[int, list[sqlite3.Row]] = {}
            for row in rows:  # a subflow has a higher number than the flow that called it
                parent = row["parent_flow_run"]
                root = roots[row["number"]] = row["number"] if parent is None else roots.get(parent, 0)
                members.setdefault(root, []).append(row)
            members.pop(roots[rows[-1]["number"]] if rows else 0, None)
            members.pop(0, None)
            found = [_ended(connection, each) for each in members.values() if all(map(_has_ended, each))]
        return sorted(found, key=lambda each: (each.ended, each.number))

    def root_runs(self) -> int:
        """How many flow runs there are that are no subflows."""
        with self._reading() as connection:
            return _number(connection, "SELECT count(*) FROM flow_run WHERE parent_flow_run IS NULL")

    def delete(self, run: EndedRun) -> bool:
        """Delete a flow run with all that belongs to it, whole or not at all; false if it is no longer as it was."""
        with self._writing() as connection:
            marks = ", ".join("?" * len(run.members))
            present = _number(
                connection,
                f"SELECT count(*) FROM flow_run WHERE number IN ({marks}) AND state IN ({_FINAL})",
                *run.members,
            )
            grown = _number(
                connection,
                f"SELECT count(*) FROM flow_run WHERE parent_flow_run IN ({marks}) AND number NOT IN ({marks})",
                *run.members,
                *run.members,
            )
            if present != len(run.members) or grown:
                return False
            for table in _OF_RUNS:
                for member in run.members:
                    connection.execute(f"DELETE FROM {table} WHERE {_of_run(table)}", (member,))
            connection.execute(f"DELETE FROM flow_run WHERE number IN ({marks})", run.members)
        return True


def _of_run(table: str) -> str:
    return schema.TASK_OF if table == "task_run" else "flow_run = ?1"


def _wrong_rows(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    columns = checksums.TABLES[table]
    place = columns.split(", ")[: 1 if table in ("flow_run", "deployment", "dispatch") else 2]
    for row in connection.execute(f"SELECT {columns}, crc FROM {table}"):
        if not checksums.fits(row):
            where = ", ".join(f"{name} {row[name]}" for name in place)
            yield f"{table} ({where}) is not what was written, and counts as not saved."


def _has_ended(row: sqlite3.Row) -> bool:
    final = {codec.CODES[each] for each in TERMINAL}
    return row["state"] in final and row["ended"] is not None and checksums.fits(row)


def _ended(connection: sqlite3.Connection, rows: list[sqlite3.Row]) -> EndedRun:
    size = 0
    for row in rows:
        size += 400 + len(row["parameters"]) + len(row["result"] or b"") + len(row["body"] or "")
        for table, parts in _OF_RUNS.items():
            each = " + ".join(f"COALESCE({part}, 0)" for part in parts.split(", "))
            size += _number(connection, f"SELECT COALESCE(sum({each}), 0) FROM {table} WHERE {_of_run(table)}", row[0])
    root = rows[0]
    ended = max(row["ended"] for row in rows)
    return EndedRun(root["number"], root["flow"], root["name"], ended, tuple(row["number"] for row in rows), size)


def _number(connection: sqlite3.Connection, sql: str, *values: int) -> int:
    (found,) = connection.execute(sql, values).fetchone()
    return int(found)
