"""Which histories of runs are legal if processes die in between: what one process may do, and a little more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from support.histories import ENDS, FLOW_AFTER, TASK_AFTER
from tidegate.model.events import Event, FlowCreated, FlowState, TaskCreated, TaskState

BROKEN_OFF = {*ENDS, "Suspended", "Quarantined"} - {"Completed"}
"""After these a run may be resumed; or die once more, before that is kept."""
LEFT = {"", "Running", "Resuming", "Retrying", "Rerunning", "Paused", "AwaitingRetry", "Cancelling", "Suspending"}
"""A process may die in these."""


def illegal(events: Sequence[Event], was_reopened: Callable[[int, int], bool]) -> list[str]:
    """What must not be in the record of one flow run; a line each.

    Of a task run that completed, `was_reopened` tells whether it was to run again: then something may prevent that.
    """
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
        again = bool(states) and was_reopened(states[0].flow_run, number)
        kind = _tracking if number in subflows else _reopened if again else _task
        found += _chain(f"task run {number}", states, kind)
    return found


def _chain(
    who: str, events: Sequence[FlowState] | Sequence[TaskState], may_follow: Callable[[str, str], bool]
) -> list[str]:
    names = ["", *(each.state.name for each in events)]
    found = [f"{who} is {name} after {before or 'nothing'}" for before, name in pairwise(names)
             if not may_follow(before, name)]  # fmt: skip
    attempts = [each.attempt for each in events]
    if attempts != sorted(attempts):
        found.append(f"the attempts of {who} are {attempts}")
    return found


def _flow(before: str, name: str) -> bool:
    if name == "Suspending":
        return before in {"Running", "Resuming", "Retrying", "Paused", "Suspended"}
    if before == "Suspending":
        return name in {"Suspended", "Cancelling", "AwaitingRetry", *ENDS}
    if before in BROKEN_OFF:
        return name in ("Resuming", "Crashed", "Cancelling")
    return name in FLOW_AFTER.get(before, ()) or (name == "Crashed" and before in LEFT)


def _subflow(before: str, name: str) -> bool:
    """One that completed goes on if somebody asks for it, or an input of it ran anew; one that waits to be tried again
    is suspended with the flow that called it."""
    if before == "Completed":
        return name in ("Resuming", "Running", "Crashed", "Cancelling")
    if before in BROKEN_OFF and name == "Running":  # it was claimed, and its process died before it said so
        return True
    return _flow(before, name) or (before, name) == ("AwaitingRetry", "Suspended")


def _task(before: str, name: str) -> bool:
    if before in BROKEN_OFF or before == "NotReady":
        begins = name == "Running" and before == "NotReady"  # which it never did before
        return begins or name in ("Retrying", "Resuming", "Crashed", "Quarantined", "NotReady", "Cancelled")
    return name in TASK_AFTER.get(before, ()) or (name in ("Crashed", "Quarantined") and before in LEFT)


def _reopened(before: str, name: str) -> bool:
    return _task(before, name) or (before == "Completed" and name in ("Rerunning", "Cancelled", "NotReady", "Crashed"))


def _tracking(before: str, name: str) -> bool:
    """A task run that stands for a subflow shows the states of that as well."""
    return _reopened(before, name) or _flow(before, name) or (before in LEFT and name in LEFT)
