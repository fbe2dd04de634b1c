"""What the end of a flow depends on: the three policies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.flows import flow, in_time, task
from tidegate import UsageError, quote
from tidegate.engine import Engine


@task
def works() -> int:
    return 1


@task
def fails() -> None:
    raise ValueError("no")


def unread() -> None:
    works.submit()
    fails.submit()


def future() -> Any:
    return fails.submit()


def state() -> Any:
    return fails(return_state=True)


def states() -> Any:
    return [works(return_state=True), fails(return_state=True)]


def data() -> int:
    fails.submit()
    return 7


def raises() -> None:
    works.submit()
    raise KeyError("lost")


def quoted() -> Any:
    return quote(fails(return_state=True))


def nothing() -> None: ...


ENDS: list[tuple[Callable[[], Any], str, str, str]] = [
    # What the flow does, and how it ends by "children", "returned" and "raised".
    (unread, "Failed", "Completed", "Completed"),
    (future, "Failed", "Failed", "Completed"),
    (state, "Failed", "Failed", "Completed"),
    (states, "Failed", "Failed", "Completed"),
    (data, "Completed", "Completed", "Completed"),
    (raises, "Failed", "Failed", "Failed"),
    (quoted, "Completed", "Completed", "Completed"),
    (nothing, "Completed", "Completed", "Completed"),
]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("policy", ["children", "returned", "raised"])
@pytest.mark.parametrize("row", ENDS, ids=[row[0].__name__ for row in ENDS])
def test_the_end_by_each_policy(stored: Engine, row: tuple[Any, ...], policy: str, kind: str) -> None:
    body, by_children, by_returned, by_raised = row
    wanted = {"children": by_children, "returned": by_returned, "raised": by_raised}[policy]
    if kind == "sync":
        final = in_time(lambda: flow(body, name="judged", final_state=policy)(return_state=True))
    else:

        async def coroutine() -> Any:
            return body()

        judged = flow(coroutine, name="judged", final_state=policy)
        final = in_time(lambda: asyncio.run(judged(return_state=True)))
    assert final.name == wanted
    kept = stored.store.flow_run(1)
    assert kept is not None
    assert kept.state.name == wanted


def test_a_subflow_is_judged_by_its_own_policy(engine: Engine) -> None:
    lenient, strict = flow(unread, name="lenient", final_state="raised"), flow(unread, name="strict")

    @flow(final_state="returned")
    def parent() -> Any:
        return [lenient(return_state=True), strict(return_state=True)]

    final = in_time(lambda: parent(return_state=True))
    assert final.message == "1/2 states failed."
    assert [each.name for each in final.data] == ["Completed", "Failed"]


def test_the_policy_stays_with_the_copy_and_must_be_one_of_three() -> None:
    made = flow(nothing, name="judged", final_state="raised")
    assert made.with_options(retries=1).final_state == "raised"
    assert made.with_options(final_state="children").final_state == "children"
    for wrong in ("all", None, 1):
        with pytest.raises(UsageError, match="children, returned, raised") as caught:
            flow(nothing, name="judged", final_state=wrong)
        assert "\n" not in str(caught.value)
