"""A call of a task's function, in a worker of a cluster.

Such a worker belongs to the cluster and serves others too, perhaps at the same time on other threads: so standard
streams and log records are taken of the code of the call alone, and put back when no call is at work any more.
"""

from __future__ import annotations

import contextlib
import io
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from ..context import frame
from ..errors import NotSendable
from ..logs import hand_on
from .run_picture import frame_of
from .sending import dumps, loads, picture_of, read_in, result_as_bytes
from .voice import ToOwner, stream

Outcome: TypeAlias = tuple[str, bytes, list[tuple[Any, ...]]]
"""How a call ended (``returned``, ``raised``; ``lost``: not begun, as an input is not there any more), what it
returned or raised, and what it said."""

FOREIGN = ("dask", "distributed", "ray")
"""Loggers of the cluster's own, whose levels are its matter."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What all calls of one task in one flow run have in common; it goes to each worker once."""

    task: str
    function: bytes
    """The function and its signature."""
    parameters: bytes
    """Those of the flow run; empty if they cannot be sent."""
    levels: dict[str, int]
    """Of the owner's loggers."""


def call(kit: bytes, made: bytes, upstream: Sequence[Outcome], body: Any = None) -> Outcome:
    """Call the function; never raises.

    `made` has the picture of the run and its inputs; `upstream` are the outcomes of calls whose values stand in the
    inputs by their place here.  `body`, if given, has methods `begin` and `end`, called around the function: between
    them the thread may be interrupted.
    """
    if any(each[0] != "returned" for each in upstream):
        return "lost", b"", []
    said = _Said()
    picture, inputs = loads(made)
    try:
        with _hearing(said):
            function, signature, parameters = _unpacked(kit)
            args, kwargs = read_in("inputs", picture.name, inputs, lambda data: _Inputs(data, upstream).load())
            token = frame.set(frame_of(picture, signature, (args, kwargs), lambda _: _parameters(parameters)))
            try:
                value = _call(function, args, kwargs, body)
            finally:
                frame.reset(token)
            return "returned", result_as_bytes(value, picture.name), said.all
    except BaseException as error:
        return "raised", dumps(picture_of(error, picture.name)), said.all


def _call(function: Any, args: Any, kwargs: Any, body: Any) -> Any:
    if body is None:
        return function(*args, **kwargs)
    try:
        body.begin()
        return function(*args, **kwargs)
    finally:
        body.end()


@lru_cache(64)
def _unpacked(kit: bytes) -> tuple[Any, Any, bytes]:
    made: Kit = loads(kit)
    for name, level in made.levels.items():
        if name.partition(".")[0] not in FOREIGN:
            logging.getLogger(name).setLevel(level)
    return (*read_in("function", made.task, made.function), made.parameters)


def _parameters(data: bytes) -> Any:
    if not data:
        raise NotSendable("The parameters of the flow run cannot be sent to a cluster.")
    return loads(data)


class _Inputs(pickle.Unpickler):
    """Puts the values of upstream calls in their places."""

    def __init__(self, data: bytes, upstream: Sequence[Outcome]) -> None:
        super().__init__(io.BytesIO(data))
        self._upstream = upstream
        self._values: dict[int, Any] = {}

    def persistent_load(self, place: int) -> Any:
        """The value for a place."""
        if place not in self._values:
            self._values[place] = loads(self._upstream[place][1])
        return self._values[place]


# What it says ---------------------------------------------------------------------------------------------------------


class _Said:
    """Collects what one call says."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []
        self.streams = {1: stream(self, 1), 2: stream(self, 2)}

    def say(self, kind: str, *what: Any) -> None:
        """Keep it, in order."""
        self.all.append((kind, *what))


_voice: ContextVar[_Said | None] = ContextVar("tidegate_voice", default=None)


class _Stream:
    """Stands in place of a standard stream: what a call writes goes to its owner, all else where it went before."""

    def __init__(self, number: int, below: Any) -> None:
        self._number = number
        self._below = below

    def __getattr__(self, name: str) -> Any:
        voice = _voice.get()
        return getattr(self._below if voice is None else voice.streams[self._number], name)


class _Records(ToOwner):
    """Takes the log records of calls, and no others."""

    def __init__(self) -> None:
        super().__init__(self)

    def filter(self, record: logging.LogRecord) -> Any:
        """Those that a call makes."""
        return _voice.get() is not None and super().filter(record)

    def say(self, kind: str, *what: Any) -> None:
        """To whoever it belongs."""
        voice = _voice.get()
        if voice is not None:
            voice.say(kind, *what)


class _Ears:
    """In place while any call is at work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._undo: list[Callable[[], None]] = []

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._calls += 1
            if self._calls == 1:
                self._undo = [_stand_in("stdout", 1), _stand_in("stderr", 2), hand_on(_Records())]

    def end(self) -> None:
        """A call has ended."""
        with self._lock:
            self._calls -= 1
            if not self._calls:
                for each in self._undo:
                    each()


def _stand_in(name: str, number: int) -> Callable[[], None]:
    below = getattr(sys, name)
    ours = _Stream(number, below)
    setattr(sys, name, ours)

    def undo() -> None:
        if getattr(sys, name) is ours:  # else somebody has put another one there
            setattr(sys, name, below)

    return undo


_ears = _Ears()


@contextlib.contextmanager
def _hearing(said: _Said) -> Iterator[None]:
    """While inside, what this code prints and logs is taken."""
    _ears.begin()
    token = _voice.set(said)
    try:
        yield
    finally:
        for each in said.streams.values():
            each.flush()
        _voice.reset(token)
        _ears.end()
