"""What becomes of the arguments of a flow: the function gets them as they are, the record what can be written down."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import functools
import json
import pickle
import typing
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, TypeVar, Unpack

import pydantic
import pytest
from typing_extensions import TypedDict

from support.flows import flow, in_time, make, states_in_store, task
from tidegate.engine import Engine
from tidegate.errors import FailedRun, ParameterBindError, ParameterTypeError, ReservedArgument, SignatureMismatch
from tidegate.flow_runs import create_flow_run, run_created
from tidegate.parameters import check_names


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


# Validation -----------------------------------------------------------------------------------------------------------


class Part(pydantic.BaseModel):
    name: str
    sizes: list[int] = []


class Nested(pydantic.BaseModel):
    part: Part
    parts: dict[str, Part] = {}


@dataclasses.dataclass
class Pair:
    x: float
    y: int = 0


class Movie(TypedDict):
    title: str
    year: int


class Plain:
    """Nothing that a validator knows."""


def received(hint: Any, *given: Any, final: bool = False) -> Any:
    """What a flow with a parameter of this annotation gets; its final state, if that is wanted."""
    got: list[Any] = []

    def body(x: Any) -> int:
        got.append(x)
        return 1

    body.__annotations__["x"] = hint
    state = in_time(lambda: flow(body)(*given, return_state=True))
    return state if final else got[0]


PLAIN = Plain()
COERCED: list[tuple[Any, Any, Any]] = [
    (int, "1", 1),
    (int, 1.0, 1),
    (float, "1.5", 1.5),
    (float, 1, 1.0),
    (bool, "yes", True),
    (str, "1", "1"),
    (bytes, "abc", b"abc"),
    (list[int], ["1", 2.0], [1, 2]),
    (list[int], (1, "2"), [1, 2]),
    (set[int], ["1", 1], {1}),
    (frozenset[int], {"1"}, frozenset({1})),
    (tuple[int, ...], ["1", "2"], (1, 2)),
    (tuple[int, str], ["1", "2"], (1, "2")),
    (dict[str, list[int]], {"k": ["1"]}, {"k": [1]}),
    (Sequence[int], ["1"], [1]),
    (Mapping[str, int], {"a": "1"}, {"a": 1}),
    (int | None, None, None),
    (int | None, "5", 5),
    (Optional[int], "5", 5),  # noqa: UP045  # the old way of writing it
    (int | str, "5", "5"),
    (Literal["a", "b"], "a", "a"),
    (Color, 1, Color.RED),
    (datetime.date, "2026-01-31", datetime.date(2026, 1, 31)),
    (datetime.timedelta, 90, datetime.timedelta(seconds=90)),
    (uuid.UUID, "12345678123456781234567812345678", uuid.UUID(int=0x12345678123456781234567812345678)),
    (Path, "a/b", Path("a/b")),
    (Part, {"name": "x", "sizes": ["1"]}, Part(name="x", sizes=[1])),
    (list[Part], [{"name": "x"}], [Part(name="x")]),
    (Nested, {"part": {"name": "x"}, "parts": {"k": {"name": "y"}}},
     Nested(part=Part(name="x"), parts={"k": Part(name="y")})),
    (Pair, {"x": "1"}, Pair(1.0)),
    (Movie, {"title": "M", "year": "1931"}, {"title": "M", "year": 1931}),
    (Annotated[int, pydantic.Field(gt=0)], "1", 1),
    (Annotated[int, ["cannot be hashed"]], "1", 1),
    (Plain, PLAIN, PLAIN),
    (Callable[[int], str], repr, repr),
    (Any, "1", "1"),
    (object, "1", "1"),
    (TypeVar("T"), "1", "1"),
    (None, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "given", "wanted"), COERCED, ids=[f"{row[0]} {row[1]}"[:60] for row in COERCED])
@pytest.mark.conforms("B039")
def test_a_value_becomes_what_its_annotation_says(engine: Engine, hint: Any, given: Any, wanted: Any) -> None:
    got = received(hint, given)
    assert got == wanted
    assert type(got) is type(wanted)


@pytest.mark.parametrize("hint", [Iterable[int], Iterator[int], Iterable, typing.Iterable[int], Iterable[int] | None])
def test_an_iterable_is_handed_over_as_it_is(engine: Engine, hint: Any) -> None:
    """Not as an iterator that could be run through once."""
    for given in ([1, 2], range(3), iter([1])):
        assert received(hint, given) is given


def test_what_is_right_already_is_the_very_object(engine: Engine) -> None:
    for hint, given in [(int, 5), (list, [1]), (Part, Part(name="x")), (Pair, Pair(1)), (Plain, PLAIN), (dict, {})]:
        assert received(hint, given) is given


@pytest.mark.conforms("B040")
def test_without_validation_values_pass_untouched(engine: Engine) -> None:
    got: list[Any] = []

    @flow(validate_parameters=False)
    def work(x: int, y: list[int], *rest: int, model: Part, **more: int) -> int:
        got.extend([x, y, *rest, model, *more.values()])
        return 1

    given = ["text", {"no": "list"}, "a", {"name": 1}, None]
    assert in_time(lambda: work(*given[:3], model=given[3], key=given[4])) == 1
    assert all(a is b for a, b in zip(got, given, strict=True))
    checked = work.with_options(validate_parameters=True)
    assert in_time(lambda: checked(*given[:3], model=given[3], key=None, return_state=True)).is_failed()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B041", "B042")
def test_bad_parameters_fail_the_run_and_all_are_told(stored: Engine, kind: str) -> None:
    began: list[int] = []

    def body(a: int, b: list[int], ok: str, c: Nested, *rest: float, **more: Color) -> None:
        began.append(1)

    async def coroutine(a: int, b: list[int], ok: str, c: Nested, *rest: float, **more: Color) -> None:
        began.append(1)

    work = flow(body if kind == "sync" else coroutine, name="work")

    def call(**options: Any) -> Any:
        made = work("x", [1, "y", 3], "ok", {"part": {}}, 1.0, "z", key=7, **options)
        return made if kind == "sync" else asyncio.run(made)

    state = in_time(lambda: call(return_state=True))
    assert (state.type.name, state.name) == ("FAILED", "Failed")
    assert state.message.startswith("ParameterTypeError: 5 parameters of 'work' cannot be used. ")
    for told in [
        "a: Input should be a valid integer, unable to parse string as an integer, not 'x'.",
        "b[1]: Input should be a valid integer",
        "c['part']['name']: Field required",
        "rest[1]: Input should be a valid number",
        "more['key']: Input should be 1, not 7.",
    ]:
        assert told in state.message
    assert "ok:" not in state.message
    assert "\n" not in state.message
    with pytest.raises(ParameterTypeError) as caught:
        in_time(call)
    assert isinstance(caught.value, TypeError)
    rows = stored.store.flow_runs()
    assert [row.state.name for row in rows] == ["Failed", "Failed"]
    assert rows[0].state.message == state.message
    assert json.loads(rows[0].parameters)["a"] == "x", "as it was given"
    assert states_in_store(stored.store, 1) == ["Failed"], "it never ran"
    assert began == []


def test_however_much_is_wrong_the_message_stays_readable(engine: Engine) -> None:
    message = received(list[int], ["x" * 1000] * 10_000, final=True).message
    assert "x[2]:" in message
    assert "and 9997 more" in message
    assert len(message) < 1000

    def many(**each: int) -> None: ...

    state = in_time(lambda: flow(many)(**{f"p{at}": at or "x" for at in range(50)}, return_state=True))
    assert "each['p0']" in state.message
    unprintable = received(int, Refuses(), final=True)
    assert "<Refuses>" in unprintable.message


RAISED: list[Exception] = [
    ZeroDivisionError("in a validator"), KeyError("x"), RuntimeError("two\nlines"), FailedRun("odd"), StopIteration(1),
]  # fmt: skip


@pytest.mark.parametrize("error", RAISED, ids=lambda each: type(each).__name__)
@pytest.mark.conforms("B043")
def test_whatever_a_validator_raises_fails_the_run(engine: Engine, error: Exception) -> None:
    class Strict(pydantic.BaseModel):
        x: int

        @pydantic.field_validator("x")
        @classmethod
        def check(cls, value: int) -> int:
            raise error

    state = received(Strict, {"x": 1}, final=True)
    assert state.is_failed()
    assert state.result(raise_on_failure=False) is error
    assert type(error).__name__ in state.message
    assert "\n" not in state.message


def test_what_a_validator_refuses_is_a_bad_parameter(engine: Engine) -> None:
    class Even(pydantic.BaseModel):
        x: int

        @pydantic.field_validator("x")
        @classmethod
        def check(cls, value: int) -> int:
            if value % 2:
                raise ValueError(f"{value} is odd")
            return value

    state = received(Even, {"x": 3}, final=True)
    assert "x['x']: Value error, 3 is odd, not 3." in state.message
    assert isinstance(state.error(), ParameterTypeError)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B046")
def test_a_subflow_with_bad_parameters(stored: Engine, kind: str) -> None:
    def body(x: int) -> int:
        return x

    async def coroutine(x: int) -> int:
        return x

    child = flow(body if kind == "sync" else coroutine, name="child")

    @flow
    def carries_on() -> Any:
        state = child("bad", return_state=True)
        assert isinstance(state.error(), ParameterTypeError)
        with pytest.raises(ParameterTypeError, match="'bad'"):
            child("bad")
        return [int(child("5")), state.name]

    @flow
    def sees_it() -> None:
        child("bad")

    assert in_time(carries_on) == [5, "Failed"]
    assert [row.state.name for row in stored.store.flow_runs()] == ["Completed", "Failed", "Failed", "Completed"]
    assert [row.state.name for row in stored.store.task_runs(1)] == ["Failed", "Failed", "Completed"]
    with pytest.raises(ParameterTypeError):
        in_time(sees_it)


SOURCE = """
from __future__ import annotations
import functools
from typing import TYPE_CHECKING, Any
if TYPE_CHECKING:
    from nowhere import Missing

