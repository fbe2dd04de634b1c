"""Concurrency limits by tag: how many task runs with a tag may be at work at once, in all processes of a store."""

from __future__ import annotations

from .engine import engine
from .errors import LimitNotFound, UsageError
from .model.tag_limits import TagLimit
from .tags import tags_of


def create_concurrency_limit(tag: str, limit: int) -> TagLimit:
    """Let at most `limit` task runs with this tag be at work at once, in all flow runs and processes of the store.

    Creating it again changes it: more get in at once, while fewer holds for those that begin from now on.  Runs that
    are at work when the limit is made are not counted.  A run with several limited tags takes a slot of each, or waits;
    it holds no worker while it waits, and no slot between its attempts.  With a limit of 0 a run that would begin is
    Cancelled instead.  A result that comes from the cache needs no slot, nor do subflows.

    Task runs have the tags of their flow as well.  A task that waits for one that it has called keeps its slots.  Other
    processes see a new limit within a second.  Raises `UsageError` for what is no tag or no whole number from 0 on, and
    `StoreError`.
    """
    _check(tag)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise UsageError(f"The limit of the tag {tag!r} must be a whole number from 0 on, not {limit!r:.60}.")
    here = engine()
    here.store.slots.put(tag, limit)
    here.tag_slots.changed()
    return read_concurrency_limit(tag)


def read_concurrency_limit(tag: str) -> TagLimit:
    """The limit of a tag, and which task runs hold its slots now.  Raises `LimitNotFound`."""
    _check(tag)
    found = concurrency_limits()
    for each in found:
        if each.tag == tag:
            return each
    raise _not_found(tag, found)


def concurrency_limits() -> list[TagLimit]:
    """All limits, by tag."""
    return engine().store.slots.limits()


def delete_concurrency_limit(tag: str) -> None:
    """Drop the limit of a tag; those who wait for it begin.  Raises `LimitNotFound`."""
    _check(tag)
    here = engine()
    if not here.store.slots.delete(tag):
        raise _not_found(tag, concurrency_limits())
    here.tag_slots.changed()


def reset_concurrency_limit(tag: str) -> TagLimit:
    """Free all slots of a tag, whoever holds them: those at work are counted no more.  Raises `LimitNotFound`."""
    read_concurrency_limit(tag)
    here = engine()
    here.store.slots.clear(tag)
    here.tag_slots.changed()
    return read_concurrency_limit(tag)


def _check(tag: str) -> None:
    tags_of((tag,), "a concurrency limit")


def _not_found(tag: str, found: list[TagLimit]) -> LimitNotFound:
    names = ", ".join(repr(each.tag) for each in found[:10])
    return LimitNotFound(
        f"The tag {tag!r} has no concurrency limit. "
        + (f"There are limits of {names}." if names else "create_concurrency_limit() makes one.")
    )
