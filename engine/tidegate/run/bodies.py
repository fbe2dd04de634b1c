"""Ending user code that is at work.

Async code is cancelled.  Code on a worker thread gets a KeyboardInterrupt at its next Python instruction; a thread
cannot be ended inside a C call, such as a sleep, which is why a run names the bodies that are still alive.  Code on the
main thread gets a signal, which does end a sleep.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from typing import Any, Protocol

from ..context import Frame
from ..interrupts import guard, interrupt_main_thread, on_main_thread

_MAIN = threading.main_thread().ident
_lock = threading.Lock()
_sent: set[int] = set()
"""Threads that were sent an exception which may not have arrived yet."""


class Handled(Protocol):
    """Something whose user code may be at work."""

    handle: Any


def interrupt(body: Handled) -> None:
    """Have the user's code end soon, if it is at work."""
    handle = body.handle
    if isinstance(handle, asyncio.Task):
        loop = handle.get_loop()
        if not loop.is_closed():
            # Looked at again on the loop: once the code has ended, the cancellation would hit what saves its end.
            loop.call_soon_threadsafe(lambda: handle.cancel() if body.handle is handle else None)
    elif handle == _MAIN:
        if on_main_thread():
            guard.keep()  # raised at the next wait or the next line of user code
        else:
            interrupt_main_thread(lambda: body.handle == handle)
    elif handle is not None:
        with _lock:
            if body.handle == handle:
                _sent.add(handle)
                _raise_in(handle, KeyboardInterrupt)


def quiet(body: Handled) -> None:
    """The user's code has ended: nothing that was sent to its thread may arrive any more."""
    handle = body.handle
    if not isinstance(handle, int) or handle == _MAIN:
        body.handle = None
        return
    with _lock:
        body.handle = None
        if handle in _sent:
            _sent.discard(handle)
            _raise_in(handle, None)


def step_out(here: Frame) -> Any:
    """User code on this thread has called the engine: until `step_in`, nothing may interrupt it.

    An exception sent to a thread arrives between any two bytecodes, in the middle of a commit as well as in a task.
    """
    if threading.get_ident() == _MAIN:
        return guard.close()
    body: Handled = here.task_run or here.flow_run
    handle = body.handle
    if not isinstance(handle, int) or handle != threading.get_ident():
        return None
    quiet(body)
    return handle


def step_in(here: Frame, out: Any) -> None:
    """Back to user code, where `step_out` was called; what was meant to interrupt it meanwhile does so now."""
    if threading.get_ident() == _MAIN:
        guard.reopen(out)
    elif out is not None:
        body: Handled = here.task_run or here.flow_run
        body.handle = out
        if here.flow_run.stopped.done() or here.told_to_end:
            raise KeyboardInterrupt


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    argument = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument)
