"""What can still be read of a damaged store, in a new one; the damaged one is kept beside it.

A store of which SQLite cannot read the schema does not open at all, although most damage of that kind is one page of
hundreds: the pages of the schema are then taken from a new store, which has the same.  Rows are read from both ends of
each run, and one by one between two damaged pages.  Only a row that fits its checksum is taken over: a wrong guess
costs a row, and gives none.

The order makes it safe to be killed: a copy of the damaged file comes first, and the new store is whole before it
has the name by which the next opening finds it and puts it in place.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..plurals import counted
from . import checksums, making, reader, schema
from .sql_errors import SQL_ERRORS

_OF_RUNS = ("task_run", "event", "log", "artifact")
"""The tables whose rows belong to a flow run, and have a number within it."""

_BY_RUN = ("cache", "dispatch")
"""Those that name a flow run, and are known by something else or by that alone."""

_BY_NAME = ("tag_limit", "deployment", "work_queue")
"""Those that belong to no flow run; some are not there in an older store."""

_PAGE = 2048
"""Bytes of a page of a store."""
_HEADER = 100
"""Bytes at the beginning of the first page that are not of the schema."""

MANY = 100_000
"""Rows between two damaged places that are asked for one by one, at most: what has no checksum may say anything."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was kept of a damaged store."""

    damaged: Path
    """The copy of it as it was."""
    flow_runs: int
    task_runs: int
    dropped: int
    """Rows that are not what was written, or whose flow run is lost."""

    def __str__(self) -> str:
        kept = f"{counted(self.flow_runs, 'flow run')} with {counted(self.task_runs, 'task run')}"
        dropped = f" {counted(self.dropped, 'row')} that could be read {'was' if self.dropped == 1 else 'were'} wrong."
        return f"Kept: {kept}.{dropped if self.dropped else ''} The damaged file is {self.damaged}."


