"""What the inspector shows of a node."""

from typing import TypedDict

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
