"""The engine thread: one long-lived event loop per process, started when it is first needed.

It runs timers, the async tasks of sync flows and the feed of the run graphs; never the user's sync code.  There is one
for the life of the process: a loop for every call would pay a thread each time, and a loop closed at the end of a cell
would cancel or join what still runs in it.  It is a plain daemon thread and not an anyio portal, because a portal that
lives as long as the process waits, when the interpreter ends, for a thread that is already gone.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


class EnginePortal:
    """Brings work to the engine's loop.  Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._spare: EnginePortal | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """The engine's loop; starts its thread on the first call, and again in a forked child."""
        loop = self._loop
        if loop is not None and self._pid == os.getpid():
            return loop
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                # What a loop is made in it keeps for ever: not the flow run that happens to be the first.
                self._loop = Context().run(asyncio.new_event_loop)
                self._pid = os.getpid()
                threading.Thread(target=_run, args=(self._loop,), name="tidegate-engine", daemon=True).start()
            return self._loop

    def begin_anew(self) -> None:
        """In a forked child there is no thread of it; and one that is gone may hold the lock."""
        self._lock, self._spare = threading.Lock(), None

    def start(self, make: Callable[[], Coroutine[Any, Any, Any]], context: Context) -> None:
        """Start a coroutine on the engine's loop, in the caller's context; it must see to its own errors."""
        loop = self.loop()
        if asyncio._get_running_loop() is loop:
            # Sync code in an async flow of this very loop is going to wait for it: another loop must do the work.
            if self._spare is None:
                self._spare = EnginePortal()
            self._spare.start(make, context)
            return
        loop.call_soon_threadsafe(lambda: spawn(loop, make(), context))

    def after(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the engine thread in `seconds`, unless the timer is cancelled by then."""
        timer = Timer(self.loop(), callback)
        timer.start(max(0.0, seconds))
        return timer


class Timer:
    """A callback to come.  Safe from any thread."""

    __slots__ = ("_callback", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._loop = loop
        self._callback: Callable[[], object] | None = callback
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Begin to count."""
        self._loop.call_soon_threadsafe(self._schedule, seconds, context=Context())

    def cancel(self) -> None:
        """Do not call it; what it holds is let go of at once, not when its time has come."""
        self._callback = None
        if self._handle is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._handle.cancel)

    def _schedule(self, seconds: float) -> None:
        if self._callback is not None:
            # A loop keeps cancelled handles until their time has come: this one must not keep the caller's context.
            self._handle = self._loop.call_later(seconds, self._call, context=Context())

    def _call(self) -> None:
        if self._callback is not None:
            self._callback()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


_tasks: set[asyncio.Task[Any]] = set()


def spawn(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
) -> asyncio.Task[Any]:
    """A task that is kept alive until it is done: loops hold theirs only weakly."""
    task = loop.create_task(coroutine, context=context)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task