def salvage(path: Path) -> Salvaged:
    """Put a new store in the place of a damaged one; to be called under its lock, while nobody has it open.

    Raises `OSError` and `sqlite3.Error` if the disk does not allow it; the damaged store is in its place then.
    """
    work = path.with_name(f"{path.name}-salvage")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        damaged = _put_aside(path)
        version = int.from_bytes(_head(path)[60:64], "big") or schema.VERSION
        new = work / "new.db"
        making.make(new, version)
        with closing(_readable(damaged, work, new)) as source, closing(sqlite3.connect(new)) as target:
            checksums.teach(target)
            with target:
                found = _copied(source, target, damaged)
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(_salvaged(path))
        making.sync_folder(path.parent)
        finish(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return found


def finish(path: Path) -> None:
    """Put a new store in place, if there is one from a salvage that did not come to its end; under the lock."""
    new = _salvaged(path)
    if not new.exists():
        return
    for each in ("-wal", "-shm"):  # SQLite would take the log for one of the new file
        Path(f"{path}{each}").unlink(missing_ok=True)
    new.replace(path)
    making.sync_folder(path.parent)


def _salvaged(path: Path) -> Path:
    return path.with_name(f"{path.name}-salvaged")


def _put_aside(path: Path) -> Path:
    """Copy the store and its log to the first name that is free."""
    number = 1
    while (aside := path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")).exists():
        number += 1
    _copy(path, aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    return aside


def _copy(path: Path, target: Path) -> None:
    for end in ("-wal", ""):
        if Path(f"{path}{end}").exists():
            os.close(os.open(f"{target}{end}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            shutil.copyfile(f"{path}{end}", f"{target}{end}")


def _readable(damaged: Path, work: Path, new: Path) -> sqlite3.Connection:
    """A connection to a copy, whose schema can be read."""
    copy = work / "read.db"
    _copy(damaged, copy)
    try:
        with closing(sqlite3.connect(copy)) as connection:  # the last to close it folds the log into it
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            _flow_runs(connection)
    except SQL_ERRORS:
        for end in ("-wal", "-shm"):
            Path(f"{copy}{end}").unlink(missing_ok=True)
        _graft(copy, new)
    return reader.connect(copy)


def _flow_runs(connection: sqlite3.Connection) -> None:
    """Raises `sqlite3.Error` if the schema cannot be read; what is wrong with the table itself is seen later."""
    connection.execute("EXPLAIN SELECT * FROM flow_run").fetchall()


def _graft(copy: Path, new: Path) -> None:
    """Give the copy the pages of a new store's schema, if its pages are of the same size."""
    fresh, header = new.read_bytes(), _header(copy, new)
    with copy.open("r+b") as file:
        for number in _schema_pages(fresh):
            page = bytearray(fresh[(number - 1) * _PAGE : number * _PAGE])
            if number == 1:
                page[:_HEADER] = header
            file.seek((number - 1) * _PAGE)
            file.write(page)


def _header(copy: Path, new: Path) -> bytes:
    """The header of a new store, with the size that the copy really has, and no free pages."""
    header = bytearray(_head(new))
    pages = (copy.stat().st_size // _PAGE).to_bytes(4, "big")
    header[24:28], header[92:96] = bytes(4), bytes(4)  # equal, or SQLite would not believe the size
    header[28:32], header[32:40] = pages, bytes(8)
    return bytes(header)


def _schema_pages(file: bytes) -> Iterator[int]:
    """The pages of the tree in which SQLite keeps the schema: the first one, and those that it names."""
    yield 1
    if file[_HEADER] == 5:  # an inner page: its last child, then one in each cell
        yield int.from_bytes(file[_HEADER + 8 : _HEADER + 12], "big")
        for at in range(int.from_bytes(file[_HEADER + 3 : _HEADER + 5], "big")):
            place = int.from_bytes(file[_HEADER + 12 + 2 * at : _HEADER + 14 + 2 * at], "big")
            yield int.from_bytes(file[place : place + 4], "big")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEADER)


# Rows ----------------------------------------------------------------------------------------------------------------


def _copied(source: sqlite3.Connection, target: sqlite3.Connection, damaged: Path) -> Salvaged:
    """Take over what can be read, in a transaction of the target."""
    tables = {name: _Table(source, target, name) for name in ("flow_run", *_OF_RUNS, *_BY_RUN, *_BY_NAME)}
    runs = tables["flow_run"]
    numbers = [row[0] for row in runs.take(runs.rows(""))]
    for name in _OF_RUNS:
        for number in numbers:
            tables[name].take(tables[name].rows(f"WHERE {tables[name].of_run}", number))
    known = set(numbers)
    for table in [tables[name] for name in _BY_RUN if tables[name].columns]:
        of_run = table.columns.index("flow_run")
        table.take(row for row in table.rows("") if row[of_run] in known)
    for table in [tables[name] for name in _BY_NAME if tables[name].columns]:
        table.take(table.rows(""))
    return Salvaged(damaged, len(numbers), tables["task_run"].kept, sum(each.dropped for each in tables.values()))


class _Table:
    """One table of both stores."""

    def __init__(self, source: sqlite3.Connection, target: sqlite3.Connection, name: str) -> None:
        self._source, self._target, self._name = source, target, name
        found = target.execute(f"PRAGMA table_info({name})").fetchall()
        self.columns = [column[1] for column in found]
        self._place = [column[1] for column in found if column[5]]
        """The columns of the primary key."""
        self.of_run = schema.TASK_OF if "id" in self._place else "flow_run = ?1"
        """The condition for the rows of a flow run."""
        self._unsummed = int("id" in self._place)
        """How many columns at the front the checksum leaves out: the one that says what two others say."""
        self.kept = self.dropped = 0

    def take(self, rows: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
        """Insert rows; those that are there now."""
        marks = ", ".join("?" * len(self.columns))
        sql = f"INSERT OR IGNORE INTO {self._name}({', '.join(self.columns)}) VALUES ({marks})"
        taken = []
        for row in rows:
            try:
                if self._target.execute(sql, row).rowcount:
                    taken.append(row)
            except (sqlite3.Error, ValueError):  # a text that is none, in a table without checksums
                self.dropped += 1
        self.kept += len(taken)
        return taken

    def rows(self, where: str, *values: int) -> Iterator[Sequence[Any]]:
        """What can be read, from the first row on, then from the last one back, then what stands alone between them."""
        last, whole = None, False
        try:
            for row in self._sound(where, values, ""):
                last = row
                yield row
            whole = True
        except SQL_ERRORS:
            pass
        first = None
        try:
            for row in () if whole else self._sound(where, values, " DESC"):
                if row == last:
                    return
                first = row
                yield row
        except SQL_ERRORS:
            pass
        if last is not None and first is not None:
            yield from self._between(where, values, last, first)

    def _between(self, where: str, values: Sequence[int], last: Sequence[Any], first: Sequence[Any]) -> Iterator[Any]:
        at = self.columns.index(self._place[-1])
        if not (isinstance(last[at], int) and isinstance(first[at], int)):
            return  # the cache and the limits of tags, which are known by texts
        found = f"{where} AND" if where else "WHERE"
        for number in range(last[at] + 1, min(first[at], last[at] + MANY)):
            try:
                yield from self._sound(f"{found} {self._place[-1]} = ?{len(values) + 1}", (*values, number), "")
            except SQL_ERRORS:
                continue

    def _sound(self, where: str, values: Sequence[int], order: str) -> Iterator[Sequence[Any]]:
        """Rows that are what was written.  Raises `SQL_ERRORS`."""
        by = ", ".join(f"{column}{order}" for column in self._place)
        sql = f"SELECT {', '.join(self.columns)} FROM {self._name} NOT INDEXED {where} ORDER BY {by}"
        for row in self._source.execute(sql, values):
            if "crc" not in self.columns or checksums.fits(row[self._unsummed :]):
                yield tuple(row)
            else:
                self.dropped += 1
