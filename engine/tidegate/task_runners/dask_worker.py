"""A call of a task's function in a worker of Dask: once and no more, and ended when nobody wants it any more."""

from __future__ import annotations

import threading
import time
from typing import Any

from distributed import get_worker
from distributed.utils import sync

from ..run.bodies import interrupt, quiet
from . import cluster_worker
from .cluster_worker import Outcome

LOOK = 0.1
"""Seconds between looks at whether the calls that are at work are wanted."""


def same(data: bytes) -> bytes:
    """What all calls of a task have in common, as a task of Dask's."""
    return data


def call_in_dask(pool: str, kit: bytes, made: bytes, *upstream: Outcome) -> Outcome:
    """`cluster_worker.call`, unless this call was begun before.

    Dask runs a task again by itself when its worker dies, or when its result is lost with one.  Whether a function is
    to run once more its owner decides, who counts the attempts.
    """
    worker = get_worker()
    key = worker.get_current_task()
    if any(each[0] != "returned" for each in upstream):
        return "lost", b"", []
    if not sync(worker.loop, _begin, worker, pool, key):
        return "begun before", b"", []
    return cluster_worker.call(kit, made, upstream, _Watched(worker, key))


async def _begin(worker: Any, pool: str, key: Any) -> bool:
    """False if the scheduler knows that the call was begun."""
    where = ["tidegate", pool, key]
    if await worker.scheduler.get_metadata(keys=where, default=None):
        return False
    await worker.scheduler.set_metadata(keys=where, value=True)
    return True


class _Watched:
    """A function at work, which is interrupted once Dask has dropped its task: cancelled, or its owner has gone."""

    def __init__(self, worker: Any, key: Any) -> None:
        self._worker = worker
        self._key = key
        self._told = False
        self.handle: Any = None

    def begin(self) -> None:
        """Interrupts may hit this thread from now on."""
        self.handle = threading.get_ident()
        with _lock:
            _watched.add(self)
            if len(_watched) == 1:
                threading.Thread(target=_watch, name="tidegate-watch", daemon=True).start()

    def end(self) -> None:
        """And no more from now on."""
        try:
            quiet(self)
        except KeyboardInterrupt:  # it was on its way
            quiet(self)
            raise
        finally:
            with _lock:
                _watched.discard(self)

    def look(self) -> None:
        """Interrupt it, once, if nobody wants it, or its worker ends."""
        task = self._worker.state.tasks.get(self._key)
        wanted = task is not None and task.state not in ("cancelled", "resumed")
        ends = self._worker.status.name in ("closing", "closed", "failed")
        if not self._told and (ends or not wanted):
            self._told = True
            interrupt(self)


_watched: set[_Watched] = set()
_lock = threading.Lock()


def _watch() -> None:
    while True:
        time.sleep(LOOK)
        with _lock:
            if not _watched:
                return
            each_now = list(_watched)
        for each in each_now:
            each.look()
