"""Opening the file of a store: recognise it, make it, or refuse it in one clear line."""

from __future__ import annotations

import contextlib
import errno
import logging
import sqlite3
from pathlib import Path

from ..errors import StoreError
from . import checksums, making, network, processes, salvage, schema, write_lock
from .sql_errors import SQL_ERRORS, is_damage

_log = logging.getLogger(__name__)

_NEXT = "Set TIDEGATE_HOME to another folder."
_told = set[Path]()
"""The stores of which this process has said that they are on a network."""

_OF_THE_DISK = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)


def open_store(path: Path) -> tuple[write_lock.WriteLock, sqlite3.Connection]:
    """Open the file for writing, after making sure that it is ours; its lock, not held, and the connection."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (path.parent / ".gitignore").write_text("*\n")  # only in a folder that nobody else has a say in
    except OSError as error:
        raise StoreError(
            f"The folder {path.parent} cannot be written ({error.strerror}). Set TIDEGATE_HOME to a folder that can."
        ) from error
    try:
        new = _is_new(path)
        lock = write_lock.hold(path)
        try:
            with lock.threads:
                return lock, _connected(path, lock, new)
        except BaseException:
            write_lock.let_go(lock)
            raise
    except (*SQL_ERRORS, OSError) as error:
        raise StoreError(_why_not(path, error)) from error


def _connected(path: Path, lock: write_lock.WriteLock, new: bool) -> sqlite3.Connection:
    lock.acquire()
    try:
        salvage.finish(path)
        if new and not (path.exists() and path.stat().st_size):  # another process may have been quicker
            making.make(path)
        _make_private(path)
        try:
            return connect(path)
        except SQL_ERRORS as error:
            if not is_damage(error):
                raise
            _log.warning("The store %s is damaged: %s. %s", path, error, _salvaged(path, lock))
            return connect(path)
    finally:
        lock.release()


def salvage_store(path: Path) -> salvage.Salvaged:
    """Put a new store in the place of a damaged one, with what can be read of it, although it opens.

    Raises `StoreError` if it is no store, or if anybody has it open.
    """
    if _is_new(path):
        raise StoreError(f"There is no store {path}.")
    try:
        lock = write_lock.hold(path)
        try:
            with lock.threads:
                lock.acquire()
                try:
                    return _salvaged(path, lock)
                finally:
                    lock.release()
        finally:
            write_lock.let_go(lock)
    except (*SQL_ERRORS, OSError) as error:
        raise StoreError(_why_not(path, error)) from error


def _salvaged(path: Path, lock: write_lock.WriteLock) -> salvage.Salvaged:
    """Raises `StoreError` if anybody else has it open: it would write on into a file that nobody finds any more."""
    if lock.users > 1 or processes.others(path.parent / "processes"):
        raise StoreError(
            f"The store {path} is damaged, and is open elsewhere. End the kernels and programs that use it, then try "
            "again: what can be read of it will be kept."
        )
    return salvage.salvage(path)


def connect(path: Path) -> sqlite3.Connection:
    """The connection that writes to a store that is there, brought up to date; to be called under its lock.

    Raises `sqlite3.Error`.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=write_lock.PATIENCE, cached_statements=256
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        checksums.teach(connection)
        _migrate(connection, path)
        _choose_journal(connection, path)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # Finds out now, not in the middle of a run, that it cannot be written.  To begin is not enough: what could
        # not be opened for writing, if only once, SQLite opens for reading, and says so at the first change.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        connection.execute("ROLLBACK")
        return connection
    except BaseException:
        connection.close()
        raise


def _choose_journal(connection: sqlite3.Connection, path: Path) -> None:
    """A write-ahead log, but not on a network: its index is shared memory, of which another machine sees nothing."""
    kind = network.file_system(path.parent)
    wanted = "truncate" if kind else "wal"
    (found,) = connection.execute("PRAGMA journal_mode").fetchone()
    if found != wanted:
        connection.execute(f"PRAGMA journal_mode = {wanted}").fetchall()
    if kind and path not in _told:
        _told.add(path)
        _log.warning(
            "The store %s is on a network (%s): each commit waits for it, and only one machine may use it at a time. "
            "Set TIDEGATE_HOME to a folder of this machine.",
            path,
            kind,
        )


def _make_private(path: Path) -> None:
    """Nobody else may read it, nor what SQLite puts beside it, which takes over its permissions."""
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with contextlib.suppress(OSError):  # not there, or not ours to change
            if each.stat().st_mode & 0o077:
                each.chmod(0o600)


def _is_new(path: Path) -> bool:
    """True if there is no store yet.  Raises `StoreError` for a file that is not ours.

    The header is read by hand: SQLite, to tell the same, would recover and remove the log of a foreign file.
    """
    if not path.exists():
        return True
    if write_lock.is_held(path):  # it was looked at; and closing it here would drop the locks that SQLite has on it
        return False
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return True
    if header[:16] != b"SQLite format 3\0":
        raise StoreError(f"{path} is not a store: it is no SQLite file. It was left as it is. {_NEXT}")
    if int.from_bytes(header[68:72], "big") != schema.APPLICATION_ID:
        raise StoreError(f"{path} is a SQLite file of another program, and was left as it is. {_NEXT}")
    version = int.from_bytes(header[60:64], "big")
    if version > schema.VERSION:
        raise StoreError(
            f"{path} was written by a newer Tidegate (schema {version}, this one knows {schema.VERSION}). "
            f"Upgrade Tidegate. {_NEXT}"
        )
    return False


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an older store up to date, whole or not at all; a copy of it is kept beside it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version >= schema.VERSION:
        return
    copy = path.with_name(f"{path.stem}-v{version}.db")
    if not copy.exists():
        # A copy by SQLite, which takes along what is still in the log.
        with contextlib.closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
        copy.chmod(0o600)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been quicker
    making.step_up(connection, version)
    if version < checksums.SINCE:  # later, a row without one is damaged
        checksums.seal_all(connection)
    connection.execute("COMMIT")


def _why_not(path: Path, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        why = f"The store {path} cannot be opened ({error.strerror})"
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM) or isinstance(error, OSError):
        why = f"The store {path} is read-only for you, or no file"
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"The store {path} is locked by another program. Close that program, then try again."
    else:
        why = f"The store {path} cannot be opened: {error}"
    return f"{why}. {_NEXT}"
