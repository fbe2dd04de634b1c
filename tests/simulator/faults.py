"""What goes wrong in a trial, and what a second client asks for: when, and what, is drawn before it begins."""

from __future__ import annotations

import random
from dataclasses import dataclass

HOUR = 3600.0


@dataclass(frozen=True)
class Fault:
    """Something that comes at a step."""

    step: int
    kind: str
    """``kill``, ``doom`` (a kill at the next write), ``break`` (of the disk), ``jump`` (of the clock), ``ask`` (in the
    process), ``send`` (through the store), ``rob`` (somebody else tries to resume a run that is alive)."""
    what: str = ""
    amount: float = 0.0


def faults(chance: random.Random, span: int) -> list[Fault]:
    """The faults of one trial, in order; some have none."""
    found: list[Fault] = []

    def some(most: int, kind: str, whats: tuple[str, ...] = ("",), low: float = 0.0, high: float = 0.0) -> None:
        found.extend(
            Fault(chance.randrange(span), kind, chance.choice(whats), chance.uniform(low, high))
            for _ in range(chance.choice((0, 0, chance.randint(1, most))))
        )

    some(4, "kill")
    some(3, "doom", ("before", "after"))
    some(2, "break", low=0.0, high=6.0)
    some(3, "jump", low=-5 * HOUR, high=5 * HOUR)
    some(6, "ask", ("pause", "pause", "resume", "resume", "suspend", "cancel"))
    some(4, "send", ("pause", "resume", "suspend", "cancel"))
    some(2, "rob")
    return sorted(found, key=lambda each: each.step)
