"""The connection that writes to a store: its transactions, and the upkeep of its log.

Every transaction, every checkpoint and the end of the connection happen under the lock of the store (`write_lock`).
SQLite is not left to checkpoint by itself: it would at any commit, and never shrinks a log that a long look has kept
from being reset.
"""

from __future__ import annotations

import ctypes
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from ..forks import FORKED
from ..model.events import Event
from . import artifact_table, codec, log_table, reader, rows, schema, write_lock
from .fence import Fence, TakenOver
from .opening import connect, open_store
from .sync import Levels

LOG_SIZE = 4 << 20
"""Bytes of the write-ahead log from which on a commit folds it into the file."""

LOOK = 1024
"""Rows written between two looks at its size.  A file that has grown once stays as large, so each look folds it in from
then on, which waits for the disk twice: with 256 that was felt in a chain of tasks."""

BARRIER = 1.0
"""Seconds that a commit may stay out of the reach of a power cut; then the next one, or an empty one, takes it along
to the disk.  A commit that waits for the disk takes all before it along: 1,900 cheap ones and one such are as safe as
1,901 of the latter, and a hundred times as fast."""

GLANCE = 0.05
"""Seconds between two looks whether the file is still the one that was opened; each costs a microsecond."""

IDLE = 2.0
"""Seconds without a commit after which the log is folded into the file and emptied."""


