"""Recovery: runs whose process is gone, and runs that did not complete, go on where they were.

Resume runs your flow function again from the top; tasks that had finished hand back their saved result instead of
running.  A task counts as the same when it is the same task, its code is the same and its inputs are the same; anything
else runs again.  What could not be saved runs again too.  Code between tasks always runs again: put clocks, random
numbers and side effects in tasks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, get_args

from . import flow_runs, lineage
from .dead_runs import bury
from .digests import source_digest
from .engine import Engine, engine
from .errors import FlowNotFound, NotStartable, UsageError
from .flow import Flow
from .model.states import State, StateType
from .model.views import FlowRow, TaskRow
from .parameters import check_names
from .registry import registered
from .results.blob import is_saved
from .run.flow_run import FlowRun
from .run.recall import Recall
from .run.terms import ASKED, BEHIND, OnChange, Terms

Ended: TypeAlias = State | Coroutine[Any, Any, State]
"""The final state of a run; of an async flow, to be awaited."""

_PLACEHOLDER = re.compile(r"<\w+>")


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What a resume would do, as far as the record and the tasks that are defined here can tell."""

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


def resume_plan(
    flow_run: int, rerun: str | int | None = None, *, cascade: bool = True, on_change: OnChange = "rerun"
) -> ResumePlan:
    """What `resume` would keep and run again, or `rerun` of that task.

    Raises `NotStartable` for a run that cannot be resumed, and `UsageError` for a task that it does not have.
    """
    here = engine()
    row = _row(here, flow_run)
    _check(here, row, ended_well=rerun is not None)
    tasks = here.store.task_runs(flow_run)
    asked = {} if rerun is None else _again(tasks, rerun, cascade)
    kept, again = 0, Counter[str]()
    changed = _Changes()
    for each in tasks:
        if each.number in asked:
            again["asked for" if asked[each.number] == ASKED else "behind that"] += 1
        elif each.state.type is StateType.COMPLETED and (each.subflow or is_saved(each.result)):
            if on_change != "reuse" and changed(each):
                again["whose code has changed"] += 1
            else:
                kept += 1
        else:
            again[_why_again(each)] += 1
    return ResumePlan(flow_run, row.name, kept, dict(again))


def _again(rows: list[TaskRow], task: str | int, cascade: bool) -> dict[int, str]:
    """The task runs that a rerun of a task is about, each with the reason."""
    return _again_all(rows, lineage.named(rows, task), cascade)


def _again_all(rows: list[TaskRow], asked: set[int], cascade: bool) -> dict[int, str]:
    """The same for a rerun of these task runs."""
    asked = asked | lineage.below(rows, asked)
    callers = lineage.above(rows, asked)
    behind = callers | (lineage.downstream(rows, asked | callers) if cascade else set())
    return {**dict.fromkeys(behind, BEHIND), **dict.fromkeys(asked, ASKED)}


class _Changes:
    """Whether the code of task runs is another by now, as far as tasks of their names are defined here."""

    def __init__(self) -> None:
        self._tasks = registered("task")
        self._digests: dict[str, str] = {}

    def __call__(self, row: TaskRow) -> bool:
        """True for a task run whose task is here, and other than it was."""
        task = self._tasks.get(row.task)
        if task is None or row.subflow or not row.source:
            return False
        if row.task not in self._digests:
            self._digests[row.task] = source_digest(task.fn)
        return row.source != self._digests[row.task]


def _why_again(row: TaskRow) -> str:
    if row.state.type is StateType.COMPLETED:
        return "not saved"
    if row.state.is_pending():
        return "not begun"
    return row.state.name if row.state.is_at_rest() else "in flight"


