"""Events as rows of the store, and back.  The names of things are JSON, never pickle: looking must not execute."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, cast

from ..model.events import Event, FlowState, InputAsked, InputGiven, Links
from ..model.states import State, StateType
from ..rules.decide import RetryPolicy

FLOW_CREATED = 1
TASK_CREATED = 2
BEGUN = 3
"""Created and running."""
RAN = 4
"""Running and completed."""
WHOLE = 5
"""Created, running and completed.  Mostly not in the log at all: the row of the task run has its times, and its `seq`
the place in the log.  That saves a third of a commit."""
INPUT_ASKED = 6
INPUT_GIVEN = 7
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

RUNNING = STATE + CODES[StateType.RUNNING]
COMPLETED = STATE + CODES[StateType.COMPLETED]

MERGED = {
    (TASK_CREATED, RUNNING): BEGUN,
    (RUNNING, COMPLETED): RAN,
    (BEGUN, COMPLETED): WHOLE,
}
"""Two quiet events of one task run that are written in one transaction are one row: what happened in between has been
seen by nobody, and the row of the task run has the times.  It saves a fifth of a commit and half of the log."""

EventRow = list[Any]
"""[flow_run, seq, task_run or 0, kind, at, detail]"""


def clean(text: str) -> str:
    """Text that SQLite can keep: a lone surrogate, as in an undecodable file name, is spelled out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def encode_links(links: Links) -> str | None:
    """Links as compact JSON; null for none."""
    if not links:
        return None
    # By hand: all but the names are words and whole numbers of ours, and `json.dumps` takes 6 us for one edge.
    parts = []
    for name, edges in links.items():
        if len(edges) == 1:
            kind, first, last = edges[0]
            parts.append(f'{_json_name(name)}:[["{kind}",{first},{last}]]')
        else:
            several = ",".join([f'["{kind}",{first},{last}]' for kind, first, last in edges])
            parts.append(f"{_json_name(name)}:[{several}]")
    return "{" + ",".join(parts) + "}"


@lru_cache(maxsize=4096)
def _json_name(name: str) -> str:
    return json.dumps(name)


def decode_links(text: str | None) -> Links:
    """The reverse of `encode_links`."""
    if not text:
        return {}
    found = {name: tuple(tuple(each) for each in edges) for name, edges in json.loads(text).items()}
    return cast("Links", found)


def usual_attempt(kind: StateType) -> int:
    """The attempt that most task runs have in a state of this type, and which is therefore not written."""
    return 0 if kind is StateType.PENDING else 1


def encode_policy(policy: RetryPolicy) -> str:
    """How often and when a flow run is tried again, as JSON."""
    return json.dumps({"retries": policy.retries, "delays": policy.delays})


def decode_policy(text: str | None) -> RetryPolicy | None:
    """The reverse of `encode_policy`."""
    if not text:
        return None
    found = json.loads(text)
    return RetryPolicy(found["retries"], tuple(found["delays"]))


def encode_tags(tags: tuple[str, ...]) -> str | None:
    """Tags as JSON; null for none."""
    return clean(json.dumps(tags, ensure_ascii=False)) if tags else None


def decode_tags(text: str | None) -> tuple[str, ...]:
    """The reverse of `encode_tags`."""
    return tuple(json.loads(text)) if text else ()


def state_detail(state: State, attempt: int, by: str = "", pause: str = "") -> str | None:
    """What a state's type does not say already; null for the common case."""
    usual = attempt == usual_attempt(state.type)
    if usual and not (by or pause or state.message) and state.name == NAMES[state.type]:
        return None if state.scheduled_time is None else json.dumps({"scheduled": state.scheduled_time})
    detail: dict[str, Any] = {}
    if state.name != NAMES[state.type]:
        detail["name"] = state.name
    if state.message:
        detail["message"] = state.message
    if state.scheduled_time is not None:
        detail["scheduled"] = state.scheduled_time
    if not usual:
        detail["attempt"] = attempt
    if by:
        detail["by"] = by
    if pause:
        detail["pause"] = pause
    return json.dumps(detail) if detail else None


def encode(event: Event, seq: int) -> EventRow:
    """The row of an event of a flow run; those of task runs are made where they are folded."""
    if isinstance(event, FlowState):
        detail = state_detail(event.state, event.attempt, event.by, event.pause)
        return [event.flow_run, seq, 0, STATE + CODES[event.state.type], event.at, detail]
    if isinstance(event, InputAsked):
        asked = json.dumps({"key": event.key, "title": event.title, "schema": event.schema})
        return [event.flow_run, seq, 0, INPUT_ASKED, event.at, asked]
    if isinstance(event, InputGiven):
        given = json.dumps({"key": event.key, "answer": event.answer, "by": event.by, "whole": event.whole})
        return [event.flow_run, seq, 0, INPUT_GIVEN, event.at, given]
    return [event.flow_run, seq, 0, FLOW_CREATED, event.at, None]


def decode_state(code: int, at: float, name: str | None, message: str | None, scheduled: float | None = None) -> State:
    """A state as the record has it: without data."""
    kind = TYPES[code]
    return State(kind, name or NAMES[kind], message or "", timestamp=at, scheduled_time=scheduled)
