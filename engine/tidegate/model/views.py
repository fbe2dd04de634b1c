"""Rows: what is known of a flow run or a task run, folded from its events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .events import Event, FlowCreated, FlowState, Links, TaskCreated, TaskState
from .states import TERMINAL, State, StateType


@dataclass(slots=True)
class FlowRow:
    """A flow run as the record has it.  Times are seconds since the epoch."""

    number: int
    uuid: str
    flow: str
    name: str
    created: float
    state: State
    parameters: str = "{}"
    parent: tuple[int, int] | None = None
    started: float | None = None
    ended: float | None = None
    source: str = ""
    tags: tuple[str, ...] = ()
    attempts: int = 0
    ran: float = 0.0
    """Seconds that it has been RUNNING, pauses and waits between attempts left out."""
    result: bytes | None = None
    """What is kept of its value, as a blob."""
    policy: Any = None
    """A `RetryPolicy`, for runs that were created ahead of time."""
    target: str = ""
    """Where the flow is, as `load_flow` takes it; empty where nobody said."""
    owner: str = ""
    """The process that runs it, as the store knows it; empty if nobody has begun it, and for one that is suspended."""
    body: str = ""
    """The text of the cell that the flow is; empty for functions."""
    durability: str = ""
    """How much of it may be lost with the power, see `Durability`; empty where nobody has said."""
    forked_from: int = 0
    """The flow run whose results it has taken over; 0 for none."""

    def recorded_parameters(self) -> dict[str, Any]:
        """The parameters; what has no JSON form stands as a type name."""
        found: dict[str, Any] = json.loads(self.parameters)
        return found

    def apply(self, event: FlowState) -> None:
        """Fold one more event in."""
        if self.state.type is StateType.RUNNING:
            self.ran += max(0.0, event.at - self.state.timestamp)  # another process, another clock
        self.state = event.state
        self.attempts, self.result = event.attempt, event.result
        if event.state.type is StateType.RUNNING and self.started is None:
            self.started = event.at
        self.ended = event.at if event.state.type in TERMINAL else None
        if event.state.is_suspended():
            self.owner = ""


@dataclass(slots=True)
class TaskRow:
    """A task run as the record has it.  Times are seconds since the epoch."""

    flow_run: int
    number: int
    task: str
    site: int
    index: int
    created: float
    state: State
    links: Links = field(default_factory=dict)
    parent: int = 0
    subflow: bool = False
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    ran: float = 0.0
    """Seconds that it has been RUNNING, in all attempts."""
    given_name: str = ""
    tags: tuple[str, ...] = ()
    key: str = ""
    nth: int = 0
    source: str = ""
    result: bytes | None = None
    """What is kept of its value, as a blob."""
    version: str | None = None
    """Of the task."""

    @property
    def name(self) -> str:
        """``locate-17``, or the name that it was given."""
        return self.given_name or f"{self.task}-{self.index}"

    def apply(self, event: TaskState) -> None:
        """Fold one more event in."""
        if self.state.type is StateType.RUNNING:
            self.ran += max(0.0, event.at - self.state.timestamp)  # another process, another clock
        self.state = event.state
        self.attempts, self.result = event.attempt, event.result
        self.given_name = event.name or self.given_name
        self.source = event.source or self.source
        if event.state.type is StateType.RUNNING and self.started is None:
            self.started = event.at
        self.ended = event.at if event.state.type in TERMINAL else None


PENDING_STATE = State(StateType.PENDING, "Pending")


def new_flow_row(event: FlowCreated, number: int) -> FlowRow:
    """The row that a flow run begins with."""
    row = FlowRow(number, event.uuid, event.flow, event.name, event.at, PENDING_STATE, event.parameters, event.parent)
    row.source, row.tags, row.target = event.source, event.tags, event.target
    row.owner, row.body, row.durability = event.owner, event.body, event.durability
    row.forked_from = event.forked_from
    return row


def new_task_row(event: TaskCreated) -> TaskRow:
    """The row that a task run begins with."""
    return TaskRow(
        event.flow_run,
        event.task_run,
        event.task,
        event.site,
        event.index,
        event.at,
        PENDING_STATE,
        event.links,
        event.parent,
        event.subflow,
        tags=event.tags,
        key=event.key,
        nth=event.nth,
        source=event.source,
        version=event.version,
    )


def task_rows(events: list[Event]) -> dict[int, TaskRow]:
    """Fold the events of one flow run into its task rows."""
    rows: dict[int, TaskRow] = {}
    for event in events:
        if isinstance(event, TaskCreated):
            rows[event.task_run] = new_task_row(event)
        elif isinstance(event, TaskState):
            rows[event.task_run].apply(event)
    return rows
