"""Follow a flow run: note its events down as they happen, and have the picture drawn at most ten times a second, and
less often where much happens.

The engine calls in from whatever thread something happened; it must not pay for being watched, so all that happens
there is an append, or for nearly all states of task runs a few bytes that are written.  Everything else is done by one
task on the engine's loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import groupby
from operator import itemgetter
from time import thread_time
from typing import cast

from tidegate.engine import Engine
from tidegate.model.events import Event, FlowState, InputAsked, Links, SavingChanged, TaskCreated, TaskState
from tidegate.portal import spawn

from .graph_model import TASK_RUNS, MoreCreated, News

log = logging.getLogger(__name__)

INTERVAL = 0.1
"""Seconds between two drawings at least."""

SHARE = 0.005
"""How much of its time a drawing may take from a core: after a dear one the next waits longer, `LONGEST` at most.

What a message costs is paid on the way to the page and in the page once more, by cores that the run could use.
"""

LONGEST = 0.5
"""Seconds to the next drawing at most."""


_Brief = tuple[int, int, str]
"""A task run that was created, its call site and its code, where nothing else of it is news.  A tuple of atoms is no
object for the garbage collector, once that has seen it."""

_CODE: Callable[[_Brief], tuple[int, str]] = itemgetter(1, 2)


class Follower:
    """Calls ``draw(news)`` on the engine's loop, in `context`, with what has happened, in order; of subflows that is
    what a person is asked there.

    A state of a task run of this flow run is offered to `write` first, on the thread where it happens; those that are
    written there are not among the events.

    The first drawing of a burst comes at once, and so do a state of the run and a question in the middle of one: a
    person has clicked, or is to answer.
    """

    def __init__(
        self,
        engine: Engine,
        flow_run: int,
        draw: Callable[[Sequence[News]], None],
        context: Context,
        write: Callable[[TaskState], bool] = lambda event: False,
    ) -> None:
        self._engine = engine
        self._draw = draw
        self._write = write
        self._written = False
        """Whether something was written that is not drawn."""
        self._waiting: deque[TaskState] = deque()
        """The states of task runs among the news: while there are any, all that come are news, to stay in order."""
        self._news: deque[Event | _Brief] = deque()
        self._known: dict[int, Links] = {}
        """What was linked to the last task run of each call site that is whole among the news, or was."""
        self._asleep = True
        self._hurry = asyncio.Event()
        """Set, on the loop, when the next drawing is not to wait for its time."""
        self._loop = engine.portal.loop()
        self._next = 0.0
        """When, by the loop's clock, the next drawing is due at the earliest."""
        self._ended = self._unsaved = False
        self._other: deque[Event] = deque()
        """What has come that is not of a task run, and perhaps says that the run is over."""
        self._context = context
        self._flow_run = flow_run
        self._end = engine.subscribe(flow_run, self._note, subflows=True)

    def also(self, subflow: int) -> Callable[[], None]:
        """Hear of the task runs of a subflow too, until what this returns is called, or the run ends."""

        def note(events: Sequence[Event]) -> None:
            # Of the subflow itself a follower of the run above hears anyhow.
            tasks = [event for event in events if type(event) in TASK_RUNS]
            if tasks:
                self._keep(tasks)
                if self._asleep:
                    self._rouse()

        return self._engine.subscribe(subflow, note)

    def _note(self, events: Sequence[Event]) -> None:
        # The engine waits for this with each state of a task run.  They come one by one, and of this flow run alone.
        (event,) = events
        if isinstance(event, TaskCreated):
            if self._known.get(event.site) == event.links:
                self._news.append((event.task_run, event.site, event.source))
            else:
                self._news.append(event)
                self._known[event.site] = event.links  # not before: others may be at the same call site now
        elif isinstance(event, TaskState) and not self._waiting and self._write(event):
            self._written = True
        else:
            self._keep(events)
        if self._asleep:
            self._rouse()

    def _keep(self, events: Sequence[Event]) -> None:
        for event in events:
            if type(event) is TaskState:
                self._waiting.append(event)
        self._news.extend(events)
        last = events[-1]
        if type(last) not in TASK_RUNS:  # several come at once only of task runs
            self._other.append(last)
            if self._is_urgent(last):
                self._loop.call_soon_threadsafe(self._hurry.set)

    def _rouse(self) -> None:
        self._asleep = False
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        spawn(self._loop, self._follow(), self._context)

    async def _follow(self) -> None:
        while True:
            wait = self._next - self._loop.time()
            if wait > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._hurry.wait()
            self._hurry.clear()
            begun, worked = self._loop.time(), thread_time()
            news = self._take()
            if news or self._written:
                self._written = False  # what is written from here on may not be seen yet
                try:
                    self._draw(news)
                except Exception:
                    # A message that could not be sent must not end the graph; the page asks again when one is missing.
                    log.warning("The run graph could not be updated.", exc_info=True)
                for event in news:
                    if type(event) is TaskState:
                        self._waiting.popleft()
            self._next = begun + min(max(INTERVAL, (thread_time() - worked) / SHARE), LONGEST)
            if self._is_over():
                self._end()
                return
            self._asleep = True
            # What came before the line above was noted by one who saw us awake, and woke nobody.
            if not (self._news or self._other or self._written) or not self._claim():
                return

    def _is_over(self) -> bool:
        """True if nothing more is to come, or is to be drawn: the run has ended, and is saved."""
        while self._other:
            event = self._other.popleft()
            if isinstance(event, SavingChanged):
                self._unsaved = bool(event.problem)
            elif isinstance(event, FlowState) and event.flow_run == self._flow_run:
                self._ended = event.state.is_at_rest()
        # What says so may have come while this was drawing.
        return self._ended and not (self._unsaved or self._news or self._written)

    def _claim(self) -> bool:
        claimed, self._asleep = self._asleep, False
        return claimed

    def _is_urgent(self, event: Event) -> bool:
        # The states of subflows are not: there may be thousands.
        return type(event) is InputAsked or (type(event) is FlowState and event.flow_run == self._flow_run)

    def _take(self) -> list[News]:
        # Others append meanwhile, so it is neither copied nor exchanged.
        take = self._news.popleft
        return list(self._told([take() for _ in range(len(self._news))]))

    def _told(self, news: list[Event | _Brief]) -> Iterator[News]:
        for kind, alike in groupby(news, type):
            if kind is tuple:
                for (site, source), same in groupby(cast("Iterator[_Brief]", alike), _CODE):
                    yield MoreCreated(self._flow_run, site, source, [number for number, _, _ in same])
            else:
                yield from cast("Iterator[Event]", alike)
