"""A concurrency limit: how many at a time."""

from __future__ import annotations

import threading
from collections import deque

from .latch import Latch

_ANY = 1 << 60
"""More places than there will ever be runs."""

_OPEN = Latch()
_OPEN.set()


class ConcurrencyLimit:
    """At most `places` at a time, in the order of asking.  Asking never blocks: a latch says when it is one's turn."""

    __slots__ = ("_free", "_lock", "_places", "_queue")

    def __init__(self, places: int) -> None:
        self._places = self._free = places
        self._queue: deque[Latch] = deque()
        self._lock = threading.Lock()

    def take(self) -> Latch:
        """A place, as soon as the latch returned is open; each must be given back once."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return _OPEN
            latch = Latch()
            self._queue.append(latch)
        return latch

    def give(self) -> None:
        """Give a place back; the next in the queue has it."""
        with self._lock:
            if self._free < 0 or not self._queue:  # below 0 there are more at work than there are places now
                self._free += 1
                return
            latch = self._queue.popleft()
        latch.set()

    def resize(self, places: int | None) -> None:
        """Have so many places from now on, null for any number: more let those in who queue, fewer put nobody out."""
        with self._lock:
            wanted = _ANY if places is None else places
            self._free += wanted - self._places
            self._places = wanted
            let_in = []
            while self._queue and self._free > 0:
                self._free -= 1
                let_in.append(self._queue.popleft())
        for latch in let_in:
            latch.set()
