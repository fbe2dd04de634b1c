"""What the engine has a run's logger say: that a flow run was made, what was raised, how it ended, what was printed."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .context import Frame
from .errors import RunSuspended
from .logs import RunLogger, get_run_logger
from .model.states import State, StateType
from .printing import NOTHING, PrintCapture, anybody_hears, hearing, unheard
from .rules.outcome import describe
from .rules.throttling import throttling_of
from .settings import settings

if TYPE_CHECKING:
    from .run.flow_run import FlowRun

_PRINTED = {"printed": True}
_FROM_ENGINE = {"from_engine": True}
_DEPTH = 5
"""Frames between `print` and `RunLogger.log`, so that the record names the line that printed."""


def created(run: FlowRun) -> None:
    """A flow run was made, or goes on; only a root run says so."""
    if run.created.parent is None:
        told = "Resumed flow run %r of flow %r." if run.reopened else "Created flow run %r for flow %r."
        _say(run.frame, logging.INFO, told, run.name, run.flow.name)


def raised(here: Frame, error: BaseException) -> None:
    """User code of this run raised: log it with its traceback, without the engine's own frames at the top.

    What ends it from outside, such as an interrupt, is no error of the code: it is told in a line, and where it hit is
    told to those who debug.  What somebody asked for is told by the state alone.
    """
    if here.flow_run.gate is StateType.CANCELLING or isinstance(error, RunSuspended):
        return
    what = "flow" if here.task_run is None else "task"
    if _is_throttled(here, error):
        _say(here, logging.WARNING, "The %s was throttled: %s", what, describe(error))
        return
    trace = (type(error), error, _of_user(error.__traceback__))
    if isinstance(error, Exception):
        _say(here, logging.ERROR, "The %s raised %s.", what, type(error).__name__, exc_info=trace)
        return
    _say(here, logging.ERROR, "The %s crashed: %s.", what, type(error).__name__)
    _say(here, logging.DEBUG, "Where it was:", exc_info=trace)


def _is_throttled(here: Frame, error: BaseException) -> bool:
    """True for what is no error of the code as long as there are retries left."""
    if throttling_of(error, here.flow_run.now()) is None:
        return False
    run = here.task_run or here.flow_run
    return run.attempts <= run.policy.retries


def tried_again(here: Frame, state: State) -> None:
    """An attempt failed, and there will be another one."""
    due = max(0.0, (state.scheduled_time or state.timestamp) - state.timestamp)
    what = "flow" if here.task_run is None else "task"
    told = "is throttled, and tried again" if state.name == "Throttled" else "is tried again"
    _say(here, logging.INFO, "The %s %s in %s s: %s", what, told, f"{due:.3g}", state.message)


def dialled(run: FlowRun, task: str, dial: str, before: object, value: object, by: str) -> None:
    """Somebody has changed a limit of a task while the run goes on."""
    told = ["unlimited" if each is None else str(each) for each in (before, value)]
    _say(run.frame, logging.INFO, "The %s of %s was %s and is %s from now on: set by %s.", dial, task, *told, by)


def ended(run: FlowRun, final: State) -> None:
    """A flow run ends: say how, and hand on all that its logs still hold; call it before the end is saved."""
    if run.created.parent is None:
        well = final.type is StateType.COMPLETED or final.is_suspended()
        told = "Flow run %r is left: %s." if final.is_suspended() else "Flow run %r ended: %s."
        _say(run.frame, logging.INFO if well else logging.ERROR, told, run.name, final.name)
    run.engine.logs.end(run.number, run.engine.now())


def _say(here: Frame, level: int, message: str, *values: str, exc_info: Any = None) -> None:
    with suppress(Exception):  # a filter or a formatter of the user's must not end a run
        of_run = get_run_logger(here)
        # Past the adapter, which for a run that has said too much would only count.
        of_run.logger.log(level, message, *values, exc_info=exc_info, extra={**(of_run.extra or {}), **_FROM_ENGINE})


def printing(here: Frame) -> AbstractContextManager[object]:
    """The scope of user code that prints: its prints go to the logger of its run as well, if ``log_prints`` is on.

    The option of the task or flow decides; where it is null, what holds for the code that called it, and for a root
    flow run the setting ``log_prints``, which is off by default.
    """
    run = here.task_run
    wanted = here.flow_run.flow.log_prints if run is None else run.task.log_prints
    if wanted is None and run is not None and not anybody_hears():
        return NOTHING  # the usual case, once for each task run
    if wanted is None:
        root = run is None and here.flow_run.created.parent is None
        wanted = settings().log_prints if root else hearing()
    return capture_prints(get_run_logger(here)) if wanted else unheard()


def capture_prints(logger: logging.Logger | logging.LoggerAdapter[Any]) -> PrintCapture:
    """A scope whose prints go to `logger` as well, at INFO, a record for each line."""

    def line(text: str) -> bool:
        logger.info(text, extra=_PRINTED, stacklevel=_DEPTH)
        return not (isinstance(logger, RunLogger) and logger.counts_only())

    def missed(lines: int) -> None:
        if isinstance(logger, RunLogger):
            logger.drop(lines)

    return PrintCapture(line, missed)


def _of_user(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is not the engine's."""
    first = trace
    while first is not None and first.tb_frame.f_globals.get("__name__", "").startswith("tidegate."):
        first = first.tb_next
    return trace if first is None else first
