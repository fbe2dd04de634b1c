"""What flows and tasks have in common: a function that can be called, named and checked."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

from .errors import InvalidName, ParameterBindError, ReservedArgument

_BANNED = frozenset("/%&><")
_RESERVED = ("return_state", "wait_for")
_PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


class CallFace:
    """A user's function with a name and a checked signature.

    Raises `TypeError` for what is not callable, `InvalidName` for a name with any of ``/ % & > <``, and
    `ReservedArgument` for a parameter called `return_state` or `wait_for`.
    """

    def __init__(self, fn: Callable[..., Any], name: str, kind: str) -> None:
        if not callable(fn):
            raise TypeError(f"@{kind} needs a function, not {type(fn).__name__}: {fn!r:.60}")
        if not isinstance(name, str) or not name or _BANNED & set(name):
            raise InvalidName(f"{name!r} cannot name a {kind}: it must be a text without any of / % & > <.")
        self.fn = fn
        self.name = name
        self.key = getattr(fn, "__qualname__", None) or type(fn).__qualname__
        self.is_async = is_async(fn)
        self.__doc__ = inspect.getdoc(fn)
        self.signature = _signature(fn)
        parameters = self.signature.parameters
        for reserved in _RESERVED:
            if reserved in parameters:
                raise ReservedArgument(
                    f"The {kind} {name!r} has a parameter {reserved!r}, which Tidegate needs for itself. Rename it."
                )
        self.names = tuple(parameters)
        self._plain = all(each.kind in _PLAIN for each in parameters.values())

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        """The arguments of a call as (parameter, value), only those given.  Raises `ParameterBindError`."""
        if self._plain and not kwargs and len(args) == len(self.names):
            return zip(self.names, args, strict=True)  # a tenth of the price of Signature.bind
        try:
            return self.signature.bind(*args, **kwargs).arguments.items()
        except TypeError as error:
            raise ParameterBindError(f"{self.name}{self.signature}: {error}.") from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name!r}>"


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(fn)
    except ValueError:  # a builtin that does not tell: whatever is given goes to it
        kinds = {"args": inspect.Parameter.VAR_POSITIONAL, "kwargs": inspect.Parameter.VAR_KEYWORD}
        return inspect.Signature([inspect.Parameter(name, kind) for name, kind in kinds.items()])


def is_async(fn: Callable[..., Any]) -> bool:
    """True if calling gives a coroutine; looks through wrappers and callable objects."""
    inner = inspect.unwrap(fn)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004


def call_site(depth: int) -> tuple[CodeType, int]:
    """Where a call was written: `depth` frames above the caller of this function."""
    caller = sys._getframe(depth + 1)
    return caller.f_code, caller.f_lineno
