"""What one may write around an argument to say how it is to be taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Annotation(Generic[T]):
    """An argument with a remark."""

    value: T


class unmapped(Annotation[T]):  # noqa: N801
    """In `.map()`: hand this iterable whole to every child."""

    __slots__ = ()


class allow_failure(Annotation[T]):  # noqa: N801
    """Run even if this input failed; the function then receives the exception in its place."""

    __slots__ = ()


class quote(Annotation[T]):  # noqa: N801
    """Hand this over untouched: it is not searched for futures, and not linked; a generator does not become a list."""

    __slots__ = ()
