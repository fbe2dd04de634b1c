"""The parameters of a flow as a JSON schema."""

from __future__ import annotations

import enum
import threading
from typing import Any, Literal

import pydantic
import pytest

from support.flows import flow


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Place(pydantic.BaseModel):
    city: str
    size: Size = Size.SMALL


@pytest.mark.conforms("B018")
def test_types_defaults_models_and_enums_are_in_it() -> None:
    @flow
    def work(
        n: int,
        where: Place,
        sizes: list[Size],
        how: Literal["fast", "slow"] = "fast",
        home: Place = Place(city="Bonn"),  # noqa: B008
        *rest: float,
        **more: bool,
    ) -> None: ...

    schema = work.parameter_schema()
    assert schema["title"] == "work"
    assert schema["type"] == "object"
    assert schema["required"] == ["n", "where", "sizes"]
    properties = schema["properties"]
    assert list(properties) == ["n", "where", "sizes", "how", "home", "rest", "more"]
    assert properties["n"] == {"title": "n", "type": "integer"}
    assert properties["where"] == {"title": "where", "$ref": "#/$defs/Place"}
    assert properties["sizes"] == {"title": "sizes", "type": "array", "items": {"$ref": "#/$defs/Size"}}
    assert properties["how"] == {"title": "how", "type": "string", "enum": ["fast", "slow"], "default": "fast"}
    assert properties["home"]["default"] == {"city": "Bonn", "size": "small"}
    assert properties["rest"] == {"title": "rest", "type": "array", "items": {"type": "number"}, "default": []}
    assert properties["more"]["additionalProperties"] == {"type": "boolean"}
    assert schema["$defs"]["Size"]["enum"] == ["small", "large"]
    assert schema["$defs"]["Place"]["required"] == ["city"]


@pytest.mark.conforms("B018")
def test_what_has_no_schema_is_of_any_type() -> None:
    lock = threading.Lock()

    @flow
    def work(a, b: threading.Thread, c: Any, d: "NotThere", e: object = lock) -> None: ...  # type: ignore[no-untyped-def, name-defined]  # noqa: F821, UP037

    schema = work.parameter_schema()
    assert schema["properties"] == {name: {"title": name} for name in "abcde"}
    assert schema["required"] == ["a", "b", "c", "d"]
    assert "$defs" not in schema


def test_a_flow_without_parameters_has_an_empty_one() -> None:
    assert flow(lambda: 1, name="none").parameter_schema() == {"title": "none", "type": "object", "properties": {}}
