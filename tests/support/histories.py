"""Which histories of runs are legal, written down apart from the code that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tidegate.model.events import Event, FlowCreated, FlowState, TaskCreated, TaskState

ENDS = {"Completed": "COMPLETED", "Failed": "FAILED", "TimedOut": "FAILED", "Crashed": "CRASHED",
        "Interrupted": "CRASHED", "Cancelled": "CANCELLED"}  # fmt: skip
BEGINS = {"Running": "RUNNING", "Retrying": "RUNNING", "Rerunning": "RUNNING"}
"""States that begin an attempt."""
TYPES = {**ENDS, **BEGINS, "Resuming": "RUNNING", "Paused": "PAUSED", "Cancelling": "CANCELLING",
         "AwaitingRetry": "SCHEDULED", "NotReady": "PENDING"}  # fmt: skip

_AT_WORK = {"Paused", "Cancelling", "AwaitingRetry", *ENDS}
FLOW_AFTER: dict[str, set[str]] = {
    "": {"Running", "Failed", "Cancelling"},
    "Running": _AT_WORK,
    "Resuming": _AT_WORK,
    "Retrying": _AT_WORK,
    "Paused": {"Resuming", "Cancelling", *ENDS},
    "AwaitingRetry": {"Retrying", "Cancelling", "Interrupted"},
    "Cancelling": {"Cancelled", "Crashed", "Interrupted"},
}
_TRIED = {"AwaitingRetry", *ENDS}
TASK_AFTER: dict[str, set[str]] = {
    "": {"Running", "NotReady", "Cancelled", "Failed"},
    "Running": _TRIED,
    "Retrying": _TRIED,
    "Rerunning": _TRIED,
    "AwaitingRetry": {"Retrying", "Cancelled"},
}
OVER = {*ENDS, "NotReady"}
"""Nothing follows these, except that the next attempt of a flow run may try its task runs again."""


def illegal(events: Sequence[Event]) -> list[str]:
    """What must not be in the events of one flow run that has ended, in their order; a line each."""
    flow = [each for each in events if isinstance(each, FlowState)]
    tasks: dict[int, list[TaskState]] = {}
    found: list[str] = []
    for place, event in enumerate(events):
        if isinstance(event, FlowCreated) and place:
            found.append("the flow run is made twice, or late")
        elif isinstance(event, TaskCreated):
            if event.task_run in tasks:
                found.append(f"task run {event.task_run} is made twice")
            tasks[event.task_run] = []
        elif isinstance(event, TaskState):
            if event.task_run not in tasks:
                found.append(f"task run {event.task_run} has a state before it is made")
            tasks.setdefault(event.task_run, []).append(event)
    found += _chain("the flow run", flow, FLOW_AFTER, reopened=0)
    tries = sum(each.state.name == "Retrying" for each in flow)
    for number, states in tasks.items():
        found += _chain(f"task run {number}", states, TASK_AFTER, reopened=tries)
        if not states or states[-1].state.name not in OVER:
            found.append(f"task run {number} is left open")
    if not flow or flow[-1].state.name not in ENDS:
        found.append("the flow run has no end")
    elif events[-1] is not flow[-1]:
        found.append(f"{type(events[-1]).__name__} comes after the end of the flow run")
    return found


def _chain(
    who: str, events: Sequence[FlowState] | Sequence[TaskState], after: dict[str, set[str]], reopened: int
) -> list[str]:
    """What is wrong with the states of one run; `reopened` is how often it may begin again after an end."""
    names = [each.state.name for each in events]
    kinds = [(each.state.type.name, each.state.name) for each in events]
    found = [f"{who} is {kind}/{name}" for kind, name in kinds if TYPES.get(name) != kind]
    for before, name in pairwise(["", *names]):
        if before in OVER and name in ("Retrying", "Rerunning") and reopened:
            reopened -= 1
        elif name not in after.get(before, ()):
            found.append(f"{who} is {name} after {before or 'nothing'}")
    attempts = 0
    for event in events:
        attempts += event.state.name in BEGINS
        if event.attempt != attempts:
            found.append(f"{who} is {event.state.name} in attempt {event.attempt}, which is its {attempts}.")
    return found
