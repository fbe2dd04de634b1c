"""Opening the file of a store: recognise it, make it, or refuse it in one clear line."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from ..errors import StoreError
from . import checksums, schema, write_lock
from .sql_errors import SQL_ERRORS

_NEXT = "Set TIDEGATE_HOME to another folder."
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
    lock: write_lock.WriteLock | None = None
    try:
        new = _is_new(path)
        lock = write_lock.hold(path)
        with lock.threads:
            return lock, _connected(path, lock, new)
    except (*SQL_ERRORS, OSError) as error:
        if lock is not None:
            write_lock.let_go(lock)
        raise StoreError(_why_not(path, error)) from error


def _connected(path: Path, lock: write_lock.WriteLock, new: bool) -> sqlite3.Connection:
    lock.acquire()
    try:
        if new and not (path.exists() and path.stat().st_size):  # another process may have been quicker
            _make(path)
        _make_private(path)
        return connect(path)
    finally:
        lock.release()


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


def _make(path: Path) -> None:
    """Make a new file a store, whole or not at all: beside its place, where it comes once it is on the disk.

    In its place it was half a store for a moment, without the number that says whose it is: who died in that moment, or
    found the disk full, left what was refused ever after as the file of another program.
    """
    draft = path.with_name(f"{path.name}-draft")
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")  # it is synced as a whole
            # A commit writes whole pages; half as large as usual, it costs a twentieth less.
            connection.execute("PRAGMA page_size = 2048")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # so that room can be given back
            connection.execute("BEGIN EXCLUSIVE")
            _step_up(connection, 0)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        os.fsync(file)
        draft.replace(path)
    finally:
        os.close(file)
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
    _step_up(connection, version)
    checksums.seal_all(connection)
    connection.execute("COMMIT")


def _step_up(connection: sqlite3.Connection, version: int) -> None:
    for step in schema.STEPS[version:]:
        for statement in step.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {schema.VERSION}")


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
