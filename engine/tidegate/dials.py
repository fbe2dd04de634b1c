"""Dials: what limits the runs of a task, changed while they are at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import run_logs
from .context import frame
from .engine import engine
from .errors import UsageError
from .pace import Pace
from .registry import registered
from .retries import check_concurrency, interval
from .run.bodies import step_in, step_out

if TYPE_CHECKING:
    from .run.flow_run import FlowRun
    from .task import Task

NAMED = 5
"""Tasks that an error names; the others are counted."""


def set_concurrency(task: Task[..., Any] | str, limit: int | None, *, by: str = "you") -> None:
    """Let so many runs of a task be at work at once in each flow run, from now on; null for any number.

    ``locate.concurrency = 8`` is the same.  It holds for flow runs that go on in this process, and for those to come:
    more lets runs that wait begin at once, fewer lets those at work finish first.  Those that began while there was no
    limit at all are not counted.  The log of each flow run that goes on says what was changed, and by whom: `by`.

    - ``task``: a task, or the name of tasks that are defined here or at work.

    Raises `UsageError` for what is no whole number from 1 on, and for a name that no task has.
    """

    def turn(each: Any) -> None:
        each.options = {**each.options, "concurrency": limit}
        for run in _runs_of(each):
            run.of(each).resize(limit)

    found = _meant(task)
    check_concurrency(found[0].name, limit)
    _turn_all(found, "concurrency", limit, by, turn)


def set_rate(task: Task[..., Any] | str, rate: str | float | None, *, by: str = "you") -> None:
    """Let runs of a task start that often, from now on: ``"900/min"``, or a number per second; null for any rate.

    ``locate.rate = "900/min"`` is the same.  It holds at once, from the last start on, also for those that wait for
    their turn.  Logged, and raises, as `set_concurrency`.
    """

    def turn(each: Any) -> None:
        each.options = {**each.options, "rate": rate}
        pace: Pace | None = each.pace
        if pace is None:
            each.pace = None if rate is None else Pace(between)
            return
        if rate is None:
            each.pace = None  # first, or one that comes meanwhile would ask the old one for a turn
        pace.change(between)

    found = _meant(task)
    between = 0.0 if rate is None else interval(found[0].name, rate)
    _turn_all(found, "rate", rate, by, turn)


def _turn_all(tasks: list[Any], dial: str, value: object, by: str, turn: Callable[[Any], None]) -> None:
    here = frame.get()
    out = None if here is None else step_out(here)
    try:
        for each in tasks:
            before = each.options[dial]
            if before == value:
                continue
            turn(each)
            for run in _runs_of(each):
                run_logs.dialled(run, each.name, dial, before, value, by)
    finally:
        if here is not None:
            step_in(here, out)


def _runs_of(task: Any) -> list[FlowRun]:
    return [run for run in list(engine().live.values()) if task in run.tasks]


def _meant(task: Task[..., Any] | str) -> list[Any]:
    """The tasks that a name means: several, where one was defined anew, or has other options elsewhere."""
    if not isinstance(task, str):
        return [task]
    at_work = [each for run in list(engine().live.values()) for each in run.tasks if not each.is_flow]
    known: dict[int, Any] = {id(each): each for each in (*at_work, *registered("task").values())}
    found = [each for each in known.values() if each.name == task]
    if found:
        return found
    names = sorted({each.name for each in known.values()})
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    there = f"There are {', '.join(names[:NAMED])}{more}." if names else "There is none."
    raise UsageError(f"No task {task!r:.60} is defined here or at work. {there}")
