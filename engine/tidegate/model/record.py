"""Records: dataclasses with slots that nobody changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

become: Callable[[Any, type], None] = object.__dict__["__class__"].__set__
"""Change the class of an object, also of one that does not let anything be set."""


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a dataclass that is compared and hashed by its fields; the type checker refuses to change one.

    For what users do not get in their hands; the rest is frozen while it runs.  That is not free: each field is set
    through ``object.__setattr__``, which is the greater part of what it costs to make one, several times for each task
    run; and the class itself takes longer to make, at import.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
