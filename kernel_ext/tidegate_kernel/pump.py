"""The host of a kernel's main thread: it goes on hearing clicks while it waits for a flow.

In a sync cell the main thread polls two things: what it waits for, and the socket that feeds the main shell.  Comm
messages, and what a page asks that is loaded anew, are served at once; all others are kept and given back in order when
the flow run ends.  No loop is entered a second time and nothing is patched.  In an awaiting cell the loop runs anyway:
the same messages are taken off the stream before the kernel queues them behind the cell, and a ticker keeps the stop
button prompt, because a loop that sleeps in its selector does not notice a signal.  So it is where the user has patched
asyncio and enters the loop again in a sync cell; what is not for us is then kept with the rest, or it would overtake
what came before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import Callable, Iterator

import zmq

from tidegate.host import SLICE, ticking
from tidegate.interrupts import guard
from tidegate.latch import Waitable

from .wire import Frames, Wire

TICK = 0.05
"""Seconds: how late an interrupt of an awaiting cell may be noticed."""

BOUNDARY = 0.02
"""Seconds between two looks at the socket between task runs; a look costs about five microseconds."""


class Pump:
    """Waits on the main thread of a kernel.  `ended` is called, on the main thread, after each root flow run."""

    def __init__(self, wire: Wire, ended: Callable[[], None]) -> None:
        self._wire = wire
        self._ended = ended
        self._kept: list[Frames] = []
        self._hosted = 0
        """Root flow runs around which this is: messages that were kept are given back at the end of each."""
        self._looked = 0.0
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._button.setblocking(False)

    def close(self) -> None:
        """Let go of the sockets."""
        self._bell.close()
        self._button.close()

    def wait(self, latch: Waitable, timeout: float | None) -> bool:
        """Wait for the latch and serve the page meanwhile."""
        try:
            return self._wait(latch, timeout)
        finally:
            if not self._hosted:
                self._give_back()

    def _wait(self, latch: Waitable, timeout: float | None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        latch.on_done(self._ring)
        poller = zmq.Poller()
        poller.register(self._bell.fileno(), zmq.POLLIN)
        poller.register(self._wire.socket, zmq.POLLIN)
        while True:
            self._serve()
            if latch.done():
                return True
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            poller.poll(math.ceil(1000 * (SLICE if left is None else min(SLICE, left))))
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(4096)

    def heard(self) -> None:
        """A page was heard, perhaps on a subshell, whose idle the page has then taken for the kernel's."""
        self._wire.say_busy()

    def boundary(self) -> None:
        """Between two task runs: look at the socket now and then."""
        now = time.monotonic()
        if self._hosted and now - self._looked > BOUNDARY:  # else the loop runs, and hears by itself
            self._serve()

    @contextlib.contextmanager
    def hosting(self, awaited: bool) -> Iterator[None]:
        """Around a root flow run."""
        self._wire.begin_cell()
        self._hosted += 1
        try:
            if awaited:
                with self._wire.listening(self._wire.serve), ticking(TICK):
                    yield
            elif asyncio._get_running_loop() is not None:
                with self._wire.listening(self._serve_nested, self._keep), ticking(TICK):
                    yield
            else:
                yield
        finally:
            self._serve()  # cells that wait are to be in the kernel's queue before it aborts those, if this one failed
            self._hosted -= 1
            self._wire.end_cell()
            self._give_back()
            self._ended()

    def _give_back(self) -> None:
        kept, self._kept = self._kept, []
        if kept:
            self._wire.give_back(kept)

    def _serve(self) -> None:
        """Serve what has come and can be, keep the others."""
        self._looked = time.monotonic()
        was_open = guard.close()  # an interrupt between receiving and keeping would lose a message
        try:
            while (frames := self._wire.receive()) is not None:
                kind = self._wire.served(frames)
                if kind is None:
                    self._kept.append(frames)
                else:
                    self._wire.serve(kind, frames)
        finally:
            guard.reopen(was_open)

    def _serve_nested(self, kind: str, frames: Frames) -> None:
        """Serve a message in the middle of the user's code, which has entered the loop once more."""
        was_open = guard.close()
        try:
            self._wire.serve(kind, frames)
        finally:
            guard.is_open = was_open or not guard.hears()
            if was_open and guard.kept:  # a Cancel; raised in here it would leave the stream half read
                asyncio.get_running_loop().call_soon(guard.open)

    def _keep(self, frames: Frames) -> None:
        self._kept.append(frames)

    def _ring(self) -> None:
        """Wake the main thread; called from the thread that opens the latch."""
        with contextlib.suppress(OSError):
            self._button.send(b"x")
