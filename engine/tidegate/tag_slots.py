"""Task runs of this process that ask for slots of limited tags.

Slots are kept in the store, for all processes that use it.  Here is who waits for them: one queue for each set of
limited tags, in the order of asking.  A slot that is given back goes to the next of this process in the same
transaction, and wakes nobody else; what other processes give back is found by one look for all, four times a second
while somebody waits.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import TypeAlias

from .errors import StoreError
from .latch import Latch
from .model.tag_limits import Holder
from .ports import EventStore, Slots
from .rules.slots import Answer, Take
from .tags import NONE

LOOK_SECONDS = 0.25
"""Between two looks for what other processes have given back."""

FRESH_SECONDS = 1.0
"""For which the tags that have a limit are taken from memory; limits made by another process are seen after that."""


class Ticket(Latch):
    """A task run that asks for slots.  Opens once there is an answer."""

    __slots__ = ("answer", "holder", "left", "limited", "serial", "tags")

    def __init__(self, holder: Holder, tags: frozenset[str], limited: frozenset[str], serial: int) -> None:
        super().__init__()
        self.holder = holder
        self.tags = tags
        self.limited = limited
        self.serial = serial
        self.answer: Answer | None = None
        self.left = False


Queue: TypeAlias = OrderedDict[Ticket, None]


class TagSlots:
    """Hands out the slots of limited tags to the task runs of this process.  Safe from any thread.

    A store that fails makes runs wait until it works again: a limit protects something that others use as well.
    """

    def __init__(self, store: Callable[[], EventStore], after: Callable[[float, Callable[[], object]], object]) -> None:
        self._store = store
        self._after = after
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._limited = NONE
        self._fresh_until = 0.0
        self._queues: dict[frozenset[str], Queue] = {}
        self._serials = count()
        self._owed: list[Slots] = []
        """What has been given back, and could not be written yet."""
        self._will_look = False

    def limited(self, tags: frozenset[str]) -> frozenset[str]:
        """Those of the tags that have a limit."""
        if time.monotonic() >= self._fresh_until:
            with self._refreshing:  # who comes meanwhile waits: to begin without a slot cannot be made good
                if time.monotonic() >= self._fresh_until:
                    self._refresh()
        return NONE if self._limited.isdisjoint(tags) else self._limited & tags

    def _refresh(self) -> None:
        with suppress(StoreError):  # what was known holds on
            self._limited = self._store().slots.limited()
        self._fresh_until = time.monotonic() + FRESH_SECONDS

    def ask(self, holder: Holder, tags: frozenset[str], limited: frozenset[str]) -> Ticket:
        """Ask for a slot of each of the tags that have a limit; each ticket must `leave` once, whatever its answer."""
        with self._lock:
            ticket = Ticket(holder, tags, limited, next(self._serials))
            queue = self._queues.setdefault(limited, OrderedDict())
            queue[ticket] = None
            answered = self._trade([queue]) if len(queue) == 1 else []
        _open(answered)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give back what the ticket holds, or ask no more; later calls do nothing."""
        answered: list[Ticket] = []
        with self._lock:
            if ticket.left:
                return
            ticket.left = True
            answer = ticket.answer
            if answer is None:
                self._dequeue(ticket)
            elif isinstance(answer, Take) and answer.tags:
                self._owed.append((ticket.holder, answer.tags))
                answered = self._trade([q for tags, q in self._queues.items() if not tags.isdisjoint(answer.tags)])
        _open(answered)

    def changed(self) -> None:
        """This process has changed a limit."""
        with self._refreshing:
            self._refresh()
        self.look()

    def look(self) -> None:
        """Look whether there are slots for those who wait."""
        with self._lock:
            answered = self._trade(self._queues.values())
        _open(answered)

    # With the lock held -----------------------------------------------------------------------------------------------

    def _trade(self, queues: Iterable[Queue]) -> list[Ticket]:
        """Give back what is owed and ask for those in the queues; those that have their answer."""
        oldest_first = sorted(queues, key=lambda queue: next(iter(queue)).serial)
        answers: list[tuple[Ticket, Answer]] = []
        if oldest_first or self._owed:
            with suppress(StoreError):  # the next look tries again
                answers = self._store().slots.trade(self._owed, oldest_first)
                self._owed = []
        for ticket, answer in answers:
            ticket.answer = answer
            self._dequeue(ticket)
        if (self._queues or self._owed) and not self._will_look:
            self._will_look = True
            self._after(LOOK_SECONDS, self._look_again)
        return [ticket for ticket, _ in answers]

    def _dequeue(self, ticket: Ticket) -> None:
        queue = self._queues[ticket.limited]
        del queue[ticket]
        if not queue:
            del self._queues[ticket.limited]

    def _look_again(self) -> None:
        with self._lock:
            self._will_look = False
        self.look()


def _open(answered: list[Ticket]) -> None:
    """Without the lock: whoever is told goes on at once."""
    for ticket in answered:
        ticket.set()
