"""Rows: what is known of a flow run or a task run, folded from its events."""

from __future__ import annotations

from dataclasses import dataclass, field

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

    def apply(self, event: FlowState) -> None:
        """Fold one more event in."""
        self.state = event.state
        if event.state.type is StateType.RUNNING and self.started is None:
            self.started = event.at
        self.ended = event.at if event.state.type in TERMINAL else None


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

    @property
    def name(self) -> str:
        """``locate-17``."""
        return f"{self.task}-{self.index}"

    def apply(self, event: TaskState) -> None:
        """Fold one more event in."""
        self.state = event.state
        self.attempts = event.attempt
        if event.state.type is StateType.RUNNING and self.started is None:
            self.started = event.at
        self.ended = event.at if event.state.type in TERMINAL else None


PENDING = State(StateType.PENDING, "Pending")


def new_flow_row(event: FlowCreated, number: int) -> FlowRow:
    """The row that a flow run begins with."""
    row = FlowRow(number, event.uuid, event.flow, event.name, event.at, PENDING, event.parameters, event.parent)
    row.source = event.source
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
        PENDING,
        event.links,
        event.parent,
        event.subflow,
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
