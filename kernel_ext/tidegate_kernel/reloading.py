"""``%autoreload`` and flows and tasks that were imported by name.

It brings functions and classes up to date where they stand, and knows no other objects: what ``from steps import load``
has brought would stay the old `load`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tidegate.calls import CallFace


def _are_faces(old: object, new: object) -> bool:
    return isinstance(old, CallFace) and type(old) is type(new)


def _update(old: Any, new: Any) -> None:
    """Make the old object what the new one is; whoever holds it calls the new function from now on."""
    vars(old).clear()
    vars(old).update(vars(new))


_RULE = (_are_faces, _update)


class Reloading:
    """The rule for flows and tasks among those of ``%autoreload``."""

    def __init__(self) -> None:
        self._rules: list[Any] = []
        with suppress(ImportError):  # where it is another way, they stay as they are
            from IPython.extensions.autoreload import UPDATE_RULES

            self._rules = UPDATE_RULES

    def start(self) -> None:
        """From now on."""
        self._rules.append(_RULE)

    def stop(self) -> None:
        """No more."""
        self._rules.remove(_RULE)
