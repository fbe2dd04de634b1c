"""What `.map()` makes of its arguments: one row of arguments for each child."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

from .annotations import Annotation, allow_failure, quote, unmapped
from .errors import MappingLengthMismatch, MappingMissingIterable, UsageError
from .futures import AsyncTaskFuture, TaskFuture
from .host import wait
from .inputs import edges_of
from .map_results import MapResult
from .model.events import Links
from .model.states import State

if TYPE_CHECKING:
    from .calls import CallFace
    from .run.flow_run import FlowRun

_NOT_MAPPED = (str, bytes, bytearray, io.IOBase)

Row = tuple[tuple[Any, ...], dict[str, Any], Links]


def columns(face: CallFace, args: tuple[Any, ...], kwargs: dict[str, Any], flow_run: FlowRun) -> Iterator[Row]:
    """The arguments of each child, with the links of the iterables that were mapped over.

    Everything is checked before the first row is given.
    """
    names = _names(face, args, kwargs)
    links: dict[str, tuple[tuple[Any, int, int], ...]] = {}
    items: list[Any] = []
    lengths: list[tuple[str, int]] = []
    for name, value in zip(names, [*args, *kwargs.values()], strict=True):
        column, upstream = _column(value, flow_run)
        if upstream:
            links[name] = (("map" if isinstance(column, list) else "future", upstream, upstream),)
        if isinstance(column, list):
            lengths.append((name, len(column)))  # of `*args` there are several with one name
        items.append(column)
    if not lengths:
        given = zip(names, [*args, *kwargs.values()], strict=True)
        got = ", ".join(f"{name}: {type(value).__name__}" for name, value in given) or "no argument at all"
        raise MappingMissingIterable(f"{face.name}.map() needs an iterable argument to map over; got {got}.")
    if len({size for _, size in lengths}) > 1:
        sizes = ", ".join(f"{name} has {size}" for name, size in lengths)
        raise MappingLengthMismatch(f"{face.name}.map() needs iterables of one length: {sizes}.")
    return _rows(items, len(args), list(kwargs), links)


def _names(face: CallFace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    face.bind(args, kwargs)  # arity and names are checked once, for all children
    known = list(face.names)
    positional = [known[at] if at < len(known) else known[-1] for at in range(len(args))]
    return [*positional, *kwargs]


def _column(value: Any, flow_run: FlowRun) -> tuple[Any, int]:
    """A list to map over, or a value to repeat; and the task run that returned the whole iterable."""
    if isinstance(value, (unmapped, quote)):
        return repeat(value), 0
    if isinstance(value, allow_failure):
        column, upstream = _column(value.value, flow_run)
        return ([allow_failure(each) for each in column] if isinstance(column, list) else repeat(value)), upstream
    upstream = 0
    if isinstance(value, TaskFuture):
        if isinstance(value, AsyncTaskFuture) and not value.done():
            # Blocking here would block the loop that the awaited task runs on.
            raise UsageError(f"In an async flow, map over what {value.name} returns: `await future.result()` first.")
        wait(value.latch)
        upstream = value.number if value.flow_run == flow_run.number else 0
        value = value.state.result()
    elif isinstance(value, State):
        upstream = next((number for _, number in edges_of(value, flow_run.links, flow_run.number)), 0)
        value = value.result()
        upstream = upstream or flow_run.links.find(value)
    elif not isinstance(value, MapResult):
        upstream = flow_run.links.find(value)
    if isinstance(value, (*_NOT_MAPPED, Annotation)):
        return repeat(value), upstream
    try:
        return list(value), upstream
    except TypeError:
        return repeat(value), upstream


def _rows(items: list[Any], positional: int, names: list[str], links: Links) -> Iterator[Row]:
    for row in zip(*items, strict=False):
        yield row[:positional], dict(zip(names, row[positional:], strict=True)), links
