"""Concurrency limits of tags, as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Holder(NamedTuple):
    """A task run that holds a slot."""

    flow_run: int
    task_run: int


@dataclass(frozen=True, slots=True)
class TagLimit:
    """How many task runs with a tag may be at work at once, and which of them are."""

    tag: str
    limit: int
    active: tuple[Holder, ...] = ()
