"""A run that rests, as it was at a moment: the fold of what had happened by then, drawn where its nodes stand now.

Nothing about an earlier moment is kept.  To look back is to read the events once more and to fold as many of them as
had come: 30,000 of them, the most that ten thousand mapped task runs make, take tens of milliseconds, and from one
moment to a later one only those in between.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from tidegate.model.events import Event
from tidegate.ports import EventStore

from .drawing import Drawing
from .graph_model import RUN_STEP, GraphModel
from .protocol import View


class Past:
    """Looks back at one flow run that rests, on any thread; it knows what the store had when it was first asked."""

    def __init__(self, store: EventStore, number: int) -> None:
        self._store = store
        self._number = number
        self._runs: dict[int, _Folded] = {}
        """By the base of the model."""
        self._lock = threading.Lock()

    def view(self, still: Drawing, at: float) -> View:
        """The picture `still` as it was at a moment, in seconds since the epoch.  Raises `StoreError`."""
        with self._lock:
            return still.past({base: self._run(base).until(at) for base in still.boxes.levels}, at)

    def _run(self, base: int) -> _Folded:
        if base not in self._runs:
            events = self._store.events(base // RUN_STEP or self._number)
            self._runs[base] = _Folded(base, [event for _, event in events])
        return self._runs[base]


class _Folded:
    """The events of one flow run by their times, and the fold of the first of them."""

    def __init__(self, base: int, events: Sequence[Event]) -> None:
        self._events = sorted(events, key=attrgetter("at"))
        self._times = [event.at for event in self._events]
        self._model = GraphModel(base)
        self._taken = 0

    def until(self, at: float) -> GraphModel:
        """What was known at that moment; it is the same model that grows, as long as nobody goes back."""
        wanted = bisect_right(self._times, at)
        if wanted < self._taken:
            self._model, self._taken = GraphModel(self._model.base), 0
        self._model.apply(self._events[self._taken : wanted])
        self._taken = wanted
        return self._model
