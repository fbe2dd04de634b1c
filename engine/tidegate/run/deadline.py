"""A time limit of one attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..interrupts import guard

if TYPE_CHECKING:
    from ..portal import EnginePortal, Timer

STUCK = 0.1
"""Seconds after which code on a worker that was told to end, and has not, is left behind: a thread cannot be ended
inside a C call, such as a sleep."""


class Deadline:
    """Calls `expire` on the engine thread `seconds` after `start`, unless the attempt has ended by then.

    `desert`, where it is given, is called a little later if the attempt has still not ended; from then on it counts for
    nothing.
    """

    __slots__ = (
        "_desert",
        "_expire",
        "_lock",
        "_over",
        "_portal",
        "_seconds",
        "_signals",
        "_thread",
        "_timer",
        "deserted",
        "passed",
    )

    def __init__(
        self,
        seconds: float,
        portal: EnginePortal,
        expire: Callable[[], None],
        desert: Callable[[int], None] | None = None,
    ) -> None:
        self.passed = False
        self.deserted = False
        self._over = False
        self._lock = threading.Lock()
        self._expire = expire
        self._desert = desert
        self._portal = portal
        self._seconds = seconds
        self._signals = 0
        self._thread = threading.get_ident()
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to count.  Only now: it may expire in the middle of this, and the run must know its deadline then."""
        self._timer = self._portal.after(self._seconds, self._pass)

    def _pass(self) -> None:
        with self._lock:
            if self._over:
                return
            self.passed = True
            self._signals = guard.arrived
            self._expire()
        if self._desert is not None:
            self._timer = self._portal.after(STUCK, self._give_up)

    def _give_up(self) -> None:
        with self._lock:
            if self._over or self._desert is None:
                return
            self.deserted = True
            self._desert(self._thread)

    def end(self) -> bool:
        """The attempt has ended, and nothing will interrupt it any more; false if it was left behind before."""
        if self._desert is not None and self._thread != threading.get_ident():
            return False  # the deadline of a later attempt: this one was left behind
        with self._lock:
            self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self.passed and not self.deserted:
            guard.settle(self._signals)
        return not self.deserted
