"""Two runs side by side: what is said to differ does, and what does not is not."""

from __future__ import annotations

import pytest

from tidegate import Flow, Task, flow, task
from tidegate.comparison import Line, compare
from tidegate.engine import Engine


def compared(engine: Engine, make: Flow[[int], int], one: int, two: int) -> dict[str, Line]:
    """The lines about two runs, by what they are about."""
    for given in (one, two):
        make(given)
    second, first = engine.store.flow_runs(2)
    return {line.what: line for line in compare(engine.store, first, second)}


@task
def double(x: int) -> int:
    return 2 * x


@task
def boxed(x: int) -> list[int]:
    return [x]


@task
def picky(x: int) -> int:
    if x == 1:
        raise ValueError("one")
    return x


@flow
def doubles(given: int) -> int:
    return double(given) + double(0)


@flow
def boxes(given: int) -> int:
    boxed(given)
    return 0


@flow(final_state="raised")
def picks(given: int) -> int:
    picky.map([0, given]).wait()
    return 0


def test_what_differs_is_said(engine: Engine) -> None:
    lines = compared(engine, doubles, 1, 2)
    assert lines["parameter given"] == ("parameter given", "1", "2", "yes")
    assert lines["result"].told == "result"
    assert lines["task double"].told == "inputs, result"
    assert (lines["flow"].told, lines["state"].told, lines["code"].told) == ("", "", "")


def test_nothing_is_said_of_runs_that_are_the_same(engine: Engine) -> None:
    assert [line.what for line in compared(engine, doubles, 1, 1).values() if line.told] == []


def test_of_pickles_it_cannot_be_told(engine: Engine) -> None:
    assert compared(engine, boxes, 1, 2)["task boxed"].told == "inputs, perhaps a result"
    assert compared(engine, boxes, 1, 1)["task boxed"].told == ""


def test_states_are_compared_run_by_run(engine: Engine) -> None:
    line = compared(engine, picks, 1, 2)["task picky"]
    assert line.first.startswith("2 runs, 1 Failed, ")
    assert line.second.startswith("2 runs, ")
    assert "Failed" not in line.second
    assert line.told == "inputs, state"


def steps_like(new: bool) -> Task[[int], int]:
    """A task, as it is before or after an edit."""
    if new:

        @task
        def step(x: int) -> int:
            return 1 + x
    else:

        @task
        def step(x: int) -> int:
            return x + 1

    return step


@pytest.mark.parametrize("changed", [True, False])
def test_changed_code_is_said(engine: Engine, changed: bool) -> None:
    now = [steps_like(False)]

    @flow
    def steps(given: int) -> int:
        value = now[0](given)
        now[0] = steps_like(changed)
        return value

    assert compared(engine, steps, 1, 1)["task step"].told == ("code" if changed else "")
