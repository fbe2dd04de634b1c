"""Hooks: called once for each state that they are for, when it is kept; what they do does not change the run."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.flows import Feed, Start, flow, in_time, opened, states_in_store, task
from tidegate import CancelledRun, NotRunning, UsageError, get_run_context
from tidegate.engine import Engine
from tidegate.model.states import State

ALL = ("on_running", "on_completion", "on_failure", "on_crashed", "on_cancellation")
Calls = list[tuple[str, str, str]]


def noting(calls: Calls, kind: str, **more: Any) -> dict[str, Any]:
    """All five hooks, sync or async, each noting its option, the run and the state."""

    def make(option: str) -> Any:
        def hook(made: Any, run: Any, state: State) -> None:
            assert made.name in run.name
            calls.append((option, run.name, state.name))

        async def coroutine(made: Any, run: Any, state: State) -> None:
            await asyncio.sleep(0)
            hook(made, run, state)

        return hook if kind == "sync" else coroutine

    return {**{option: make(option) for option in ALL}, **more}


class Odd(BaseException):
    """No ordinary exception."""


def works() -> int:
    return 1


def fails() -> None:
    raise ValueError("no")


def crashes() -> None:
    raise Odd


ENDS = [(works, "on_completion", "Completed"), (fails, "on_failure", "Failed"), (crashes, "on_crashed", "Crashed")]


@pytest.mark.parametrize("hooks", ["sync", "async"])
@pytest.mark.parametrize("around", ["sync", "async"])
@pytest.mark.parametrize("way", ["call", "submit", "async task"])
@pytest.mark.parametrize(("body", "option", "name"), ENDS, ids=[each[1] for each in ENDS])
def test_hooks_of_tasks(
    engine: Engine, body: Callable[[], Any], option: str, name: str, way: str, around: str, hooks: str
) -> None:
    calls: Calls = []

    async def coroutine() -> Any:
        return body()

    step = task(coroutine if way == "async task" else body, name="step", **noting(calls, hooks))

    @flow
    def sync_flow() -> int:
        if way == "submit":
            step.submit().wait()
        else:
            step(return_state=True)
        return 1

    @flow
    async def async_flow() -> int:
        if way == "submit":
            step.submit().wait()
        elif way == "call":
            step(return_state=True)
        else:
            await step(return_state=True)
        return 1

    assert in_time(lambda: sync_flow() if around == "sync" else asyncio.run(async_flow())) == 1
    assert calls == [("on_running", "step-0", "Running"), (option, "step-0", name)]


@pytest.mark.parametrize("hooks", ["sync", "async"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("body", "option", "name"), ENDS, ids=[each[1] for each in ENDS])
def test_hooks_of_flows(engine: Engine, body: Callable[[], Any], option: str, name: str, kind: str, hooks: str) -> None:
    calls: Calls = []

    async def coroutine() -> Any:
        return body()

    made = flow(body if kind == "sync" else coroutine, name="work", flow_run_name="work-1", **noting(calls, hooks))
    in_time(lambda: made(return_state=True) if kind == "sync" else asyncio.run(made(return_state=True)))
    assert calls == [("on_running", "work-1", "Running"), (option, "work-1", name)]


def test_hooks_of_a_cancel(feed: Feed, start: Start, gate: threading.Event) -> None:
    calls: Calls = []
    at_work = threading.Event()

    @task(**noting(calls, "sync"))
    def step() -> None:
        at_work.set()
        while not gate.wait(0.01):
            pass

    @flow(flow_run_name="work-1", **noting(calls, "async"))
    def work() -> None:
        step.submit().wait()

    running = start(work)
    opened(at_work)
    running.run.cancel()
    with pytest.raises(CancelledRun):
        running.ended()
    assert calls == [
        ("on_running", "work-1", "Running"),
        ("on_running", "step-0", "Running"),
        ("on_cancellation", "step-0", "Cancelled"),
        ("on_cancellation", "work-1", "Cancelled"),
    ]


@pytest.mark.parametrize("way", ["call", "submit", "async task"])
def test_a_hook_is_called_when_its_state_is_kept(stored: Engine, way: str) -> None:
    found: list[tuple[str, str, str]] = []

    def look(made: Any, run: Any, state: State) -> None:
        number = run.number if hasattr(run, "flow_run") else 0
        found.append((states_in_store(stored.store, 1, number)[-1], state.name, run.state.name))

    async def coroutine() -> int:
        return 1

    hooks = dict.fromkeys(ALL[1:], look)
    good = task(coroutine if way == "async task" else works, name="good", **hooks)
    bad = task(fails, **hooks)

    @flow(**hooks)
    def work() -> int:
        for each in (good, bad):
            if way == "submit":
                each.submit().wait()
            else:
                each(return_state=True)
        return 1

    in_time(work)
    assert found == [("Completed",) * 3, ("Failed",) * 3, ("Completed",) * 3]


def test_a_run_goes_on_when_its_hooks_have_ended(engine: Engine) -> None:
    order: list[str] = []

    def begins(made: Any, run: Any, state: State) -> None:
        order.append("hook before")

    def ends(made: Any, run: Any, state: State) -> None:
        order.append("hook after")

    @task(on_running=begins, on_completion=ends)
    def step() -> None:
        order.append("body")

    @flow
    def work() -> None:
        step.submit().wait()
        order.append("went on")

    in_time(work)
    assert order == ["hook before", "body", "hook after", "went on"]


class Leaves(BaseException):
    """As an exit does."""


@pytest.mark.parametrize(
    "error", [ValueError("in the hook"), SystemExit(3), Leaves("far")], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("hook_kind", ["sync", "async"])
@pytest.mark.parametrize("way", ["call", "submit", "async task", "async flow"])
def test_what_a_hook_raises_is_logged_and_changes_nothing(
    stored: Engine, caplog: pytest.LogCaptureFixture, way: str, hook_kind: str, error: BaseException
) -> None:
    calls: Calls = []

    def bad_hook(made: Any, run: Any, state: State) -> None:
        raise error

    async def bad_coroutine(made: Any, run: Any, state: State) -> None:
        raise error

    good = noting(calls, "sync")
    bad = bad_hook if hook_kind == "sync" else bad_coroutine
    hooks = {"on_running": [bad, good["on_running"]], "on_completion": [bad, good["on_completion"]]}

    async def coroutine() -> int:
        return 1

    step = task(coroutine if way.startswith("async") else works, name="step", **hooks)

    @flow(flow_run_name="work-1", **hooks)
    def work() -> int:
        return int(step.submit().result() if way == "submit" else step())

    @flow(name="work", flow_run_name="work-1", **hooks)
    async def awaited() -> int:
        return int(await step())

    with caplog.at_level(logging.ERROR, "tidegate"):
        assert in_time(lambda: asyncio.run(awaited()) if way == "async flow" else work()) == 1
    assert calls == [
        ("on_running", "work-1", "Running"),
        ("on_running", "step-0", "Running"),
        ("on_completion", "step-0", "Completed"),
        ("on_completion", "work-1", "Completed"),
    ]
    told = [record for record in caplog.records if bad.__name__ in record.getMessage()]
    assert len(told) == 4
    assert all(record.exc_info is not None and record.exc_info[1] is error for record in told)
    assert states_in_store(stored.store, 1)[-1] == states_in_store(stored.store, 1, 1)[-1] == "Completed"


def test_several_hooks_are_called_in_order(engine: Engine) -> None:
    order: list[int] = []

    def numbered(at: int) -> Any:
        return lambda made, run, state: order.append(at)

    given = [numbered(at) for at in range(3)]
    step = task(works, name="step", on_completion=(each for each in given))
    given.append(numbered(9))

    @flow(on_completion=given)
    def work() -> None:
        step()
        step.with_options(name="copy")()
        step.with_options(name="other", on_completion=numbered(5))()
        step.with_options(name="none", on_completion=None)()

    in_time(work)
    assert order == [0, 1, 2, 0, 1, 2, 5, 0, 1, 2, 9]


def test_attempts_begin_anew_but_only_the_end_is_an_end(engine: Engine) -> None:
    calls: Calls = []

    @task(retries=2, **noting(calls, "sync"))
    def step() -> None:
        if len([each for each in calls if each[0] == "on_running"]) < 3:
            raise ValueError("not yet")

    @flow(**noting([], "sync"), flow_run_name="work")
    def work() -> None:
        step()

    in_time(work)
    assert [each[0] for each in calls] == ["on_running"] * 3 + ["on_completion"]
    assert [each[2] for each in calls] == ["Running", "Retrying", "Retrying", "Completed"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_hooks_of_a_subflow_are_called_once(engine: Engine, kind: str) -> None:
    calls: Calls = []

    async def coroutine() -> None:
        fails()

    child = flow(fails if kind == "sync" else coroutine, name="child", flow_run_name="child", **noting(calls, kind))

    @flow
    def parent() -> int:
        assert child(return_state=True).is_failed()
        return 1

    assert in_time(parent) == 1
    assert calls == [("on_running", "child", "Running"), ("on_failure", "child", "Failed")]


def test_a_flow_that_is_refused_has_failed(engine: Engine) -> None:
    told: list[Any] = []

    @flow(on_running=lambda *each: told.append(each), on_failure=lambda *each: told.append(each))
    def work(x: int) -> None: ...

    final = in_time(lambda: work("no number", return_state=True))
    assert [(made, state) for made, _, state in told] == [(work, final)]


def test_a_task_that_never_began_has_no_hooks(engine: Engine) -> None:
    calls: Calls = []
    after = task(lambda x: x, name="after", **noting(calls, "sync"))

    @flow
    def work() -> int:
        after.submit(task(fails).submit()).wait()
        return 1

    assert in_time(work) == 1
    assert calls == []


def test_a_hook_cannot_end_what_has_ended(stored: Engine) -> None:
    refused: list[str] = []

    def cancels(made: Any, run: Any, state: State) -> None:
        try:
            run.cancel()
        except NotRunning as error:
            refused.append(str(error))

    assert in_time(flow(works, on_completion=cancels)) == 1
    assert len(refused) == 1
    assert states_in_store(stored.store, 1) == ["Running", "Completed"]


def test_hooks_run_in_the_flow_that_the_task_belongs_to(engine: Engine) -> None:
    names: list[str] = []

    def hook(made: Any, run: Any, state: State) -> None:
        names.append(get_run_context().name)

    step = task(works, on_completion=hook)

    @flow(flow_run_name="around")
    def work() -> None:
        step()
        step.submit().wait()

    in_time(work)
    assert names == ["around", "around"]


@pytest.mark.parametrize("wrong", [5, "text", [None], [works, 5]])
@pytest.mark.parametrize("option", ALL)
@pytest.mark.parametrize("make", [flow, task], ids=["flow", "task"])
def test_what_cannot_be_called_is_refused_in_one_line(make: Any, option: str, wrong: Any) -> None:
    with pytest.raises(UsageError, match=option) as caught:
        make(works, **{option: wrong})
    assert "\n" not in str(caught.value)


def test_hooks_of_submitted_tasks_run_on_a_worker_and_may_commit(stored: Engine) -> None:
    """Not on the thread that writes the store, which would wait for itself."""
    names: list[str] = []

    def hook(*_: Any) -> None:
        names.append(threading.current_thread().name)
        flow(lambda: 1, name="inside")()

    work = task(lambda x: x, name="work", on_completion=hook)
    assert in_time(lambda: flow(lambda: sum(work.map(range(20)).result()), name="main")()) == 190
    assert len(names) == 20
    assert all("worker" in name for name in names), set(names)
