"""Resume in the process that began the run: what is kept, what runs again, what is refused."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from support.flows import flow, states_in_store, task
from support.resumes import Bodies, noting, resumed
from tidegate import CancelledRun, cancel_flow_run, resume, resume_plan
from tidegate.engine import Engine
from tidegate.errors import FlowNotFound, NotStartable, UsageError
from tidegate.flow_runs import create_flow_run
from tidegate.model.states import State

# Failed in this process -----------------------------------------------------------------------------------------------


def test_of_a_failed_run_the_failed_ones_run_again(stored: Engine) -> None:
    bodies = Bodies("b")

    step = noting(bodies)

    @flow
    def work() -> str:
        return "".join([each.result() for each in [step.submit(name) for name in "abc"]])

    with pytest.raises(ValueError, match="b"):
        work()
    assert sorted(bodies.ran) == ["a", "b", "c"]
    assert (resume_plan(1).kept, resume_plan(1).again) == (2, {"Failed": 1})
    bodies.fails.clear()
    assert resumed(1) == "abc"
    assert bodies.ran[3:] == ["b"]
    assert states_in_store(stored.store, 1) == ["Running", "Failed", "Resuming", "Completed"]
    assert states_in_store(stored.store, 1, 2) == ["Running", "Failed", "Retrying", "Completed"]
    with pytest.raises(NotStartable, match=r"is Completed: there is nothing to resume\.$"):
        resume(1)


def test_a_kept_subflow_and_a_kept_task_without_value(stored: Engine) -> None:
    bodies = Bodies("work")

    @task
    def nothing() -> None:
        bodies("nothing")

    @flow
    def inner(x: int) -> list[int]:
        bodies("inner")
        return [x]

    @flow
    def work() -> Any:
        found = [nothing(), inner(1)]
        bodies("work")
        return found

    with pytest.raises(ValueError, match="work"):
        work()
    bodies.fails.clear()
    assert resumed(1) == [None, [1]]
    assert bodies.ran == ["nothing", "inner", "work", "work"]
    assert len(stored.store.flow_runs()) == 2


def test_an_async_flow_is_awaited(stored: Engine) -> None:
    bodies = Bodies("work")

    @task
    async def step(x: int) -> int:
        bodies(f"step {x}")
        return x

    @flow
    async def work() -> list[int]:
        found = list(await asyncio.gather(*[step(x) for x in range(3)]))
        bodies("work")
        return found

    async def both() -> Any:
        with pytest.raises(ValueError, match="work"):
            await work()
        bodies.fails.clear()
        final = resume(1)
        assert not isinstance(final, State)
        return (await final).result()

    assert asyncio.run(both()) == [0, 1, 2]
    assert bodies.ran == ["step 0", "step 1", "step 2", "work", "work"]
    assert states_in_store(stored.store, 1) == ["Running", "Failed", "Resuming", "Completed"]


# Refusals -------------------------------------------------------------------------------------------------------------


def test_parameters_without_a_json_form_are_to_be_given_again(stored: Engine) -> None:
    bodies = Bodies("work")

    @flow(name="work")
    def work(connection: Any, many: list[Any], limit: int = 3) -> list[Any]:
        bodies("work")
        return [connection, many, limit]

    with pytest.raises(ValueError, match="work"):
        work(threading.Lock(), [1, threading.Lock()], limit=4)
    bodies.fails.clear()
    told = r"^The record holds no value of connection, many\. .*: resume\(1, parameters=\{'connection': \.\.\.\}\)\.$"
    with pytest.raises(UsageError, match=told):
        resume(1)
    assert states_in_store(stored.store, 1) == ["Running", "Failed"]
    assert resumed(1, connection="new", many=[]) == ["new", [], 4]


def test_what_cannot_be_resumed_is_told_in_one_line(stored: Engine) -> None:
    with pytest.raises(NotStartable, match=r"^There is no flow run 99\.$"):
        resume(99)
    with pytest.raises(NotStartable, match=r"^There is no flow run 99\.$"):
        resume_plan(99)

    create_flow_run("only here")
    with pytest.raises(FlowNotFound, match=r"^The flow 'only here' of run 1 is not defined here\. Run the cell or "):
        resume(1)


def test_a_run_that_is_at_work_here_is_not_resumed(stored: Engine) -> None:
    @flow
    def work() -> None:
        with pytest.raises(NotStartable, match=r"^The flow run 1 \(.*\) is Running, and this process runs it\.$"):
            resume(1)

    work()
    assert states_in_store(stored.store, 1) == ["Running", "Completed"]


def test_a_run_that_is_resumed_can_be_resumed_again(stored: Engine) -> None:
    """Numbers, attempts and call sites go on; what was kept once is kept again."""
    bodies = Bodies("b", "c")

    step = noting(bodies)

    @flow
    def work() -> Any:
        return step("a") + step("b") + step("c")

    with pytest.raises(ValueError, match="b"):
        work()
    for name in ("c", ""):
        bodies.fails = {name}
        resume(1)
    assert bodies.ran == ["a", "b", "b", "c", "c"]
    row = stored.store.flow_run(1)
    assert row is not None
    assert (row.attempts, row.state.name) == (3, "Completed")
    rows = stored.store.task_runs(1)
    assert [(each.number, each.index, each.attempts) for each in rows] == [(1, 0, 1), (2, 1, 2), (3, 2, 2)]


def test_a_task_that_was_retried_by_its_flow_is_kept(stored: Engine) -> None:
    """Retries of the flow and a resume go together: the latter counts on."""
    bodies = Bodies("work")

    @task
    def step(x: int) -> int:
        bodies("step")
        return x

    @flow(retries=1)
    def work() -> int:
        found: int = step(1)
        bodies("work")
        return found

    with pytest.raises(ValueError, match="work"):
        work()
    bodies.fails.clear()
    resume(1)
    assert bodies.ran == ["step", "work", "work", "work"]
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.attempts == 3


def test_a_cancelled_run_goes_on(stored: Engine) -> None:
    bodies = Bodies()
    cancels = [True]

    step = noting(bodies)

    @flow
    def work() -> Any:
        first = step("a")
        if cancels.pop() if cancels else False:
            cancel_flow_run(1)
        return first + step("b")

    with pytest.raises(CancelledRun):
        work()
    assert resumed(1) == "ab"
    assert bodies.ran == ["a", "b"]
