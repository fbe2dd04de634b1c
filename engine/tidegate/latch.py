"""A latch: something that happens once, and that threads, loops and callbacks can wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol


class Waitable(Protocol):
    """What can be waited for."""

    def done(self) -> bool:
        """True once it has happened."""
        ...

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call `callback` when it happens, in the thread that makes it happen; at once if it has."""
        ...


class Latch:
    """Closed until `set`, then open for ever.  Safe from any thread."""

    __slots__ = ("_callbacks", "_done")

    # One lock for all latches: it is held for nanoseconds, and a lock each would double the price of a future.
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._done = False
        self._callbacks: list[Callable[[], object]] | None = None

    def done(self) -> bool:
        """True once it has happened."""
        return self._done

    def set(self) -> None:
        """Make it happen; later calls do nothing."""
        with self._lock:
            self._done = True
            callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            for callback in callbacks:
                callback()

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call `callback` when it happens, in the thread that sets it; at once if it has happened."""
        with self._lock:
            if not self._done:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback()


class AllOf(Latch):
    """Opens when every one of the given latches is open: one wake-up for ten thousand futures."""

    __slots__ = ("_left",)

    def __init__(self, waitables: Iterable[Waitable]) -> None:
        super().__init__()
        pending = [each for each in waitables if not each.done()]
        self._left = len(pending)
        if not pending:
            self.set()
        for each in pending:
            each.on_done(self._one)

    def _one(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self.set()


class AnyOf(Latch):
    """Opens when the first of the given latches opens."""

    __slots__ = ()

    def __init__(self, *waitables: Waitable) -> None:
        super().__init__()
        for each in waitables:
            each.on_done(self.set)


def block(latch: Waitable, timeout: float | None = None) -> bool:
    """Block this thread until the latch opens; false if `timeout` (seconds) passed first."""
    if latch.done():
        return True
    event = threading.Event()
    latch.on_done(event.set)
    return event.wait(timeout) or latch.done()
