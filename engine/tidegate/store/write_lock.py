"""The lock around everything that changes the file of a store, between processes as well as between threads.

SQLite's own lock lets whoever sleeps longest wait longest: of four processes the slowest got a twentieth of what the
fastest did, and waited seconds.  Beside that, SQLite before 3.51.3 may lose commits if one connection checkpoints while
another begins the log anew; under one lock they never meet.

A lock of the system (`lockf`) on a file beside the store goes with its process, however that ends.  It is one of the
whole process, and closing any handle of the file drops it: so there is one handle for each file, and a plain lock
beside it for the threads.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
from pathlib import Path

from ..errors import StoreError
from ..forks import FORKED

PATIENCE = 5.0
"""Seconds to wait for another process that writes."""

_TRY = fcntl.LOCK_EX | fcntl.LOCK_NB
CLAIMS, REQUESTS = 0, 8
"""Where in the file it stands whether a run was claimed, and whether a request was put."""


class WriteLock:
    """The lock of one file; made by `hold`.  `threads` is to be held around `acquire` and `release`."""

    def __init__(self, file: int) -> None:
        self.threads = threading.Lock()
        self.patience = PATIENCE
        self.users = 0
        """The open stores of this process that share it."""
        self._file = file
        self._pending: _Pending | None = None
        self._deciding = threading.Lock()

    def acquire(self) -> None:
        """Keep other processes out.  Raises `sqlite3.OperationalError` if one of them does not let go in time."""
        if self._pending is None:
            try:
                fcntl.lockf(self._file, _TRY)
                return
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise sqlite3.OperationalError(f"it cannot be locked ({error.strerror})") from error
        self._wait()

    def release(self) -> None:
        """Let other processes in."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)

    def read(self, place: int) -> bytes:
        """Eight bytes at one of the places of the file: others if something of that kind has happened since.

        Of `CLAIMS` the one who holds the lock can be sure.  To ask SQLite whether anybody has written costs several
        times as much.
        """
        try:
            return os.pread(self._file, 8, place)
        except OSError as error:
            raise sqlite3.OperationalError(f"its lock cannot be read ({error.strerror})") from error

    def note_claim(self) -> None:
        """A run is being claimed; to be called under the lock."""
        number = int.from_bytes(self.read(CLAIMS), "little") + 1
        self._write(CLAIMS, number.to_bytes(8, "little"))

    def note_request(self) -> None:
        """A request has been put, and is kept."""
        self._write(REQUESTS, os.urandom(8))  # and not one more than before, which two at once might both write

    def _write(self, place: int, data: bytes) -> None:
        try:
            os.pwrite(self._file, data, place)
        except OSError as error:
            raise sqlite3.OperationalError(f"its lock cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _wait(self) -> None:
        # The system knows no wait that ends after a while: a thread waits for it, and is left to wait if it takes long.
        with self._deciding:
            pending = self._pending
            if pending is None:
                pending = self._pending = _Pending()
                threading.Thread(target=self._get, args=(pending,), name="tidegate-write-lock", daemon=True).start()
            pending.wanted = True
        pending.over.wait(self.patience)
        with self._deciding:
            if not pending.over.is_set():
                pending.wanted = False
                raise sqlite3.OperationalError("another process is writing to it and does not let go")
            self._pending = None
        if pending.problem:
            raise sqlite3.OperationalError(f"it cannot be locked ({pending.problem})")

    def _get(self, pending: _Pending) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        except OSError as error:
            pending.problem = error.strerror or str(error)
        with self._deciding:
            if pending.wanted:
                pending.over.set()
            else:
                self._pending = None
                if not pending.problem:
                    self.release()


class ClosedLock:
    """In the place of the lock of a store that is closed: its file may be somebody else's by now."""

    patience = 0.0

    def __init__(self, why: str = "the store is closed") -> None:
        self._why = why

    def acquire(self) -> None:
        """Raises `sqlite3.ProgrammingError`."""
        raise sqlite3.ProgrammingError(self._why)

    def read(self, place: int) -> bytes:
        """Nothing has happened."""
        return b""

    def note_claim(self) -> None:
        """Nothing is claimed here."""

    def note_request(self) -> None:
        """Nothing is asked here."""

    def release(self) -> None:
        """Nothing is held."""


class _Pending:
    """A wait for the lock: whether somebody still wants it, and how it ended."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.wanted = True
        self.problem = ""


_open: dict[tuple[int, int], WriteLock] = {}
"""The locks of this process, by device and inode of their files."""
_opening = threading.Lock()
_of_parent: set[tuple[int, int]] = set()
"""Those that were open in the process that this one was forked from."""
_held: dict[int, list[WriteLock]] = {}
"""By the thread that forks, what it holds meanwhile."""


def hold(store: Path) -> WriteLock:
    """The lock of the store in that file, to be given back to `let_go`.

    Raises `OSError`, and `StoreError` in a child of a process that had it open when it forked: SQLite has one list of
    the files that are open in a process, and takes those of the parent for its own.
    """
    path = lock_path(store)
    with _opening:
        try:
            place = _place(path.stat())
            if place in _of_parent:
                raise StoreError(f"The store {store} cannot be opened: {FORKED}.")
            known = _open.get(place)
        except FileNotFoundError:
            known = None
        if known is None:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            known = _open[_place(os.fstat(file))] = WriteLock(file)
        known.users += 1
        return known


def is_held(store: Path) -> bool:
    """True if this process has the store open."""
    with _opening:
        try:
            return _place(lock_path(store).stat()) in _open
        except OSError:
            return False


def let_go(lock: WriteLock) -> None:
    """A store is closed."""
    with _opening:
        lock.users -= 1
        if not lock.users:
            for place in [place for place, each in _open.items() if each is lock]:
                del _open[place]
            lock.close()


def lock_path(store: Path) -> Path:
    """The file that is locked: not the store itself, whose locks are SQLite's."""
    return store.with_name(f"{store.name}-lock")


def _place(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _keep_out() -> None:
    """Nobody is in the middle of something while this thread forks: a child that uses SQLite itself, for a file of its
    own, would wait for ever for what a thread holds that it does not have."""
    # Not for ever: in a signal handler it may be this very thread that has it.
    _held[threading.get_ident()] = [each for each in tuple(_open.values()) if each.threads.acquire(timeout=1.0)]


def _let_in() -> None:
    for each in _held.pop(threading.get_ident(), ()):
        each.threads.release()


def _begin_anew() -> None:
    """A forked child has the handles, but none of the locks, and one of the plain ones may be held for ever."""
    global _open, _opening
    _of_parent.update(_open)
    _held.clear()
    _open, _opening = {}, threading.Lock()


os.register_at_fork(before=_keep_out, after_in_parent=_let_in, after_in_child=_begin_anew)
