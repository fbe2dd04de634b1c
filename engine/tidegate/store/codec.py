"""Events as rows of the store, and back.  The names of things are JSON, never pickle: looking must not execute."""

from __future__ import annotations

import json
from typing import Any, cast

from ..model.events import Event, FlowCreated, FlowState, Links, TaskCreated, TaskState
from ..model.states import State, StateType

FLOW_CREATED = 1
TASK_CREATED = 2
STATE = 10
"""Kinds from here on are states: `STATE` plus the place of the state's type in `TYPES`."""

# Written to disk by position: only ever append.
TYPES = (
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
    StateType.COMPLETED,
    StateType.FAILED,
    StateType.CRASHED,
    StateType.CANCELLED,
)
CODES = {kind: code for code, kind in enumerate(TYPES)}
NAMES = {kind: kind.value.capitalize() for kind in TYPES}

EventRow = tuple[int, int, int, float, str | None]
"""(flow_run, task_run or 0, kind, at, detail)"""


def encode_links(links: Links) -> str | None:
    """Links as compact JSON; null for none."""
    return json.dumps(links, separators=(",", ":")) if links else None


def decode_links(text: str | None) -> Links:
    """The reverse of `encode_links`."""
    if not text:
        return {}
    found = {name: tuple(tuple(each) for each in edges) for name, edges in json.loads(text).items()}
    return cast("Links", found)


def state_detail(state: State, attempt: int = 0, by: str = "") -> str | None:
    """What a state's type does not say already; null for the common case."""
    detail: dict[str, Any] = {}
    if state.name != NAMES[state.type]:
        detail["name"] = state.name
    if state.message:
        detail["message"] = state.message
    if state.scheduled_time is not None:
        detail["scheduled"] = state.scheduled_time
    if attempt > 1:
        detail["attempt"] = attempt
    if by:
        detail["by"] = by
    return json.dumps(detail) if detail else None


def encode(event: Event) -> EventRow | None:
    """The row of an event; null for those that concern this process alone."""
    if isinstance(event, TaskState):
        kind = STATE + CODES[event.state.type]
        return (
            event.flow_run,
            event.task_run,
            kind,
            event.at,
            state_detail(event.state, event.attempt),
        )
    if isinstance(event, TaskCreated):
        return event.flow_run, event.task_run, TASK_CREATED, event.at, _created_detail(event)
    if isinstance(event, FlowState):
        kind = STATE + CODES[event.state.type]
        return event.flow_run, 0, kind, event.at, state_detail(event.state, by=event.by)
    if isinstance(event, FlowCreated):
        return event.flow_run, 0, FLOW_CREATED, event.at, None
    return None


def _created_detail(event: TaskCreated) -> str:
    # An f-string is a fifth of the price of json.dumps, and this is written for every task run.
    return f'{{"site":{event.site},"index":{event.index}}}'


def decode_state(code: int, at: float, name: str | None, message: str | None, scheduled: float | None = None) -> State:
    """A state as the record has it: without data."""
    kind = TYPES[code]
    return State(kind, name or NAMES[kind], message or "", timestamp=at, scheduled_time=scheduled)
