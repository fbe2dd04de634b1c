"""Edges of plain values: recognised where they flowed, never where they did not."""

from __future__ import annotations

import dataclasses
import enum
import gc
import sys
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from support.flows import edges, engine_over, flow, in_time, make, run_links, seeded, take, task
from tidegate.store.memory import MemoryStore


@dataclasses.dataclass
class Point:
    x: float
    y: list[int]


@dataclasses.dataclass(slots=True)
class Slotted:
    x: str


class Model(pydantic.BaseModel):
    x: list[int]


class Thing:
    pass


FRESH: list[Callable[[], Any]] = [
    lambda: "abc".replace("c", "d"),
    lambda: float("1.25"),
    lambda: int("123456789"),
    lambda: complex("1+2j"),
    lambda: bytes([1, 2, 3]),
    lambda: bytearray(b"abc"),
    lambda: [1],
    list,
    lambda: {"k": 1},
    dict,
    lambda: {1, 2},
    lambda: frozenset([1, 2]),
    lambda: tuple([1, 2]),  # noqa: C409  # a literal would be a constant
    lambda: range(int("3")),
    Thing,
    lambda: Point(1.5, [1]),
    lambda: Slotted("x"),
    lambda: Model(x=[1]),
    lambda: iter([1]),
    lambda: memoryview(b"abc"),
    lambda: lambda: 1,
]  # fmt: skip
FRESH_IDS = [
    "str", "float", "int", "complex", "bytes", "bytearray", "list", "empty list", "dict", "empty dict", "set",
    "frozenset", "tuple", "range", "object", "dataclass", "slots", "pydantic", "iterator", "memoryview", "function",
]  # fmt: skip


@pytest.mark.parametrize("how", ["direct", "submit", "kept"])
@pytest.mark.parametrize("value", FRESH, ids=FRESH_IDS)
@pytest.mark.conforms("B169")
def test_a_fresh_value_is_an_edge(value: Callable[[], Any], how: str) -> None:
    def body() -> int:
        if how == "direct":
            take(make(value))
        elif how == "submit":
            take(make.submit(value).result())
        else:
            kept = make(value)
            for _ in range(3):
                make(object)
            take([kept])
        return 1

    last = 5 if how == "kept" else 2
    assert edges(run_links(body)) == {(1, last)}


@pytest.mark.conforms("B169")
def test_values_of_async_tasks_are_edges_too() -> None:
    @task
    async def make_async(value: Any) -> Any:
        return value()

    def body() -> int:
        for each in FRESH:
            take(make_async(each))
        return 1

    assert edges(run_links(body)) == {(at, at + 1) for at in range(1, 2 * len(FRESH), 2)}


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 1000


class Word(enum.StrEnum):
    HELLO = "hello-word"


CONSTANT = [1, 2, 3]
SHARED: list[Any] = [
    None, True, False, 0, 5, -5, 256, 123456789, 1.25, "literal", "", "a", b"", b"bytes", (), (1, 2), ("x",),
    Color.RED, Level.HIGH, Word.HELLO, Ellipsis, NotImplemented, int, Thing, Model, Color, sys, frozenset(),
]  # fmt: skip


@pytest.mark.parametrize("value", SHARED, ids=repr)
@pytest.mark.conforms("B170", "B175")
def test_what_everybody_shares_is_no_edge(value: Any) -> None:
    """The second call gets it from the code, not from the task that happened to return the same object."""

    def body() -> int:
        make(lambda: value)
        take(value)
        make.submit(lambda: [value, value]).result()
        take([value])
        take(other=(value, value))
        return 1

    assert edges(run_links(body)) == set()


def test_interned_texts_are_no_edge() -> None:
    def body() -> int:
        make(lambda: sys.intern("tidegate".replace("gate", "gate_interned")))
        take("tidegate_interned")
        return 1

    assert edges(run_links(body)) == set()


@pytest.mark.conforms("B171")
def test_elements_of_a_result_are_edges() -> None:
    @task
    def pair() -> tuple[Any, Any]:
        return [1], "xz".replace("z", "y")

    @task
    def model() -> Any:
        return Model(x=[1, 2])

    @task
    def point() -> Any:
        return Point(float("0.5"), [])

    @task
    def mapping() -> Any:
        return {"a": [1], "b": 5}

    def body() -> int:
        a, b = pair()  # 1
        take(a)
        take(b)
        take(model().x)  # 4
        whole = point()  # 6
        take(whole.x)
        take(whole.y)
        got = mapping()  # 9
        take(got["a"])
        take(got["b"])  # a small int: none
        first, *_ = make(lambda: [object(), object()])  # 12
        take(first)
        return 1

    assert edges(run_links(body)) == {(1, 2), (1, 3), (4, 5), (6, 7), (6, 8), (9, 10), (12, 13)}


