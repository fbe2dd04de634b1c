"""A sample of a run: the first members of each mapped call run, and a resume runs the rest."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from tidegate import Flow, flow, fork, resume, task
from tidegate.engine import Engine
from tidegate.model.states import State, StateType
from tidegate.model.views import TaskRow
from tidegate.sampling import estimate


class Seen:
    """What ran, in a class: a list of the module that a task changes would count as a part of its code."""

    ran: ClassVar[list[int]] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    Seen.ran.clear()


@task
def step(x: int) -> int:
    Seen.ran.append(x)
    if x < 0:
        raise ValueError("below")
    return 10 * x


@task
def total(values: list[int]) -> int:
    return sum(values)


def sampled(make: Flow[..., Any], number: int) -> State:
    """The state in which a sample of so many leaves a run."""
    make.sample = number
    state: State = make(return_state=True)
    return state


def test_a_sample_runs_the_first_members_and_a_resume_the_rest(stored: Engine) -> None:
    @flow
    def whole() -> int:
        return total(step.map(range(6)).result())

    state = sampled(whole, 2)
    assert (state.is_suspended(), sorted(Seen.ran)) == (True, [0, 1])
    assert state.message.startswith("A sample. step: 2 of 6, ")
    assert "the rest takes about" in state.message
    row = stored.store.flow_runs(1)[0]
    assert f"`tidegate.resume({row.number})`" in state.message
    assert (row.state.is_suspended(), row.owner) == (True, "")
    ended: Any = resume(row.number, whole)
    assert (ended.name, ended.result(), sorted(Seen.ran)) == ("Completed", 150, [0, 1, 2, 3, 4, 5])


def test_a_fork_of_a_sample_is_whole(stored: Engine) -> None:
    @flow
    def whole() -> int:
        return sum(step.map(range(4)).result())

    sampled(whole, 2)
    ended: Any = fork(stored.store.flow_runs(1)[0].number, flow=whole)
    assert (ended.result(), sorted(Seen.ran)) == (60, [0, 1, 2, 3])


def test_what_fails_in_a_sample_is_counted_and_runs_again(stored: Engine) -> None:
    @flow
    def whole() -> None:
        step.map([-1, 1, 2, 3]).wait()

    state = sampled(whole, 2)
    assert state.is_suspended()
    assert "step: 2 of 4, 1 of them did not complete, " in state.message
    resume(stored.store.flow_runs(1)[0].number, whole)
    assert sorted(Seen.ran) == [-1, -1, 1, 2, 3]


def test_a_run_that_has_no_more_is_no_sample(stored: Engine) -> None:
    @flow
    def whole() -> int:
        return sum(step.map(step.map(range(3))).result())

    assert sampled(whole, 3).is_completed()
    assert sampled(whole, 2).message.count(" of 3, ") == 1  # what maps over the sample has all of it


def test_mapped_calls_of_tasks_and_subflows_are_whole(stored: Engine) -> None:
    @task
    def outer() -> int:
        return sum(step.map(range(4)).result())

    @flow
    def inner() -> int:
        return sum(step.map(range(4)).result())

    @flow
    def whole() -> list[int]:
        return [outer(), inner()]

    state = sampled(whole, 2)
    assert (state.is_completed(), state.result()) == (True, [60, 60])


def test_a_sample_of_an_async_flow(stored: Engine) -> None:
    @task
    async def step_async(x: int) -> int:
        Seen.ran.append(x)
        return x

    @flow
    async def whole() -> int:
        futures: Any = step_async.map(range(5))
        return sum(await futures.result())

    async def both() -> tuple[State, State]:
        called: Any = whole
        whole.sample = 2
        state = await called(return_state=True)
        resumed: Any = resume(stored.store.flow_runs(1)[0].number, whole)
        return state, await resumed

    state, ended = asyncio.run(both())
    assert state.is_suspended()
    assert (ended.result(), sorted(Seen.ran)) == (10, [0, 1, 2, 3, 4])


def test_a_body_that_fails_is_failed(stored: Engine) -> None:
    @flow
    def whole() -> None:
        step.map(range(4)).wait()
        raise ValueError("late")

    assert sampled(whole, 2).is_failed()


# What it says of the whole


def member(number: int, started: float, seconds: float) -> TaskRow:
    state = State(StateType.COMPLETED, "Completed")
    row = TaskRow(1, number, "step", 1, number, 0.0, state)
    row.started, row.ended, row.ran = started, started + seconds, seconds
    return row


def test_the_rest_takes_as_long_as_the_sample_says() -> None:
    found = estimate([member(n, 2.0 * n, 2.0) for n in range(10)], 100)
    assert found is not None
    assert (found.each, found.least, found.most) == (2, 2, 2)
    assert (found.rest, found.margin) == (180, 0)


def test_members_that_run_side_by_side_take_less() -> None:
    found = estimate([member(n, 0.0, 2.0) for n in range(10)], 110)
    assert found is not None
    assert found.rest == 20


def test_members_that_differ_leave_a_margin() -> None:
    found = estimate([member(0, 0.0, 1.0), member(1, 1.0, 3.0)], 4)
    assert found is not None
    assert (found.each, found.rest) == (2, 4)
    assert 3.9 < found.margin < 4.1
    assert estimate([], 4) is None
