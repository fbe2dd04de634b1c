"""Tags: where they come from, and which runs have them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.flows import flow, in_time, task
from tidegate import Flow, Task, UsageError, tags
from tidegate.engine import Engine
from tidegate.tags import current_tags


@task(tags=["own"])
def step(x: int = 0) -> int:
    return x


@task
async def later() -> int:
    return 1


def of_tasks(engine: Engine, flow_run: int = 1) -> dict[str, set[str]]:
    return {row.name: set(row.tags) for row in engine.store.task_runs(flow_run)}


def of_flows(engine: Engine) -> dict[str, set[str]]:
    return {row.flow: set(row.tags) for row in engine.store.flow_runs()}


@pytest.mark.conforms("B237")
def test_tags_hold_inside_and_no_longer(stored: Engine) -> None:
    @flow
    def work() -> int:
        step()
        with tags("a", "b") as here:
            assert here == current_tags() == {"a", "b"}
            step()
            with tags("b", "c"):
                step()
            step.submit().wait()
            step.map([1]).wait()
            later()
            step(return_state=True)
        with pytest.raises(ZeroDivisionError), tags("gone"):
            _ = 1 / 0
        later.submit().wait()
        return 1

    in_time(work)
    assert of_tasks(stored) == {
        "step-0": {"own"},
        "step-1": {"own", "a", "b"},
        "step-2": {"own", "a", "b", "c"},
        "step-3": {"own", "a", "b"},
        "step-4": {"own", "a", "b"},
        "later-0": {"a", "b"},
        "step-5": {"own", "a", "b"},
        "later-1": set(),
    }
    assert current_tags() == frozenset()


@pytest.mark.conforms("B237")
def test_tags_around_flows_reach_them(stored: Engine) -> None:
    @flow(tags={"mine"})
    def work() -> int:
        return int(step())

    with tags("nightly"):
        in_time(work)  # on a thread of its own, which begins outside
        work()
    work()
    assert [set(row.tags) for row in stored.store.flow_runs()] == [{"mine"}, {"mine", "nightly"}, {"mine"}]
    assert of_tasks(stored, 2) == {"step-0": {"own", "mine", "nightly"}}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B192", "B238")
def test_tags_of_a_flow_reach_its_tasks_and_subflows(stored: Engine, kind: str) -> None:
    def body() -> int:
        step()
        return 1

    async def coroutine() -> int:
        step()
        return int(await later())

    grandchild: Any = flow(body if kind == "sync" else coroutine, name="grandchild", tags=["small"])

    @flow(tags=["middle"])
    def child() -> int:
        return int(grandchild())

    @flow(tags=["root"])
    def parent() -> int:
        step()
        with tags("around"):
            return int(child())

    in_time(parent)
    assert of_flows(stored) == {
        "parent": {"root"},
        "child": {"root", "around", "middle"},
        "grandchild": {"root", "around", "middle", "small"},
    }
    assert of_tasks(stored, 1) == {"step-0": {"own", "root"}, "child-0": {"root", "around", "middle"}}
    assert of_tasks(stored, 3)["step-0"] == {"own", "root", "around", "middle", "small"}


@pytest.mark.conforms("B237")
def test_tags_of_flows_side_by_side_do_not_mix(stored: Engine) -> None:
    @flow
    async def child(name: str) -> int:
        await asyncio.sleep(0)
        return int(await later())

    @flow
    async def parent() -> int:
        async def one(name: str) -> None:
            with tags(name):
                await child(name)

        await asyncio.gather(one("a"), one("b"))
        return 1

    in_time(lambda: asyncio.run(parent()))
    assert sorted(row.tags for row in stored.store.task_runs(1)) == [("a",), ("b",)]
    for number in (2, 3):
        row = stored.store.flow_run(number)
        assert row is not None
        assert of_tasks(stored, number) == {"later-0": set(row.tags)}


@pytest.mark.parametrize("kind", [Flow, Task], ids=["flow", "task"])
@pytest.mark.conforms("B055")
def test_tags_are_a_set_of_its_own(kind: Any) -> None:
    given = ["a", "b", "a"]
    made = kind(lambda: 1, name="tagged", tags=given)
    given.append("c")
    assert made.tags == {"a", "b"}
    same, other, none = made.with_options(name="x"), made.with_options(tags=["z"]), made.with_options(tags=None)
    assert (same.tags, other.tags, none.tags, made.tags) == ({"a", "b"}, {"z"}, set(), {"a", "b"})
    assert made.with_options(tags=[]).tags == set()


@pytest.mark.parametrize("wrong", ["text", 5, [1], [""], ["a", None]])
@pytest.mark.parametrize("place", ["flow", "task", "block"])
def test_what_is_no_tag_is_refused_in_one_line(wrong: Any, place: str) -> None:
    def use() -> None:
        if place == "block":
            with tags(*(wrong if isinstance(wrong, list) else [wrong] if wrong == 5 else [wrong, 1])):
                pass
        else:
            (flow if place == "flow" else task)(lambda: 1, name="tagged", tags=wrong)

    with pytest.raises(UsageError, match=r"[Tt]ag") as caught:
        use()
    assert "\n" not in str(caught.value)
    assert current_tags() == frozenset()
