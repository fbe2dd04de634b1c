"""A concurrency limit: how many at a time."""

from __future__ import annotations

import threading
from collections import deque

from .latch import Latch

_OPEN = Latch()
_OPEN.set()


class ConcurrencyLimit:
    """At most `places` at a time, in the order of asking.  Asking never blocks: a latch says when it is one's turn."""

    __slots__ = ("_free", "_lock", "_queue")

    def __init__(self, places: int) -> None:
        self._free = places
        self._queue: deque[Latch] = deque()
        self._lock = threading.Lock()

    def take(self) -> Latch:
        """A place, as soon as the latch returned is open; each must be given back once."""
        with self._lock:
            if self._free:
                self._free -= 1
                return _OPEN
            latch = Latch()
            self._queue.append(latch)
        return latch

    def give(self) -> None:
        """Give a place back; the next in the queue has it."""
        with self._lock:
            if not self._queue:
                self._free += 1
                return
            latch = self._queue.popleft()
        latch.set()
