"""What a state says of where it comes from."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from typing import Any

import pytest

from support.flows import Feed, flow, in_time, make, task
from tidegate.engine import Engine
from tidegate.model.events import FlowState, TaskState
from tidegate.model.states import AwaitingRetry, Cached, Cancelled, Completed, StateDetails, Unloaded


@task
def works() -> str:
    return "result"


@task
def fails() -> None:
    raise ValueError("no")


@pytest.mark.conforms("B101")
def test_a_final_state_names_its_run(engine: Engine) -> None:
    async def coroutine() -> str:
        return "result"

    later = task(coroutine, name="later")

    @flow
    def work() -> Any:
        return [
            works(return_state=True),
            works.submit().wait(),
            fails(return_state=True),
            later(return_state=True),
        ]

    final = in_time(lambda: work(return_state=True))
    where = [(each.details.flow_run_id, each.details.task_run_id) for each in final.data]
    assert where == [(1, 1), (1, 2), (1, 3), (1, 4)]
    assert (final.details.flow_run_id, final.details.task_run_id) == (1, None)
    assert Completed(1).details.flow_run_id is None


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("end", ["Completed", "Failed", "Cancelled"])
@pytest.mark.conforms("B101")
def test_the_state_of_a_subflow_names_both_runs(engine: Engine, kind: str, end: str) -> None:
    def body() -> Any:
        if end == "Failed":
            raise ValueError("no")
        return 1 if end == "Completed" else Cancelled("enough")

    async def coroutine() -> Any:
        return body()

    child = flow(body if kind == "sync" else coroutine, name="child")

    @flow
    def parent() -> int:
        works()
        states = [child(return_state=True), child(return_state=True)]
        assert [each.name for each in states] == [end, end]
        found = [each.details for each in states]
        assert [(each.flow_run_id, each.task_run_id, each.child_flow_run_id) for each in found] == [
            (1, 2, 2),
            (1, 3, 3),
        ]
        assert works(return_state=True).details.child_flow_run_id is None
        return 1

    assert in_time(parent) == 1
    assert [row.parent for row in engine.store.flow_runs()] == [(1, 3), (1, 2), None]


def test_a_flow_that_returns_the_state_of_a_subflow_stands_for_itself(engine: Engine) -> None:
    child = flow(lambda: 1.5, name="child")
    parent = flow(lambda: child(return_state=True), name="parent")
    outer: list[StateDetails] = []

    @flow
    def root() -> int:
        outer.append(parent(return_state=True).details)
        return 1

    in_time(root)
    assert outer == [StateDetails(1, 1, 2)]
    final = in_time(lambda: flow(lambda: child(return_state=True), name="top")(return_state=True))
    assert final.details.child_flow_run_id is None
    assert final.origin is not None
    assert final.origin[1] == 0


@pytest.mark.conforms("B101")
def test_times_and_cache_keys() -> None:
    assert AwaitingRetry(5.0).details.scheduled_time == 5.0
    cached = Cached(1, extra={"cache_key": "k", "cache_expiration": 9.0}).of_run(1, 2)
    found = cached.details
    assert (found.flow_run_id, found.task_run_id, found.cache_key, found.cache_expiration) == (1, 2, "k", 9.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.cache_key = "other"  # type: ignore[misc]


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Box:
    inside: Any


UNTRACKABLE = [None, True, 5, -5, 256, ..., NotImplemented, Color.RED, int]
TRACKABLE = [object(), 1.5, 257, -6, "text", [], {}, [1.5], ["a", 1000], Box([1]), ([1],)]


@pytest.mark.parametrize("value", UNTRACKABLE, ids=repr)
@pytest.mark.conforms("B101", "B172")
def test_what_cannot_be_recognised_is_flagged(value: Any) -> None:
    for each in (value, [value], (1.5, value), {"k": value}, Box(value)):
        assert Completed(each).details.untrackable is True
    assert Completed([[value]]).details.untrackable is False, "no deeper than links go"


@pytest.mark.parametrize("value", TRACKABLE, ids=lambda each: repr(each)[:20])
@pytest.mark.conforms("B101", "B172")
def test_what_can_be_recognised_is_not(value: Any) -> None:
    assert Completed(value).details.untrackable is False


def test_nothing_is_fetched_to_find_that_out() -> None:
    class Somewhere(Unloaded):
        def load(self) -> Any:
            raise AssertionError

    assert Completed(Somewhere()).details.untrackable is False
    assert Completed(None).without_data().details.untrackable is False


@pytest.mark.conforms("B172")
def test_a_container_of_what_cannot_be_recognised_is_recognised(engine: Engine) -> None:
    @task
    def take(value: Any) -> None: ...

    @flow
    def linked() -> bool:
        state = make(lambda: [None, 1, True], return_state=True)
        take(state.result())
        return bool(state.details.untrackable)

    assert in_time(linked) is True
    assert engine.store.task_runs(1)[1].links == {"value": (("value", 1, 1),)}


def test_what_is_shown_and_kept_has_the_same_origin(engine: Engine, feed: Feed) -> None:
    @flow
    async def work() -> int:
        works()
        await asyncio.sleep(0)
        return 1

    in_time(lambda: asyncio.run(work()))
    ends = [each for each in feed.events if isinstance(each, (TaskState, FlowState)) and each.state.is_final()]
    assert [each.state.origin for each in ends] == [(1, 1), (1, 0)]
