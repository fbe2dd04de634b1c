"""Requests: what somebody in another process asks of a flow run, by way of the store."""

from __future__ import annotations

from typing import Literal, TypeAlias

from .record import record

Verb: TypeAlias = Literal["pause", "resume", "suspend", "cancel"]


@record
class Request:
    """A wish about a flow run.  Its `number` is 0 until a store has given it one; times are seconds since the epoch."""

    number: int
    flow_run: int
    verb: Verb
    by: str
    """Who asks, as it shall stand in the record."""
    at: float
    expires: float
    """When whoever asks has stopped waiting; after that it is not to be carried out any more."""
    detail: str = "{}"
    """JSON; for a resume, the input under ``input``."""
