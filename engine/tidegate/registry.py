"""The flows and tasks of this process by kind and name: the latest of each, for as long as somebody holds it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from .calls import CallFace

_LOADED = "__tidegate_loader_"
_OURS = "tidegate."

_known: WeakValueDictionary[tuple[str, str], CallFace] = WeakValueDictionary()


def register(face: CallFace) -> None:
    """Know a flow or a task under its name.

    Warns if another function has it: for flows, which the record and the command line know by their name, any function;
    for tasks one of the same module.  A function that is defined again, as when a cell is run once more, replaces the
    old one silently, and so does a copy with other options.
    """
    key = (face.kind, face.name)
    before = _known.get(key)
    if before is not None and _are_two(before.fn, face.fn, same_module=face.kind == "task"):
        warnings.warn(
            f"There is a {face.kind} {face.name!r} already, of another function ({_told(before.fn)}); "
            f"this one is {_told(face.fn)}. Give one of them another name.",
            UserWarning,
            stacklevel=_depth_of_the_user(),
        )
    _known[key] = face


def registered(kind: str) -> dict[str, CallFace]:
    """The flows (``"flow"``) or the tasks (``"task"``) that there are now, by name."""
    return {name: face for (each, name), face in list(_known.items()) if each == kind}


def _depth_of_the_user() -> int:
    """How far up the code stands that is not ours, as `warnings.warn` in the caller of this counts."""
    depth, at = 0, inspect.currentframe()
    while at is not None and at.f_globals.get("__name__", "").startswith(_OURS):
        depth, at = depth + 1, at.f_back
    return depth


def _are_two(one: Callable[..., object], other: Callable[..., object], same_module: bool) -> bool:
    """True if neither function is a version of the other."""
    modules, names = zip(_place(one), _place(other), strict=True)
    if any("<" in name for name in names) or any(module.startswith(_LOADED) for module in modules):
        return False  # made inside a function, anew with each call of it, or loaded from a file to look what is there
    if same_module:
        return modules[0] == modules[1] and names[0] != names[1]
    return modules[0] != modules[1] or names[0] != names[1]


def _place(fn: Callable[..., object]) -> tuple[str, str]:
    inner = inspect.unwrap(fn)
    return str(getattr(inner, "__module__", "")), str(getattr(inner, "__qualname__", "<no function>"))


def _told(fn: Callable[..., object]) -> str:
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return repr(fn) if code is None else f"{code.co_name} in {code.co_filename}, line {code.co_firstlineno}"
