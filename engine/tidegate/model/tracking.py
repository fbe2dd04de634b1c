"""Which values can be recognised when they are handed on, and how far one looks into them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import Enum
from itertools import islice
from typing import Any

NEVER = (type(None), bool, type(Ellipsis), type(NotImplemented), type(sys))
"""Kinds of which there is one of each, or whose members everybody shares."""

MEMBERS = 256
"""Members of a returned list, tuple, dict or model that are linked too, so that ``a, b = task()`` keeps its edges."""

_SMALL_INTS = range(-5, 257)
"""Those of which CPython has one each."""


def is_shared(value: Any) -> bool:
    """True for what says nothing about where it came from: null, a truth value, a class, an enum member, a module."""
    return type(value) in NEVER or isinstance(value, (type, Enum))


def members(value: Any) -> Iterable[Any]:
    """What is linked besides a value itself: its members, one level down."""
    if isinstance(value, (list, tuple)):
        return list(islice(value, MEMBERS))
    if isinstance(value, dict):
        return list(islice(value.values(), MEMBERS))
    fields = getattr(type(value), "__pydantic_fields__", None) or getattr(type(value), "__dataclass_fields__", None)
    if fields:
        return [getattr(value, name, None) for name in islice(fields, MEMBERS)]
    return ()


def is_untrackable(value: Any) -> bool:
    """True if a value, or a member of it, is sure not to be recognised when it is handed on as a plain value."""
    return any(is_shared(each) or (type(each) is int and each in _SMALL_INTS) for each in (value, *members(value)))
