"""The names of the notebook for results that the page loads."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from keyword import iskeyword
from typing import Any


class LoadedResults:
    """Results that were loaded into the namespace of the notebook, each under a name of its own.

    What the user has under a name is left alone; a result that is loaded once more keeps the name that it got.
    """

    def __init__(self, names: Callable[[], dict[str, Any]]) -> None:
        self._names = names
        self._known: dict[str, tuple[tuple[int, int], int]] = {}
        """By name the flow run and the task run, and the id of the value: a reference would keep it alive for ever."""

    def bind(self, flow_run: int, task_run: int, name: str, value: Any) -> str:
        """Bind the result of a task run; the name that it has."""
        source = flow_run, task_run
        names = self._names()
        first = identifier(name)
        candidates = (first if at == 1 else f"{first}_{at}" for at in count(1))
        known = self._known
        chosen = next(each for each in candidates if each not in names or known.get(each) == (source, id(names[each])))
        names[chosen] = value
        known[chosen] = source, id(value)
        return chosen


def identifier(text: str) -> str:
    """A text as a name of Python: ``load page_3`` is ``load_page_3``."""
    name = re.sub(r"\W", "_", text)
    return name if name.isidentifier() and not iskeyword(name) else f"_{name}"
