"""The pauses of a flow run: which it has passed, what was answered, and what it asks now."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from ..model.events import Event, FlowState, InputGiven

if TYPE_CHECKING:
    from ..questions import Question


class Pauses:
    """The pauses of a flow run, by key; a retry of the flow does not make again what was resumed before.

    To be changed under the lock of the flow run.
    """

    __slots__ = ("_count", "_passed", "_recorded", "asked", "at")

    def __init__(self) -> None:
        self._count = 0
        self._passed: dict[str, Any] = {}
        self._recorded: dict[str, InputGiven | None] = {}
        """Those that were passed in another process, with the answer where there was a question."""
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

    def recall(self, events: Iterable[Event]) -> None:
        """Know again what was passed in an earlier process, by the record of the flow run."""
        given: dict[str, InputGiven] = {}
        for event in events:
            if isinstance(event, InputGiven):
                given[event.key] = event
            elif isinstance(event, FlowState) and event.pause:
                self.remember(event.pause, given.get(event.pause))

    def remember(self, key: str, given: InputGiven | None) -> None:
        """That pause was passed elsewhere, with this answer if there was a question."""
        self._recorded[key] = given

    def has_passed(self, key: str, question: Question | None) -> bool:
        """True if the pause was resumed before, and the answer, if there is a question, can still be read."""
        if key not in self._passed and key in self._recorded:
            given = self._recorded.pop(key)
            if question is None:
                self._passed[key] = None
            elif given is not None and given.whole:
                with suppress(InvalidInput):  # the type has changed since: it is asked again
                    self._passed[key] = question.read(given.answer)
        return key in self._passed

    def pass_on(self, answer: Any, *, answered: bool) -> str:
        """The run is resumed, with an answer where one was asked for; the key of the pause that it has passed."""
        passed = self.at if self.asked is None or answered else ""
        if passed:
            self._passed[passed] = answer
        self.at, self.asked = "", None
        return passed

    def answer(self, key: str) -> Any:
        """What was answered; null where nothing was asked.  A copy: what the flow does to it is not to last."""
        return copy.deepcopy(self._passed.get(key))