@pytest.mark.conforms("B171")
def test_elements_deeper_than_one_level_are_not_linked() -> None:
    def body() -> int:
        take(make(lambda: [[[1]]])[0][0])
        return 1

    assert edges(run_links(body)) == set()


@pytest.mark.conforms("B171")
def test_what_is_passed_on_leads_back_to_whoever_passed_it() -> None:
    @task
    def through(x: Any) -> Any:
        return x

    def body() -> int:
        value = make(lambda: [1])
        take(through(value))
        a, _ = make(lambda: ([1], [2]))
        take(through(a))
        return 1

    assert edges(run_links(body)) == {(1, 2), (2, 3), (4, 5), (5, 6)}


@pytest.mark.conforms("B173")
def test_links_end_with_the_flow_run() -> None:
    kept: list[Any] = []

    @flow
    def first() -> int:
        kept.append(make(lambda: [1]))
        return 1

    @flow
    def second() -> int:
        make(lambda: [2])
        take(kept[0])
        return 1

    store = MemoryStore()
    with engine_over(store):
        first()
        second()
    assert edges(store, 2) == set()


@pytest.mark.conforms("B170", "B175")
@pytest.mark.parametrize("value", FRESH[:14], ids=FRESH_IDS[:14])
def test_an_address_that_is_used_again_is_no_edge(value: Callable[[], Any]) -> None:
    """Results are dropped; what the flow makes afterwards, often at the same address, came from nobody."""
    again = [0]
    told = type(value()) in (str, float)  # for these an address does come again, sooner or later

    def body() -> int:
        seen = set()
        rounds = 0
        while rounds < 1500 or (told and not again[0] and rounds < 20_000):  # beyond the first sweep of the table
            seen.add(id(make(value)))
            mine = value()
            again[0] += id(mine) in seen
            take(mine)
            rounds += 1
        return 1

    assert edges(run_links(body)) == set()
    if told:
        assert again[0] > 0, "no address was used again: the test shows nothing"


@pytest.mark.conforms("B175")
def test_no_false_and_no_missed_edge_in_5_000_task_runs_that_drop_results() -> None:
    chance = seeded("links_5000")
    wanted: set[tuple[int, int]] = set()

    def body() -> int:
        number = 0
        held: list[tuple[int, Any]] = []
        for _ in range(2500):
            number += 1
            future = make.submit(chance.choice(FRESH[:14]))
            if chance.random() < 0.5:
                held.append((number, future))
            if len(held) > 20:
                held.pop(chance.randrange(20))
            number += 1
            ups = chance.sample(held, min(len(held), chance.randrange(3)))
            wanted.update((up, number) for up, _ in ups)
            mine = chance.choice(FRESH[:14])()
            take([each for _, each in ups], mine)
            del future, ups, mine
        return 1

    found = edges(run_links(body))
    assert len(wanted) > 1500
    assert found - wanted == set(), "false"
    assert wanted - found == set(), "missed"


def test_the_table_keeps_no_memory_of_what_was_dropped() -> None:
    alive: list[int] = []

    class Big:
        count = 0

        def __init__(self) -> None:
            Big.count += 1

        def __del__(self) -> None:
            Big.count -= 1

    def body() -> int:
        for _ in range(3000):
            make(Big)
            make(lambda: [Big()])
        gc.collect()
        alive.append(Big.count)
        return 1

    run_links(body)
    # Lists cannot be referenced weakly; the table drops those that nobody holds at its next sweep.
    assert alive[0] <= 2100


@pytest.mark.usefixtures("hectic")
def test_values_that_workers_return_at_once_are_all_linked() -> None:
    def body() -> int:
        values = make.map([list] * 4000).result()  # more than one sweep, on many threads
        take.map([[value] for value in values]).wait()
        return 1

    found = in_time(lambda: edges(run_links(body)), 40)
    assert len(found) == 4000
    assert found == {(at, 4000 + at) for at in range(1, 4001)}
