"""Retention by itself: a store that has grown large loses its oldest runs, and never one of the last weeks.

A process looks some seconds after it has opened its store, and then each day.  What is to be deleted goes run by run,
so that whatever ends the process in the middle of it costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from .errors import StoreError
from .plurals import counted
from .settings import Settings

if TYPE_CHECKING:
    from .retention import Pruned
    from .store.sqlite import SQLiteStore

FIRST = 10.0
"""Seconds from the opening of a store to the first look: a short script has something better to do."""

AGAIN = 86_400.0
"""Seconds from one look to the next."""

_log = logging.getLogger(__name__)


def look_after(store: SQLiteStore, limits: Settings, wait: float | None = None) -> None:
    """Have a thread look at the store after `wait` seconds, and again and again; it ends with the process."""
    if limits.retention_size is None:
        return
    timer = threading.Timer(FIRST if wait is None else wait, _look, (store, limits))
    timer.name, timer.daemon = "tidegate-housekeeping", True
    with suppress(RuntimeError):  # the interpreter ends
        timer.start()


def _look(store: SQLiteStore, limits: Settings) -> None:
    with suppress(StoreError, OSError):  # closed, or not to be written: another process or another day will do it
        tidy(store, limits, time.time())
        look_after(store, limits, AGAIN)


def tidy(store: SQLiteStore, limits: Settings, now: float) -> Pruned | None:
    """Delete what the settings allow, the oldest first, until the store is no larger than they say; null if it is not.

    Raises `StoreError`; what was deleted until then stays deleted.
    """
    from . import retention  # the first flow of a process does not wait for it

    size = limits.retention_size
    if size is None or retention.size_of(store) <= size:
        return None
    since = now - limits.retention_days * 86_400
    runs = [run for run in retention.plan(store, retention.Limits(size=size), now) if run.ended < since]
    if not runs:
        return None
    done = retention.prune(store, runs, now)
    _log.info(
        "Deleted: %s that ended more than %g days ago, because %s is larger than TIDEGATE_RETENTION_SIZE allows.",
        counted(done.runs, "flow run"),
        limits.retention_days,
        store.path,
    )
    return done
