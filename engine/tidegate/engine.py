"""The engine of a process: its store, clock and chance, and the feed of what happens.

Everything that could make two runs of the same code differ comes in here, so that a test or a simulator can own it.
"""

from __future__ import annotations

import atexit
import contextlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from . import forks
from .errors import StoreError
from .log_batches import LogBatches
from .model.events import (
    ArtifactMade,
    Event,
    FlowCreated,
    FlowState,
    InputAsked,
    InputGiven,
    LogLine,
    SavingChanged,
)
from .portal import EnginePortal
from .ports import Clock, EventStore
from .rules.decide import RetryPolicy
from .saving import Saving, default_saving
from .settings import Settings, settings
from .tag_slots import TagSlots

if TYPE_CHECKING:
    from .replay import Replay
    from .run.flow_run import FlowRun

Subscriber = Callable[[Sequence[Event]], None]
"""Gets events in order, in whatever thread they happen; must only note them down, and never raise."""

LATE = 1.0
"""Seconds between two looks whether a run that ended unsaved has been saved."""

_TOLD_ABOVE = frozenset((FlowState, InputAsked, InputGiven, ArtifactMade))
"""What a subflow has to say to whoever looks at a run above it."""


class SystemClock:
    """The clocks of the machine.  One that goes on while the machine sleeps, where there is such: `time.monotonic` does
    not on Linux, and a run that goes on in the morning would end the night before."""

    now = staticmethod(time.time)
    monotonic: Callable[[], float] = staticmethod(
        partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    )


_portal = EnginePortal()
"""One engine thread per process, however many engines tests make."""


