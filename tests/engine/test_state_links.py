"""States as inputs: each leads to the task run that ended in it, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest

from support.flows import edges, edges_full, flow, in_time, make, run_links, take, task
from tidegate import allow_failure, quote, unmapped
from tidegate.engine import Engine
from tidegate.model.states import Completed

VALUES: list[Any] = [None, True, 5, "", (), 1.5, [1], {"k": 1}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("way", ["call", "submit", "subflow"])
@pytest.mark.conforms("B167")
def test_a_state_is_an_edge_whatever_it_holds(value: Any, way: str) -> None:
    child = flow(lambda: quote(value), name="child")
    got: list[Any] = []

    @task
    def look(*given: Any) -> None:
        got.extend(given)

    def body() -> int:
        make(object)
        if way == "subflow":
            state = child(return_state=True)
        else:
            state = (make if way == "call" else make.submit)(lambda: value, return_state=True)
        look(state)
        look.submit([state, {"k": (state,)}], allow_failure(state)).wait()
        look(quote(state), wait_for=[state])
        return 1

    assert edges_full(run_links(body)) == {
        (2, 3, "future", "given"), (2, 4, "future", "given"), (2, 5, "wait_for", "wait_for"),
    }  # fmt: skip
    assert got[:3] == [value, [value, {"k": (value,)}], value]


@pytest.mark.parametrize("way", ["call", "submit", "subflow"])
@pytest.mark.conforms("B068", "B178")
def test_a_map_over_a_state_or_a_future(way: str) -> None:
    child = flow(lambda: (1, 2), name="child")
    got: list[Any] = []

    @task
    def look(x: Any, y: Any = None) -> None:
        got.append((x, y))

    def body() -> int:
        if way == "subflow":
            whole: Any = child(return_state=True)
        else:
            whole = make.submit(lambda: (1, 2)) if way == "submit" else make(lambda: (1, 2), return_state=True)
        single = make(lambda: 5, return_state=True)
        look.map(whole, single).wait()
        look.map(x=[7, 8], y=unmapped(whole)).wait()
        return 1

    assert edges_full(run_links(body)) == {
        *((1, at, "map", "x") for at in (3, 4)), *((2, at, "future", "y") for at in (3, 4)),
        *((1, at, "future", "y") for at in (5, 6)),
    }  # fmt: skip
    assert sorted(got) == [(1, 5), (2, 5), (7, (1, 2)), (8, (1, 2))]


@pytest.mark.conforms("B068")
def test_a_map_over_a_state_that_failed_raises_before_any_child_exists(engine: Engine) -> None:
    @task
    def fails() -> list[int]:
        raise ValueError("no list")

    @flow
    def body() -> int:
        with pytest.raises(ValueError, match="no list"):
            take.map(fails(return_state=True))
        return 1

    assert in_time(body) == 1
    assert len(engine.store.task_runs(1)) == 1


def test_a_state_of_another_flow_run_is_no_edge_here(engine: Engine) -> None:
    states: list[Any] = []

    @flow
    def first() -> int:
        make(object)
        states.append(make(lambda: 5, return_state=True))
        return 1

    @flow
    def second() -> int:
        make(object)
        make(object)
        take(states[0])
        take(Completed([1]))
        return 1

    in_time(first)
    in_time(second)
    assert edges(engine.store, 2) == set()


@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_state_that_failed_stands_in_the_way_also_of_those_that_wait_for_it(engine: Engine, how: str) -> None:
    @task
    def fails() -> None:
        raise ValueError("no")

    @flow
    def body() -> list[str]:
        state = fails(return_state=True)
        call = take if how == "call" else take.submit
        return [
            call(1, wait_for=[state], return_state=True).name,
            call(state, return_state=True).name,
            call(allow_failure(state), return_state=True).name,
        ]

    assert in_time(lambda: body(return_state=True)).data == ["NotReady", "NotReady", "Completed"]
