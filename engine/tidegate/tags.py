"""Tags: words on flow runs and task runs, to find them by and to limit them by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .errors import UsageError

NONE: frozenset[str] = frozenset()

_here: ContextVar[frozenset[str]] = ContextVar("tidegate_tags", default=NONE)


@contextmanager
def tags(*new: str) -> Iterator[frozenset[str]]:
    """Add tags to the flow runs and task runs that are made inside, besides those around.

    ``with tags("nightly", "eu"):``; gives all tags that hold there.  Raises `UsageError` for what is not text.
    """
    token = _here.set(_here.get() | tags_of(new, "tags()"))
    try:
        yield _here.get()
    finally:
        _here.reset(token)


def current_tags() -> frozenset[str]:
    """The tags that hold here."""
    return _here.get()


def tags_of(given: Any, what: str) -> frozenset[str]:
    """A set of tags, copied.  Raises `UsageError` for what is none."""
    if given is None:
        return NONE
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UsageError(f"The tags of {what} must be several texts, such as [{given!r:.60}].")
    found = frozenset(given)
    for each in found:
        if not isinstance(each, str) or not each:
            raise UsageError(f"A tag of {what} must be a text that is not empty, not {each!r:.60}.")
    return found
