"""Interrupts hit user code and waits, never the engine's own steps.

Python raises KeyboardInterrupt between any two bytecodes of the main thread: in the middle of a commit as well as in a
task.  While a flow runs there, SIGINT therefore raises only where the guard is *open*: in user code and in waits.
Anywhere else, which is a matter of microseconds, it is kept and raised as soon as the guard opens again.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_MAIN = threading.main_thread()


class InterruptGuard:
    """The SIGINT handling of this process while flows run on its main thread.

    Outside of `installed` nothing is changed, and `open` has no effect.
    """

    __slots__ = ("_active", "_kept", "_noticed", "_unwatch", "_wanted", "_watchers", "arrived", "is_open")

    def __init__(self) -> None:
        self.is_open = True
        self.arrived = 0
        """How often a signal has come, of those that this guard answers."""
        self._active = False
        self._kept = False
        self._noticed = False
        self._wanted: Callable[[], bool] | None = None
        self._watchers = 0
        self._unwatch: Callable[[], None] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Guard the main thread; does nothing on other threads, inside another one, or where SIGINT is not Python's.

        Leaving it with an interrupt kept and not yet raised raises it.  An interrupt may hit any line of this: before
        the handler is in place it raises and leaves nothing behind, after that it is kept until the handler is gone.
        """
        if threading.current_thread() is not _MAIN or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        try:
            self.is_open = False
            self._kept = False
            self._active = True
            signal.signal(signal.SIGINT, self._handle)
            yield
        finally:
            self._active = False
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.is_open = True
        if self._kept:
            self._kept = False
            raise KeyboardInterrupt

    @contextmanager
    def watching(self) -> Iterator[None]:
        """For awaited flows: notice SIGINT and leave it to whoever handles it.

        Loops turn an interrupt into the cancellation of a task; `taken` tells that one from any other cancellation.
        A signal of our own, to end a sync task that blocks the loop, is no business of the loop's.
        """
        if threading.current_thread() is not _MAIN:
            yield
            return
        # Flows that are awaited side by side do not end in reverse order: the first one in installs, the last one out
        # takes away.
        self._watchers += 1
        if self._watchers == 1:
            self._watch()
        try:
            yield
        finally:
            self._watchers -= 1
            if self._watchers == 0 and self._unwatch is not None:
                self._unwatch()

    def _watch(self) -> None:
        previous = signal.getsignal(signal.SIGINT)
        self._unwatch = None
        if not callable(previous):
            return

        def notice(signum: int, frame: FrameType | None) -> None:
            if self._wanted is not None:
                self._handle(signum, frame)
            else:
                self._noticed = True
                previous(signum, frame)

        def unwatch() -> None:
            self._unwatch = None
            if signal.getsignal(signal.SIGINT) is notice:
                signal.signal(signal.SIGINT, previous)

        self._noticed = False
        self._wanted = None
        signal.signal(signal.SIGINT, notice)
        self._unwatch = unwatch

    def taken(self) -> bool:
        """True, once, if an interrupt was noticed while watching; it is of the main thread's code alone."""
        if threading.get_ident() != _MAIN.ident:
            return False
        noticed, self._noticed = self._noticed, False
        return noticed

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.arrived += 1
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted():
            return  # sent by us, and what was to be ended has ended
        if self.is_open or (self._kept and wanted is None):  # the user's second one does not wait for anything
            self._kept = False
            raise KeyboardInterrupt
        self._kept = True

    def hears(self) -> bool:
        """True while SIGINT comes to this guard; anybody else would take a signal of ours for one of the user's."""
        return self._active or self._unwatch is not None

    def send(self, wanted: Callable[[], bool]) -> None:
        """Send the main thread a signal of our own; `wanted` is asked again where it arrives."""
        assert _MAIN.ident is not None
        self._wanted = wanted
        signal.pthread_kill(_MAIN.ident, signal.SIGINT)

    def open(self) -> None:
        """From here on, user code: an interrupt raises, also one that was kept."""
        self.is_open = True
        if self._kept:
            self._kept = False
            raise KeyboardInterrupt

    def close(self) -> bool:
        """From here on, the engine: an interrupt is kept.  Says whether the guard was open before."""
        if not self.hears() or threading.get_ident() != _MAIN.ident:
            return False
        before = self.is_open
        self.is_open = False
        return before

    def reopen(self, was_open: bool) -> None:
        """Back to where `close` was called."""
        if was_open:
            self.open()

    def keep(self) -> None:
        """Raise KeyboardInterrupt in the next user code or wait of the main thread, as if a signal had come now."""
        if self.hears():
            self._kept = True

    def drop(self) -> None:
        """Forget an interrupt that was kept and has become pointless."""
        self._kept = False

    def settle(self, arrived: int) -> None:
        """Take back an interrupt that was sent when `arrived` had come, and whose reason is gone.

        A signal may still be on its way when its sender has returned, so this waits until it is here; not for long, as
        there may have been none.
        """
        if not self.hears() or threading.get_ident() != _MAIN.ident:
            return
        for _ in range(20):
            if self.arrived > arrived:
                break
            time.sleep(0.001)
        self._kept = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Open for the length of a wait."""
        before = self.is_open
        try:
            self.open()
            yield
        finally:
            self.is_open = before


guard = InterruptGuard()


def on_main_thread() -> bool:
    """True on the thread that gets signals."""
    return threading.get_ident() == _MAIN.ident


AGAIN = 0.05
"""Seconds after which a signal that was not heard is sent again."""


def interrupt_main_thread(wanted: Callable[[], bool]) -> None:
    """Raise KeyboardInterrupt in the main thread's user code, also while it sleeps in a system call.

    A signal that arrives just before the thread falls asleep does not wake it, so it is sent again until the handler
    has run, as long as `wanted` says so.
    """
    arrived = guard.arrived
    guard.send(wanted)

    def again() -> None:
        if guard.hears() and guard.arrived == arrived and wanted():
            interrupt_main_thread(wanted)

    timer = threading.Timer(AGAIN, again)
    timer.daemon = True
    timer.start()
