"""Pause, resume and cancel flow runs of this process; each call is safe from any thread."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from . import host
from .context import Frame, frame
from .engine import engine
from .errors import NotPaused, NotRunning, PauseTimeout
from .futures import wait_async
from .model.states import StateType
from .run.bodies import step_in, step_out
from .run.flow_run import FlowRun


def pause_flow_run(timeout: float | None = 300) -> Coroutine[Any, Any, None] | None:
    """Pause the flow run that this code belongs to until somebody resumes it; in an async flow, await it.

    Task runs that have started go on, no new one begins.  Raises `PauseTimeout` if nobody resumes within `timeout`
    seconds (null waits for ever); the run then goes on, so the flow may catch it.  Raises `RuntimeError` outside of a
    flow and in a task.
    """
    here = _current()
    run = here.flow_run
    if run.flow.is_async:
        return _pause_async(run, timeout)
    out = step_out(here)
    try:
        _pause(run)
        if not host.wait(run.moved, timeout):
            _timed_out(run, timeout)
    finally:
        step_in(here, out)
    return None


async def _pause_async(run: FlowRun, timeout: float | None) -> None:
    _pause(run)
    if not await wait_async(run.moved, timeout):
        _timed_out(run, timeout)


def _pause(run: FlowRun) -> None:
    try:
        run.pause("the flow")
    except NotRunning:
        if run.state.type is not StateType.PAUSED:  # somebody else was quicker: then this waits for the same resume
            raise


def _timed_out(run: FlowRun, timeout: float | None) -> None:
    try:
        run.resume("the pause's timeout")
    except NotPaused:
        return  # resumed or cancelled at the last moment
    raise PauseTimeout(f"The flow run {run.name!r} was paused and nobody resumed it within {timeout:g} s.")


def resume_flow_run(flow_run: FlowRun | int) -> None:
    """Resume a paused flow run.  Raises `NotPaused` if it is not, `NotRunning` if it is not in this process."""
    find(flow_run).resume()


def cancel_flow_run(flow_run: FlowRun | int) -> None:
    """Cancel a flow run: nothing new starts, what is at work is told to end.  Raises `NotRunning`."""
    find(flow_run).cancel()


def find(flow_run: FlowRun | int) -> FlowRun:
    """A flow run of this process that has not ended, by its number.  Raises `NotRunning`."""
    if isinstance(flow_run, FlowRun):
        return flow_run
    found = engine().live.get(flow_run)
    if found is None:
        raise NotRunning(f"Flow run {flow_run} does not run in this process.")
    return found


def _current() -> Frame:
    here = frame.get()
    if here is None:
        raise RuntimeError(
            "pause_flow_run() was called outside of a flow. Use resume_flow_run(run) and the like there."
        )
    if here.task_run is not None:
        raise RuntimeError("pause_flow_run() was called in a task. Call it from the flow.")
    return here
