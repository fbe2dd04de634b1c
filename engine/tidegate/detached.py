"""Detached flow runs: one goes on a thread of its own, and whoever started it holds a handle."""

from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Generic, TypeVar, cast

from . import host
from .context import frame
from .errors import UsageError
from .futures import wait_async
from .interrupts import guard
from .model.states import State
from .run.drivers import drive, drive_async
from .run.flow_run import FlowRun
from .run.lifecycles import flow_life

R = TypeVar("R")


class DetachedRun(Generic[R]):
    """A flow run that goes on by itself: wait for it, await it, ask for its state, pause, resume or cancel it.

    Safe from any thread.  An interrupt of a wait ends the wait and not the run.
    """

    def __init__(self, run: FlowRun) -> None:
        self._run = run

    @property
    def number(self) -> int:
        """The number of the flow run."""
        return self._run.number

    @property
    def name(self) -> str:
        """Its readable name."""
        return self._run.name

    @property
    def state(self) -> State:
        """The present state; does not wait."""
        return self._run.state

    def done(self) -> bool:
        """True once the run has ended, or is suspended, and that is saved."""
        return self._run.finished.done()

    def wait(self, timeout: float | None = None) -> State | None:
        """Block until the end and return the final state; null if `timeout` (seconds) passed first.

        Raises `UsageError` in the code of the run itself.
        """
        run = self._run
        if run.finished.done():
            return run.state
        self._check_other()
        if frame.get() is not None:
            return run.state if host.wait(run.finished, timeout) else None
        with guard.installed(), host.hosting(awaited=False):
            return run.state if host.wait(run.finished, timeout) else None

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """Block until the end and return what the flow returned.

        Raises what the flow raised (with ``raise_on_failure=False`` returns it), `PausedRun` if it is suspended, and
        `TimeoutError` if `timeout` (seconds) passed first.
        """
        __tracebackhide__ = True
        if self.wait(timeout) is None:
            raise TimeoutError(f"Flow run {self.number} has not ended after {timeout:g} s; it is {self.state.name}.")
        return self._value(raise_on_failure)

    def __await__(self) -> Generator[Any, None, R]:
        __tracebackhide__ = True
        return self._awaited().__await__()

    async def _awaited(self) -> R:
        __tracebackhide__ = True
        self._check_other()
        if frame.get() is not None:
            await wait_async(self._run.finished)
            return self._value(True)
        with guard.watching(), host.hosting(awaited=True):
            try:
                await wait_async(self._run.finished)
            except CancelledError:
                if guard.taken():  # which the loop had turned into a cancellation
                    raise KeyboardInterrupt from None
                raise
        return self._value(True)

    def _check_other(self) -> None:
        """Raise `UsageError` in the code of the run itself, which would wait for ever."""
        here = frame.get()
        around = None if here is None else here.flow_run
        while around is not None and around is not self._run:
            around = None if around.tracking is None else around.tracking.flow_run
        if around is not None:
            raise UsageError(f"Flow run {self.number} cannot wait for itself.")

    def _value(self, raise_on_failure: bool) -> R:
        __tracebackhide__ = True
        return cast("R", self._run.state.result(raise_on_failure))

    def pause(self) -> None:
        """Start no new task run; those that have started go on.  Raises `NotRunning`."""
        self._run.pause()

    def resume(self, run_input: Any = None) -> None:
        """Go on after a pause, with the answer to what the run asks, if it does.

        Raises `NotPaused`, and `InvalidInput` for an answer that does not fit.
        """
        self._run.resume(run_input=run_input)

    def suspend(self) -> None:
        """Let go of the run: it can be resumed later, here or in another process.  Raises `NotRunning`."""
        self._run.suspend()

    def cancel(self) -> None:
        """End the run: nothing new starts, what is at work is told to end.  Raises `NotRunning`."""
        self._run.cancel()

    def __repr__(self) -> str:
        # Without a number, a name or a state, so that a notebook under test shows the same text each time.
        return f"{type(self).__name__}()"


Make = Callable[[], FlowRun]
Begin = Callable[[Make], FlowRun]

_begin: Begin | None = None


def use(begin: Begin | None) -> None:
    """Have `begin` start detached runs, for who shows them; null goes back to starting them plainly."""
    global _begin
    _begin = begin


def begin_detached(make: Make) -> FlowRun:
    """Make a root flow run and start it on a thread of its own, in a copy of this context.  Raises what `make` does."""
    if _begin is not None:
        return _begin(make)
    with guard.installed():  # an interrupt would leave it half made
        run = make()
        carry_out_detached(run, copy_context(), lambda: None)
    return run


def carry_out_detached(run: FlowRun, context: Context, ended: Callable[[], object]) -> None:
    """Run a root flow run that was just made on a thread of its own, in that context; `ended` is called there after it.

    An async flow gets a loop of its own on that thread.  The thread ends with the process, and a run that has not ended
    by then is one whose process is gone.
    """
    call = partial(context.run, _carry_out, run, ended)
    threading.Thread(target=call, name=f"tidegate-run-{run.number}", daemon=True).start()


async def carry_out_beside(make: Make) -> None:
    """Make a root flow run of an async flow, and run it on this loop beside all else.  Raises what `make` does.

    Nobody waits for it, so an interrupt is not for it.
    """
    run = make()
    await drive_async(flow_life(run), run.engine)


def _carry_out(run: FlowRun, ended: Callable[[], object]) -> None:
    try:
        if run.flow.is_async:
            with asyncio.Runner() as runner:  # `asyncio.run` may be patched, and then leaves its loop open
                runner.run(drive_async(flow_life(run), run.engine))
        else:
            drive(flow_life(run), run.engine)
    finally:
        ended()
