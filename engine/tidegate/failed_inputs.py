"""The inputs of task runs that failed: small ones are kept with the exception, for whoever looks into it later.

They travel as an attribute of the exception, in its own signed blob: a row more for each failure, or a file that no row
names, would have to be looked after.  While the flow run is in this process, what is large is to be had as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import field
from typing import Any, TypeAlias

from .model.record import record
from .results.keeper import told_size, why_not_dumped
from .results.policy import estimate, unsavable
from .results.serializers import PICKLE

MOST = 32 * 1024
"""Bytes of the inputs of one failure that are kept in all: half of what stands in a row."""

HELD = 100
"""Failures of a flow run whose inputs are held in its process."""

FailedInputs: TypeAlias = dict[int, dict[str, Any]]
"""The inputs of the failures of a flow run that are held: by the number of the task run, and by parameter."""

_ATTRIBUTE = "__tidegate_inputs__"


@record
class LeftOut:
    """An input that was not kept."""

    reason: str
    kind: str
    """The name of its type."""
    size: int
    """About how many bytes it has."""


@record
class KeptInputs:
    """What was kept of the inputs of one task run, by parameter."""

    place: tuple[int, int]
    """The flow run and the task run: one exception may go through several."""
    pickles: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, LeftOut] = field(default_factory=dict)

    @classmethod
    def of(cls, place: tuple[int, int], inputs: Mapping[str, Any]) -> KeptInputs:
        """What can be kept of these."""
        made, room = cls(place), MOST
        for name, value in inputs.items():
            size = estimate(value)
            data = _dumped(value, size, room)
            if isinstance(data, bytes):
                made.pickles[name] = data
                room -= len(data)
            else:
                made.left_out[name] = LeftOut(data, type(value).__qualname__, size)
        return made

    def load(self) -> tuple[dict[str, Any], dict[str, LeftOut]]:
        """The inputs, and those that are not to be had."""
        values, left_out = {}, dict(self.left_out)
        for name, data in self.pickles.items():
            try:
                values[name] = PICKLE.loads(data)
            except Exception as error:
                left_out[name] = LeftOut(why_not_dumped(error, "pickle"), "", len(data))
        return values, left_out


def _dumped(value: Any, size: int, room: int) -> bytes | str:
    """The pickle of an input, or why there is none."""
    reason = unsavable(value)
    if reason:
        return reason
    if size > 4 * room:  # by which the estimate may be off
        return f"{told_size(size)} are too many to keep"
    try:
        data = PICKLE.dumps(value)
    except Exception as error:
        return why_not_dumped(error, "pickle")
    return data if len(data) <= room else f"{told_size(len(data))} are too many to keep"


def held_along(
    error: Exception, place: tuple[int, int], inputs: Mapping[str, Any], held: FailedInputs
) -> AbstractContextManager[None]:
    """As `along_with`, for these inputs of the task run at that place; the first of a flow run are `held` besides."""
    if len(held) < HELD:
        held[place[1]] = dict(inputs)
    return along_with(error, KeptInputs.of(place, inputs))


@contextmanager
def along_with(error: BaseException, kept: KeptInputs) -> Iterator[None]:
    """Inside, the exception is saved with its inputs."""
    with suppress(Exception):  # it may take no attributes
        setattr(error, _ATTRIBUTE, kept)
    try:
        yield
    finally:
        with suppress(Exception):
            delattr(error, _ATTRIBUTE)


def kept_with(error: object, place: tuple[int, int]) -> KeptInputs | None:
    """What was kept with an exception for that task run; null if nothing was."""
    kept = getattr(error, _ATTRIBUTE, None)
    return kept if isinstance(kept, KeptInputs) and kept.place == place else None
