"""Pause, resume, suspend and cancel flow runs of this process; each call is safe from any thread."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from . import host
from .context import Frame, frame, sketching
from .dead_runs import call_off
from .engine import engine
from .errors import NotPaused, NotRunning, OutsideFlow, PauseTimeout
from .futures import wait_async
from .questions import Question
from .run.bodies import step_in, step_out
from .run.flow_run import FlowRun
from .settings import settings

_AS_SET: Any = object()


def pause_flow_run(
    wait_for_input: Any = None,
    *,
    flow_run: FlowRun | int | None = None,
    timeout: float | None = _AS_SET,
    poll_interval: float | None = None,
    key: str | None = None,
) -> Coroutine[Any, Any, Any] | Any:
    """Pause the flow run that this code belongs to until somebody resumes it; in an async flow, await it.

    Task runs that have started go on, no new one begins.  With ``wait_for_input=``, a pydantic model or a plain type,
    it asks for an answer of that type and returns it; in a notebook a form is drawn under the cell.

    - ``flow_run``: pause that one, from outside, and return at once.
    - ``timeout``: seconds after which `PauseTimeout` is raised and the run goes on, so that the flow may catch it; null
      waits for ever; what the setting ``pause_timeout_seconds`` says by default, which is an hour.
    - ``key``: names this pause.  One that was resumed is not made again when the flow is retried, and an answer that
      was given is given again.  By default pauses are counted.
    - ``poll_interval``: not needed, nothing is polled; accepted for code that comes from elsewhere.

    Raises `OutsideFlow` outside of a flow and in a task, and `NotRecorded` in a replay that has no answer.
    """
    if flow_run is not None:
        find(flow_run).pause()
        return None
    sketch = sketching.get()
    if sketch is not None:
        return sketch.pause(wait_for_input is not None)
    here = _current("pause_flow_run")
    run = here.flow_run
    limit = settings().pause_timeout_seconds if timeout is _AS_SET else timeout
    name = key or run.pauses.next_key()
    question = None if wait_for_input is None else Question.of(wait_for_input, name)
    if run.replay is not None:
        run.replay.paused(run, name, question)
    if run.flow.is_async:
        return _pause_async(run, name, question, limit)
    while not run.pauses.has_passed(name, question):  # it may have been paused for another question meanwhile
        run.go_no_further()
        out = step_out(here)
        try:
            _pause(run, name, question)
            if not host.wait(run.moved, limit):
                _timed_out(run, limit)
        finally:
            step_in(here, out)
        run.go_no_further()
    return _passed(run, name, question)


def suspend_flow_run(
    *, flow_run: FlowRun | int | None = None, key: str | None = None
) -> Coroutine[Any, Any, None] | None:
    """Suspend the flow run that this code belongs to: its code ends here, and its process, cell or script goes on
    without it; in an async flow, await it.

    Task runs that have started go on to their end, and what completed is kept.  `resume`, in this process or another
    one, runs the flow again from the top, gives it back what completed, and passes this place.  Whoever called the flow
    gets `PausedRun`, or with ``return_state=True`` the state Suspended.

    - ``flow_run``: suspend that one, from outside, and return at once.
    - ``key``: names this place, as for `pause_flow_run`.

    Raises `OutsideFlow` outside of a flow and in a task.
    """
    if flow_run is not None:
        find(flow_run).suspend()
        return None
    sketch = sketching.get()
    if sketch is not None:
        sketched: Coroutine[Any, Any, None] | None = sketch.pause(False)
        return sketched
    run = _current("suspend_flow_run").flow_run
    name = key or run.pauses.next_key()
    if not run.pauses.has_passed(name, None):
        run.leave(name)
    return _nothing() if run.flow.is_async else None


async def _nothing() -> None:
    """What a suspension that is over gives to await."""


def ask(wanted: Any, *, timeout: float | None = _AS_SET, key: str | None = None) -> Coroutine[Any, Any, Any] | Any:
    """Pause and ask for an answer of this type: ``pause_flow_run(wait_for_input=wanted)``, for short."""
    return pause_flow_run(wanted, timeout=timeout, key=key)


async def _pause_async(run: FlowRun, name: str, question: Question | None, limit: float | None) -> Any:
    while not run.pauses.has_passed(name, question):
        run.go_no_further()
        _pause(run, name, question)
        if not await wait_async(run.moved, limit):
            _timed_out(run, limit)
        run.go_no_further()
    return _passed(run, name, question)


def _passed(run: FlowRun, name: str, question: Question | None) -> Any:
    answer = run.pauses.answer(name)
    if run.replay is not None:
        run.replay.passed(name, question, answer)
    return answer


def _pause(run: FlowRun, name: str, question: Question | None) -> None:
    try:
        run.pause("the flow", name, question)
    except NotRunning:
        if not run.state.is_paused():  # somebody else was quicker: then this waits for the same resume
            raise
        run.wait_in(name, question)


def _timed_out(run: FlowRun, limit: float | None) -> None:
    try:
        run.resume("the pause's timeout", unanswered=True)
    except NotPaused:
        return  # resumed or cancelled at the last moment
    raise PauseTimeout(f"The flow run {run.name!r} was paused and nobody resumed it within {limit:g} s.")


def resume_flow_run(flow_run: FlowRun | int, run_input: Any = None) -> None:
    """Resume a paused flow run, with the answer to what it asks, a model or its fields.

    Raises `NotPaused` if it is not, `NotRunning` if it is not in this process, and `InvalidInput`, with the run still
    paused, for an answer that does not fit.
    """
    find(flow_run).resume(run_input=run_input)


def cancel_flow_run(flow_run: FlowRun | int) -> None:
    """Cancel a flow run: nothing new starts, what is at work is told to end; one that is suspended just ends.

    Raises `NotRunning`.
    """
    here = engine()
    if isinstance(flow_run, int) and flow_run not in here.live:
        row = here.store.flow_run(flow_run)
        if row is not None and call_off(here, row, "you"):
            return
    find(flow_run).cancel()


def find(flow_run: FlowRun | int) -> FlowRun:
    """A flow run of this process that has not ended, by its number.  Raises `NotRunning`."""
    if isinstance(flow_run, FlowRun):
        return flow_run
    found = engine().live.get(flow_run)
    if found is None:
        raise NotRunning(f"Flow run {flow_run} does not run in this process.")
    return found


def _current(what: str) -> Frame:
    here = frame.get()
    if here is None:
        raise OutsideFlow(f"{what}() was called outside of a flow. Use resume_flow_run(run) and the like there.")
    if here.task_run is not None:
        raise OutsideFlow(f"{what}() was called in a task. Call it from the flow.")
    return here
