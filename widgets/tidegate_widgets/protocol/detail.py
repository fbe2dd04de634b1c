"""What the inspector shows of a node."""

from typing import Literal, TypedDict

from .state import StateView


class ErrorRun(TypedDict):
    """A task run that failed."""

    number: int
    label: str
    """``locate[17]``"""


class ErrorView(TypedDict):
    """An error, and the task runs of a node that failed with it: they differ in numbers at most."""

    error: str
    """``ValueError: bad row …``"""
    total: int
    runs: list[ErrorRun]
    """The first five of them."""
    traceback: str
    """Of the first one, trimmed to the user's own frames; may be empty."""


class Fact(TypedDict):
    """A row of the inspector."""

    label: str
    text: str


class Dial(TypedDict):
    """Something that limits the runs of a task, and that can be set while they are at work."""

    dial: Literal["concurrency", "rate"]
    label: str
    value: str
    """As it is typed: ``8``, ``900/min``; empty for no limit."""


class Detail(TypedDict):
    """What the inspector shows about the selected node."""

    node: int
    name: str
    state: StateView
    facts: list[Fact]
    """``Attempts``, ``Duration``, ``Inputs``, … in the order to show."""
    member: int | None
    """The number of the only task run; null where there are several."""
    errors: list[ErrorView]
    """At most 21."""
    dials: list[Dial]
    """Of a node with many task runs, while its run goes on."""
