"""What a test of the scorecard does: so many trials, of chance that can be had again, and what came of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

TOO_MANY = 10
"""Violations after which a test does not go on: they tell nothing new."""


class Trials:
    """The trials of one test.  ``for at in trials`` makes `count` of them; each that comes to its end is counted."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.chance = random.Random(seed)
        self.done = 0
        self.violations: list[str] = []
        self.caught: int | None = None
        """Of a control: how many trials found the fault."""
        self.figures: dict[str, float] = {}

    def __iter__(self) -> Iterator[int]:
        for at in range(self.count):
            yield at
            self.done += 1

    @contextmanager
    def judged(self, what: str = "") -> Iterator[None]:
        """What fails in here is a violation, and the next trial is made all the same; the test fails at its end."""
        try:
            yield
        except Exception as error:
            told = f"{what or f'trial {self.done}'}: {type(error).__name__}: {error}"
            self.violations.append(told)
            print(told)
            if len(self.violations) >= TOO_MANY:
                raise

    def did(self, count: int) -> None:
        """That many trials were made, other than by a loop over this."""
        self.done += count

    def found(self, yes: bool) -> None:
        """Of a control: whether this trial found the fault."""
        self.caught = (self.caught or 0) + yes

    def most(self, name: str, figure: float) -> None:
        """A figure of which the largest counts, as the longest time."""
        self.figures[name] = max(figure, self.figures.get(name, figure))
