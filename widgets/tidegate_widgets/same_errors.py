"""Failures by what they say: the same error is told once, however often it came.

Errors are the same if they differ in nothing but numbers and addresses, ``bad row 211`` and ``bad row 4022``.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import tidegate
from tidegate.model.states import State
from tidegate.rules.outcome import describe

KINDS = 20
"""Errors of one node that are told apart; what comes beyond is told together."""

EXAMPLES = 5
"""Task runs that are named for an error."""

OTHERS = "Other errors"

_OURS = str(Path(tidegate.__file__).parent)

_VARIES = re.compile(r"0x[0-9a-fA-F]+|\d+(?:[.,]\d+)*")


@dataclass(slots=True)
class SameError:
    """An error, and the task runs that failed with it."""

    text: str
    """What they all say; where they differ stands ``…``."""
    places: dict[int, int] = field(default_factory=dict)
    """By the number of the task run its place in the node, or -1 where nobody has looked."""

    def examples(self, members: Sequence[int], most: int = EXAMPLES) -> list[tuple[int, int]]:
        """Number and place of the first task runs that failed so, in the order of their places."""
        found = islice(self.places.items(), most)
        named = [(number, place if place >= 0 else members.index(number)) for number, place in found]
        return sorted(named, key=lambda each: each[1])


class SameErrors:
    """The failures of one node."""

    def __init__(self) -> None:
        self._kinds: dict[str, SameError] = {}

    def __iter__(self) -> Iterator[SameError]:
        """The errors, the most frequent first."""
        found = [each for each in self._kinds.values() if each.places]
        return iter(sorted(found, key=lambda each: -len(each.places)))

    def add(self, state: State, number: int, members: Sequence[int]) -> None:
        """A task run has failed."""
        text = error_text(state)
        kind = _VARIES.sub("…", text)
        if kind not in self._kinds and len(self._kinds) >= KINDS:
            kind = text = OTHERS
        same = self._kinds.setdefault(kind, SameError(text))
        if same.text != text:
            same.text = kind
        # Where a run stands is a search through all of them: it is made for those alone that will be named.
        same.places[number] = members.index(number) if len(same.places) < EXAMPLES else -1

    def remove(self, number: int) -> None:
        """A task run that had failed begins again."""
        for same in self._kinds.values():
            same.places.pop(number, None)


def only_told(state: State) -> State:
    """The state without what it holds; what that says is its message, where it has none."""
    if isinstance(state.data, BaseException) and not state.message:
        state = state.copy(message=describe(state.data))
    return state.without_data()


def error_text(state: State) -> str:
    """The error of a failed state in one line; the record's words where only the record is left."""
    held = state.data
    return describe(held) if isinstance(held, BaseException) else state.message


def traceback_text(state: State) -> str:
    """The traceback of a failed state, from the user's first frame on; empty where only the record is left."""
    try:
        error = state.error()
    except ValueError:
        return ""
    frames: Any = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    if frames is None:
        return ""
    text = "".join(traceback.format_exception(type(error), error, frames))
    return text if len(text) <= 8_000 else "…" + text[-8_000:]