class Engine:
    """What flow runs of this process share.

    `store` keeps the events; where it is not given, the one that the settings name is opened by the first flow run.
    """

    def __init__(
        self,
        store: EventStore | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        portal: EnginePortal = _portal,
    ) -> None:
        self._store = store
        self._lock = threading.Lock()
        clock = clock or SystemClock()
        self.now, self.monotonic = clock.now, clock.monotonic
        self.chance = chance
        self.portal = portal
        self.live: dict[int, FlowRun] = {}
        """The flow runs of this process that have not ended, by number."""
        self.observers: list[Callable[[FlowRun], None]] = []
        """Called with each root flow run when it begins, in the thread that runs it."""
        self.replay: Replay | None = None
        """The cassette that flow runs take the results of their tasks from, or record them to; null for none."""
        self._subscribers: dict[int, list[Subscriber]] = {}
        self._above: dict[int, list[Subscriber]] = {}
        """Those of them who hear of the subflows too."""
        self._problem: dict[int, str] = {}
        self._saving: tuple[Settings, Saving] | None = None
        self._asked: dict[int, deque[FlowState]] = {}
        """States of flow runs that somebody asked for and that are not shown yet, in order."""
        self._showing = threading.RLock()
        self.logs = LogBatches(self.note, self.portal.after)
        """What runs of this process have logged and nobody has kept yet."""
        self.tag_slots = TagSlots(lambda: self.store, self.portal.after)
        """Who in this process waits for a slot of a tag that has a limit."""
        forks.watch(self)

    def begin_anew(self) -> None:
        """In a forked child: the runs are its parent's, and so is whoever looks at them."""
        for run in list(self.live.values()):
            run.orphaned = True
        self.live, self.observers, self._subscribers, self._above, self._asked = {}, [], {}, {}, {}
        self._lock, self._showing = threading.Lock(), threading.RLock()
        self.portal.begin_anew()
        self.logs.begin_anew()
        self.tag_slots = TagSlots(lambda: self.store, self.portal.after)

    def run_clock(self) -> Callable[[], float]:
        """The clock of a run that comes into this process: seconds since the epoch as they are now, and from then on by
        the clock that nobody sets.  So whatever becomes of the other one, nothing takes less than no time."""
        monotonic = self.monotonic
        epoch = self.now() - monotonic()
        return lambda: epoch + monotonic()

    @property
    def store(self) -> EventStore:
        """The store; opened on first use.  Raises `StoreError` if it cannot be."""
        if self._store is None:
            with self._lock:
                if self._store is None:
                    from .housekeeping import look_after
                    from .store.sqlite import SQLiteStore

                    self._store = SQLiteStore(settings().store_path)
                    look_after(self._store, settings())
                    atexit.register(self._store.close)
                    atexit.register(self.logs.flush)  # before the store is closed: the last that registers is first
        return self._store

    # What happens is kept, then shown (R6): terminal states, pauses and cancels wait for their commit; that something
    # is known, pending or running may be shown at once.

    @property
    def saving(self) -> Saving:
        """How results are saved where no flow or task says anything: by the settings that hold here."""
        here = settings()
        known = self._saving
        if known is None or known[0] is not here:
            known = self._saving = here, default_saving(self.store, here)
        return known[1]

    def create(self, created: FlowCreated) -> int:
        """Keep a new flow run and return its number."""
        number = self.store.create_flow_run(created)
        if created.parent is not None:
            self._tell_above(replace(created, flow_run=number), self.live.get(created.parent[0]))
        return number

    def amend(self, flow_run: int, version: str, policy: RetryPolicy, durability: str) -> None:
        """Keep what a flow run that was created ahead of time takes over from its flow."""
        self.store.amend_flow_run(flow_run, version, policy, durability)

    def note(self, event: Event) -> None:
        """Show the event now and keep it before long."""
        (self._store or self.store).append(event)  # at once where it is open: this is done for each task run
        if self._subscribers:
            self._publish(event)

    def keep_noted(self) -> None:
        """Keep all that was noted, now: for what must not be lost with the process."""
        with contextlib.suppress(StoreError):  # the run goes on, and its end will say so
            self.store.commit_all(())

    def commit(self, event: Event) -> None:
        """Keep the event, then show it.  If it cannot be kept, the run goes on and says so."""
        problem = ""
        try:
            (self._store or self.store).commit(event)
        except StoreError as error:
            problem = str(error)
        if problem or self._problem or type(event) is FlowState:
            self._kept(event, problem)
        elif self._subscribers:  # the end of a task run, as nearly always
            self._publish(event)

    def commit_all(self, events: Sequence[Event]) -> None:
        """As `commit`, for several events at once."""
        problem = ""
        try:
            self.store.commit_all(events)
        except StoreError as error:
            problem = str(error)
        for event in events:
            self._kept(event, problem)

    def commit_soon(self, event: Event, done: Callable[[], None]) -> None:
        """As `commit`, but return at once; `done` is called from another thread."""
        if isinstance(event, FlowState):
            self._asked.setdefault(event.flow_run, deque()).append(event)

        def kept(problem: str) -> None:
            self._kept(event, problem, asked=True)
            done()

        self.store.commit_soon(event, kept)

    def log(self, flow_run: int, task_run: int, at: float, level: int, text: str, *, reserved: bool = False) -> None:
        """Show and keep a line of a run's log before long; `task_run` is 0 for the flow itself.

        A run that has said too much is only counted, errors and `reserved` lines excepted.
        """
        self.logs.add(flow_run, LogLine(at, task_run, level, text), reserved=reserved)

    def _kept(self, event: Event, problem: str, asked: bool = False) -> None:
        if not isinstance(event, FlowState):
            self._show(event, problem)
            return
        # Kept in order, but told by the thread that wrote it: a later one may be here first, and shows those before it.
        with self._showing:
            waiting = self._asked.get(event.flow_run, deque())
            # Of a copy: others append meanwhile, and a deque that changes is not walked to its end.
            if asked and not any(each is event for each in tuple(waiting)):
                return
            while waiting:
                each = waiting.popleft()
                self._show(each, problem)
                if each is event:
                    return
            self._show(event, problem)

    def _show(self, event: Event, problem: str) -> None:
        run = event.flow_run
        if problem != self._problem.get(run, ""):
            self._problem[run] = problem
            self._publish(SavingChanged(run, self.now(), problem))
        if self._subscribers:
            self._publish(event)

    def _publish(self, event: Event) -> None:
        subscribers = self._subscribers.get(event.flow_run)
        if subscribers:
            for each in subscribers:
                each((event,))
        if self._above and type(event) in _TOLD_ABOVE:
            run = self.live.get(event.flow_run)
            if run is not None and run.tracking is not None:
                self._tell_above(event, run.tracking.flow_run)

    def _tell_above(self, event: Event, run: FlowRun | None) -> None:
        while run is not None:
            for each in self._above.get(run.number, ()):
                each((event,))
            run = None if run.tracking is None else run.tracking.flow_run

    def subscribe(self, flow_run: int, subscriber: Subscriber, *, subflows: bool = False) -> Callable[[], None]:
        """Have `subscriber` called with each event of a flow run from now on; returns what ends that.

        With `subflows` it also hears of the flow runs below: that they exist, their states, what they ask and what is
        answered, and their artifacts.
        """
        tables = [self._subscribers, self._above] if subflows else [self._subscribers]
        with self._lock:
            for table in tables:
                table[flow_run] = [*table.get(flow_run, ()), subscriber]

        def end() -> None:
            with self._lock:
                for table in tables:
                    left = [each for each in table.get(flow_run, ()) if each is not subscriber]
                    if left:
                        table[flow_run] = left
                    else:
                        table.pop(flow_run, None)

        return end

    def forget(self, flow_run: int) -> None:
        """The flow run has ended in this process."""
        if self.logs.end(flow_run, self.now()):  # said after its last commit, and not to be lost either
            with contextlib.suppress(StoreError):
                self.store.commit_all(())
        self.live.pop(flow_run, None)
        self._asked.pop(flow_run, None)
        if self._problem.pop(flow_run, ""):
            self.portal.after(LATE, partial(self._tell_if_saved, flow_run))

    def _tell_if_saved(self, flow_run: int) -> None:
        """What could not be kept of a run before its end may be kept by now: whoever still follows it is told."""
        if flow_run not in self._subscribers or flow_run in self.store.taken_over():
            return
        if self.store.is_behind():
            self.portal.after(LATE, partial(self._tell_if_saved, flow_run))
        else:
            self._publish(SavingChanged(flow_run, self.now(), ""))


_engine = Engine()


def engine() -> Engine:
    """The engine that new flow runs belong to."""
    return _engine


@contextlib.contextmanager
def using(other: Engine) -> Iterator[Engine]:
    """Make `other` the engine for a while: for tests, and for runs with a store of their own."""
    global _engine
    previous, _engine = _engine, other
    try:
        yield other
    finally:
        _engine = previous
