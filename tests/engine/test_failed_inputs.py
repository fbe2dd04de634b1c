"""What is kept of the inputs of failed task runs, and that nobody else notices."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tidegate import ProcessTaskRunner, flow, task
from tidegate.engine import Engine
from tidegate.failed_inputs import MOST, KeptInputs, kept_with
from tidegate.saving import context_of


def kept(engine: Engine, task_run: int) -> tuple[dict[str, Any], dict[str, str]]:
    """What the record of the newest run has of the inputs of a task run: values, and reasons."""
    number = engine.store.flow_runs(1)[0].number
    row = engine.store.task_run(number, task_run)
    assert row is not None
    assert row.result is not None
    error = engine.saving.keeper.load(row.result, context_of(number, task_run))
    found = kept_with(error, (number, task_run))
    if found is None:
        return {}, {}
    values, left_out = found.load()
    return values, {name: each.reason for name, each in left_out.items()}


@task
def fails(x: Any, y: Any = 2) -> None:
    raise ValueError("bad")


@task
async def fails_async(x: Any) -> None:
    raise ValueError("bad")


def test_inputs_are_kept_with_the_failure(stored: Engine) -> None:
    @flow(final_state="raised")
    def whole() -> None:
        fails.submit([1, {"a": 2}]).wait()
        fails_async.submit(3).wait()
        fails.submit(fails.submit(1)).wait()

    whole()
    assert kept(stored, 1) == ({"x": [1, {"a": 2}], "y": 2}, {})
    assert kept(stored, 2) == ({"x": 3}, {})


def test_those_of_a_worker_process_are_kept_too(stored: Engine) -> None:
    @task
    def far(x: int) -> None:
        raise ValueError("bad")

    @flow(final_state="raised", task_runner=ProcessTaskRunner(max_workers=1))
    def whole() -> None:
        far.submit(5).wait()

    whole()
    assert kept(stored, 1) == ({"x": 5}, {})


def test_the_user_s_exception_is_as_it_was(stored: Engine) -> None:
    caught: list[BaseException] = []

    @flow(final_state="raised")
    def whole() -> None:
        try:
            fails(1)
        except ValueError as error:
            caught.append(error)

    whole()
    assert vars(caught[0]) == {}


def test_one_exception_of_two_task_runs_is_kept_with_the_inputs_of_each(stored: Engine) -> None:
    @task
    def outer(name: str) -> None:
        fails(name + "!")

    @flow(final_state="raised")
    def whole() -> None:
        outer.submit("a").wait()

    whole()
    assert [kept(stored, number)[0] for number in (1, 2)] == [{"name": "a"}, {"x": "a!", "y": 2}]


@pytest.mark.parametrize("bad", [threading.Lock(), iter([1]), b"x" * (MOST + 1), list(range(MOST))])
def test_what_cannot_be_kept_is_named_and_the_rest_is_kept(bad: Any) -> None:
    made = KeptInputs.of((1, 1), {"a": 1, "bad": bad, "b": "two"})
    values, left_out = made.load()
    assert values == {"a": 1, "b": "two"}
    assert list(left_out) == ["bad"]
    assert left_out["bad"].reason
    assert left_out["bad"].kind == type(bad).__qualname__


def test_all_that_is_kept_of_one_failure_is_small() -> None:
    made = KeptInputs.of((1, 1), {str(n): b"x" * (MOST // 4) for n in range(8)})
    assert sum(map(len, made.pickles.values())) <= MOST
    assert len(made.pickles) == 3
    assert len(made.left_out) == 5


def test_an_exception_that_takes_no_attributes_fails_as_ever(stored: Engine) -> None:
    class Closed(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    @task
    def closed() -> None:
        raise Closed("shut")

    @flow(final_state="raised")
    def whole() -> None:
        closed.submit().wait()

    whole()
    assert stored.store.task_runs(stored.store.flow_runs(1)[0].number)[0].state.message == "Closed: shut"
