"""Recovery: runs whose process is gone, and runs that did not complete, go on where they were.

Resume runs your flow function again from the top; tasks that had finished hand back their saved result instead of
running.  A task counts as the same when it is the same task, its code is the same and its inputs are the same; anything
else runs again.  What could not be saved runs again too.  Code between tasks always runs again: put clocks, random
numbers and side effects in tasks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import flow_runs
from .engine import Engine, engine
from .errors import FlowNotFound, NotStartable, UsageError
from .flow import Flow
from .model.events import FlowState, TaskState
from .model.states import Crashed, State, StateType
from .model.views import FlowRow, TaskRow
from .registry import registered
from .results.blob import is_saved
from .run.flow_run import FlowRun

_PLACEHOLDER = re.compile(r"<\w+>")


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What a resume would do, as far as the record can tell: changed code is seen when a task is called."""

    flow_run: int
    name: str
    kept: int
    """Task runs that completed and whose result is saved."""
    again: dict[str, int]
    """Those that would run again, by the reason."""

    @property
    def title(self) -> str:
        """What to call the run."""
        return f"Flow run {self.flow_run} ({self.name})"

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {why}" for why, count in self.again.items())
        kept = "1 task run is" if self.kept == 1 else f"{self.kept:,} task runs are"
        return f"{self.title}: {kept} kept." + (f" Again: {reasons}." if reasons else "")


def resume_plan(flow_run: int) -> ResumePlan:
    """What `resume` would keep and run again.  Raises `NotStartable` for a run that cannot be resumed."""
    here = engine()
    row = _row(here, flow_run)
    _check(here, row)
    kept, again = 0, Counter[str]()
    for each in here.store.task_runs(flow_run):
        if each.state.type is StateType.COMPLETED and (each.subflow or is_saved(each.result)):
            kept += 1
        else:
            again[_why_again(each)] += 1
    return ResumePlan(flow_run, row.name, kept, dict(again))


def _why_again(row: TaskRow) -> str:
    if row.state.type is StateType.COMPLETED:
        return "not saved"
    if row.state.is_pending():
        return "not begun"
    return row.state.name if row.state.is_at_rest() else "in flight"


def resume(flow_run: int, flow: Flow[..., Any] | None = None, **parameters: Any) -> State | Coroutine[Any, Any, State]:
    """Resume a flow run that is suspended, that failed, crashed, was cancelled, or whose process is gone; returns its
    final state.

    It is the same run, with the same number: `resume_plan` says what is kept.  `flow` is the flow as it is now, by
    default the one that is defined under its name; an async flow is to be awaited.  `parameters` take the place of
    recorded ones, and are needed for those that have no JSON form.

    Raises `NotStartable` for a run that completed, that is a subflow, or that is alive, here or elsewhere,
    `FlowNotFound` if its flow is not defined here, and `UsageError` for parameters that cannot be read back.
    """
    here = engine()
    row = _row(here, flow_run)
    found = flow or flow_of(row)
    _check(here, row)
    bury(here, row)
    make = partial(_taken_up, here, found, row, parameters)
    return flow_runs.carry_out_async(make) if found.is_async else flow_runs.carry_out(make)


def flow_of(row: FlowRow) -> Flow[..., Any]:
    """The flow of a run, as it is defined here.  Raises `FlowNotFound`."""
    found = registered("flow").get(row.flow)
    if not isinstance(found, Flow):
        raise FlowNotFound(
            f"The flow {row.flow!r} of run {row.number} is not defined here. Run the cell or import the module that "
            "defines it, then resume."
        )
    return found


def _row(here: Engine, flow_run: int) -> FlowRow:
    row = here.store.flow_run(flow_run)
    if row is None:
        raise NotStartable(f"There is no flow run {flow_run}.")
    return row


def _check(here: Engine, row: FlowRow) -> None:
    told = f"The flow run {row.number} ({row.name})"
    if row.state.type is StateType.COMPLETED:
        raise NotStartable(f"{told} is {row.state.name}: there is nothing to resume.")
    if row.parent is not None:
        raise NotStartable(f"{told} is a subflow. Resume flow run {row.parent[0]}, which called it.")
    live = here.live.get(row.number)
    if live is not None or (not row.state.is_final() and here.store.is_alive(row.owner)):
        raise NotStartable(f"{told} is {(live or row).state.name}, and its process is alive.")


def bury(here: Engine, row: FlowRow) -> bool:
    """Record that a flow run crashed whose process is gone; true if it had to be recorded."""
    if row.state.is_final() or row.number in here.live or not row.owner or here.store.is_alive(row.owner):
        return False
    now = here.now()
    began = [each for each in here.store.task_runs(row.number) if each.attempts and not each.state.is_final()]
    crashed = [TaskState(row.number, now, each.number, _gone(now), each.attempts, each.given_name) for each in began]
    here.commit_all([*crashed, FlowState(row.number, now, _gone(now), attempt=row.attempts)])
    row.state = _gone(now)
    for each in began:
        for subflow in here.store.subflow_runs(row.number, each.number) if each.subflow else ():
            bury(here, subflow)
    return True


def bury_all(here: Engine) -> list[int]:
    """Look at the newest runs, and record which of them crashed with their process; their numbers."""
    return [row.number for row in here.store.flow_runs(1000) if bury(here, row)]


def _gone(now: float) -> State:
    return Crashed(message="Its process ended before it did.", at=now)


def _taken_up(here: Engine, flow: Flow[..., Any], row: FlowRow, given: dict[str, Any]) -> FlowRun:
    """The run in this process, which knows what was done."""
    lost = [name for name, value in row.recorded_parameters().items() if _is_lost(value) and name not in given]
    if lost:
        example = f"resume({row.number}, {lost[0]}=...)"
        raise UsageError(f"The record holds no value of {', '.join(lost)}. Give it once more: {example}.")
    return flow_runs.of_record(flow, row, given, resumed=True)


def _is_lost(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_lost(each) for each in value.values())
    if isinstance(value, list):
        return any(_is_lost(each) for each in value)
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None
