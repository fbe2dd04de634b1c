"""Interrupts hit user code and waits, never the engine's own steps.

Python raises KeyboardInterrupt between any two bytecodes of the main thread: in the middle of a commit as well as in a
task.  While a flow runs there, SIGINT therefore raises only where the guard is *open*: in user code and in waits.
Anywhere else, which is a matter of microseconds, it is kept and raised as soon as the guard opens again.

What the engine itself sends to the main thread, to end a task there, is another signal.  As a SIGINT it could not be
told from the user's: of two, sent because the first one seemed not to be heard, the second came when the task had
ended, and ended the flow.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .dropped import Dropped

MAIN = threading.main_thread().ident
"""The thread that gets signals."""

OWN: signal.Signals | None = getattr(signal, "SIGURG", None)
"""The signal that the engine sends; null where there is none (Windows).  One that comes when its handler is gone is
ignored by the system."""


class _Request:
    """That the main thread's user code is to end; `wanted` is asked where the signal arrives."""

    __slots__ = ("heard", "wanted")

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self.wanted = wanted
        self.heard = False

    def due(self) -> bool:
        """True, once, if it is still wanted."""
        first, self.heard = not self.heard, True
        return first and self.wanted()


class InterruptGuard:
    """The SIGINT handling of this process while flows run on its main thread.

    Outside of `installed` nothing is changed, and `open` has no effect.
    """

    __slots__ = (
        "_active",
        "_before",
        "_dropped",
        "_due",
        "_kept",
        "_noticed",
        "_raised",
        "_sent",
        "_unwatch",
        "_watchers",
        "arrived",
        "is_open",
    )

    def __init__(self) -> None:
        self.is_open = True
        self.arrived = 0
        """How often a signal of the engine has come."""
        self._active = False
        self._kept = False
        """Whether the user's interrupt is to be raised, and `_due`, whether the engine's is."""
        self._due = False
        self._before: Any = None
        """The handler that `OWN` had."""
        self._noticed = False
        self._sent: list[_Request] = []
        """What signals are on their way for."""
        self._raised: _Request | None = None
        """What the last KeyboardInterrupt was raised for; null for the user's."""
        self._dropped = Dropped(MAIN, self._again)
        self._watchers = 0
        self._unwatch: Callable[[], None] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Guard the main thread; does nothing on other threads, inside another one, or where SIGINT is not Python's.

        Leaving it with an interrupt kept and not yet raised raises it.  An interrupt may hit any line of this: before
        the handler is in place it raises and leaves nothing behind, after that it is kept until the handler is gone.
        """
        if threading.get_ident() != MAIN or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        try:
            self.is_open = False
            self._kept = self._due = False
            self._active = True
            self._listen()
            self._dropped.watch()
            signal.signal(signal.SIGINT, self._handle)
            yield
        finally:
            self._active = False
            self._dropped.unwatch()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._listen_no_more()
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
        if threading.get_ident() != MAIN:
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
        answer = _cancellation() if previous is signal.default_int_handler else previous
        loops = _loops(sys._getframe())

        def notice(signum: int, frame: FrameType | None) -> None:
            # Where asyncio is patched, a loop may run inside of the flow's own: a cancellation would wait for its end.
            if _loops(frame) > loops:
                self._handle(signum, frame)
            else:
                self._noticed = True
                answer(signum, frame)

        def unwatch() -> None:
            self._unwatch = None
            self._listen_no_more()
            if signal.getsignal(signal.SIGINT) is notice:
                signal.signal(signal.SIGINT, previous)

        self._noticed = False
        self._listen()
        signal.signal(signal.SIGINT, notice)
        self._unwatch = unwatch

    def _listen(self) -> None:
        """Answer our own signals; an interrupt may hit any line of this, so it says what is so, and counts nothing."""
        if OWN is not None and signal.getsignal(OWN) != self._answer:
            self._before = signal.getsignal(OWN)
            self._sent.clear()
            signal.signal(OWN, self._answer)

    def _listen_no_more(self) -> None:
        if OWN is not None and not self.hears() and signal.getsignal(OWN) == self._answer:
            signal.signal(OWN, self._before)

    def taken(self) -> bool:
        """True, once, if an interrupt was noticed while watching; it is of the main thread's code alone."""
        if threading.get_ident() != MAIN:
            return False
        noticed, self._noticed = self._noticed, False
        return noticed

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        """The user's interrupt."""
        if self.is_open or self._kept:  # the second one does not wait for anything
            self._kept, self._raised = False, None
            raise KeyboardInterrupt
        self._kept = True

    def _answer(self, signum: int, frame: FrameType | None) -> None:
        """A signal of our own: it counts if what it is to end goes on, and if it is the first one for that."""
        self.arrived += 1
        due = False
        while self._sent:
            request = self._sent.pop()
            if request.due():
                due, self._raised = True, request
        if due and self.is_open:
            raise KeyboardInterrupt
        self._due = self._due or due

    def _again(self) -> None:
        """The last KeyboardInterrupt has stopped nothing."""
        if self._raised is not None:
            interrupt_main_thread(self._raised.wanted)
        elif self._active:
            assert MAIN is not None
            signal.pthread_kill(MAIN, signal.SIGINT)

    @property
    def kept(self) -> bool:
        """True while an interrupt waits for the guard to open."""
        return self._kept or self._due

    def hears(self) -> bool:
        """True while SIGINT comes to this guard; anybody else would take a signal of ours for one of the user's."""
        return self._active or self._unwatch is not None

    def send(self, request: _Request) -> None:
        """Send the main thread a signal of our own."""
        assert MAIN is not None
        assert OWN is not None
        self._sent.append(request)
        signal.pthread_kill(MAIN, OWN)

    def open(self) -> None:
        """From here on, user code: an interrupt raises, also one that was kept."""
        self.is_open = True
        if self._kept or self._due:
            self._kept = self._due = False
            raise KeyboardInterrupt

    def close(self) -> bool:
        """From here on, the engine: an interrupt is kept.  Says whether the guard was open before.

        To be called on the main thread.
        """
        before = self.is_open
        self.is_open = False
        return before

    def reopen(self, was_open: bool) -> None:
        """Back to where `close` was called."""
        if was_open:
            self.is_open = True
            if self._kept or self._due:
                self.open()

    def keep(self) -> None:
        """Raise KeyboardInterrupt in the next user code or wait of the main thread, as if a signal had come now."""
        if self.hears():
            self._due = True

    def drop(self) -> None:
        """Forget an interrupt of the engine that was kept and has become pointless."""
        self._due = False

    def settle(self, arrived: int) -> None:
        """Take back a signal that was sent when `arrived` had come, and whose reason is gone.

        A signal may still be on its way when its sender has returned, so this waits until it is here; not for long, as
        there may have been none.
        """
        if not self.hears() or threading.get_ident() != MAIN:
            return
        for _ in range(20):
            if self.arrived > arrived:
                break
            time.sleep(0.001)
        self._due = False

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


