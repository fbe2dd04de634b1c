"""Records: dataclasses with slots that nobody changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

become: Callable[[Any, type], None] = object.__dict__["__class__"].__set__
"""Change the class of an object, also of one that does not let anything be set."""


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a dataclass that is compared and hashed by its fields; the type checker refuses to change one.

    For what users do not get in their hands; the rest is frozen while it runs.  That is not free: each field is set
    through ``object.__setattr__``, which is the greater part of what it costs to make one, several times for each task
    run.  Nor is the class: a dataclass compiles each of its methods, and there are dozens of records to be imported.
    So only ``__init__`` is compiled; the others are these.
    """
    made: Any = dataclass(slots=True, eq=False, repr=False)(cls)
    names = [each.name for each in fields(made)]
    values: Callable[[object], Any] = attrgetter(*names) if names else lambda self: ()

    def equal(self: object, other: object) -> bool:
        return values(self) == values(other) if self.__class__ is other.__class__ else NotImplemented

    def told(self: object) -> str:
        return f"{cls.__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"

    made.__eq__, made.__hash__ = equal, lambda self: hash(values(self))
    if "__repr__" not in cls.__dict__:
        made.__repr__ = told
    answer: type[T] = made
    return answer
