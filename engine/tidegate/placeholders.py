"""Placeholders: what stands for a result that is not there, while the graph of a flow is sketched.

It may be handed on, kept in containers, formatted, and asked for attributes and items, which are placeholders again.
Whatever would need the value itself is refused, with the name of the task and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import VisualizationError

_REFUSED = {
    "iterates over": ("iter", "next", "reversed", "aiter", "anext"),
    "asks for the length of": ("len", "length_hint"),
    "decides by": ("bool",),
    "compares": ("eq", "ne", "lt", "le", "gt", "ge"),
    "looks into": ("contains",),
    "changes": ("setitem", "delitem"),
    "calls": ("call",),
    "awaits": ("await",),
    "enters": ("enter", "exit", "aenter", "aexit"),
    "indexes by": ("index",),
    "converts": ("int", "float", "complex", "bytes", "round", "trunc", "floor", "ceil", "fspath"),
    "calculates with": ("neg", "pos", "abs", "invert"),
}
"""Special methods, without their underscores, by what the code does that calls them."""

_BINARY = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift")
_BITS = ("and", "xor", "or")


class Placeholder:
    """Stands for a result; see the module."""

    __slots__ = ("__weakref__", "_advice", "_found", "_what")

    def __init__(self, what: str, advice: str, found: Callable[[Placeholder], object]) -> None:
        self._what = what
        """The result of 'locate'."""
        self._advice = advice
        self._found = found
        """Called with each placeholder that was taken from this one."""
        found(self)

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("_"):  # what Python and other libraries ask any object for
            raise AttributeError(name)
        return Placeholder(f"`{name}` of {self._what}", self._advice, self._found)

    def __getitem__(self, key: Any) -> Placeholder:
        return Placeholder(f"[{key!r:.40}] of {self._what}", self._advice, self._found)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{self._what}>"


def _refusal(deed: str) -> Callable[..., Any]:
    def refuse(self: Placeholder, *args: object, **kwargs: object) -> Any:
        raise VisualizationError(
            f"The graph cannot be sketched: the flow {deed} {self._what}, which nothing has run for. {self._advice}"
        )

    return refuse


for _deed, _names in _REFUSED.items():
    for _name in _names:
        setattr(Placeholder, f"__{_name}__", _refusal(_deed))
for _name in (*_BINARY, *_BITS):
    for _side in ("", "r"):
        setattr(Placeholder, f"__{_side}{_name}__", _refusal("calculates with"))
