"""What a flow run keeps about one of the tasks that it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..concurrency import ConcurrencyLimit
from ..digests import source_digest
from ..saving import Saving, saving_of

if TYPE_CHECKING:
    from .called import Called


class TaskHere:
    """A task in one flow run: made at its first call there."""

    __slots__ = ("limit", "places", "saving", "source")

    def __init__(self, task: Called, saving: Saving, places: ConcurrencyLimit | None = None) -> None:
        self.limit = None if task.concurrency is None else ConcurrencyLimit(task.concurrency)
        """How many may be at work at once; null for any."""
        self.places = places
        """How many calls of all tasks the runner takes at once; null where its threads are the limit."""
        self.saving = saving_of(task, saving)
        self.source = source_digest(task.fn)
        """The version of its code, helpers included."""

    def resize(self, places: int | None) -> None:
        """Let so many be at work at once from now on; null for any.  Those that began without a limit do not count."""
        if self.limit is not None:
            self.limit.resize(places)
        elif places is not None:
            self.limit = ConcurrencyLimit(places)
