"""What SQLite raises, and whether it may be otherwise later."""

from __future__ import annotations

import sqlite3

SQL_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a damaged file may raise: its error texts may quote what is no text."""


def may_heal(error: Exception) -> bool:
    """True if what could not be written may be written later: the store is locked, or the disk is full."""
    unsummed = "user-defined function" in str(error)  # a row that goes on is so damaged that it cannot be summed
    return isinstance(error, sqlite3.OperationalError) and not unsummed


def is_damage(error: Exception) -> bool:
    """True if SQLite cannot make sense of what the file holds."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, UnicodeDecodeError) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def told(error: Exception) -> str:
    """What is wrong, in a sentence without its end; for damage with what to do about it."""
    hint = "; end all that use it, then `tidegate store salvage` keeps what can be read" if is_damage(error) else ""
    return f"{error}{hint}"