def resume(
    flow_run: int,
    flow: Flow[..., Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    on_change: OnChange = "rerun",
    strict: bool = False,
    take_over: bool = False,
) -> Ended:
    """Resume a flow run that is suspended, that failed, crashed, was cancelled, or whose process is gone; returns its
    final state.

    It is the same run, with the same number: `resume_plan` says what is kept.

    - ``flow``: the flow as it is now, by default the one defined under its name; an async flow is to be awaited.
    - ``parameters``: take the place of recorded ones, and are needed for those that have no JSON form.
    - ``on_change``: what becomes of a task run that completed and whose code has changed since.  ``"rerun"``, the
      default, runs it again, ``"reuse"`` takes its result all the same, ``"error"`` raises `NondeterminismError` there.
    - ``strict``: true to raise that, too, in a call that the record does not have while completed ones are left: for
      tests that a flow still does what it did.
    - ``take_over``: true to take the run from another process that is alive, but stopped, stuck or out of reach.
      Nothing that it still does with the run is saved, and it ends it as soon as it looks.

    Raises `NotStartable` for a run that completed, that is a subflow, or that is alive, here or elsewhere,
    `FlowNotFound` if its flow is not defined here, and `UsageError` for parameters that cannot be read back.
    """
    if on_change not in get_args(OnChange):
        raise UsageError(f"on_change must be one of {', '.join(map(repr, get_args(OnChange)))}, not {on_change!r}.")
    here = engine()
    row = _row(here, flow_run)
    _check(here, row, take_over=take_over)
    return _carry_on(here, row, flow, parameters, Terms(on_change, strict), take_over=take_over)


def retry_failed(
    flow_run: int,
    flow: Flow[..., Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    on_change: OnChange = "rerun",
) -> Ended:
    """`resume` of a run that failed: its task runs that did not complete run again.  Raises as that."""
    state = _row(engine(), flow_run).state
    if not state.is_failed():
        raise NotStartable(f"The flow run {flow_run} has not failed: it is {state.name}.")
    return resume(flow_run, flow, parameters=parameters, on_change=on_change)


def rerun(
    flow_run: int,
    task: str | int,
    flow: Flow[..., Any] | None = None,
    *,
    cascade: bool = True,
    parameters: Mapping[str, Any] | None = None,
) -> Ended:
    """Run a task of a run that is over once more, and all that needs its result; returns the run's final state.

    `task` is the name of a task, for all its runs, or the name (``locate-17``) or number of one.  It is the same flow
    run; its function runs again from the top, and whatever else completed hands back its saved result.  With
    ``cascade=False`` what needs the result runs again only if that is another one than before.

    Raises as `resume`, other than that the run may have completed, and `UsageError` for a task that it does not have.
    """
    here = engine()
    row = _row(here, flow_run)
    _check(here, row, ended_well=True)
    again = _again(here.store.task_runs(flow_run), task, cascade)
    return _carry_on(here, row, flow, parameters, Terms(again=again))


def rerun_here(run: FlowRun, tasks: Collection[int], began: Callable[[FlowRun], object]) -> Ended:
    """`rerun` of these task runs of a run that has ended in this process, with the parameters that it had.

    `began` is called with the run as it goes on.
    """
    here, number = run.engine, run.number
    row = _row(here, number)
    _check(here, row, ended_well=True)
    rows = here.store.task_runs(number)
    again = _again_all(rows, {row.number for row in rows}.intersection(tasks), cascade=True)
    lost = {name for name, value in row.recorded_parameters().items() if _is_lost(value)}
    given = {name: value for name, value in run.parameters.items() if name in lost}
    found = None if row.body else registered("flow").get(row.flow)  # another cell may have the same name
    flow = found if isinstance(found, Flow) else run.flow
    bury(here, row)

    def make() -> FlowRun:
        made = _taken_up(flow, row, given, Terms(again=again))
        began(made)
        return made

    return _carried_out(flow, make)


def fork(
    flow_run: int,
    from_: str | int | None = None,
    flow: Flow[..., Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
) -> Ended:
    """A new run with the parameters of an earlier one, which takes over what completed there; returns its final state.

    `from_` names a task, or one task run, as for `rerun`: it and all that needs its result run anew.  What completed
    and is the same, by its code and its inputs, is not run but Cached in the new run.  The earlier run is left as it
    is, and may be alive.  Raises as `rerun`, but for the state of that run.
    """
    here = engine()
    row = _row(here, flow_run)
    if row.parent is not None:
        raise NotStartable(f"{_told(row)} is a subflow. Fork flow run {row.parent[0]}, which called it.")
    rows = here.store.task_runs(flow_run)
    anew = {} if from_ is None else _again(rows, from_, cascade=True)
    donors = [each for each in rows if each.state.is_completed() and each.key and each.number not in anew]
    found = flow or flow_of(row)
    given = _parameters(row, parameters or {}, "fork")
    check_names(found, given)
    return _carried_out(found, partial(_forked, found, flow_run, given, donors))


def _forked(flow: Flow[..., Any], number: int, given: dict[str, Any], donors: list[TaskRow]) -> FlowRun:
    args, kwargs = flow.call_with(given)
    run = flow_runs.new_flow_run(flow, args, kwargs, forked_from=number)
    run.recall = Recall.of_donor(run, donors)
    return run


def _carry_on(
    here: Engine,
    row: FlowRow,
    flow: Flow[..., Any] | None,
    given: Mapping[str, Any] | None,
    terms: Terms,
    *,
    take_over: bool = False,
) -> Ended:
    found = flow or flow_of(row)
    bury(here, row, take_over=take_over)
    return _carried_out(found, partial(_taken_up, found, row, given or {}, terms))


def resumption(
    flow_run: int, flow: Flow[..., Any], on_change: OnChange, task_run: int | None = None
) -> Callable[[], FlowRun]:
    """What makes the run that `resume`, or `rerun` of a task run, would carry out, for whoever does that himself.

    Raises as they do.
    """
    here = engine()
    row = _row(here, flow_run)
    _check(here, row, ended_well=task_run is not None)
    again = {} if task_run is None else _again(here.store.task_runs(flow_run), task_run, cascade=True)
    bury(here, row)
    return partial(_taken_up, flow, row, {}, Terms(on_change, again=again))


def _carried_out(flow: Flow[..., Any], make: Callable[[], FlowRun]) -> Ended:
    return flow_runs.carry_out_async(make) if flow.is_async else flow_runs.carry_out(make)


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


def _check(here: Engine, row: FlowRow, *, ended_well: bool = False, take_over: bool = False) -> None:
    """Raise `NotStartable` for a run that cannot go on; one that completed may if `ended_well`, and one that another
    process has if `take_over`."""
    told = _told(row)
    if row.state.type is StateType.COMPLETED and not ended_well:
        raise NotStartable(f"{told} is {row.state.name}: there is nothing to resume.")
    if row.parent is not None:
        raise NotStartable(f"{told} is a subflow. Resume flow run {row.parent[0]}, which called it.")
    live = here.live.get(row.number)
    if live is not None:
        raise NotStartable(f"{told} is {live.state.name}, and this process runs it.")
    if not row.state.is_final() and here.store.is_alive(row.owner) and not take_over:
        call = f"`tidegate.resume({row.number}, take_over=True)` takes it from that one."
        raise NotStartable(f"{told} is {row.state.name}, and its process is alive. {call}")


def _taken_up(flow: Flow[..., Any], row: FlowRow, given: Mapping[str, Any], terms: Terms) -> FlowRun:
    """The run in this process, which knows what was done."""
    _parameters(row, given, "resume")
    return flow_runs.of_record(flow, row, given, resumed=terms)


def _told(row: FlowRow) -> str:
    return f"The flow run {row.number} ({row.name})"


def _parameters(row: FlowRow, given: Mapping[str, Any], call: str) -> dict[str, Any]:
    """The recorded parameters, with `given` in their place.  Raises `UsageError` for those that were not recorded."""
    recorded = row.recorded_parameters()
    lost = [name for name, value in recorded.items() if _is_lost(value) and name not in given]
    if lost:
        example = f"{call}({row.number}, parameters={{{lost[0]!r}: ...}})"
        raise UsageError(f"The record holds no value of {', '.join(lost)}. Give it once more: {example}.")
    return {**recorded, **given}


def _is_lost(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_lost(each) for each in value.values())
    if isinstance(value, list):
        return any(_is_lost(each) for each in value)
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None
