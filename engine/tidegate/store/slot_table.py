"""The tables of limits by tag, and of who holds their slots.

A slot names the process that holds it.  Whoever finds no free one looks whether those processes are still alive, and
gives back what the dead ones held.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import StoreError
from ..model.tag_limits import Holder, TagLimit
from ..ports import Slots
from ..rules.slots import A, Answer, Take, decide_queues
from .codec import clean
from .processes import is_alive, own_name

TABLES = """
CREATE TABLE tag_limit(
    tag TEXT NOT NULL PRIMARY KEY,
    places INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tag_slot(
    tag TEXT NOT NULL,
    flow_run INTEGER NOT NULL,
    task_run INTEGER NOT NULL,
    process TEXT NOT NULL,
    PRIMARY KEY (tag, flow_run, task_run)
) STRICT, WITHOUT ROWID;
"""

Access = Callable[[], AbstractContextManager[sqlite3.Connection]]


class SlotTable:
    """A `SlotStore` in the file of a store; `reading` and `writing` are its connections, the latter in a transaction.

    `folder` is where processes show that they live.
    """

    def __init__(self, folder: Path, reading: Access, writing: Access) -> None:
        self._folder = folder
        self._reading = reading
        self._writing = writing

    def limited(self) -> frozenset[str]:
        """The tags that have a limit."""
        with self._reading() as connection:
            return frozenset(tag for (tag,) in connection.execute("SELECT tag FROM tag_limit"))

    def limits(self) -> list[TagLimit]:
        """All limits by tag, with those who hold a slot and live."""
        with self._writing() as connection:
            self._bury(connection, {process for (process,) in connection.execute("SELECT process FROM tag_slot")})
            active: dict[str, list[Holder]] = {}
            for tag, *holder in connection.execute("SELECT tag, flow_run, task_run FROM tag_slot ORDER BY 1, 2, 3"):
                active.setdefault(tag, []).append(Holder(*holder))
            rows = connection.execute("SELECT tag, places FROM tag_limit ORDER BY tag").fetchall()
        return [TagLimit(tag, places, tuple(active.get(tag, ()))) for tag, places in rows]

    def put(self, tag: str, limit: int) -> None:
        """Make the limit, or change it."""
        sql = "INSERT INTO tag_limit VALUES (?, ?) ON CONFLICT(tag) DO UPDATE SET places = excluded.places"
        with self._writing() as connection:
            connection.execute(sql, (clean(tag), limit))

    def delete(self, tag: str) -> bool:
        """Drop the limit and its slots."""
        with self._writing() as connection:
            connection.execute("DELETE FROM tag_slot WHERE tag = ?", (clean(tag),))
            return connection.execute("DELETE FROM tag_limit WHERE tag = ?", (clean(tag),)).rowcount > 0

    def clear(self, tag: str) -> None:
        """Free its slots."""
        with self._writing() as connection:
            connection.execute("DELETE FROM tag_slot WHERE tag = ?", (clean(tag),))

    def trade(self, given: Sequence[Slots], queues: Iterable[Iterable[A]]) -> list[tuple[A, Answer]]:
        """Give back and take in one transaction."""
        try:
            me = own_name(self._folder)
        except OSError as error:
            raise StoreError(f"The folder {self._folder} cannot be used ({error.strerror}).") from error
        back = [(tag, *holder, me) for holder, tags in given for tag in tags]
        with self._writing() as connection:
            connection.executemany(
                "DELETE FROM tag_slot WHERE tag = ? AND flow_run = ? AND task_run = ? AND process = ?", back
            )
            limits = dict(connection.execute("SELECT tag, places FROM tag_limit"))
            taken = self._taken(connection, limits)
            answers = decide_queues(queues, limits, taken, lambda holder: _own(connection, holder))
            new = [(tag, *who.holder, me) for who, answer in answers if isinstance(answer, Take) for tag in answer.tags]
            connection.executemany("INSERT OR IGNORE INTO tag_slot VALUES (?, ?, ?, ?)", new)
        return answers

    def _taken(self, connection: sqlite3.Connection, limits: dict[str, int]) -> Counter[str]:
        """How many slots of each tag are taken, by the living where it matters."""
        rows = connection.execute("SELECT tag, process, count(*) FROM tag_slot GROUP BY tag, process").fetchall()
        taken = _sums(rows)
        dead = self._bury(connection, {process for tag, process, _ in rows if taken[tag] >= limits.get(tag, 0)})
        return _sums([row for row in rows if row[1] not in dead]) if dead else taken

    def _bury(self, connection: sqlite3.Connection, processes: set[str]) -> set[str]:
        """Free the slots of those that are dead, and say which these are."""
        dead = {each for each in processes if not is_alive(self._folder, each)}
        connection.executemany("DELETE FROM tag_slot WHERE process = ?", [(each,) for each in dead])
        return dead


def _sums(rows: Iterable[tuple[str, str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for tag, _, number in rows:
        found[tag] += number
    return found


def _own(connection: sqlite3.Connection, holder: Holder) -> set[str]:
    sql = "SELECT tag FROM tag_slot WHERE flow_run = ? AND task_run = ?"
    return {tag for (tag,) in connection.execute(sql, holder)}
