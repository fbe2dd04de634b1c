"""The task runs of a node, and one of them."""

from typing import Literal, TypedDict

from .action import Action
from .detail import Fact
from .state import StateView

PAGE = 25
"""Members in one answer at most."""


Sort = Literal["place", "state", "duration"]
"""In the order of the calls, the worst state first, or the longest first."""


class MemberRow(TypedDict):
    """One task run in the list of its node."""

    number: int
    """Of the task run, in its flow run."""
    label: str
    """``locate[17]``, by its place among the runs of the node."""
    state: StateView
    line: str
    """``0.2s``, or the error."""


class MemberPage(TypedDict):
    """Some task runs of a node."""

    node: int
    first: int
    """The place of the first one, among those that were asked for."""
    only: str
    sort: Sort
    total: int
    """How many there are of those that were asked for."""
    rows: list[MemberRow]


class InputView(TypedDict):
    """Where an input of a task run came from."""

    parameter: str
    label: str
    """``list_files[3817]``, or ``parse (10,000 runs)``."""
    node: int
    member: int | None
    """The task run; null for many."""


class LogView(TypedDict):
    """A line of a log."""

    clock: str
    level: str
    """``DEBUG INFO WARNING ERROR CRITICAL``, or a number."""
    text: str


class Steps(TypedDict):
    """The failed task runs of a node, seen from one of its runs."""

    at: int
    """Which of them it is, from 1; 0 for one that has not failed."""
    of: int
    before: int | None
    """The number of the failed one before it; null for none."""
    after: int | None


class Member(TypedDict):
    """What is to be known about one task run.  All but its state is what the record has."""

    number: int
    node: int
    place: int
    """Among the runs of the node, from 0."""
    label: str
    state: StateView
    steps: Steps
    facts: list[Fact]
    inputs: list[InputView]
    error: str
    traceback: str
    logs: list[LogView]
    more: bool
    """True if there are more lines than these."""
    result: str
    """Its text, where that can be shown without loading anything; or empty."""
    result_note: str
    """What is kept of the result, and why there is no more."""
    code: str
    code_note: str
    actions: list[Action]
    """What may be done with it: ``load``, and ``rerun`` once the flow run is over."""
