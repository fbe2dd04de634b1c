"""Deployments: flows that are to be run without a call, when and where from; and what came of that in flow runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

DEFAULT_QUEUE = "default"
"""The work queue of a deployment that names none."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When runs are due: by a cron expression in a time zone, or every so many seconds."""

    cron: str = ""
    """Five fields, ``minute hour day month weekday``; empty for an interval."""
    timezone: str = "UTC"
    """By whose clocks a cron expression is meant, such as ``Europe/Paris``."""
    interval: float = 0.0
    """Seconds between two runs; 0 for a cron expression."""
    anchor: float = 0.0
    """A moment, in seconds since the epoch, from which intervals are counted, in both directions."""

    def __str__(self) -> str:
        return f'"{self.cron}" in {self.timezone}' if self.cron else f"every {self.interval:g} s"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A flow that is run by its name, by a schedule or on demand, in a process that an agent starts."""

    name: str
    flow: str
    target: str
    """Where the flow is, as `load_flow` takes it; files by their whole path."""
    folder: str
    """The working folder of its runs."""
    parameters: str = "{}"
    """JSON."""
    schedules: tuple[Schedule, ...] = ()
    tags: tuple[str, ...] = ()
    queue: str = DEFAULT_QUEUE
    paused: bool = False
    """True while its schedules make no runs; it can be run by name all the same."""
    created: float = 0.0
    """Seconds since the epoch."""

    @property
    def full_name(self) -> str:
        """``flow/name``: what it is known by."""
        return f"{self.flow}/{self.name}"

    def recorded_parameters(self) -> dict[str, Any]:
        """The parameters of its runs, as far as no run is given others."""
        found: dict[str, Any] = json.loads(self.parameters)
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """A process: its machine, its number there, and what tells it from a later one that was given the same number."""

    host: str
    pid: int
    began: str
    """When it began, as the machine says it; empty where that cannot be told."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What there is to know of a flow run that came from a deployment; its `flow_run` is 0 until a store numbers it."""

    flow_run: int
    deployment: str
    """The whole name, ``flow/name``; there may be none of that name any more."""
    queue: str
    due: float
    """When it is to begin, in seconds since the epoch."""
    folder: str
    planned: bool = False
    """True if a schedule made it."""
    key: str | None = None
    """Of two runs of a deployment with the same key only the first is made."""
    agent: str = ""
    """The process that has seen to it last, as the store knows it; empty while none has."""
    place: Place | None = None
    """Its process; null while none was recorded."""


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """Where agents look for runs.  There is one of any name; only those that were changed are in the store."""

    name: str
    limit: int | None = None
    """How many of its runs may be at work at once, of all agents together; null for any number."""
    paused: bool = False
    """True while none of its runs is started."""
