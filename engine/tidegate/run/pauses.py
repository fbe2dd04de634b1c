"""The pauses of a flow run: which it has passed, what was answered, and what it asks now."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..questions import Question


class Pauses:
    """The pauses of a flow run, by key; a retry of the flow does not make again what was resumed before.

    To be changed under the lock of the flow run.
    """

    __slots__ = ("_count", "_passed", "asked", "at")

    def __init__(self) -> None:
        self._count = 0
        self._passed: dict[str, Any] = {}
        self.at = ""
        """The key of the pause that the body waits in; empty for one that came from outside."""
        self.asked: Question | None = None
        """The question that waits for an answer."""

    def next_key(self) -> str:
        """The key of a pause that was given none: they are counted in each attempt."""
        self._count += 1
        return f"pause-{self._count}"

    def begin_again(self) -> None:
        """A new attempt of the flow begins."""
        self._count = 0

    def has_passed(self, key: str) -> bool:
        """True if the pause was resumed before."""
        return key in self._passed

    def pass_on(self, answer: Any, *, answered: bool) -> None:
        """The run is resumed, with an answer where one was asked for."""
        if self.at and (self.asked is None or answered):
            self._passed[self.at] = answer
        self.at, self.asked = "", None

    def answer(self, key: str) -> Any:
        """What was answered; null where nothing was asked.  A copy: what the flow does to it is not to last."""
        return copy.deepcopy(self._passed.get(key))
