"""What becomes of the arguments of a flow: the function gets them as they are, the record what can be written down."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any

import pydantic
import pytest

from support.flows import flow, in_time, make, task
from tidegate.engine import Engine


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: float


class Model(pydantic.BaseModel):
    color: Color
    parts: list[set[int]]


GIVEN: list[Any] = [
    1, -2.5, True, None, "text", b"bytes", [1, [2]], (1, 2), {1, 2}, frozenset([1]), {"k": [1], 2: 3}, range(3),
    Color.RED, Point(0.5), Model(color=Color.RED, parts=[{1}, {2}]),
]  # fmt: skip


@pytest.mark.parametrize("value", GIVEN, ids=repr)
@pytest.mark.conforms("B048")
def test_a_flow_gets_its_arguments_unchanged(engine: Engine, value: Any) -> None:
    got: list[Any] = []

    @flow
    def child(x: Any, *, y: Any) -> int:
        got.extend([x, y])
        return 1

    @flow
    def parent(x: Any, *, y: Any) -> int:
        got.extend([x, y])
        return int(child(x, y=[y]))

    in_time(lambda: parent(value, y=value))
    assert got == [value, value, value, [value]]
    assert {type(each) for each in got[:3]} == {type(value)}


class Refuses:
    """Has no JSON form, and its text cannot be had either."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


def loop() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


UNWRITABLE: list[tuple[str, Any, str]] = [
    ("object", Refuses(), '"<Refuses>"'),
    ("class", Refuses, '"<type>"'),
    ("exception class", ValueError, '"<type>"'),
    ("exception", ValueError("x"), '"<ValueError>"'),
    ("bytes", b"abc", '"<bytes>"'),
    ("array", memoryview(b"abc"), '"<memoryview>"'),
    ("a set, as a list", {1}, "[1]"),
    ("inside a list", [1, Refuses()], '[1, "<Refuses>"]'),
    ("keys (TypeError)", {(1, 2): 3}, '"<dict>"'),
    ("holds itself (ValueError)", loop(), '"<list>"'),
]


@pytest.mark.parametrize(("value", "wanted"), [each[1:] for each in UNWRITABLE], ids=[each[0] for each in UNWRITABLE])
@pytest.mark.conforms("B047")
def test_what_has_no_json_form_is_recorded_as_its_type(stored: Engine, value: Any, wanted: str) -> None:
    got: list[Any] = []

    @flow
    def work(x: Any, n: int) -> int:
        got.append(x)
        return n

    assert in_time(lambda: work(value, 7)) == 7
    assert got[0] is value
    row = stored.store.flow_run(1)
    assert row is not None
    assert json.loads(row.parameters) == {"x": json.loads(wanted), "n": 7}


@pytest.mark.parametrize("kind", ["future", "state"])
@pytest.mark.conforms("B049")
def test_a_subflow_gets_and_records_results_in_place_of_futures(stored: Engine, kind: str) -> None:
    got: list[Any] = []

    @flow
    def child(x: Any, y: Any) -> int:
        got.extend([x, y])
        return 1

    @task
    def seven() -> int:
        return 7

    @flow
    def parent() -> int:
        given = seven.submit() if kind == "future" else seven(return_state=True)
        return int(child(given, {"k": [given, make.submit(lambda: "text")]}))

    assert in_time(parent) == 1
    assert got == [7, {"k": [7, "text"]}]
    row = stored.store.flow_run(2)
    assert row is not None
    assert json.loads(row.parameters) == {"x": 7, "y": {"k": [7, "text"]}}
