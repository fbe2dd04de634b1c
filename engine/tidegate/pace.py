"""A pace: how often something may start."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from .latch import Latch
from .rules.rates import AT_ONCE, due_after, due_changed, seconds_left

After = Callable[[float, Callable[[], object]], object]
"""Has a callback called in so many seconds, on another thread."""


class Turn(Latch):
    """Opens when it is one's turn to start.  Either `begin` or `leave` it; the next one waits for that."""

    __slots__ = ("_after", "_pace", "waited")

    def __init__(self, pace: Pace, after: After) -> None:
        super().__init__()
        self._pace = pace
        self._after = after
        self.waited = False

    def begin(self) -> None:
        """It starts, now."""
        self._pace.pass_on(self, begins=True)

    def leave(self) -> None:
        """It does not start, or has started already: let the next one come.  Later calls do nothing."""
        self._pace.pass_on(self, begins=False)

    def look_after(self, seconds: float) -> None:
        """Have the pace look again."""
        self._after(seconds, partial(self._pace.look, self))


class Pace:
    """Starts are `interval` seconds apart, in the order of asking.  Safe from any thread.

    One at a time has the turn, from when its start is allowed until it starts or goes away.  So the one whose turn it
    is may have to wait for something else, a place or a slot, and those behind it do not pile up meanwhile.
    """

    __slots__ = ("_clock", "_due", "_holder", "_lock", "_queue", "interval")

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = interval
        """Seconds between two starts."""
        self._clock = clock
        self._due = AT_ONCE
        self._holder: Turn | None = None
        self._queue: OrderedDict[Turn, None] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, after: After) -> Turn:
        """A turn, which opens when it comes; `after` wakes it."""
        turn = Turn(self, after)
        with self._lock:
            self._queue[turn] = None
            first = len(self._queue) == 1
        if first:
            self._advance()
        if not turn.done():
            turn.waited = True
        return turn

    def pass_on(self, turn: Turn, *, begins: bool) -> None:
        """The turn is over, or is not wanted any more."""
        with self._lock:
            if turn is self._holder:
                self._holder = None
                if begins:
                    self._due = due_after(self._due, self._clock(), self.interval, waited=turn.waited)
            elif next(iter(self._queue), None) is turn:
                del self._queue[turn]  # the one behind it has no timer yet
            else:
                self._queue.pop(turn, None)
                return
        self._advance()

    def look(self, turn: Turn) -> None:
        """The time of that turn may have come."""
        if not turn.done():
            self._advance()

    def change(self, interval: float) -> None:
        """Starts are so many seconds apart from now on; whose time has come by that goes at once."""
        with self._lock:
            self._due = due_changed(self._due, self.interval, interval)
            self.interval = interval
        self._advance()

    def _advance(self) -> None:
        """Give the turn to the first of the queue, or have it wait for its time."""
        with self._lock:
            if self._holder is not None or not self._queue:
                return
            turn = next(iter(self._queue))
            seconds = seconds_left(self._due, self._clock())
            if not seconds:
                del self._queue[turn]
                self._holder = turn
        if seconds:
            turn.look_after(seconds)
        else:
            turn.set()
