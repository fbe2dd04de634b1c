"""The task runs of the subflows that are open in a graph: read when a box is opened, followed while it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from tidegate.errors import StoreError
from tidegate.model.events import Event, TaskCreated, TaskState
from tidegate.ports import EventStore

from .boxes import Boxes
from .graph_model import RUN_STEP, GraphModel
from .level import Level

TOLD_TWICE = 10.0
"""What is kept is told after that: for so many seconds back, an event that was read may still come by itself."""


class Follows(Protocol):
    """Who hears of a run as it goes on."""

    def also(self, subflow: int) -> Callable[[], None]:
        """Hear of the task runs of a subflow too, until what this returns is called."""
        ...


class Subflows:
    """Feeds the levels of `boxes`.  Everything but the reading happens on the engine's loop, where `soon` calls.

    `drawn` is called when there is something new to draw, `tell` with what went wrong.
    """

    def __init__(
        self,
        boxes: Boxes,
        store: EventStore,
        soon: Callable[..., None],
        drawn: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self._boxes = boxes
        self._store = store
        self._soon, self._drawn, self._tell = soon, drawn, tell
        self.were_open = False
        """True once there was one whose task runs are heard of, and perhaps still come though it is closed."""
        self._follower: Follows | None = None
        self._ends: dict[int, Callable[[], None]] = {}
        """What ends the following, of each flow run that is open."""
        self._early: dict[int, list[Event]] = {}
        """What has come of those that are being read."""
        self._read: dict[int, set[object]] = {}

    def follow(self, follower: Follows) -> None:
        """Hear of what goes on by this follower from now on; what is open is read anew."""
        self._drop(set(self._ends))
        self._follower = follower
        self.keep_up()

    def turn(self, node: int, *, is_open: bool) -> None:
        """Open or close the box of a node."""
        if is_open:
            self._boxes.open(node)
        else:
            self._boxes.close(node)
        self.keep_up()
        self._drawn()

    def keep_up(self) -> None:
        """Read what is open and not known yet, and forget what is closed."""
        wanted = self._boxes.wanted()
        self._drop(set(self._ends).difference(wanted))
        for run in wanted:
            if run not in self._ends:
                self._begin(run)

    def take(self, events: Iterable[Event]) -> None:
        """Fold events of task runs in, those of each flow run where they belong."""
        for event in events:
            early = self._early.get(event.flow_run)
            level = self._boxes.levels.get(event.flow_run * RUN_STEP)
            if early is not None:
                early.append(event)
            elif level is not None and _key(event) not in self._read[event.flow_run]:
                level.model.apply((event,))

    def _drop(self, runs: set[int]) -> None:
        for run in runs:
            self._ends.pop(run)()
            self._early.pop(run, None)
            self._read.pop(run, None)
            self._boxes.levels.pop(run * RUN_STEP, None)

    def _begin(self, run: int) -> None:
        follower, self.were_open = self._follower, True
        early = self._early[run] = list[Event]()
        # Followed first and read then: what happens in between comes twice, and is known by it.
        self._ends[run] = _nothing if follower is None else follower.also(run)

        def read() -> None:
            events: list[Event] = []
            problem = ""
            try:
                if follower is not None:
                    with suppress(StoreError):  # what was shown before it is kept
                        self._store.commit_all(())
                events = [event for _, event in self._store.events(run)]
            except StoreError as error:
                problem = str(error)
            self._soon(self._take_up, run, early, events, problem)

        threading.Thread(target=read, name="tidegate-look", daemon=True).start()

    def _take_up(self, run: int, early: list[Event], events: list[Event], problem: str) -> None:
        if self._early.get(run) is not early:
            return  # it was closed meanwhile
        del self._early[run]
        if problem:
            self._tell(problem)
        created = self._boxes.root.subflows.get(run)
        model = GraphModel(run * RUN_STEP)
        model.apply([*([created] if created else []), *events])
        since = time.time() - TOLD_TWICE
        self._read[run] = {_key(event) for event in events if event.at >= since}
        self._boxes.levels[run * RUN_STEP] = Level(model)
        self.take(early)
        self.keep_up()  # there may be open boxes in it
        self._drawn()


def _key(event: Event) -> object:
    if isinstance(event, TaskState):
        return event.task_run, event.attempt, event.state.name, round(event.at, 3)
    return event.task_run if isinstance(event, TaskCreated) else event


def _nothing() -> None:
    """Nobody is followed."""
