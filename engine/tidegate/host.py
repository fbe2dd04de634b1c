"""How a thread waits.

User code stays on the thread that called it, so it is that thread which waits for futures, pauses and ends.  In a
plain process it blocks.  In a Jupyter kernel the main thread must go on hearing clicks meanwhile: the kernel extension
puts its own host in place for that thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from .context import Frame, frame
from .errors import NotRunning
from .interrupts import MAIN, guard
from .latch import Waitable, block
from .run.bodies import step_in, step_out

SLICE = 0.2
"""Seconds that a thread with user code on it waits in one go.

A signal that arrives after Python last looked for one and before the thread is asleep does not end that sleep, and its
handler runs when the sleep is over: one interrupt in some hundreds, under load, would otherwise wait for ever.
"""


class Host(Protocol):
    """How the main thread of this process waits."""

    def wait(self, latch: Waitable, timeout: float | None) -> bool:
        """Return true once the latch is open, false after `timeout` seconds; may serve others meanwhile."""
        ...

    def boundary(self) -> None:
        """Called between task runs: a chance to serve others, at the cost of microseconds."""
        ...

    def hosting(self, awaited: bool) -> AbstractContextManager[object]:
        """Around a root flow run of the main thread; `awaited` if its body is awaited on that thread's loop."""
        ...


class PlainHost:
    """Blocks."""

    def wait(self, latch: Waitable, timeout: float | None) -> bool:
        """Block until the latch opens."""
        return wait_in_slices(latch, timeout)

    def boundary(self) -> None:
        """Nobody to serve."""

    def hosting(self, awaited: bool) -> AbstractContextManager[object]:
        """Keep the stop button, or Ctrl-C, prompt while a flow is awaited."""
        return ticking(SLICE) if awaited else nullcontext()


@contextmanager
def ticking(seconds: float) -> Iterator[None]:
    """Let the running loop not sleep for longer than so many seconds.

    As a thread does, it hears of a signal that comes just before it falls asleep only when it wakes up.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def tick() -> None:
        nonlocal timer
        timer = loop.call_later(seconds, tick)

    tick()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


class Lender(Protocol):
    """A pool whose worker may lend its place while it waits."""

    def lent(self) -> AbstractContextManager[object]:
        """While inside, the pool may run one worker more."""
        ...


class _Thread(threading.local):
    lender: Lender | None = None


this_thread = _Thread()
_plain = PlainHost()
_main_host: Host = _plain


def use(host: Host | None) -> None:
    """Make `host` the one of the main thread; null goes back to blocking."""
    global _main_host
    _main_host = host or _plain


def wait(latch: Waitable, timeout: float | None = None) -> bool:
    """Wait on this thread, the way this thread waits; false if `timeout` (seconds) passed first.

    Raises KeyboardInterrupt in the code of a flow that was cancelled meanwhile: it goes no further.
    """
    if latch.done():
        return True
    here = frame.get()
    if here is not None and here.flow_run.orphaned:
        raise NotRunning(f"What {here.flow_run.name!r} waits for ends in the process that this one was forked from.")
    if threading.get_ident() == MAIN:
        with guard.interruptible():
            opened = _main_host.wait(latch, timeout)
    else:
        opened = block(latch, timeout) if here is None else _wait_on_worker(latch, timeout, here)
    if here is not None and here.told_to_end:
        raise KeyboardInterrupt
    return opened


def _wait_on_worker(latch: Waitable, timeout: float | None, here: Frame) -> bool:
    out = step_out(here)
    lender = this_thread.lender
    try:
        with nullcontext() if lender is None else lender.lent():
            return wait_in_slices(latch, timeout, lambda: here.flow_run.stopped.done() or here.told_to_end)
    finally:
        step_in(here, out)


def wait_in_slices(latch: Waitable, timeout: float | None, enough: Callable[[], bool] = lambda: False) -> bool:
    """Block until the latch opens, `timeout` seconds have passed, or a look every `SLICE` seconds says it is enough."""
    if latch.done():
        return True
    event = threading.Event()
    latch.on_done(event.set)
    end = None if timeout is None else time.monotonic() + timeout
    while not event.wait(SLICE if end is None else min(SLICE, end - time.monotonic())):
        if enough() or (end is not None and time.monotonic() >= end):
            return latch.done()
    return True


def hosting(awaited: bool) -> AbstractContextManager[object]:
    """Around a root flow run of this thread."""
    return _main_host.hosting(awaited) if threading.get_ident() == MAIN else nullcontext()


def boundary() -> None:
    """Between two task runs on this thread."""
    if threading.get_ident() == MAIN:
        _main_host.boundary()
