"""Does a value fit a type of the protocol?  TypedDicts, literals, unions, lists and the JSON types."""

from __future__ import annotations

import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict


def misfits(value: Any, hint: Any, where: str = "value") -> list[str]:
    """What does not fit, each with its place; empty if all does."""
    origin = get_origin(hint)
    if is_typeddict(hint):
        return _typed_dict(value, hint, where)
    if origin is list:
        if not isinstance(value, list):
            return [f"{where} is no list: {value!r:.60}"]
        (inner,) = get_args(hint)
        return [misfit for at, each in enumerate(value) for misfit in misfits(each, inner, f"{where}[{at}]")]
    if origin is Literal:
        return [] if value in get_args(hint) else [f"{where} is not one of {get_args(hint)}: {value!r:.60}"]
    if origin in (Union, types.UnionType):
        fits = any(not misfits(value, each, where) for each in get_args(hint))
        return [] if fits else [f"{where} fits none of {hint}: {value!r:.60}"]
    allowed = (int, float) if hint is float else hint
    if isinstance(value, bool) and hint is not bool:
        return [f"{where} is a truth value, not {hint}"]
    return [] if isinstance(value, allowed) else [f"{where} is not {hint}: {value!r:.60}"]


def _typed_dict(value: Any, hint: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is no object: {value!r:.60}"]
    hints = get_type_hints(hint, include_extras=True)
    found = [f"{where}.{key} is not in the protocol" for key in value.keys() - hints.keys()]
    for key, inner in hints.items():
        optional = get_origin(inner) is NotRequired
        if key in value:
            found += misfits(value[key], get_args(inner)[0] if optional else inner, f"{where}.{key}")
        elif not optional:
            found.append(f"{where}.{key} is missing")
    return found
