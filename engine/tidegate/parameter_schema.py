"""The parameters of a flow as a JSON schema: for forms, command lines and whoever else asks for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .parameters import adapter_of, hints_of

if TYPE_CHECKING:
    from .calls import CallFace

_VARIABLE: Mapping[object, Callable[[Any], dict[str, Any]]] = {
    inspect.Parameter.VAR_POSITIONAL: lambda each: {"type": "array", "items": each, "default": []},
    inspect.Parameter.VAR_KEYWORD: lambda each: {"type": "object", "additionalProperties": each, "default": {}},
}


def parameter_schema(face: CallFace) -> dict[str, Any]:
    """A JSON schema of an object with a property for each parameter.

    A parameter whose type has no schema is of any type; a default without a JSON form is not in it, and the parameter
    is not required all the same.  Models and enums stand under ``$defs``.
    """
    from pydantic import TypeAdapter

    hints = hints_of(face)
    adapters = {name: adapter for name, hint in hints.items() if (adapter := _schemable(hint)) is not None}
    found, shared = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in adapters.items()], ref_template="#/$defs/{model}"
    )
    properties = {
        name: _property(each, found.get((name, "validation"), {})) for name, each in face.signature.parameters.items()
    }
    schema: dict[str, Any] = {"title": face.name, "type": "object", "properties": properties}
    required = [name for name, each in face.signature.parameters.items() if _is_required(each)]
    if required:
        schema["required"] = required
    if shared.get("$defs"):
        schema["$defs"] = shared["$defs"]
    return schema


def _schemable(hint: Any) -> Any:
    """What pydantic makes of an annotation; null if there is no schema of it."""
    adapter = adapter_of(hint) if hint is not inspect.Parameter.empty else None
    if adapter is None:
        return None
    try:
        adapter.json_schema()
    except Exception:  # of pydantic, for a type without a form in JSON, or of a hook of the user's
        return None
    return adapter


def _property(parameter: inspect.Parameter, schema: Mapping[str, Any]) -> dict[str, Any]:
    variable = _VARIABLE.get(parameter.kind)
    if variable is not None:
        return {"title": parameter.name, **variable(dict(schema))}
    made = {"title": parameter.name, **schema}
    if parameter.default is not parameter.empty:
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        with suppress(PydanticSerializationError):
            made["default"] = to_jsonable_python(parameter.default)
    return made


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in _VARIABLE
