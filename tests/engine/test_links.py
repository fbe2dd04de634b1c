"""Edges: all of them, and none that are not there; from futures, maps, waits and subflows."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.flows import (
    Feed,
    created,
    edges,
    edges_full,
    engine_over,
    flow,
    in_time,
    make,
    run_links,
    seeded,
    take,
    task,
)
from tidegate import ConcurrentTaskRunner, SequentialTaskRunner, TaskFuture, allow_failure, quote, unmapped
from tidegate.engine import Engine
from tidegate.store.memory import MemoryStore


@pytest.mark.conforms("B166", "B072")
def test_each_future_is_an_edge_at_any_depth() -> None:
    @dataclasses.dataclass
    class Box:
        inside: Any

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        inside: Any

    shapes: list[Callable[[Any], Any]] = [
        lambda f: f,
        lambda f: [f],
        lambda f: (1, f),
        lambda f: {f},
        lambda f: {"k": f},
        lambda f: {f: "v"},
        lambda f: {"k": [({"k": f},)]},
        lambda f: Box(f),
        lambda f: Box([Box(f)]),
        lambda f: Model(inside=[f]),
        lambda f: allow_failure(f),
        lambda f: [allow_failure(f)],
        lambda f: allow_failure([f]),
    ]

    def body() -> int:
        for shape in shapes:
            take(shape(make.submit(int)))
        return 1

    store = run_links(body)
    wanted = {(2 * at + 1, 2 * at + 2, "future", "value") for at in range(len(shapes))}
    assert edges_full(store) == wanted


@pytest.mark.conforms("B168", "B187")
def test_wait_for_is_an_edge_of_its_own_and_quote_is_none() -> None:
    def body() -> int:
        one, two = make.submit(int), make.submit(int)
        take(one, wait_for=[two])
        take(quote(one))
        take(1, wait_for=two)
        return 1

    assert edges_full(run_links(body)) == {
        (1, 3, "future", "value"), (2, 3, "wait_for", "wait_for"), (2, 5, "wait_for", "wait_for"),
    }  # fmt: skip


@pytest.mark.conforms("B166")
def test_parameters_keep_their_own_edges_and_duplicates_collapse() -> None:
    def body() -> int:
        one, two = make.submit(int), make.submit(int)
        take([one, one, two], two)
        return 1

    store = run_links(body)
    assert store.task_runs(1)[2].links == {"value": (("future", 1, 2),), "other": (("future", 2, 2),)}


@pytest.mark.conforms("B166")
def test_variable_parameters_are_linked_by_their_names() -> None:
    @task
    def many(*rest: Any, **more: Any) -> None: ...

    def body() -> int:
        one, two = make.submit(int), make.submit(int)
        many(one, 5, key=two)
        return 1

    assert edges_full(run_links(body)) == {(1, 3, "future", "rest"), (2, 3, "future", "more")}


@pytest.mark.conforms("B177")
@pytest.mark.parametrize("kind", ["future", "value"])
def test_subflows_are_linked_both_ways(kind: str) -> None:
    @flow
    def child(x: Any) -> Any:
        return [*x]

    def body() -> int:
        given: Any = make.submit(lambda: [1]) if kind == "future" else make(lambda: [1])
        take(child(given))
        return 1

    assert edges_full(run_links(body)) == {(1, 2, kind, "x"), (2, 3, "value", "value")}


@pytest.mark.conforms("B072", "B178")
def test_the_edges_of_a_map() -> None:
    def body() -> int:
        one, two, whole = make.submit(int), make.submit(int), make.submit(lambda: [1, 2])
        take.map([one, two])  # 4, 5: each its own
        take.map(whole)  # 6, 7: the whole
        take.map([1, 2], one)  # 8, 9: a static one to each
        take.map([1, 2], unmapped([two]))  # 10, 11
        take.map(make.map([int, int]))  # 12, 13 made; 14, 15
        take.map([1, 2], wait_for=[whole])  # 16, 17
        return 1

    wanted = {
        (1, 4, "future"), (2, 5, "future"), (3, 6, "map"), (3, 7, "map"), (2, 10, "future"), (2, 11, "future"),
        (12, 14, "future"), (13, 15, "future"), (3, 16, "wait_for"), (3, 17, "wait_for"),
    }  # fmt: skip
    found = {(up, down, kind) for up, down, kind, _ in edges_full(run_links(body)) if down not in (8, 9)}
    assert found == wanted


@pytest.mark.conforms("B070", "B072")
def test_a_static_future_of_something_that_is_no_iterable() -> None:
    def body() -> int:
        one = make.submit(int)
        take.map([1, 2], one)
        return 1

    assert edges(run_links(body)) == {(1, 2), (1, 3)}


@pytest.mark.conforms("B068")
@pytest.mark.parametrize("kind", ["future", "state", "state of a direct call", "allowed state"])
def test_a_map_over_a_whole_result_gives_every_child_its_edge(kind: str) -> None:
    def body() -> int:
        given: Any = make(lambda: [1, 2], return_state=True) if "direct" in kind else make.submit(lambda: [1, 2])
        if kind == "future":
            take.map(given)
        else:
            state = given if "direct" in kind else given.wait()
            take.map(allow_failure(state) if kind == "allowed state" else state)
        return 1

    assert edges_full(run_links(body)) == {(1, 2, "map", "value"), (1, 3, "map", "value")}


@pytest.mark.conforms("B167")
def test_states_lead_to_their_task_runs_whatever_they_hold() -> None:
    """Null, small numbers and shared texts say nothing of where they came from; the state that holds them does."""

    @flow
    def child(x: Any) -> Any:
        return x

    def body() -> int:
        for at, value in enumerate((None, 1, "shared", [1])):
            state = make(lambda value=value: value, return_state=True)
            take([state, {"again": (state, allow_failure(state))}])
            of_flow = child(at, return_state=True)
            take([of_flow])
            take(of_flow.data)  # the value alone: at is a small int
        return 1

    assert edges_full(run_links(body)) == {
        edge for first in range(1, 21, 5) for edge in (
            (first, first + 1, "future", "value"), (first + 2, first + 3, "future", "value"),
        )
    }  # fmt: skip


def test_a_state_of_another_flow_run_is_no_edge() -> None:
    kept: list[Any] = []

    @flow
    def first() -> int:
        kept.append(make(list, return_state=True))
        return 1

    @flow
    def second() -> int:
        make(list)
        take(kept[0])
        take.map(kept)
        return 1

    store = MemoryStore()
    with engine_over(store):
        first()
        second()
    assert edges(store, 2) == set()


def test_a_reduce_is_one_range() -> None:
    def body() -> int:
        take(make.map([int] * 500))
        return 1

    assert run_links(body).task_runs(1)[500].links == {"value": (("future", 1, 500),)}


def test_a_large_reduce_waits_for_all_of_it() -> None:
    """More futures than any walk over plain values would look at."""

    @task
    def total(values: list[int]) -> int:
        return sum(values)

    def body() -> int:
        futures = make.with_options(name="many").map([int] * 3)
        result: int = total([*futures, *[futures[2]] * 60_000, futures[0]])
        return result

    store = run_links(body)
    assert store.task_runs(1)[3].links == {"values": (("future", 1, 3),)}


@pytest.mark.parametrize("length", [1_001, 5_000])
@pytest.mark.parametrize("kind", ["list", "dict", "set"])
@pytest.mark.conforms("B072")
def test_a_future_among_many_plain_values_is_found(length: int, kind: str) -> None:
    """The function must never receive a future in the place of its value, wherever it stands."""
    chance = seeded(f"among_{length}_{kind}")
    got: list[Any] = []

    @task
    def look(values: Any) -> None:
        got.extend(values.values() if isinstance(values, dict) else values)

    def body() -> int:
        future = make.submit(lambda: "here")
        at = chance.randrange(100, length)
        items: list[Any] = [*range(at), future, *range(at, length)]
        look(dict(enumerate(items)) if kind == "dict" else set(items) if kind == "set" else items)
        return 1

    assert edges(run_links(body)) == {(1, 2)}
    assert "here" in got


@dataclasses.dataclass
class Point:
    x: float
    y: list[int]


@pytest.mark.conforms("B295")
def test_arguments_that_hold_themselves(engine: Engine) -> None:
    @task
    def look(x: Any) -> int:
        return len(x)

    @flow
    def body() -> list[int]:
        loop: list[Any] = [1]
        loop.append(loop)
        knot: dict[str, Any] = {}
        knot["me"] = [knot]
        with_future: list[Any] = [make.submit(int)]
        with_future.append(with_future)
        return [look(loop), look(knot), look(with_future)]

    assert in_time(body) == [2, 1, 2]


def test_very_deep_arguments(engine: Engine) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    @flow
    def body() -> int:
        take(deep)
        take([deep, make.submit(int)])
        return 1

    assert in_time(body) == 1
    while deep:  # taken apart by hand: freeing it at once would need as deep a stack
        deep = deep.pop()


def test_the_same_container_twice_is_resolved_twice(engine: Engine) -> None:
    @task
    def both(a: Any, b: Any) -> Any:
        return a, b

    @dataclasses.dataclass
    class Box:
        inside: Any

    @flow
    def body() -> list[Any]:
        future = make.submit(lambda: 7)
        shapes: list[Any] = [[future], (future,), {future}, {"k": future}, {future: 1}, Box(future), [[future]]]
        rows = make.map([lambda: 1, lambda: 2])
        return [*(both(x, x) for x in shapes), *(both([x], x) for x in shapes[:1]), both(rows, rows)]

    got = in_time(body)
    plain = [[7], (7,), {7}, {"k": 7}, {7: 1}, Box(7), [[7]]]
    assert got == [*((x, x) for x in plain), ([[7]], [7]), ([1, 2], [1, 2])]


def test_a_dict_with_futures_stays_of_its_kind(engine: Engine) -> None:
    @task
    def look(x: Any) -> Any:
        return x

    @flow
    def body() -> list[Any]:
        future = make.submit(lambda: 7)
        given = [OrderedDict(a=future, b=1), defaultdict(list, a=future), {"a": future}]
        got = [look(each) for each in given]
        assert [each["a"] for each in given] == [future] * 3
        return got

    ordered, default, plain = in_time(body)
    assert (type(ordered), list(ordered.items())) == (OrderedDict, [("a", 7), ("b", 1)])
    assert (type(default), default["a"], default["new"]) == (defaultdict, 7, [])
    assert (type(plain), plain) == (dict, {"a": 7})


def test_containers_without_futures_are_handed_over_not_copied(engine: Engine) -> None:
    class Sub(list[int]):
        pass

    @task
    def same(x: Any) -> int:
        return id(x)

    @flow
    def body() -> bool:
        given: list[Any] = [[1], {"k": 1}, Sub([1]), Point(1.0, []), (1, [2])]
        return all(same(x) == id(x) for x in given) and all(same.submit(x).result() == id(x) for x in given)

    assert in_time(body) is True


# Random graphs --------------------------------------------------------------------------------------------------------


Plan = list[tuple[str, list[tuple[int, str]]]]
"""For each node how it is called, and its upstream nodes with how they are handed over."""

ways = st.sampled_from(["future", "value", "nested", "wait_for"])
nodes = st.tuples(
    st.sampled_from(["call", "submit", "map"]),
    st.lists(st.tuples(st.integers(0, 30), ways), max_size=4),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(plan=st.lists(nodes, min_size=1, max_size=14), runner=st.sampled_from(["threads", "one thread", "sequential"]))
def test_built_edges_are_the_true_edges(plan: Plan, runner: str) -> None:
    """Random graphs, with futures, values, nesting, maps and waits: what is recorded is exactly what flowed."""
    wanted: set[tuple[int, int]] = set()
    runners = {
        "threads": ConcurrentTaskRunner(4),
        "one thread": ConcurrentTaskRunner(1),
        "sequential": SequentialTaskRunner(),
    }

    @task
    def node(*inputs: Any, row: int = 0) -> Any:
        return [row]  # fresh, and of no other's making

    def body() -> int:
        made: list[Any] = []  # by number, from 1
        for how, inputs in plan:
            ups, args, waits = set(), [], []
            for at, way in inputs if made else ():
                place = at % len(made)
                ups.add(place + 1)
                result = made[place]
                if way == "wait_for":
                    waits.append(result)
                    continue
                value = result.result() if way == "value" and isinstance(result, TaskFuture) else result
                args.append([value] if way == "nested" else value)
            if how == "map":
                new = list(node.map(*[unmapped(each) for each in args], row=[1, 2], wait_for=waits))
            else:
                new = [(node.submit if how == "submit" else node)(*args, wait_for=waits)]
            for each in new:
                made.append(each)
                wanted.update((up, len(made)) for up in ups)
        return 1

    store = MemoryStore()
    with engine_over(store):
        in_time(lambda: flow(body, name="dag", task_runner=runners[runner])())
    assert edges(store) == wanted
    assert all(row.state.is_completed() for row in store.task_runs(1))


def test_edges_are_shown_when_the_task_run_is_made_known(engine: Engine) -> None:
    feed = Feed(engine)
    blocked = threading.Event()

    @task
    def slow() -> list[int]:
        blocked.wait(5)
        return [1]

    @flow
    def body() -> int:
        first = slow.submit()
        second = take.submit(first)
        assert [event.links for event in created(feed.events)] == [{}, {"value": (("future", 1, 1),)}]
        blocked.set()
        second.wait()
        return 1

    assert in_time(body) == 1
