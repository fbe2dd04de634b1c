"""Ending user code that is at work.

Async code is cancelled.  Code on a worker thread gets a KeyboardInterrupt at its next Python instruction; a thread
cannot be ended inside a C call, such as a sleep, which is why a run names the bodies that are still alive.  Code on the
main thread gets a signal, which does end a sleep; where signals go to somebody else, it is treated like a worker's.
Code in a worker process is interrupted there, and the process killed if that does not do.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ..context import Frame
from ..interrupts import MAIN, guard, interrupt_main_thread, on_main_thread

sending = threading.Lock()
"""Held while an exception is sent to a thread."""
_sent: set[int] = set()
"""Threads that were sent an exception which may not have arrived yet."""


class Handled(Protocol):
    """Something whose user code may be at work."""

    handle: Any


B = TypeVar("B", bound=Handled)


def interrupt(body: Handled) -> None:
    """Have the user's code end soon, if it is at work."""
    handle = body.handle
    if isinstance(handle, asyncio.Task):
        loop = handle.get_loop()
        if not loop.is_closed():
            # Looked at again on the loop: once the code has ended, the cancellation would hit what saves its end.
            loop.call_soon_threadsafe(lambda: _cancel(handle) if body.handle is handle else None)
    elif handle == MAIN and guard.hears():
        if on_main_thread():
            guard.keep()  # raised at the next wait or the next line of user code
        else:
            interrupt_main_thread(lambda: body.handle == handle)
    elif handle is not None and not isinstance(handle, int):
        handle.interrupt()  # in a worker process
    elif handle is not None:
        with sending:
            if body.handle == handle:
                _sent.add(handle)
                _raise_in(handle, KeyboardInterrupt)


def _cancel(task: asyncio.Task[Any]) -> None:
    if not _is_running(task):
        task.cancel()
        return
    # Its code is at work, and yet its loop called this: it has entered the loop once more, and would hear of a
    # cancellation only after that.  What is raised here, the inner loop hands on to the code that runs it.
    if on_main_thread() and guard.hears():
        guard.keep()
        guard.reopen(guard.is_open)
    elif any(_is_running(other) for other in asyncio.all_tasks() if other is not task):
        task.cancel()  # several loops, one in the other: the innermost may be run by somebody else's code
    else:
        raise KeyboardInterrupt


def _is_running(task: asyncio.Task[Any]) -> bool:
    return bool(getattr(task.get_coro(), "cr_running", False))


def quiet(body: Handled) -> None:
    """The user's code has ended on this thread: nothing that was sent to it may arrive any more."""
    handle = body.handle
    if handle is not None and not isinstance(handle, int):
        body.handle = None
        return
    thread = threading.get_ident()
    with sending:
        if body.handle == thread:  # else this thread was left behind, and another one is at it
            body.handle = None
        if thread in _sent:
            _sent.discard(thread)
            _raise_in(thread, None)


def leave_behind(body: B, deserted: dict[int, B], desert: Callable[[int], None], thread: int | None = None) -> bool:
    """Give up the body on that thread: it goes no further than to its next call of the engine.

    Without a thread, the one that the body is at work on; false if there is none.  `desert` must not let the thread
    take other work before it knows.
    """
    with sending:
        thread = body.handle if thread is None else thread
        if not isinstance(thread, int):
            if hasattr(thread, "kill"):
                thread.kill()  # a worker process: the thread that waits for it is free at once
                return True
            return False
        deserted[thread] = body
        body.handle = None
        desert(thread)
    return True


class _Out(int):
    """The thread of a body that is out."""


def step_out(here: Frame) -> Any:
    """User code on this thread has called the engine: until `step_in`, nothing may interrupt it.

    An exception sent to a thread arrives between any two bytecodes, in the middle of a commit as well as in a task.
    Raises KeyboardInterrupt in a body that was left behind.
    """
    thread = threading.get_ident()
    if thread == MAIN and guard.hears():
        return guard.close()
    if thread in here.flow_run.deserted:
        raise KeyboardInterrupt
    body: Handled = here.task_run or here.flow_run
    if body.handle != thread:
        return None
    quiet(body)
    return _Out(thread)


def step_in(here: Frame, out: Any) -> None:
    """Back to user code, where `step_out` was called; what was meant to interrupt it meanwhile does so now."""
    if out is None:
        return
    if not isinstance(out, _Out):
        guard.reopen(out)
        # Where a task call was refused, that is enough.  Where a subflow ended, its end has taken the signal back.
        if here.told_to_end and not isinstance(sys.exception(), TimeoutError):
            guard.drop()
            raise KeyboardInterrupt
        return
    body: Handled = here.task_run or here.flow_run
    with sending:
        given_up = out in here.flow_run.deserted or (here.task_run is not None and here.task_run.done())
        if not given_up:
            body.handle = int(out)
    if given_up or here.flow_run.stopped.done() or here.told_to_end:
        raise KeyboardInterrupt


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    argument = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument)
