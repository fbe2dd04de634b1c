"""Making the file of a store, and the steps from one version of its schema to the next."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from . import schema


def make(path: Path, version: int = schema.VERSION) -> None:
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
            step_up(connection, 0, version)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute("COMMIT")
        os.fsync(file)
        draft.replace(path)
    finally:
        os.close(file)
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def step_up(connection: sqlite3.Connection, version: int, wanted: int = schema.VERSION) -> None:
    """Make a store of one version one of another, in a transaction that has begun."""
    for step in schema.STEPS[version:wanted]:
        for statement in step.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {wanted}")


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk.  Raises `OSError`."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
