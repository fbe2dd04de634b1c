"""Events: the vocabulary of the log.  Everything that is ever shown of a run is a fold of these.

Flow runs are known by the number that their store gave them, task runs by their number within the flow run,
counted from 1 in the order of the calls.  Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from .record import record
from .states import State

LinkKind: TypeAlias = Literal["future", "value", "map", "wait_for", "subflow"]
"""How a task run came by its input: a future, a plain value that was recognised, a member of a map, ..."""

Links: TypeAlias = Mapping[str, tuple[tuple[LinkKind, int, int], ...]]
"""Upstream task runs by parameter, as inclusive ranges ``(kind, first, last)``: a reduce over 10,000 mapped runs is
one range, not 10,000 numbers."""


@record
class CacheEntry:
    """Under which key a completed task run may be found again, until when, and what the key was made of."""

    key: str
    task: str
    """The key of the task."""
    expires: float | None
    parts: Mapping[str, str]


@record
class FlowCreated:
    """A flow run exists.  `parent` is the flow run and the task run that track it, for subflows."""

    flow_run: int
    at: float
    uuid: str
    flow: str
    name: str
    parameters: str
    """JSON; values that have no JSON form stand as a type name."""
    parent: tuple[int, int] | None = None
    source: str = ""
    """The first 16 hex digits of the SHA-256 of the flow function's source text."""
    tags: tuple[str, ...] = ()
    target: str = ""
    """Where the flow is, as `load_flow` takes it; empty where nobody said."""
    owner: str = ""
    """The process that runs it, as the store knows it; empty for a run that nobody has begun."""
    body: str = ""
    """The text of the cell that the flow is, so that it can be run again; empty for functions."""
    durability: str = ""
    """How much of it may be lost with the power, see `Durability`; empty where nobody has said."""
    forked_from: int = 0
    """The flow run whose results it has taken over; 0 for none."""


@record
class TaskCreated:
    """A task run exists.  `site` groups the runs of one call site or one mapped call; `index`
    counts the runs of the task from 0.  ``task-index`` is its readable name, unless it was given one."""

    flow_run: int
    at: float
    task_run: int
    task: str
    site: int
    index: int
    links: Links
    parent: int = 0
    """The task run that made the call, for tasks in tasks; 0 for the flow itself."""
    subflow: bool = False
    tags: tuple[str, ...] = ()
    key: str = ""
    """What it is called with, as a digest; empty if that cannot be told."""
    nth: int = 0
    """How many calls with the same key came before it."""
    source: str = ""
    """A digest of the code of the task."""
    version: str | None = None
    """Of the task, where it was given one; of a subflow always."""


@record
class FlowState:
    """A flow run entered a state.  `by` says who asked for it, where somebody did; `attempt` counts the times its
    function was begun; `result` is what a final state keeps of the value, as a blob (see `tidegate.results`)."""

    flow_run: int
    at: float
    state: State
    by: str = ""
    attempt: int = 0
    result: bytes | None = None
    pause: str = ""
    """The key of the pause that the flow had made itself and that this ends: it is not made again."""


@record
class TaskState:
    """A task run entered a state; `attempt` counts the times it entered RUNNING.  `name` is a name that it was given;
    `result` is what a final state keeps of the value, as a blob; `source` is a digest of the code that runs now, where
    that may be another than the one it was created with."""

    flow_run: int
    at: float
    task_run: int
    state: State
    attempt: int = 0
    name: str = ""
    result: bytes | None = None
    cache: CacheEntry | None = None
    source: str = ""


@record
class InputAsked:
    """A flow run that is paused asks for an answer; `schema` is the JSON schema of it, `key` names the pause."""

    flow_run: int
    at: float
    key: str
    title: str
    schema: str


@record
class InputGiven:
    """The answer, as JSON, and who gave it.  It is not `whole` where the answer cannot be read back from that, as with
    a secret, which is masked."""

    flow_run: int
    at: float
    key: str
    answer: str
    by: str
    whole: bool = True


@record
class SavingChanged:
    """The store can no longer be written, or can again; known to this process only."""

    flow_run: int
    at: float
    problem: str


class LogLine(NamedTuple):
    """One line of the log; `task_run` is 0 for what the flow itself said, `level` a number of the `logging` module."""

    at: float
    task_run: int
    level: int
    text: str


@record
class LogLines:
    """Lines that a flow run and its task runs logged, in order.  Kept in a table of their own, beside the events."""

    flow_run: int
    at: float
    lines: tuple[LogLine, ...]


@record
class ArtifactMade:
    """A flow run keeps something to be looked at, or a newer version of what has this number already; `task_run` is 0
    for the flow itself.  Kept in a table of its own, beside the events."""

    flow_run: int
    at: float
    task_run: int
    number: int
    """Counted from 1 within the flow run."""
    kind: str
    """``markdown table link image progress object``; see `tidegate.artifacts`."""
    data: str
    """JSON, by kind."""
    key: str | None = None
    description: str | None = None


Event: TypeAlias = (
    FlowCreated
    | TaskCreated
    | FlowState
    | TaskState
    | InputAsked
    | InputGiven
    | SavingChanged
    | LogLines
    | ArtifactMade
)
