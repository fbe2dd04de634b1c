"""The parameters of a flow run: validated and coerced by their annotations, and put down for the record."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import types
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .errors import ParameterTypeError, SignatureMismatch

if TYPE_CHECKING:
    from .calls import CallFace

LONGEST = 2048
"""Characters of one parameter in the record; a longer one stands as its type."""

TOLD = 3
"""What is wrong inside of one parameter, in words; more is counted."""

_AS_IT_IS = (inspect.Parameter.empty, Any, object)
_EXACT = frozenset({int, float, str, bytes, bool, list, dict, set, tuple, frozenset, type(None)})
_LAZY = (Iterable, Iterator, Generator, AsyncIterable, AsyncIterator, AsyncGenerator)
"""Kinds that pydantic checks while they are iterated, by an object that can be iterated once, and is no list."""
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
"""No types, though some write ``any`` and ``callable``; pydantic would take the value for their arguments."""


def validated(face: CallFace, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as their annotations want them: "1" for an int becomes 1, a dict for a model that model.

    Raises `ParameterTypeError`, which lists all that cannot be, and what a validator of the user's raises.
    """
    hints = hints_of(face)
    values = dict(given)
    wrong: list[str] = []
    for name, value in given.items():
        hint = hints.get(name, Any)
        kind = face.signature.parameters[name].kind
        if any(hint is each for each in _AS_IT_IS) or (type(value) is hint and hint in _EXACT):
            continue  # no need of pydantic, whose import takes longer than most first flows
        if kind is inspect.Parameter.VAR_POSITIONAL:
            hint = tuple[hint, ...]  # type: ignore[valid-type]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            hint = dict[str, hint]  # type: ignore[valid-type]
        values[name], problem = _coerced(name, value, hint)
        if problem:
            wrong.append(problem)
    if wrong:
        count = "A parameter" if len(wrong) == 1 else f"{len(wrong)} parameters"
        raise ParameterTypeError(f"{count} of {face.name!r} cannot be used. {' '.join(wrong)}")
    return values


def _coerced(name: str, value: Any, hint: Any) -> tuple[Any, str]:
    """A value as its annotation wants it, or what is wrong with it."""
    adapter = adapter_of(hint)
    if adapter is None:
        return value, ""
    import pydantic

    try:
        return adapter.validate_python(value), ""
    except pydantic.errors.PydanticUserError:  # a model that refers to a class which is not there yet
        return value, ""
    except pydantic.ValidationError as error:
        lines = []
        for each in error.errors(include_url=False, include_context=False)[:TOLD]:
            where = "".join(f"[{part!r}]" for part in each["loc"])
            lines.append(f"{name}{where}: {each['msg']}, not {_shown(each['input'])}.")
        more = error.error_count() - TOLD
        return value, " ".join([*lines, *([f"{name}: and {more} more."] if more > 0 else [])])


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.60}"
    except Exception:  # of its own `__repr__`
        return _name_of(value)


_adapters: dict[Any, Any] = {}


def adapter_of(hint: Any) -> Any:
    """What pydantic makes of an annotation; null if it can make nothing of it, and the value is taken as it is."""
    try:
        known = _adapters.get(hint, _adapters)
    except TypeError:  # an annotation that cannot be hashed
        known = _adapters
    if known is not _adapters:
        return known
    import pydantic

    lenient = pydantic.ConfigDict(arbitrary_types_allowed=True)
    try:
        if _is_lazy(hint) or isinstance(hint, _FUNCTIONS):
            raise TypeError
        try:
            made = pydantic.TypeAdapter(hint, config=lenient)
        except pydantic.errors.PydanticUserError:  # models bring a configuration of their own
            made = pydantic.TypeAdapter(hint)
    except Exception:  # an annotation that pydantic makes nothing of, or a hook of the user's in it: not validated
        made = None
    if isinstance(hint, (type, types.GenericAlias, types.UnionType)) and len(_adapters) < 1000:
        _adapters[hint] = made
    return made


def _is_lazy(hint: Any) -> bool:
    parts = (hint, typing.get_origin(hint))
    return any(part is each for part in parts for each in _LAZY) or any(map(_is_lazy, typing.get_args(hint)))


def hints_of(face: CallFace) -> Mapping[str, Any]:
    """The annotations of the parameters, with names in place of texts."""
    plain = {name: each.annotation for name, each in face.signature.parameters.items()}
    if all(isinstance(each, type) for each in plain.values()):
        return plain
    names = _names_around(face.fn)
    return {name: each if isinstance(each, type) else _meant(each, names) for name, each in plain.items()}


def _names_around(fn: Any) -> dict[str, Any]:
    """The names that annotations of a function can use: those of its module, and the closure's."""
    fn = inspect.unwrap(fn)
    if isinstance(fn, functools.partial):
        return _names_around(fn.func)
    if not hasattr(fn, "__code__"):  # a callable object
        fn = type(fn).__call__
    names = dict(getattr(fn, "__globals__", {}))
    free = getattr(getattr(fn, "__code__", None), "co_freevars", ())
    for name, cell in zip(free, getattr(fn, "__closure__", None) or (), strict=False):
        with contextlib.suppress(ValueError):  # nothing in it yet
            names[name] = cell.cell_contents
    return names


def _meant(annotation: Any, names: dict[str, Any]) -> Any:
    """What an annotation means that may be a text, or hold one.  Each by itself: a bad one spoils no other."""

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["it"]
    except Exception:
        # A name that only type checkers see: what it says cannot be found out, and is not held against anybody.
        return Any


def check_names(face: CallFace, given: Mapping[str, Any]) -> None:
    """Raise `SignatureMismatch` for names that are no parameters, or for parameters that are missing."""
    parameters = face.signature.parameters.values()
    known = [each.name for each in parameters]
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    unknown = [] if open_ended else [name for name in given if name not in known]
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in variable]
    missing = [name for name in needed if name not in given]
    if unknown or missing:
        raise SignatureMismatch(
            f"{face.name} expects the parameters {', '.join(known) or '(none)'}; "
            f"it was given {', '.join(given) or '(none)'}."
        )


def as_json(parameters: Mapping[str, Any]) -> str:
    """Parameters for the record; what has no JSON form stands as its type name."""
    parts = []
    for name, value in parameters.items():
        try:
            text = json.dumps(value, default=_plain)
        except Exception:  # also of a model's own serializers
            text = json.dumps(_name_of(value))
        parts.append(f"{json.dumps(name)}:{text if len(text) <= LONGEST else json.dumps(_name_of(value))}")
    return "{" + ",".join(parts) + "}"


def _plain(value: Any) -> Any:
    if hasattr(type(value), "__pydantic_fields__"):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return _name_of(value)


def _name_of(value: Any) -> str:
    return f"<{type(value).__name__}>"
