"""What a state, and a number of task runs, look like."""

from typing import Literal, TypedDict

Family = Literal["idle", "active", "done", "attention", "bad"]
"""Five families of state, each with a colour and a shape of its own (never colour alone)."""


class StateView(TypedDict):
    """A state as shown: its standard name, its family, and one line of text."""

    type: str
    """``SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CRASHED CANCELLED``"""
    name: str
    """``Running``, ``AwaitingRetry``, ``NotReady``, ``Interrupted``, ..."""
    family: Family
    message: str


class Counts(TypedDict):
    """Task runs by what a person wants to know of them."""

    done: int
    running: int
    retrying: int
    """Waiting for their next attempt."""
    failed: int
    """Failed or crashed."""
    cancelled: int
    waiting: int
    """Known, but not begun; includes those that will never begin because an upstream failed."""
