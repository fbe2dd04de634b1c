"""What goes to a worker process and comes back: values, and what was raised.

By cloudpickle, which takes along by value what was defined in a notebook or a script.  An exception arrives with its
type, its arguments, its notes, its causes and its traceback, whose places are rebuilt: it is shown as one that was
raised here.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeAlias

from ..errors import NotSendable
from ..results.serializers import PickleSerializer, cloud_pickler
from ..rules.outcome import describe

Place: TypeAlias = tuple[str, int, str, str]
"""Where a frame was: file, line, function, module."""

Picture: TypeAlias = tuple[bytes, list[Place], Any, Any, bool]
"""A raised exception: its pickle, where it was, its cause, its context, and whether the context is to be shown."""

LONGEST_CHAIN = 20
"""Causes and contexts that are taken along."""

_NO_COLUMNS = 13
"""An entry of the table of lines that has none; see `Objects/locations.md` of CPython."""

_PARTS = "tidegate.task_runners."
_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_cloud = PickleSerializer().dumps


def dumps(value: Any) -> bytes:
    """A value as bytes.  Raises whatever pickling raises."""
    return message(value) if type(value) in _ATOMS else _cloud(value)


def message(value: Any) -> bytes:
    """Numbers, texts, bytes and classes of ours as bytes: for a tenth of the price."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


loads = pickle.loads
"""The reverse of both."""


def inputs_as_bytes(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: tuple[str, ...],
    place: Callable[[Any], int | None] | None = None,
) -> bytes:
    """The arguments of a call.  Raises `NotSendable`, which names the one that cannot go.

    What is there already, at any depth, does not go along: `place` gives a number for it, and null for all else.
    """
    try:
        if place is not None:
            return _without(place, (args, kwargs))
        if not kwargs and all(type(each) in _ATOMS for each in args):
            return message((args, kwargs))
        return dumps((args, kwargs))
    except Exception as error:
        for parameter, value in _named(args, kwargs, names):
            try:
                dumps(value)
            except Exception as reason:
                raise NotSendable(
                    f"The input {parameter!r} of {name!r} cannot be sent to a worker process: {describe(reason)}. "
                    "Make it in the task, or use a ConcurrentTaskRunner."
                ) from None
        raise NotSendable(f"The inputs of {name!r} cannot be sent to a worker process: {describe(error)}.") from None


def _without(place: Callable[[Any], int | None], value: Any) -> bytes:
    class Pickler(cloud_pickler()):  # type: ignore[misc]  # cloudpickle has no types
        """Leaves out what is there."""

        def persistent_id(self, each: Any) -> int | None:
            """Its place; null for what goes along."""
            return place(each)

    with io.BytesIO() as file:
        Pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
        return file.getvalue()


