"""The parameters of a flow run: validated and coerced by their annotations, and put down for the record."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import ParameterTypeError, SignatureMismatch

if TYPE_CHECKING:
    from .calls import CallFace

LONGEST = 2048
"""Characters of one parameter in the record; a longer one stands as its type."""

_AS_IT_IS = (inspect.Parameter.empty, Any, object)
_EXACT = frozenset({int, float, str, bytes, bool, list, dict, set, tuple, frozenset, type(None)})


def validated(face: CallFace, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as their annotations want them: "1" for an int becomes 1, a dict for a model that model.

    Raises `ParameterTypeError`, which lists all that cannot be, and what a validator of the user's raises.
    """
    hints = _hints(face)
    values = dict(given)
    wrong: list[str] = []
    for name, value in given.items():
        hint = hints.get(name)
        kind = face.signature.parameters[name].kind
        if hint is None or hint in _AS_IT_IS or (hint in _EXACT and type(value) is hint):
            continue  # no need of pydantic, whose import takes longer than most first flows
        if kind is inspect.Parameter.VAR_POSITIONAL:
            hint = tuple[hint, ...]  # type: ignore[valid-type]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            hint = dict[str, hint]  # type: ignore[valid-type]
        values[name] = _coerced(name, value, hint, wrong)
    if wrong:
        count = "A parameter" if len(wrong) == 1 else f"{len(wrong)} parameters"
        raise ParameterTypeError(f"{count} of {face.name!r} cannot be used. {' '.join(wrong)}")
    return values


def _coerced(name: str, value: Any, hint: Any, wrong: list[str]) -> Any:
    adapter = _adapter(hint)
    if adapter is None:
        return value
    import pydantic

    try:
        return adapter.validate_python(value)
    except pydantic.ValidationError as error:
        for each in error.errors(include_url=False):
            where = "".join(f"[{part!r}]" for part in each["loc"])
            wrong.append(f"{name}{where}: {each['msg']}, not {each['input']!r:.60}.")
        return value


_adapters: dict[Any, Any] = {}


def _adapter(hint: Any) -> Any:
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
        try:
            made = pydantic.TypeAdapter(hint, config=lenient)
        except pydantic.errors.PydanticUserError:  # models bring a configuration of their own
            made = pydantic.TypeAdapter(hint)
    except Exception:
        made = None
    if isinstance(hint, (type, types.GenericAlias, types.UnionType)) and len(_adapters) < 1000:
        _adapters[hint] = made
    return made


def _hints(face: CallFace) -> Mapping[str, Any]:
    plain = {name: each.annotation for name, each in face.signature.parameters.items()}
    if not any(isinstance(each, str) for each in plain.values()):
        return plain
    try:
        return typing.get_type_hints(inspect.unwrap(face.fn), include_extras=True)
    except Exception:
        # A name that only type checkers see: what it says cannot be found out, and is not held against anybody.
        return {name: each for name, each in plain.items() if not isinstance(each, str)}


def check_names(face: CallFace, given: Mapping[str, Any]) -> None:
    """Raise `SignatureMismatch` for names that are no parameters, or for parameters that are missing."""
    parameters = face.signature.parameters.values()
    known = {each.name for each in parameters}
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
        except (TypeError, ValueError, RecursionError):
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
