"""Which task run a plain value came from.

A future names its task run exactly.  A plain value is recognised by identity: when a task run returns an object and
another one is given that very object, data has flowed.  An address alone proves nothing, since a freed address is
used again, so each entry keeps the object (or a weak reference to it) and counts only if ``is`` holds.

Keeping objects must not keep memory.  What can be referenced weakly is; for the rest (lists, dicts, strings, numbers)
the table asks now and then whether anybody else still holds the object: if not, nobody can ever pass it to a task
again, and the entry goes.  A shared immutable (an interned string, a small int, an enum member, the empty tuple) says
nothing about where it came from, so immutables are linked only if they were fresh when the task returned them, which
their reference count tells.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from .model.tracking import is_shared, members

_IMMUTABLE = (str, bytes, int, float, complex, tuple, frozenset, range)
_WHOLE = (str, bytes, bytearray, int, float, complex)


class LinkTable:
    """The values that the task runs of one flow run returned, each with the number of its task run."""

    __slots__ = ("_entries", "_lock", "_sweep_at")

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Callable[[], Any] | None, Any, int]] = {}
        self._sweep_at = 1024
        self._lock = threading.Lock()

    def find(self, value: Any) -> int:
        """The task run that returned this very object; 0 if none is known to have."""
        entry = self._entries.get(id(value))
        if entry is None:
            return 0
        reference, held, task_run = entry
        return task_run if (held if reference is None else reference()) is value else 0

    def add(self, value: Any, task_run: int) -> None:
        """Remember that `task_run` returned `value` and, one level down, its members.

        To be called while the final state alone holds the value, so that its reference count tells whether it is fresh.
        """
        if type(value) in _WHOLE or not is_shared(value):
            with self._lock:  # results come in on many threads
                self._add(value, task_run)

    def _add(self, value: Any, task_run: int) -> None:
        # Held by the state, the two frames and the argument of getrefcount.
        fresh = sys.getrefcount(value) <= 4
        self._put(value, task_run, fresh=fresh)
        if type(value) in _WHOLE:
            return
        try:
            found = members(value)
        except Exception:  # of a foreign object, such as a mock that calls itself a dict: no edge is worth a failure
            return
        for member in found:
            if not is_shared(member) and self.find(member) == 0:
                # Held by its container, the list of members, this frame and the argument.
                fresh = sys.getrefcount(member) <= 4
                self._put(member, task_run, fresh=fresh)

    def _put(self, value: Any, task_run: int, *, fresh: bool) -> None:
        if isinstance(value, _IMMUTABLE):
            if not fresh:
                return
            entry: tuple[Callable[[], Any] | None, Any, int] = (None, value, task_run)
        else:
            try:
                entry = (weakref.ref(value), None, task_run)
            except TypeError:
                entry = (None, value, task_run)
        self._entries[id(value)] = entry
        if len(self._entries) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Drop what nobody but this table holds; doubling the mark makes it constant per entry."""
        alive = {}
        for key, entry in list(self._entries.items()):
            reference, held, _ = entry
            # Two of the count are ours: the entry's tuple and the local name; one is getrefcount's argument.
            if (sys.getrefcount(held) > 3) if reference is None else (reference() is not None):
                alive[key] = entry
        self._entries = alive
        self._sweep_at = max(1024, 2 * len(alive))
