"""Decide who gets the slots of tags that have a limit.

Pure functions of the limits, of how many slots are taken, and of what a task run holds already; the store brings these
and keeps what comes out, both in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, TypeAlias, TypeVar

from ..model.record import record
from ..model.tag_limits import Holder


@record
class Take:
    """The task run takes a slot of each of these tags, and may begin."""

    tags: tuple[str, ...]


@record
class Full:
    """Nothing changes now: all slots of these tags are taken; ask again."""

    tags: tuple[str, ...]


@record
class Closed:
    """The limit of this tag is 0: the task run is not to begin, ever."""

    tag: str


class Asking(Protocol):
    """A task run that asks for slots."""

    holder: Holder
    tags: frozenset[str]
    """All its tags; those without a limit ask for nothing."""


Answer: TypeAlias = Take | Closed
A = TypeVar("A", bound=Asking)


def decide_slots(
    tags: Iterable[str], limits: Mapping[str, int], taken: Mapping[str, int], own: Collection[str]
) -> Take | Full | Closed:
    """Whether a task run with these tags may begin: it gets a slot of each tag that has a limit, or of none.

    `own` are the tags of which it holds a slot already; it needs no second one, whatever became of the limit.
    """
    needed = sorted(tag for tag in tags if tag in limits and tag not in own)
    for tag in needed:
        if limits[tag] == 0:
            return Closed(tag)
    full = tuple(tag for tag in needed if taken.get(tag, 0) >= limits[tag])
    return Full(full) if full else Take(tuple(needed))


def decide_queues(
    queues: Iterable[Iterable[A]],
    limits: Mapping[str, int],
    taken: Mapping[str, int],
    own: Callable[[Holder], Collection[str]],
) -> list[tuple[A, Answer]]:
    """What becomes of several queues of task runs, each in its order up to the first one that has to wait."""
    taken = dict(taken)
    answers: list[tuple[A, Answer]] = []
    for queue in queues:
        for asking in queue:
            decision = decide_slots(asking.tags, limits, taken, own(asking.holder))
            if isinstance(decision, Full):
                break
            if isinstance(decision, Take):
                for tag in decision.tags:
                    taken[tag] = taken.get(tag, 0) + 1
            answers.append((asking, decision))
    return answers
