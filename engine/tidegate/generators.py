"""Generator functions as tasks and flows: a run of one gives the list of all that it yields.

Called, submitted or mapped, the run is one attempt, whose result is there, saved and linked, when it ends.  To hand the
items of a direct call on one by one was not chosen: a retry would give the first of them once more, and a generator
that is left half way ends when the interpreter gets to it, perhaps in the middle of a commit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def collected(fn: Callable[..., Any], inner: Callable[..., Any]) -> Callable[..., Any]:
    """What runs for a function: itself, or for a generator function, sync or async, one that gives a list.

    `inner` is what tells whether it is an async one: for flows the function within its wrappers.
    """
    if is_kind(inspect.isgeneratorfunction, fn):

        def collect(*args: Any, **kwargs: Any) -> list[Any]:
            __tracebackhide__ = True
            return list(fn(*args, **kwargs))

        return collect
    if is_async_generator(inner):

        async def collect_async(*args: Any, **kwargs: Any) -> list[Any]:
            __tracebackhide__ = True
            return [item async for item in fn(*args, **kwargs)]

        return collect_async
    return fn


def is_async_generator(fn: Callable[..., Any]) -> bool:
    """True if calling gives an async generator; looks through callable objects."""
    return is_kind(inspect.isasyncgenfunction, fn)


def is_kind(kind: Callable[[Any], bool], fn: Callable[..., Any]) -> bool:
    """True for a function of that kind, and for an object that is called by one."""
    return kind(fn) or kind(getattr(fn, "__call__", None))  # noqa: B004  # its kind is wanted, not whether it is callable
