"""The state of a flow: from what it returned, or, where it returned nothing, from its task runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.flows import flow, in_time, opened, task
from tidegate import CancelledRun, quote
from tidegate.engine import Engine
from tidegate.model.states import Cancelled, Completed, State


@task
def good(x: Any = 1) -> Any:
    return x


@task
def bad(x: Any = 1) -> Any:
    raise ValueError("no")


@task
def off() -> Any:
    return Cancelled("not needed")


def final(body: Callable[[], Any]) -> State:
    """The final state of a flow with this body; the record must agree."""
    state: State = in_time(lambda: flow(body, name="work")(return_state=True))
    return state


def then_nothing(*calls: Callable[[], Any]) -> Callable[[], None]:
    """A body that makes these calls and returns nothing."""

    def body() -> None:
        for call in calls:
            call()

    return body


NOTHING_RETURNED: list[tuple[str, Callable[[], Any], str]] = [
    ("no task", then_nothing(), "Completed()"),
    ("good", then_nothing(good), "Completed('All states completed.')"),
    ("bad submitted", then_nothing(bad.submit), "Failed('1/1 states failed.')"),
    ("bad, state kept", then_nothing(good, lambda: bad(return_state=True)), "Failed('1/2 states failed.')"),
    ("bad mapped", then_nothing(lambda: bad.map([1, 2])), "Failed('2/2 states failed.')"),
    ("cancelled", then_nothing(lambda: off(return_state=True), good), "Cancelled('1/2 states cancelled.')"),
    ("not ready", then_nothing(lambda: good.submit(bad.submit())), "Failed('1/2 states failed.')"),
]


@pytest.mark.parametrize(("body", "wanted"), [c[1:] for c in NOTHING_RETURNED], ids=[c[0] for c in NOTHING_RETURNED])
@pytest.mark.conforms("B111", "B112", "B212")
def test_a_flow_that_returns_nothing_is_judged_by_its_tasks(
    stored: Engine, body: Callable[[], Any], wanted: str
) -> None:
    assert str(final(body)) == wanted
    row = stored.store.flow_run(1)
    assert row is not None
    assert str(row.state) == wanted


RETURNED: list[tuple[str, Callable[[], Any], str]] = [
    ("data beside an unread failure", lambda: [bad.submit(), 5][1], "Completed()"),
    ("false is data", lambda: [bad.submit(), False][1], "Completed()"),
    ("an empty list is data", lambda: [bad.submit(), []][1], "Completed()"),
    ("a state", lambda: bad(return_state=True), "Failed('ValueError: no')"),
    ("states", lambda: [bad(return_state=True), good(return_state=True)], "Failed('1/2 states failed.')"),
    ("a future", lambda: bad.submit(), "Failed('ValueError: no')"),
    ("a good future", lambda: good.submit(), "Completed()"),
    ("futures", lambda: [good.submit(), bad.submit()], "Failed('1/2 states failed.')"),
    ("a map", lambda: bad.map([1, 2, 3]), "Failed('3/3 states failed.')"),
    ("a good map", lambda: good.map([1, 2, 3]), "Completed('All states completed.')"),
    ("two maps", lambda: [good.map([1, 2]), bad.map([3])], "Failed('1/3 states failed.')"),
    ("a dict of states", lambda: {"a": bad(return_state=True)}, "Completed()"),
    ("states and data", lambda: [bad(return_state=True), 1], "Completed()"),
    ("a quoted state", lambda: quote(bad(return_state=True)), "Completed()"),
    ("a quoted future", lambda: quote(bad.submit()), "Completed()"),
    ("a state of one's own", lambda: Completed(5, message="by hand"), "Completed('by hand')"),
    ("a cancelled state", lambda: off(return_state=True), "Cancelled('not needed')"),
]


@pytest.mark.parametrize(("body", "wanted"), [case[1:] for case in RETURNED], ids=[case[0] for case in RETURNED])
@pytest.mark.conforms("B103", "B105", "B106", "B108", "B109", "B110", "B113", "B065")
def test_a_flow_is_judged_by_what_it_returns(stored: Engine, body: Callable[[], Any], wanted: str) -> None:
    assert str(final(body)) == wanted
    row = stored.store.flow_run(1)
    assert row is not None
    assert str(row.state) == wanted


@pytest.mark.conforms("B114")
def test_a_task_is_judged_by_what_it_returns_but_not_by_its_tasks(stored: Engine) -> None:
    @task
    def gives(make: Any) -> Any:
        return make()

    @task
    def nothing() -> None:
        bad(return_state=True)
        bad.submit().wait()

    shapes: list[tuple[Callable[[], Any], str]] = [
        (lambda: Completed(5, message="by hand"), "Completed('by hand')"),
        (lambda: bad(return_state=True), "Failed('ValueError: no')"),
        (lambda: [bad(return_state=True), good(return_state=True)], "Failed('1/2 states failed.')"),
        (lambda: {"a": bad(return_state=True)}, "Completed()"),
        (lambda: quote(bad(return_state=True)), "Completed()"),
    ]

    @flow
    def work() -> int:
        for make, wanted in shapes:
            assert str(gives(make, return_state=True)) == wanted
            assert str(gives.submit(make).wait()) == wanted
        assert str(nothing(return_state=True)) == "Completed()"
        assert str(nothing.submit().wait()) == "Completed()"
        return 1

    assert in_time(work) == 1


@pytest.mark.conforms("B106")
def test_the_first_failure_is_what_the_caller_sees(engine: Engine) -> None:
    @flow
    def work() -> Any:
        return [good.submit(), bad.submit()]

    with pytest.raises(ValueError, match=r"^no$"):
        in_time(work)


@pytest.mark.conforms("B112")
def test_an_unread_failure_raises_out_of_a_flow_that_returns_nothing(engine: Engine) -> None:
    @flow
    def work() -> None:
        bad.submit()

    with pytest.raises(ValueError, match=r"^no$"):
        in_time(work)


@pytest.mark.conforms("B112", "B195")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_subflow_counts_like_a_task(stored: Engine, kind: str) -> None:
    def body() -> None:
        bad.submit()

    async def coroutine() -> None:
        bad.submit()

    child = flow(body if kind == "sync" else coroutine, name="child")

    def parent() -> None:
        good()
        child(return_state=True)

    assert str(final(parent)) == "Failed('1/2 states failed.')"
    assert str(stored.store.flow_runs()[0].state) == "Failed('1/1 states failed.')"


@pytest.mark.conforms("B197", "B212")
def test_a_cancelled_child_cancels_the_parent_that_returns_it(engine: Engine) -> None:
    @flow
    def child() -> Any:
        return Cancelled("enough")

    @flow
    def parent() -> Any:
        return child(return_state=True)

    assert str(in_time(lambda: parent(return_state=True))) == "Cancelled('enough')"
    with pytest.raises(CancelledRun, match="enough"):
        in_time(parent)


@pytest.mark.conforms("B115")
@pytest.mark.parametrize("ending", ["returns", "raises"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_flow_waits_for_what_it_submitted(stored: Engine, kind: str, ending: str) -> None:
    free, ended = threading.Event(), list[int]()

    @task
    def slow(x: int) -> None:
        opened(free)
        ended.append(x)

    def body() -> int:
        slow.map(range(5))
        threading.Timer(0.05, free.set).start()
        if ending == "raises":
            raise KeyError("body")
        return 1

    async def coroutine() -> int:
        return body()

    work = flow(body if kind == "sync" else coroutine, name="work")
    given = in_time(lambda: asyncio.run(work(return_state=True)) if kind == "async" else work(return_state=True))
    assert sorted(ended) == list(range(5))
    assert given.is_completed() == (ending == "returns")
    assert {row.state.name for row in stored.store.task_runs(1)} == {"Completed"}
    events = [event for _, event in stored.store.events(1)]
    assert type(events[-1]).__name__ == "FlowState", "the end of the flow is the last thing kept"


@pytest.mark.conforms("B104", "B023")
def test_a_flow_that_raises_fails_with_one_line(stored: Engine) -> None:
    @flow
    def work() -> None:
        good()
        raise ValueError("two\nlines")

    with pytest.raises(ValueError, match="two\nlines"):
        in_time(work)
    row = stored.store.flow_run(1)
    assert row is not None
    assert str(row.state) == "Failed('ValueError: two lines')"


@pytest.mark.conforms("B214", "B253")
def test_a_crash_of_an_unread_task_fails_the_flow_and_spares_the_others(stored: Engine) -> None:
    @task
    def exits() -> None:
        raise SystemExit(3)

    def body() -> None:
        exits.submit()
        good.map([1, 2, 3])

    state = final(body)
    assert state.is_failed() or state.is_crashed()
    assert [row.state.name for row in stored.store.task_runs(1)] == ["Crashed", *["Completed"] * 3]


@pytest.mark.conforms("B115")
def test_a_flow_that_returns_a_cancelled_state_still_waits_for_its_tasks(engine: Engine) -> None:
    """Nobody asked for a cancel: the others go on to their end."""
    began, free = threading.Event(), threading.Event()

    @task
    def slow() -> None:
        began.set()
        opened(free)

    def body() -> State:
        slow.submit()
        opened(began)
        threading.Timer(0.05, free.set).start()
        return Cancelled("enough")

    assert str(final(body)) == "Cancelled('enough')"
    assert [row.state.name for row in engine.store.task_runs(1)] == ["Completed"]
