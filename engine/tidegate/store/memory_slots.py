"""Limits by tag in memory, for the one process that has them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from ..model.tag_limits import Holder, TagLimit
from ..ports import Slots
from ..rules.slots import A, Answer, Take, decide_queues


class MemorySlots:
    """A `SlotStore` without a file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[str, int] = {}
        self._held: dict[str, set[Holder]] = {}

    def limited(self) -> frozenset[str]:
        """The tags that have a limit."""
        with self._lock:
            return frozenset(self._limits)

    def limits(self) -> list[TagLimit]:
        """All limits by tag, with those who hold a slot."""
        with self._lock:
            return [TagLimit(tag, n, tuple(sorted(self._held[tag]))) for tag, n in sorted(self._limits.items())]

    def put(self, tag: str, limit: int) -> None:
        """Make the limit, or change it."""
        with self._lock:
            self._limits[tag] = limit
            self._held.setdefault(tag, set())

    def delete(self, tag: str) -> bool:
        """Drop the limit and its slots."""
        with self._lock:
            self._held.pop(tag, None)
            return self._limits.pop(tag, None) is not None

    def clear(self, tag: str) -> None:
        """Free its slots."""
        with self._lock:
            self._held.get(tag, set()).clear()

    def trade(self, given: Sequence[Slots], queues: Iterable[Iterable[A]]) -> list[tuple[A, Answer]]:
        """Give back and take, under one lock."""
        with self._lock:
            for holder, tags in given:
                for tag in tags:
                    self._held.get(tag, set()).discard(holder)
            taken = {tag: len(held) for tag, held in self._held.items()}
            answers = decide_queues(queues, self._limits, taken, self._own)
            for asking, answer in answers:
                if isinstance(answer, Take):
                    for tag in answer.tags:
                        self._held[tag].add(asking.holder)
            return answers

    def _own(self, holder: Holder) -> list[str]:
        return [tag for tag, held in self._held.items() if holder in held]
