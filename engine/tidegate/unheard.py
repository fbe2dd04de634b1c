"""An interrupt that came in the moment before the main thread fell asleep is heard all the same.

Python notes a signal down, and runs its handler before the next bytecode.  One that comes behind its last look, and
before a call that waits (a sleep, a read), wakes nobody: its handler runs when the call is over, be it an hour later.
Beside threads that are busy this moment lasts as long as it takes to hand the interpreter over.

Python writes each signal to a descriptor as well, if it is given one, and at once.  What lies there for a while has not
been heard; another signal, which means nothing, ends the call then, and Python runs the handlers of both.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from . import forks

PATIENCE = 0.05
"""Seconds that a handler has until it is helped, and after that until it is helped again."""

TRIES = 100
"""So often it is helped: who handles interrupts otherwise does not say here that one was heard."""


class Unheard:
    """The interrupts of this process that no handler has heard yet.

    `wake` ends the call in which the main thread waits.  All else is for the main thread.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._ends: tuple[socket.socket, socket.socket] | None = None
        """Where the signals come out, and where they go in."""
        forks.watch(self)

    def begin_anew(self) -> None:
        """In a forked child: what is written there is for the parent, and nobody here looks."""
        ends, self._ends = self._ends, None
        if ends is not None:
            _let_go(ends[1])

    def begin(self) -> None:
        """From now on interrupts that are not heard are noticed; not where somebody else has signals written."""
        if self._ends is None:
            out, into = self._ends = socket.socketpair()
            into.setblocking(False)
            threading.Thread(target=self._watch, args=(out,), name="tidegate-signals", daemon=True).start()
        before = signal.set_wakeup_fd(self._ends[1].fileno(), warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before)

    def end(self) -> None:
        """Nobody here handles interrupts any more."""
        if self._ends is not None:
            _let_go(self._ends[1])
            self.heard()

    def heard(self) -> None:
        """A handler runs: of all that came there is none that waits."""
        if self._ends is not None:
            _read(self._ends[0], 4096)

    def _watch(self, out: socket.socket) -> None:
        while came := out.recv(4096, socket.MSG_PEEK):
            for _ in range(TRIES):
                time.sleep(PATIENCE)
                came = _read(out, 4096, socket.MSG_PEEK)
                if signal.SIGINT not in came:
                    break
                self._wake()
            _read(out, len(came))  # other signals are heard by others


def _let_go(into: socket.socket) -> None:
    before = signal.set_wakeup_fd(-1)
    if before not in (-1, into.fileno()):
        signal.set_wakeup_fd(before)  # of somebody who came later


def _read(out: socket.socket, size: int, flags: int = 0) -> bytes:
    """What lies there, without waiting for it."""
    with suppress(BlockingIOError):
        return out.recv(size, flags | socket.MSG_DONTWAIT)
    return b""
