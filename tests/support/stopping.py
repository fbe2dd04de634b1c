"""Processes that are stopped (SIGSTOP), as by a key in a terminal or by a debugger."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sqlite3
import time
from pathlib import Path

from tidegate.store.write_lock import lock_path


def stop_between_commits(pid: int, home: Path) -> int:
    """Stop a process, not in a commit: nobody could open the store then.  How often it had to be let go on for that.

    The caller must not have the store open: a look at a lock drops the locks that a process has on the same file.
    """
    for tries in range(1_000):
        os.kill(pid, signal.SIGSTOP)
        _await_stop(pid)
        if _is_free(home / "store.db"):
            return tries
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.001)  # stopped again at once, it would never come to the end of its commit
    raise AssertionError("it is always in a commit")


def _await_stop(pid: int) -> None:
    """The signal is only on its way: on another core each thread goes on for a moment, perhaps into a commit."""
    while any(_state(thread) != "T" for thread in Path(f"/proc/{pid}/task").iterdir()):
        time.sleep(0.0002)


def _state(thread: Path) -> str:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    return "T"


def _is_free(store: Path) -> bool:
    connection = sqlite3.connect(store, timeout=0, isolation_level=None)
    lock = os.open(lock_path(store), os.O_RDWR)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        connection.execute("BEGIN IMMEDIATE")
    except (OSError, sqlite3.OperationalError):
        return False
    else:
        return True
    finally:
        os.close(lock)
        connection.close()