def _named(args: tuple[Any, ...], kwargs: dict[str, Any], names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for index, value in enumerate(args):
        yield names[index] if index < len(names) else f"*{index}", value
    yield from kwargs.items()


def function_as_bytes(name: str, function: Any, signature: Any) -> bytes:
    """A function with its signature, whose annotations stay here.  Raises `NotSendable`."""
    plain = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    try:
        return dumps((function, signature.replace(parameters=plain, return_annotation=signature.empty)))
    except Exception as error:
        raise NotSendable(
            f"The function of {name!r} cannot be sent to a worker process: {describe(error)}. It holds or names "
            "something that cannot be pickled: make that in the function, or use a ConcurrentTaskRunner."
        ) from None


def read_in(what: str, name: str, data: bytes, load: Callable[[bytes], Any] = loads) -> Any:
    """In the other process: the function or the inputs of a run.  Raises `NotSendable`."""
    try:
        return load(data)
    except Exception as error:
        raise NotSendable(
            f"The {what} of {name!r} cannot be read in its worker process: {describe(error)}. Modules that are named "
            "there must be importable in it."
        ) from error


def result_as_bytes(value: Any, name: str) -> bytes:
    """In the other process: what a run returned.  Raises `NotSendable`."""
    try:
        return dumps(value)
    except Exception as error:
        raise NotSendable(
            f"What {name!r} returned cannot be sent back from its worker process: {describe(error)}. Return plain "
            "data, or use a ConcurrentTaskRunner."
        ) from None


def read_back(what: str, name: str, data: bytes) -> Any:
    """Here: what came back.  Raises `NotSendable`, which begins with `what`."""
    try:
        return loads(data)
    except Exception as error:
        told = what.format(repr(name))
        raise NotSendable(f"{told} in its worker process cannot be read here: {describe(error)}.") from None


# Exceptions -----------------------------------------------------------------------------------------------------------


def picture_of(error: BaseException, name: str) -> Picture:
    """All that is sent of an exception which the run of this name raised."""
    return _picture(error, name, [])


def _picture(error: BaseException, name: str, seen: list[BaseException]) -> Picture:
    seen.append(error)
    chained: list[Picture | None] = []
    for other in (error.__cause__, error.__context__):
        new = other is not None and len(seen) <= LONGEST_CHAIN and not any(other is each for each in seen)
        chained.append(_picture(other, name, seen) if new and other is not None else None)
    cause, context = chained
    return _as_bytes(error, name), _places(error.__traceback__), cause, context, error.__suppress_context__


def _as_bytes(error: BaseException, name: str) -> bytes:
    reason: Exception = TypeError("its pickle gives another exception")
    for form in (error, _Bare(type(error), error.args, vars(error))):
        try:
            data = dumps(form)
            back = loads(data)
            if type(back) is type(error) and _same(back.args, error.args):
                return data
        except Exception as problem:
            reason = problem
    told = f"{name!r} raised an exception that cannot be sent back from its worker process: {describe(error)}"
    return dumps(NotSendable(f"{told} ({describe(reason)})."))


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or repr(one) == repr(other)
    except Exception:  # an array has no single truth
        return True


class _Bare:
    """An exception whose class cannot make it from its arguments: it is put together without asking `__init__`."""

    def __init__(self, kind: type[BaseException], args: tuple[Any, ...], state: Mapping[str, Any]) -> None:
        self._parts = (kind, args, dict(state))

    def __reduce__(self) -> tuple[Any, ...]:
        return _put_together, self._parts


def _put_together(kind: type[BaseException], args: tuple[Any, ...], state: Mapping[str, Any]) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(state)
    return error


def exception_of(picture: Picture) -> BaseException:
    """The exception of a picture, to be raised.  Raises whatever unpickling raises."""
    data, places, cause, context, suppressed = picture
    error = loads(data)
    assert isinstance(error, BaseException)
    error.__traceback__ = _traceback(places)
    error.__cause__ = None if cause is None else exception_of(cause)
    error.__context__ = None if context is None else exception_of(context)
    error.__suppress_context__ = suppressed
    return error


def _places(trace: TracebackType | None) -> list[Place]:
    found = []
    while trace is not None:
        code, module = trace.tb_frame.f_code, str(trace.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith(_PARTS):
            found.append((code.co_filename, trace.tb_lineno, code.co_name, module))
        trace = trace.tb_next
    return found


def _traceback(places: list[Place]) -> TracebackType | None:
    """A traceback of these places.  There are no variables in it, but files, lines and names are the true ones."""
    above: TracebackType | None = None
    for filename, line, function, module in reversed(places):
        code = compile("raise _Here", filename, "exec")
        code = code.replace(
            co_name=function, co_qualname=function, co_firstlineno=line, co_linetable=_one_line(len(code.co_code) // 2)
        )
        try:
            exec(code, {"_Here": _Here, "__name__": module, "__file__": filename})
        except _Here as here:
            inner = here.__traceback__.tb_next if here.__traceback__ is not None else None
            assert inner is not None
            above = TracebackType(above, inner.tb_frame, inner.tb_lasti, line)
    return above


def _one_line(units: int) -> bytes:
    """The table of lines of a code that is all in its first line; without columns, which would be those of another."""
    entries = [min(8, units - begun) for begun in range(0, units, 8)]
    return b"".join(bytes((0x80 | _NO_COLUMNS << 3 | length - 1, 0)) for length in entries)


class _Here(Exception):
    """Raised only for the frame that it comes from."""
