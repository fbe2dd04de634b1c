"""An interrupt that Python dropped comes again.

What is raised in a `__del__`, or in the callback of a weak reference, goes to `sys.unraisablehook` and no further, and
a KeyboardInterrupt is no exception to that: one that falls into such a moment has stopped nothing.  Those moments are
short, and there are many: each task of asyncio and each thread that ends has one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

SOON = 0.001
"""Seconds between two looks whether it can come again."""


class Dropped:
    """Calls `again`, on another thread, for each KeyboardInterrupt that was dropped on the one of this ident."""

    __slots__ = ("_again", "_before", "_inside", "_thread")

    def __init__(self, thread: int | None, again: Callable[[], None]) -> None:
        self._thread = thread
        self._again = again
        self._before: Callable[[Any], object] | None = None
        self._inside = False
        """True while the hook runs: what is raised in there is dropped once more."""

    def watch(self) -> None:
        """From now on.  Whoever had the hook before hears of all else."""
        if sys.unraisablehook != self._hook:
            self._before = sys.unraisablehook
            sys.unraisablehook = self._hook

    def unwatch(self) -> None:
        """No more; a hook that somebody else has set meanwhile stays."""
        if self._before is not None and sys.unraisablehook == self._hook:
            sys.unraisablehook = self._before

    def _hook(self, raised: Any) -> None:
        if isinstance(raised.exc_value, KeyboardInterrupt) and threading.get_ident() == self._thread:
            self._inside = True
            threading.Thread(target=self._repeat, name="tidegate-dropped", daemon=True).start()
            self._inside = False
        elif self._before is not None:
            self._before(raised)

    def _repeat(self) -> None:
        time.sleep(SOON)
        while self._inside:
            time.sleep(SOON)
        self._again()