class Known:
    pass

def plain(x: int, y: list[int], missing: Missing, odd: "what: ever", known: Known): return [x, y, missing, odd, known]

def within():
    class Local: pass
    def inner(x: int, y: list[int], missing: Missing, odd: "what: ever", known: Local):
        Local
        return [x, y, missing, odd, known]
    return inner, Local

class Callable:
    def __call__(self, x: int, y: list[int], missing: Missing, odd: "what: ever", known: Known):
        return [x, y, missing, odd, known]

@functools.wraps(plain)
def wrapped(*args, **kwargs): return plain(*args, **kwargs)
"""


@pytest.mark.parametrize("which", ["plain", "within", "object", "partial", "wrapped"])
@pytest.mark.conforms("B039")
def test_annotations_that_are_texts(engine: Engine, which: str) -> None:
    """One that cannot be found out spoils none of the others."""
    names: dict[str, Any] = {"__name__": "texts"}
    exec(compile(SOURCE, "texts.py", "exec", dont_inherit=True), names)
    cls = names["Known"]
    fn: Any = names.get(which)
    if which == "within":
        fn, cls = names["within"]()
    elif which == "object":
        fn = names["Callable"]()
    elif which == "partial":
        fn = functools.partial(names["plain"])
    work = flow(fn, name=f"texts-{which}")
    known = cls()
    assert in_time(lambda: work("1", ["2"], "m", "o", known)) == [1, [2], "m", "o", known]
    state = in_time(lambda: work("x", ["2"], "m", "o", "no such thing", return_state=True))
    assert "2 parameters" in state.message
    assert "known: Input should be an instance of" in state.message


def test_annotations_that_mean_nothing_are_not_held_against_anybody(engine: Engine) -> None:
    class Undefined(pydantic.BaseModel):
        x: "NotThereYet"  # type: ignore[name-defined]  # noqa: F821, UP037

    for hint in ["some words", 5, [1, 2], object(), lambda: 1, any, callable, list["Nowhere"], Undefined, Ellipsis]:  # type: ignore[name-defined]  # noqa: F821
        assert received(hint, "given", final=True).is_completed(), hint


class Options(TypedDict, total=False):
    deep: int


@pytest.mark.conforms("B025")
def test_every_kind_of_parameter_is_passed_on_and_recorded(stored: Engine) -> None:
    def everything(a: int, /, b: int, c: list[int] = [7], *rest: int, d: int = 5, e: Any = None, **more: int) -> Any:  # noqa: B006
        return a, b, c, rest, d, e, more

    work = flow(everything)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((1, 2), {}), ((1,), {"b": 2}), ((1, 2, [3], 4, 5), {"d": 6, "e": "x", "f": 7}), ((1,), {"b": 2, "z": 3}),
    ]  # fmt: skip
    for args, kwargs in calls:
        for each in (work, work.with_options(validate_parameters=False)):
            assert in_time(functools.partial(each, *args, **kwargs)) == everything(*args, **kwargs)
    recorded = [json.loads(row.parameters) for row in reversed(stored.store.flow_runs())]
    wanted = [
        {"a": 1, "b": 2, "c": [7], "rest": [], "d": 5, "e": None, "more": {}},
        {"a": 1, "b": 2, "c": [7], "rest": [], "d": 5, "e": None, "more": {}},
        {"a": 1, "b": 2, "c": [3], "rest": [4, 5], "d": 6, "e": "x", "more": {"f": 7}},
        {"a": 1, "b": 2, "c": [7], "rest": [], "d": 5, "e": None, "more": {"z": 3}},
    ]
    assert recorded[::2] == recorded[1::2] == wanted


@pytest.mark.conforms("B025", "B039")
def test_variable_parameters_are_coerced_each(engine: Engine) -> None:
    def many(*rest: int, **more: int) -> Any:
        return rest, more

    assert in_time(lambda: flow(many)("1", 2, k="3")) == ((1, 2), {"k": 3})

    def unpacked(*rest: *tuple[int, ...], **more: Unpack[Options]) -> Any:
        return rest, more

    assert in_time(lambda: flow(unpacked)(1, 2, deep=3)) == ((1, 2), {"deep": 3})


def test_defaults_are_not_shared_between_runs(engine: Engine) -> None:
    def grows(x: list[int] = []) -> int:  # noqa: B006  # that is the point
        x.append(1)
        return len(x)

    work = flow(grows)
    assert [in_time(work) for _ in range(3)] == [1, 1, 1], "each run has its own copy, as its annotation makes one"


ERRORS: list[Exception] = [
    ParameterTypeError("2 parameters of 'f' cannot be used."), ParameterBindError("f(x): missing x."),
    SignatureMismatch("f expects x; it was given y."), ReservedArgument("wait_for"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
@pytest.mark.conforms("B050")
def test_errors_of_parameters_can_be_pickled(engine: Engine, error: Exception) -> None:
    for each in (error, received(int, "x", final=True).error()):
        copied = pickle.loads(pickle.dumps(each))
        assert type(copied) is type(each)
        assert (str(copied), copied.args) == (str(each), each.args)


def test_names_of_recorded_parameters_are_checked() -> None:
    def body(x: int, y: int = 1, *rest: int) -> None: ...

    face = flow(body)
    check_names(face, {"x": 1})
    check_names(face, {"x": 1, "y": 2, "rest": []})
    for given in ({}, {"y": 1}, {"x": 1, "z": 2}):
        with pytest.raises(SignatureMismatch, match="expects the parameters x, y, rest; it was given") as caught:
            check_names(face, given)
        assert isinstance(caught.value, TypeError)
    check_names(flow(lambda x, **more: 1, name="open"), {"x": 1, "anything": 2})


@pytest.mark.parametrize("given", [{}, {"x": 1, "z": 2}, {"y": 1}], ids=json.dumps)
@pytest.mark.conforms("B044")
def test_a_run_that_was_created_with_other_parameters_fails(stored: Engine, given: dict[str, Any]) -> None:
    began: list[int] = []
    work = flow(lambda x, y=1: began.append(x), name="created")
    row = stored.store.flow_run(create_flow_run("created", given))
    assert row is not None
    state = in_time(lambda: run_created(work, row))
    assert (state.type.name, state.name) == ("FAILED", "Failed")
    assert isinstance(state.error(), SignatureMismatch)
    received = ", ".join(given) or "(none)"
    assert f"created expects the parameters x, y; it was given {received}." in state.message
    assert began == []
    assert states_in_store(stored.store, 1)[-1] == "Failed"


def test_a_model_that_cannot_be_written_down_is_recorded_as_its_type(stored: Engine) -> None:
    class Secretive(pydantic.BaseModel):
        x: int

        @pydantic.field_serializer("x")
        def write(self, value: int) -> int:
            raise ZeroDivisionError

    assert in_time(lambda: flow(lambda x: 1, name="secretive")(Secretive(x=1))) == 1
    row = stored.store.flow_run(1)
    assert row is not None
    assert json.loads(row.parameters) == {"x": "<Secretive>"}
