"""Displays of a run land under its own cell, also when that cell has ended and another one runs.

ipykernel 7 keeps the cell of a display in a context variable, which goes along with the threads of a run.  ipykernel 6
keeps it in a plain attribute: whatever is displayed then belongs to the cell that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_cell: ContextVar[Any] = ContextVar("tidegate_cell", default=None)
"""The header of the message that ran the cell of this context; null outside of the runs that keep it."""


class CellDisplays:
    """Has the publisher of a shell send what a context displays to the cell of that context."""

    def __init__(self, shell: Any) -> None:
        publisher = shell.display_pub
        known = hasattr(publisher, "register_hook") and hasattr(publisher, "parent_header")
        by_context = isinstance(getattr(type(publisher), "parent_header", None), property)
        self._publisher: Any = publisher if known and not by_context else None

    def start(self) -> None:
        """From now on."""
        for name in ("publish", "clear_output") if self._publisher is not None else ():
            setattr(self._publisher, name, self._in_cell(getattr(self._publisher, name)))

    def stop(self) -> None:
        """Back to how it was."""
        for name in ("publish", "clear_output") if self._publisher is not None else ():
            self._publisher.__dict__.pop(name, None)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Contexts that are copied inside keep the cell that runs now, or the one that this context keeps."""
        if self._publisher is None or _cell.get() is not None:
            yield
            return
        token = _cell.set(self._publisher.parent_header)
        try:
            yield
        finally:
            _cell.reset(token)

    def _in_cell(self, call: Callable[..., Any]) -> Callable[..., Any]:
        publisher = self._publisher

        def sent(*args: Any, **kwargs: Any) -> Any:
            header = _cell.get()
            if header is None:
                return call(*args, **kwargs)

            def of_cell(message: Any) -> Any:
                message["parent_header"] = header
                return message

            publisher.register_hook(of_cell)  # for this thread only
            try:
                return call(*args, **kwargs)
            finally:
                publisher.unregister_hook(of_cell)

        return sent
