"""Suspension: a run lets go of its process, and goes on where it was when it is resumed, here or in another one."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from support.flows import Feed, Start, flow, opened, python, states_in_store, task
from support.resumes import Bodies, noting, resumed
from tidegate import (
    CancelledRun,
    NotPaused,
    NotRunning,
    OutsideFlow,
    PausedRun,
    RunSuspended,
    cancel_flow_run,
    pause_flow_run,
    resume,
    resume_plan,
    suspend_flow_run,
)
from tidegate.engine import Engine
from tidegate.model.states import StateType
from tidegate.store.sqlite import SQLiteStore

# By the flow itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_flow_that_suspends_itself_goes_on_behind_that_place(stored: Engine, kind: str) -> None:
    bodies = Bodies()

    @task
    def step(x: int) -> int:
        bodies(f"step {x}")
        return x

    @flow(name="work")
    def sync_flow() -> int:
        first: int = step(1)
        suspend_flow_run()
        bodies("between")
        suspend_flow_run(key="the second")
        return first + int(step(2))

    @flow(name="work")
    async def async_flow() -> int:
        first: int = step(1)
        await suspend_flow_run()  # type: ignore[misc]
        bodies("between")
        await suspend_flow_run(key="the second")  # type: ignore[misc]
        return first + int(step(2))

    def go_on() -> Any:
        made = resume(1)
        return asyncio.run(made) if asyncio.iscoroutine(made) else made

    first = sync_flow(return_state=True) if kind == "sync" else asyncio.run(async_flow(return_state=True))
    assert first.is_suspended()
    assert str(first) == ("Suspended('Suspended by the flow. `tidegate.resume(1)` goes on with it.') [PAUSED]")
    with pytest.raises(PausedRun, match=r"goes on with it\.$"):
        first.result()
    row = stored.store.flow_run(1)
    assert row is not None
    assert (row.state.name, row.owner, row.ended) == ("Suspended", "", None)
    assert resume_plan(1).kept == 1
    assert go_on().is_suspended()
    assert go_on().result() == 3
    assert bodies.ran == ["step 1", "between", "between", "step 2"]
    assert states_in_store(stored.store, 1) == [
        *["Running", "Suspending", "Suspended"],
        *["Resuming", "Suspending", "Suspended"],
        *["Resuming", "Completed"],
    ]


def test_whoever_called_the_flow_is_told(engine: Engine) -> None:
    @flow
    def work() -> None:
        try:
            suspend_flow_run()
        except Exception:
            raise AssertionError("an ordinary handler must not see it") from None

    with pytest.raises(PausedRun, match=r"^Suspended by the flow\. `tidegate\.resume\(1\)` goes on with it\.$"):
        work()


def test_outside_and_in_tasks_there_is_nothing_to_suspend(engine: Engine) -> None:
    with pytest.raises(OutsideFlow, match=r"^suspend_flow_run\(\) was called outside of a flow"):
        suspend_flow_run()

    @flow
    def work() -> None:
        task(suspend_flow_run, name="step")()

    with pytest.raises(OutsideFlow, match=r"^suspend_flow_run\(\) was called in a task"):
        work()
    with pytest.raises(NotRunning):
        suspend_flow_run(flow_run=99)


def test_a_subflow_suspends_those_that_called_it_and_goes_on_in_the_same_run(stored: Engine) -> None:
    bodies = Bodies()

    step = noting(bodies)

    @flow
    def inner(name: str) -> str:
        found = step(f"{name} before")
        suspend_flow_run()
        return f"{found}, {step(f'{name} after')}"

    @flow
    def outer() -> str:
        return f"{step('first')}; {inner('inner')}; {step('last')}"

    assert outer(return_state=True).is_suspended()
    assert [(row.flow, row.state.name) for row in stored.store.flow_runs()] == [
        ("inner", "Suspended"),
        ("outer", "Suspended"),
    ]
    assert resumed(1) == "first; inner before, inner after; last"
    assert bodies.ran == ["first", "inner before", "inner after", "last"]
    assert len(stored.store.flow_runs()) == 2
    assert states_in_store(stored.store, 2)[-2:] == ["Resuming", "Completed"]
    assert states_in_store(stored.store, 1, 2)[-2:] == ["Resuming", "Completed"]


# From outside ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [True, False])
def test_what_has_started_ends_and_the_rest_is_left(
    stored: Engine, feed: Feed, start: Start, gate: threading.Event, paused: bool
) -> None:
    bodies, at_work = Bodies(), threading.Event()

    @task
    def step(x: int) -> int:
        bodies(f"step {x}")
        at_work.set()
        gate.wait()
        return x

    @flow(task_runner=None)
    def work() -> int:
        return sum(step.map(range(40)).result())

    running = start(work)
    opened(at_work)
    if paused:
        running.run.pause()
    running.run.suspend()
    with pytest.raises(NotRunning, match=r"cannot be suspended: it is Suspending\.$"):
        running.run.suspend()
    with pytest.raises(NotPaused, match=r"is not paused: it is Suspending\.$"):
        running.run.resume()
    begun = list(bodies.ran)
    gate.set()
    with pytest.raises(PausedRun, match=r"^Suspended by you\."):
        running.ended()
    assert sorted(bodies.ran) == sorted(begun)
    states = [row.state.name for row in stored.store.task_runs(1)]
    assert states == ["Completed"] * len(begun) + ["Pending"] * (40 - len(begun))
    assert resume_plan(1).again == {"not begun": 40 - len(begun)}
    assert resumed(1) == sum(range(40))
    assert sorted(bodies.ran) == sorted(f"step {x}" for x in range(40))


def test_a_flow_that_waits_in_a_pause_is_let_go_and_has_passed_it(stored: Engine, feed: Feed, start: Start) -> None:
    @flow
    def work() -> str:
        pause_flow_run()
        return "done"

    running = start(work)
    feed.await_flow(StateType.PAUSED)
    suspend_flow_run(flow_run=1)
    with pytest.raises(PausedRun):
        running.ended()
    assert resumed(1) == "done"


def test_a_question_that_nobody_answered_is_asked_again(stored: Engine, feed: Feed, start: Start) -> None:
    @flow
    def work() -> int:
        answer: Any = pause_flow_run(int)
        return int(answer)

    running = start(work)
    feed.await_flow(StateType.PAUSED)
    running.run.suspend()
    with pytest.raises(PausedRun):
        running.ended()
    again = start(lambda: resumed(1))
    feed.until(lambda: feed.flow_states().count("Paused") > 1, "the question")
    again.run.resume(run_input=7)
    assert again.ended() == 7


def test_a_retry_that_waits_is_left_and_comes_after_the_resume(stored: Engine, feed: Feed, start: Start) -> None:
    bodies = Bodies("step")

    @task(retries=1, retry_delay_seconds=3600)
    def step() -> int:
        bodies("step")
        return 1

    @flow
    def work() -> int:
        return int(step.submit().result())

    running = start(work)
    feed.await_task(1, "AwaitingRetry")
    running.run.suspend()
    with pytest.raises(PausedRun):
        running.ended()
    row = stored.store.task_run(1, 1)
    assert row is not None
    assert row.state.name == "AwaitingRetry"
    again = start(lambda: resumed(1))
    feed.until(lambda: again.run.number in stored.live, "the run")
    assert not again.run.finished.done()
    again.run.cancel()
    with pytest.raises(CancelledRun):
        again.ended()


def test_a_cancel_wins_over_a_suspension_that_is_under_way(
    stored: Engine, feed: Feed, start: Start, gate: threading.Event
) -> None:
    at_work = threading.Event()

    @task
    def step() -> None:
        at_work.set()
        while not gate.wait(0.01):
            pass

    @flow
    def work() -> None:
        step.submit().wait()

    running = start(work)
    opened(at_work)
    running.run.suspend()
    cancel_flow_run(1)
    with pytest.raises(CancelledRun):
        running.ended()
    assert feed.flow_states() == ["Running", "Suspending", "Cancelling", "Cancelled"]


def test_a_run_whose_tasks_all_completed_meanwhile_completes(
    stored: Engine, feed: Feed, start: Start, gate: threading.Event
) -> None:
    at_work = threading.Event()

    @task
    def step() -> None:
        at_work.set()
        gate.wait()

    @flow
    def work() -> None:
        step.submit()

    running = start(work)
    opened(at_work)
    running.run.suspend()
    gate.set()
    running.ended()
    assert feed.flow_states() == ["Running", "Suspending", "Completed"]


def test_a_task_that_calls_another_one_is_left_and_runs_again(
    stored: Engine, feed: Feed, start: Start, gate: threading.Event
) -> None:
    bodies, at_work = Bodies(), threading.Event()

    @task
    def inner() -> int:
        bodies("inner")
        return 1

    @task
    def outer() -> int:
        bodies("outer")
        at_work.set()
        gate.wait()
        return int(inner())

    @flow
    def work() -> int:
        return int(outer.submit().result())

    running = start(work)
    opened(at_work)
    running.run.suspend()
    gate.set()
    with pytest.raises(PausedRun):
        running.ended()
    assert bodies.ran == ["outer"]
    assert resumed(1) == 1
    assert bodies.ran == ["outer", "outer", "inner"]


def test_a_future_of_a_suspended_run_says_so(engine: Engine, start: Start, gate: threading.Event) -> None:
    kept: list[Any] = []
    at_work, submitted = threading.Event(), threading.Event()

    @task
    def step() -> None:
        at_work.set()
        gate.wait()

    @flow
    def work() -> None:
        kept.append(step.submit())
        kept.append(step.submit(wait_for=[kept[0]]))
        submitted.set()
        kept[0].wait()
        with pytest.raises(RunSuspended):
            kept[1].result()
        step()

    running = start(work)
    opened(at_work)
    opened(submitted)
    running.run.suspend()
    gate.set()
    with pytest.raises(PausedRun):
        running.ended()
    with pytest.raises(PausedRun, match=r"is suspended\.$"):
        kept[1].result()


def test_a_suspended_run_can_be_suspended_and_resumed_no_more_than_once(stored: Engine) -> None:
    @flow
    def work() -> None:
        suspend_flow_run()

    assert work(return_state=True).is_suspended()
    for call in (suspend_flow_run, pause_flow_run):
        with pytest.raises(NotRunning, match=r"^Flow run 1 does not run in this process\.$"):
            call(flow_run=1)


# In another process ---------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from pydantic import BaseModel, SecretStr
from tidegate import flow, task, suspend_flow_run, resume, get_run_context

@task
def step(x):
    print("step", x)
    return x

@flow
def work():
    first = step(1)
    suspend_flow_run()
    return first + step(2)

if sys.argv[1] == "new":
    print(work(return_state=True).name)
else:
    print(resume(1).result())
"""


def test_the_process_may_end_and_another_one_goes_on(tmp_path: Path) -> None:
    def said(what: str) -> list[str]:
        with python(SCRIPT, what, env={"TIDEGATE_HOME": str(tmp_path)}) as process:
            out, error = process.communicate(timeout=30)
            assert process.returncode == 0, error.decode()
        return [line for line in out.decode().splitlines() if line]

    assert said("new") == ["step 1", "Suspended"]
    store = SQLiteStore(tmp_path / "store.db")
    row = store.flow_run(1)
    assert row is not None
    assert row.state.is_suspended()
    assert said("resume") == ["step 2", "3"]
    assert states_in_store(store, 1)[-2:] == ["Resuming", "Completed"]
    store.close()


def test_a_suspended_run_may_be_called_off(stored: Engine) -> None:
    @flow
    def work() -> None:
        suspend_flow_run()

    assert work(return_state=True).is_suspended()
    cancel_flow_run(1)
    assert states_in_store(stored.store, 1)[-1] == "Cancelled"
    with pytest.raises(NotRunning):
        cancel_flow_run(1)
    assert resumed(1) is None, "it can be resumed all the same"
