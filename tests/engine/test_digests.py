"""Digests of values: equal where the content is, in every process; null where it cannot be told."""

from __future__ import annotations

import collections
import copy
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import threading
import types
import uuid
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy
import pandas
import pydantic
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tidegate.digests import digest


@dataclasses.dataclass
class Point:
    x: float
    y: list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    name: str


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    names: set[str]
    inner: dict[str, int] = {}


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Flag(enum.Flag):
    A = 1
    B = 2


class Pair(NamedTuple):
    a: int
    b: str


class Thing:
    token: Any

    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)

    def method(self) -> None:
        pass


class Names(set[str]):
    pass


class Word(str):
    __slots__ = ()


def adder(n: int) -> Callable[[int], int]:
    return lambda x: x + n


def keyed(*, k: int = 1) -> int:
    return k


def itself() -> list[Any]:
    made: list[Any] = [1]
    made.append({"me": made})
    return made


def deep(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


WORDS = ["ab", "cd", "ef", "gh", "ij"]

# All different from one another, each a fresh object at every call.
TABLE: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "one": lambda: 1,
    "one, float": lambda: 1.0,
    "one, text": lambda: "1",
    "one, bytes": lambda: b"1",
    "one, bytearray": lambda: bytearray(b"1"),
    "long": lambda: 2**200,
    "negative long": lambda: -(2**200),
    "nan": lambda: float("nan"),
    "zero": lambda: 0.0,
    "minus zero": lambda: -0.0,
    "infinity": lambda: math.inf,
    "complex": lambda: complex(1, 2),
    "text": lambda: "grüße",
    "surrogate": lambda: "\ud800",
    "ellipsis": lambda: ...,
    "list": lambda: [1, "a", None],
    "tuple": lambda: (1, "a", None),
    "rows": lambda: [(1, "a"), (2, "b")],
    "rows as lists": lambda: [[1, "a"], [2, "b"]],
    "nested": lambda: [1, [2, {"a": (3, {4})}]],
    "nested otherwise": lambda: [1, [2], {"a": (3, {4})}],
    "empty list": list,
    "empty tuple": tuple,
    "empty dict": dict,
    "empty set": set,
    "set": lambda: set(WORDS),
    "frozenset": lambda: frozenset(WORDS),
    "mixed set": lambda: {1, "a", (2, "b"), frozenset(WORDS)},
    "set, subclass": lambda: Names(WORDS),
    "dict": lambda: {word: i for i, word in enumerate(WORDS)},
    "dict of sets": lambda: {word: set(WORDS) for word in WORDS},
    "mixed keys": lambda: {1: "a", "1": "a", (1, "a"): 1},
    "range": lambda: range(3, 9, 2),
    "date": lambda: datetime.date(2024, 2, 29),
    "datetime": lambda: datetime.datetime(2024, 2, 29, 1),
    "datetime, zone": lambda: datetime.datetime(2024, 2, 29, 1, tzinfo=ZoneInfo("UTC")),
    "datetime, fixed": lambda: datetime.datetime(2024, 2, 29, 1, tzinfo=datetime.timezone.utc),  # noqa: UP017
    "time": lambda: datetime.time(1, 2, 3),
    "timedelta": lambda: datetime.timedelta(days=1),
    "decimal": lambda: decimal.Decimal("1.10"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "uuid": lambda: uuid.UUID(int=7),
    "path": lambda: pathlib.Path("a/b"),
    "pattern": lambda: re.compile("a+"),
    "pattern, flags": lambda: re.compile("a+", re.IGNORECASE),
    "enum": lambda: Color.RED,
    "another member": lambda: Color.BLUE,
    "flags": lambda: Flag.A | Flag.B,
    "dataclass": lambda: Point(1.5, [1]),
    "slots": lambda: Slotted("a"),
    "model": lambda: Model(names=set(WORDS), inner={"a": 1}),
    "model, extra": lambda: Model.model_validate({"names": WORDS, "inner": {"a": 1}, "more": 2}),
    "named tuple": lambda: Pair(1, "a"),
    "object": lambda: Thing(words=set(WORDS), same=WORDS[0]),
    "object, other state": lambda: Thing(words=set(WORDS), same="x"),
    "text, subclass": lambda: Word("1"),
    "counter": lambda: collections.Counter("abca"),
    "ordered": lambda: collections.OrderedDict(b=1, a=2),
    "ordered otherwise": lambda: collections.OrderedDict(a=2, b=1),
    "deque": lambda: collections.deque([1, 2]),
    "class": lambda: Point,
    "module": lambda: math,
    "builtin": lambda: math.sqrt,
    "function": lambda: keyed,
    "closure": lambda: adder(1),
    "other closure": lambda: adder(2),
    "partial": lambda: functools.partial(keyed, k=2),
    "method": lambda: Thing(a=1).method,
    "error": lambda: ValueError("no", 1),
    "holds itself": itself,
    "proxy": lambda: types.MappingProxyType({"a": 1}),
    "memory": lambda: memoryview(b"abc"),
    "array": lambda: numpy.arange(6),
    "array, shape": lambda: numpy.arange(6).reshape(2, 3),
    "array, type": lambda: numpy.arange(6, dtype="int32"),
    "array, objects": lambda: numpy.array([1, "a", None, set(WORDS)], dtype=object),
    "array, texts": lambda: numpy.array(WORDS),
    "array, any texts": lambda: numpy.array(WORDS, dtype=numpy.dtypes.StringDType()),
    "array, times": lambda: numpy.array(["2024-01-01", "NaT"], dtype="M8[s]"),
    "array, fields": lambda: numpy.array([(1, 2.0)], dtype=numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "array, masked": lambda: numpy.ma.array([1, 2], mask=[True, False]),
    "array, empty": lambda: numpy.array([], dtype="U1"),
    "numpy float": lambda: numpy.float64(1),
    "numpy int": lambda: numpy.int64(1),
    "frame": lambda: pandas.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "frame, index": lambda: pandas.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[5, 6]),
    "frame, types": lambda: pandas.DataFrame(
        {
            "c": pandas.Categorical(["u", "v"], categories=["u", "v", "w"]),
            "t": pandas.Series(["2024-01-01", None]).astype("datetime64[ns, UTC]"),
            "i": pandas.array([1, None], dtype="Int64"),
            "o": [set(WORDS), 1],
        }
    ),
    "series": lambda: pandas.Series([1.5, None], name="s"),
    "index": lambda: pandas.Index(["a", "b"]),
    "levels": lambda: pandas.MultiIndex.from_product([["a", "b"], [1, 2]], names=["p", "q"]),
    "timestamp": lambda: pandas.Timestamp("2024-01-01 00:00:00.000000001"),
}


def digests_of_table() -> dict[str, str | None]:
    return {name: digest(make()) for name, make in TABLE.items()}


@pytest.mark.parametrize("name", TABLE)
def test_a_value_made_anew_has_the_same_digest(name: str) -> None:
    first = digest(TABLE[name]())
    assert first is not None
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert digest(TABLE[name]()) == first
    assert digest([TABLE[name](), {"k": TABLE[name]()}]) == digest([TABLE[name](), {"k": TABLE[name]()}])


def test_different_values_have_different_digests() -> None:
    names: dict[str | None, list[str]] = {}
    for name, found in digests_of_table().items():
        names.setdefault(found, []).append(name)
    assert [each for each in names.values() if len(each) > 1] == []


@pytest.mark.conforms("B299")
def test_digests_are_the_same_in_another_process_and_null_for_what_cannot_be_told() -> None:
    script = (
        "import json, runpy, sys\n"
        "table = runpy.run_path(sys.argv[1], run_name=sys.argv[2])\n"
        "print(json.dumps(table['digests_of_table']()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, __file__, __name__],
        env={**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == digests_of_table()
    for value in (threading.Lock(), [threading.Lock()], (x for x in [1]), Thing(lock=threading.Lock())):
        assert digest(value) is None


def test_what_is_registered_for_the_pickles_of_exceptions_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(ValueError("no", 1))
    monkeypatch.setitem(copyreg.dispatch_table, ValueError, lambda error: (print, ("with its traceback", error.args)))
    assert digest(ValueError("no", 1)) == before


def test_what_raises_when_it_is_looked_at_has_no_digest() -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            raise RuntimeError("not me")

    class Endless:
        def __reduce__(self) -> Any:
            return Endless, (Endless(),)

    assert digest(Hostile()) is None
    assert digest({"a": [Hostile()]}) is None
    assert digest(Endless()) is None


ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
KEYS = st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text()) | st.frozensets(st.text())
VALUES = st.recursive(
    ATOMS | st.sets(KEYS) | st.frozensets(KEYS),
    lambda inner: (
        st.lists(inner)
        | st.lists(st.lists(inner, min_size=1), min_size=1)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner)
    ),
    max_leaves=12,
)
SEED = int(os.environ.get("TIDEGATE_SEED", zlib.crc32(b"digests")))


def typed(value: Any) -> Any:
    """A value as something that is equal only to the same content of the same types."""
    kind = type(value).__name__
    if isinstance(value, (list, tuple)):
        return kind, [typed(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return kind, sorted(repr(typed(each)) for each in value)
    if isinstance(value, dict):
        return kind, sorted(repr((typed(key), typed(each))) for key, each in value.items())
    return kind, repr(value)


def shuffled(value: Any) -> Any:
    """An equal value whose dictionaries and sets were filled the other way round, and that shares no object."""
    if isinstance(value, (list, tuple)):
        return type(value)(shuffled(each) for each in value)
    if isinstance(value, (set, frozenset)):
        return type(value)(shuffled(each) for each in sorted(value, key=repr, reverse=True))
    if isinstance(value, dict):
        return {shuffled(key): shuffled(each) for key, each in reversed(value.items())}
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass") if isinstance(value, str) else value


@seed(SEED)
@settings(deadline=None, database=None)
@given(VALUES)
def test_equal_values_have_equal_digests(value: Any) -> None:
    print(f"TIDEGATE_SEED={SEED}")
    assert digest(value) is not None
    assert digest(value) == digest(shuffled(value)) == digest(copy.deepcopy(value))


@seed(SEED)
@settings(deadline=None, database=None)
@given(VALUES, VALUES)
def test_different_values_never_share_a_digest(one: Any, other: Any) -> None:
    print(f"TIDEGATE_SEED={SEED}")
    assert (digest(one) == digest(other)) == (typed(one) == typed(other))
    assert digest([one]) != digest(one)
    assert (digest([one, other]) == digest([other, one])) == (typed(one) == typed(other))


@pytest.mark.parametrize(
    "change", [lambda a: a + 1, lambda a: a.astype("f4"), lambda a: a.reshape(4, 3), lambda a: a.T]
)
def test_an_array_counts_by_elements_type_and_shape(change: Callable[[Any], Any]) -> None:
    array = numpy.arange(12.0).reshape(3, 4)
    assert digest(change(array)) != digest(array)
    assert digest(numpy.asfortranarray(array)) == digest(array)
    assert digest(numpy.arange(24.0).reshape(3, 8)[:, ::2]) == digest(array * 2)


def test_a_frame_counts_by_columns_index_and_types() -> None:
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    first = digest(frame)
    others = [
        frame.rename(columns={"a": "c"}),
        frame.set_axis([5, 6]),
        frame.astype({"a": "f8"}),
        frame.astype({"b": "category"}),
        frame[["b", "a"]],
        frame.replace("y", "z"),
        frame.iloc[:1],
    ]
    assert first not in {digest(each) for each in others}
    assert len({digest(each) for each in others}) == len(others)
    split = pandas.concat([frame.iloc[:, :1], frame.iloc[:, 1:]], axis=1)  # held in other blocks
    assert digest(split) == first


def test_a_polars_frame() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [1.5, 2.5], "d": [[1], [2, 3]]})
    assert digest(frame) == digest(frame.clone()) == digest(polars.concat([frame[:1], frame[1:]]))
    others = [frame.rename({"a": "z"}), frame[:1], frame.with_columns(c=polars.lit(1.0)), frame["a"], frame["c"]]
    assert len({digest(frame), *map(digest, others)}) == 1 + len(others)


def test_values_of_fields_without_a_value_and_of_hidden_fields() -> None:
    bare = Point.__new__(Point)
    bare.x = 1.5
    assert digest(bare) not in {None, digest(Point(1.5, [1]))}
    assert digest(Point(1.5, [1])) != digest(Point(1.5, [2])) != digest(Model(names=set()))


def test_values_that_hold_themselves() -> None:
    assert digest(itself()) == digest(itself())
    other = itself()
    other.append(2)
    assert digest(other) != digest(itself())
    thing = Thing()
    thing.me = [thing]  # type: ignore[attr-defined]
    assert digest(thing) is not None


def test_nesting_of_ten_thousand_levels() -> None:
    assert digest(deep(10_000)) == digest(deep(10_000)) != digest(deep(9_999))
    keyed_levels: Any = frozenset()
    for _ in range(10_000):
        keyed_levels = frozenset([keyed_levels])
    assert digest(keyed_levels) is not None


def test_a_value_that_is_shared_everywhere_is_described_once() -> None:
    shared: list[Any] = [{}]
    for _ in range(200):
        shared = [shared, shared]  # 2 ** 200 leaves
    assert digest(shared) is not None
    once = [{"a": 1}]
    assert digest([once, once]) == digest([copy.deepcopy(once), copy.deepcopy(once)])


def test_leaves_stand_for_objects() -> None:
    asked: list[Any] = []

    def leaf(value: Any) -> str | None:
        asked.append(value)
        return value.token if isinstance(value, Thing) else None

    first, again, other = (Thing(token=token) for token in ("a", "a", "b"))
    assert digest([1, {"k": first}], leaf) == digest([1, {"k": again}], leaf) != digest([1, {"k": other}], leaf)
    assert digest(first, leaf) == digest(again, leaf) not in {digest("a"), digest(first), digest(other, leaf)}
    assert digest([1, 2], leaf) == digest([1, 2])
    assert not any(type(each) in (int, str) for each in asked)
    held = Thing(token="x", lock=threading.Lock())
    assert digest(held) is None
    assert digest([held], leaf) is not None