def _cancellation() -> Callable[[int, FrameType | None], object]:
    """What ``asyncio.run`` does with an interrupt, for a loop that was begun in another way: a nested one.

    The first cancels the present task, the second raises.
    """
    task = asyncio.current_task()
    came = False

    def cancel(signum: int, frame: FrameType | None) -> None:
        nonlocal came
        if task is None or task.done() or came:
            raise KeyboardInterrupt
        came = True
        task.cancel()
        task.get_loop().call_soon_threadsafe(lambda: None)  # it may be asleep

    return cancel


def _loops(frame: FrameType | None) -> int:
    """How many event loops run on the stack of that code, one inside of the other."""
    loops = 0
    while frame is not None:
        loops += frame.f_code.co_name == "_run_once"
        frame = frame.f_back
    return loops


def on_main_thread() -> bool:
    """True on the thread that gets signals."""
    return threading.get_ident() == MAIN


AGAIN = 0.05
"""Seconds after which a signal that was not heard is sent again."""


def interrupt_main_thread(wanted: Callable[[], bool]) -> None:
    """Raise KeyboardInterrupt in the main thread's user code, also while it sleeps in a system call.

    A signal that arrives just before the thread falls asleep does not wake it, so it is sent again until the handler
    has run, as long as `wanted` says so.
    """
    request = _Request(wanted)

    def send() -> None:
        guard.send(request)
        timer = threading.Timer(AGAIN, again)
        timer.daemon = True
        timer.start()

    def again() -> None:
        if guard.hears() and not request.heard and wanted():
            send()

    send()