class WriteConnection:
    """A context manager that is a transaction: kept, or nothing of it is left behind.

    One object for all transactions, as a generator would cost three times as much; whoever uses it holds `lock`, which
    keeps out the threads.  `due` is called when there is something to do for `keep_up` later.  Raises `StoreError` if
    the file cannot be used.
    """

    def __init__(self, path: Path, due: Callable[[], None]) -> None:
        self._seqs: dict[int, count[int]] = {}
        """The numbers of events given so far, by flow run."""
        self.levels = Levels()
        self.fence = Fence()
        self._path, self._log = path, path.with_name(f"{path.name}-wal")
        gate, self._connection = open_store(path)
        self._cursor = self._connection.cursor()  # to make one for each transaction is felt
        self._places = places_of(path)
        self._between = False
        """True if the connection was closed to be opened anew, and could not be yet."""
        self._looked = 0.0
        self._gate: write_lock.WriteLock | write_lock.ClosedLock = gate
        self.lock = gate.threads
        self._written = 0
        """Rows that had been written at the last look at the log."""
        self._last = 0.0
        self._log_grown = False
        self._failing = False
        self._due = due
        self._forked = False
        self._synced = True
        """Whether commits wait for the disk now, as SQLite has been told."""
        self._to_sync = False
        self._to_guard = False
        """Whether the next transaction is not to begin, by `TakenOver`, if a run is found to have been taken over."""
        self._unsynced = 0.0
        """When the first commit was made that may not be on the disk yet; 0 if there is none."""

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for looks that are to see what it wrote.  Raises `sqlite3.ProgrammingError` in a child."""
        self._check_parent()
        return self._connection

    def reader(self) -> sqlite3.Connection:
        """A connection of its own, for looks.  Raises as `connection`."""
        self._check_parent()
        return reader.connect(self._path)

    def begin_anew(self) -> None:
        """This process is a forked child: the file is its parent's, and so are the locks on it."""
        # SQLite must not even close it here, as it would for the last reference, at the end of the process at latest.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        self._forked = True
        self._gate = write_lock.ClosedLock(FORKED)
        self.lock = threading.Lock()

    def _check_parent(self) -> None:
        if self._forked:
            raise sqlite3.ProgrammingError(FORKED)

    def synced(self, wanted: bool = True) -> WriteConnection:
        """The next transaction is to be on the disk once it is committed."""
        self._to_sync = wanted
        return self

    def __enter__(self) -> sqlite3.Connection:
        sync, guarded = self._to_sync, self._to_guard
        self._to_sync = self._to_guard = False
        self._begin("BEGIN IMMEDIATE", (), sync, guarded)
        return self._connection

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        connection = self._connection
        try:
            if kind is None:
                connection.execute("COMMIT")
                self._committed()
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
                self._seqs.clear()  # those given in vain are given again
            self._end()

    def _begin(self, sql: str, values: Sequence[Any], sync: bool, guarded: bool) -> None:
        """Take the lock, and run the first statement under it; see `synced` and `_to_guard`."""
        gate = self._gate
        now = time.monotonic()
        if self._unsynced and now - self._unsynced >= BARRIER:
            sync = True
        try:
            gate.acquire()
            try:
                if now - self._looked >= GLANCE:
                    self._look_at_file()
                    self._looked = now
                if sync is not self._synced:
                    self._connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                    self._synced = sync
                claims = gate.read(write_lock.CLAIMS)
                if claims != self.fence.known and self.fence.look(self._connection, claims) and guarded:
                    raise TakenOver
                self._cursor.execute(sql, values)
            except BaseException:
                gate.release()
                raise
        except sqlite3.OperationalError:
            self._be_patient(False)
            raise
        if self._failing:
            self._be_patient(True)

    def _end(self) -> None:
        if self._connection.total_changes - self._written >= LOOK:
            self._look_at_log()
        self._gate.release()

    def _look_at_file(self) -> None:
        """Raises `sqlite3.OperationalError` if the file was moved away: nobody would see what is written to it.

        A log that was removed is begun anew.
        """
        found = places_of(self._path)
        if found == self._places:
            return
        if found[0] != self._places[0]:
            raise sqlite3.OperationalError("its file was moved, removed or replaced while it was open; put it back")
        if any(now not in (None, then) for now, then in zip(found, self._places, strict=True)):
            raise sqlite3.OperationalError(
                "its log was removed while it was open, and another process has begun a new one; end one of the two"
            )
        self._renew_log()

    def _renew_log(self) -> None:
        """The log has no name any more, but is open here: what is in it is folded into the file, and a new one begun.

        To write on would put all that follows where nobody finds it once this process has ended.  Raises
        `sqlite3.OperationalError` if that cannot be done now.
        """
        if not self._between:
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise sqlite3.OperationalError("its log was removed while it was open, and somebody reads it")
            self._connection.close()
        self._between = True
        self._connection = connect(self._path)
        self._cursor = self._connection.cursor()
        self._places, self._between = places_of(self._path), False
        self._written, self._synced, self._unsynced = 0, True, 0.0

    def _committed(self) -> None:
        self._last = now = time.monotonic()
        self._log_grown = True
        if self._synced:
            self._unsynced = 0.0
        elif not self._unsynced:
            self._unsynced = now
            self._due()

    def _be_patient(self, patient: bool) -> None:
        """While it cannot be written, nobody is to wait the whole time again and again."""
        self._failing = not patient
        self._gate.patience = write_lock.PATIENCE if patient else 0.1
        self._connection.execute(f"PRAGMA busy_timeout = {int(1000 * self._gate.patience)}")

    # Events -----------------------------------------------------------------------------------------------------------

    def keep(self, events: Sequence[Event], synced: bool = False) -> None:
        """Write events and the rows that they fold to, in a transaction of their own; none of runs that were taken
        over, which `fence` tells."""
        fence = self.fence
        if fence.taken:
            events = [event for event in events if not fence.refuses(event.flow_run)]
        whole = rows.whole_story(events, self._next_seq) if len(events) == 3 else None
        try:
            if whole is None:
                self._to_sync, self._to_guard = synced, True
                with self:
                    self.write(events)
                return
            try:
                self._begin(*whole, synced, True)  # a transaction by itself, which saves a tenth of a commit
            except BaseException:
                self._seqs.clear()
                raise
            try:
                self._committed()
            finally:
                self._end()
        except TakenOver:
            self.keep(events, synced)

    def write(self, events: Sequence[Event]) -> None:
        """As `keep`, in a transaction that has begun."""
        connection = self._connection
        found = rows.Rows(events, self._next_seq)
        for key in found.again:
            connection.execute(schema.TASK_TO_LOG, (codec.WHOLE, schema.task_id(*key)))
        tasks = found.tasks()
        if tasks:
            rows.insert(connection, "task_run", schema.TASK_ROW, tasks, schema.TASK_UPSERT)
        for state in found.flows:
            rows.update_flow(connection, state)
            if state.state.is_at_rest():
                self.disown(state.flow_run)
        log = found.log()
        if log:
            rows.insert(connection, "event", schema.EVENT_COLUMNS, log)
        if found.cache:
            rows.insert(connection, "cache", schema.CACHE_COLUMNS, found.cache, schema.CACHE_UPSERT)
        if found.artifacts:
            made = list(found.artifacts.values())
            rows.insert(connection, "artifact", artifact_table.COLUMNS, made, artifact_table.UPSERT)
        for batch in found.lines:
            rows.insert(connection, "log", log_table.COLUMNS, log_table.rows(connection, batch))

    def note_claim(self) -> None:
        """A run is claimed in this transaction: those who have had it are to look."""
        self._gate.note_claim()

    def none_claimed(self) -> bool:
        """True if nobody has claimed a run since this connection last wrote; `lock` is not needed for that."""
        return self._gate.read(write_lock.CLAIMS) == self.fence.known

    def note_request(self) -> None:
        """A request is kept: those who have runs at work are to look."""
        self._gate.note_request()

    def requests(self) -> bytes:
        """Another value if a request was put since; `lock` is not needed for that."""
        return self._gate.read(write_lock.REQUESTS)

    def own(self, flow_run: int, owner: str, parent: int = 0) -> None:
        """The run is this process's from now on; `parent` is the run that called it, if it is a subflow."""
        self._seqs.pop(flow_run, None)
        self.fence.own(flow_run, owner, parent)

    def disown(self, flow_run: int) -> None:
        """The run is at rest: another process may resume it, and number its events."""
        self._seqs.pop(flow_run, None)
        self.levels.forget(flow_run)
        self.fence.forget(flow_run)

    def _next_seq(self, flow_run: int) -> int:
        """A flow run has one owner, so its events can be numbered here: one clustered tree, and no index to keep."""
        seqs = self._seqs.get(flow_run)
        if seqs is None:
            sql = (
                "SELECT MAX(COALESCE((SELECT MAX(seq) FROM event WHERE flow_run = ?1), 0), "
                f"COALESCE((SELECT MAX(seq) FROM task_run WHERE {schema.TASK_OF}), 0))"
            )
            (last,) = self._connection.execute(sql, (flow_run,)).fetchone()
            seqs = self._seqs[flow_run] = count(last + 1)
        return next(seqs)

    # Upkeep -----------------------------------------------------------------------------------------------------------

    def rest(self) -> float | None:
        """Seconds until there is something to do for `keep_up`; null if there is nothing."""
        if not self._log_grown:
            return None
        at = min(self._last + IDLE, self._unsynced + BARRIER) if self._unsynced else self._last + IDLE
        return max(0.02, at - time.monotonic())

    def keep_up(self) -> None:
        """Do what is due; to be called under `lock`."""
        if self._unsynced and time.monotonic() - self._unsynced >= BARRIER:
            with suppress(sqlite3.Error):
                self._sync()
        if self._log_grown and time.monotonic() - self._last >= IDLE:
            self._last = time.monotonic()  # a log that somebody reads is tried again after a while
            with suppress(sqlite3.Error):
                self._gate.acquire()
                try:
                    self._fold_log()
                finally:
                    self._gate.release()

    def _sync(self) -> None:
        """Have all commits on the disk: by one that says nothing new."""
        with self.synced() as connection:
            connection.execute(f"PRAGMA user_version = {schema.VERSION}")

    def vacuum(self) -> None:
        """Give the room of what was deleted back to the disk; to be called under `lock`.  Raises `sqlite3.Error`."""
        self._gate.acquire()
        try:
            (mode,) = self._connection.execute("PRAGMA auto_vacuum").fetchone()
            if mode == 2:
                # Not `execute`, which takes one step: it would give back one page.
                self._connection.executescript("PRAGMA incremental_vacuum")
            else:  # made by an older version: once in full
                self._connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
            self._fold_log()
        finally:
            self._gate.release()

    def _look_at_log(self) -> None:
        self._written = self._connection.total_changes
        with suppress(OSError, sqlite3.Error):
            self._look_at_file()
            if self._log.stat().st_size > LOG_SIZE:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _fold_log(self) -> None:
        """Fold the log into the file and empty it, unless somebody reads it."""
        self._look_at_file()  # the log beside it is another file's then
        self._connection.execute("PRAGMA busy_timeout = 0")  # under the lock nobody is waited for
        try:
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._log_grown = bool(busy)
        finally:
            self._be_patient(not self._failing)

    def close(self) -> None:
        """Let go of the file, into which the log is folded; to be called under `lock`, once or more."""
        gate = self._gate
        if isinstance(gate, write_lock.ClosedLock):
            return
        if self._unsynced:
            with suppress(sqlite3.Error):
                self._sync()
        self._gate = write_lock.ClosedLock()
        with suppress(sqlite3.Error):  # a process that does not let go keeps nobody from ending
            gate.acquire()
            try:
                self._fold_log()
                self._connection.close()
            finally:
                gate.release()
        self._connection.close()
        write_lock.let_go(gate)


def places_of(path: Path) -> list[tuple[int, int] | None]:
    """Which files have the names of the store, of its log and of the index of that."""
    return [place_of(each) for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm"))]


def place_of(path: Path) -> tuple[int, int] | None:
    """Which file has that name now, by device and inode; null if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
