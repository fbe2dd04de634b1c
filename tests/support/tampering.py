"""Changes of a store behind its back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tidegate.store import checksums


def tampered(path: Path, statement: str, *values: Any) -> list[Any]:
    """Run a statement on a store and make its checksums fit again: what somebody would do on purpose."""
    with closing(sqlite3.connect(path)) as connection, connection:
        found = connection.execute(statement, values).fetchall()
        checksums.teach(connection)
        for table in checksums.TABLES:
            connection.execute(f"UPDATE {table} SET crc = NULL")
        checksums.seal_all(connection, checksums.TABLES)
    return found
