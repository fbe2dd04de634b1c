"""Which histories of runs are legal if processes die in between: what the tests of one process allow, and a little more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from support.histories import ENDS, FLOW_AFTER, TASK_AFTER
from tidegate.model.events import Event, FlowCreated, FlowState, TaskCreated, TaskState

BROKEN_OFF = {*ENDS, "Suspended", "Quarantined"} - {"Completed"}
"""After these a run may be resumed; or die once more, before that is kept."""
LEFT = {"", "Running", "Resuming", "Retrying", "Rerunning", "Paused", "AwaitingRetry", "Cancelling", "Suspending"}
"""A process may die in these."""


def illegal(events: Sequence[Event]) -> list[str]:
    """What must not be in the record of one flow run; a line each."""
    found: list[str] = []
    tasks: dict[int, list[TaskState]] = {}
    subflows: set[int] = set()
    for event in events:
        if isinstance(event, TaskCreated):
            if event.task_run in tasks:
                found.append(f"task run {event.task_run} is made twice")
            tasks[event.task_run] = []
            if event.subflow:
                subflows.add(event.task_run)
        elif isinstance(event, TaskState):
            if event.task_run not in tasks:
                found.append(f"task run {event.task_run} has a state before it is made")
            tasks.setdefault(event.task_run, []).append(event)
    inner = isinstance(events[0], FlowCreated) and events[0].parent is not None
    flow = [each for each in events if isinstance(each, FlowState)]
    found += _chain("the flow run", flow, _subflow if inner else _flow)
    for number, states in tasks.items():
        found += _chain(f"task run {number}", states, _tracking if number in subflows else _task)
    return found


def _chain(who: str, events: Sequence[FlowState] | Sequence[TaskState], may_follow: object) -> list[str]:
    assert callable(may_follow)
    names = ["", *(each.state.name for each in events)]
    found = [f"{who} is {name} after {before or 'nothing'}" for before, name in pairwise(names)
             if not may_follow(before, name)]  # fmt: skip
    attempts = [each.attempt for each in events]
    if attempts != sorted(attempts):
        found.append(f"the attempts of {who} are {attempts}")
    return found


def _flow(before: str, name: str) -> bool:
    if name == "Suspending":
        return before in {"Running", "Resuming", "Retrying", "Paused"}
    if before == "Suspending":
        return name in {"Suspended", "Cancelling", "AwaitingRetry", *ENDS}
    if before in BROKEN_OFF:
        return name in ("Resuming", "Crashed", "Cancelling") or (before, name) == ("Suspended", "Suspending")
    return name in FLOW_AFTER.get(before, ()) or (name == "Crashed" and before in LEFT)


def _subflow(before: str, name: str) -> bool:
    """One that completed goes on if somebody asks for it, or an input of it ran anew."""
    return _flow(before, name) or (before, name) == ("Completed", "Resuming")


def _task(before: str, name: str) -> bool:
    if before in BROKEN_OFF or before == "NotReady":
        begins = name == "Running" and before == "NotReady"  # which it never did before
        return begins or name in ("Retrying", "Resuming", "Crashed", "NotReady", "Cancelled")
    if before == "Completed":
        return name == "Rerunning"
    return name in TASK_AFTER.get(before, ()) or (name in ("Crashed", "Quarantined") and before in LEFT)


def _tracking(before: str, name: str) -> bool:
    """A task run that stands for a subflow shows the states of that as well."""
    return _task(before, name) or _flow(before, name) or (before in LEFT and name in LEFT)
