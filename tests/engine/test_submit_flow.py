"""`my_flow.submit()`: a run that goes on by itself, and its handle."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from support.flows import Feed, flow, in_time, opened, python, task, task_names
from tidegate import CancelledRun, DetachedRun, ParameterBindError, PausedRun, UsageError, tags
from tidegate.context import blocked
from tidegate.engine import Engine
from tidegate.model.states import StateType

gate = threading.Event()
began = threading.Event()


@pytest.fixture(autouse=True)
def closed() -> Any:
    """The gate is closed at first, and open at the end, so that no thread outlives its test."""
    gate.clear()
    began.clear()
    yield
    gate.set()


@task
def twice(x: int) -> int:
    began.set()
    gate.wait(20)
    return 2 * x


@task
async def twice_async(x: int) -> int:
    began.set()
    await asyncio.to_thread(gate.wait, 20)
    return 2 * x


@flow(name="submitted")
def sync_flow(x: int) -> int:
    return int(twice(twice(x)))


@flow(name="submitted-mapped")
def mapped_flow(count: int) -> list[int]:
    return [each.result() for each in twice.map(range(count))]


@flow(name="submitted-async")
async def async_flow(x: int) -> int:
    return int(await twice_async(await twice_async(x)))


@flow(name="submitted-broken")
def broken() -> None:
    raise ValueError("broken")


BOTH = [pytest.param(sync_flow, id="sync"), pytest.param(async_flow, id="async")]


@pytest.mark.parametrize("made", BOTH)
def test_the_handle_is_there_at_once_and_gives_the_result(engine: Engine, made: Any) -> None:
    run = in_time(lambda: made.submit(3))
    assert isinstance(run, DetachedRun)
    opened(began, "the first task")
    assert (run.done(), run.wait(0), run.state.name) == (False, None, "Running")
    gate.set()
    assert in_time(run.result) == 12
    assert (run.done(), run.state.name, run.wait()) == (True, "Completed", run.state)
    row = engine.store.flow_run(run.number)
    assert row is not None
    assert (row.name, row.state.name) == (run.name, "Completed")
    assert len(task_names(engine.store, run.number)) == 2


@pytest.mark.parametrize("made", BOTH)
def test_it_can_be_awaited(engine: Engine, made: Any) -> None:
    async def several() -> list[int]:
        runs = [made.submit(x) for x in range(3)]
        await asyncio.to_thread(opened, began)
        gate.set()
        return [await run for run in runs]

    assert in_time(lambda: asyncio.run(several())) == [0, 4, 8]


def test_it_raises_what_the_flow_raised(engine: Engine) -> None:
    run = broken.submit()
    with pytest.raises(ValueError, match="broken"):
        in_time(run.result)
    assert isinstance(run.result(raise_on_failure=False), ValueError)


def test_pause_resume_and_cancel(engine: Engine, feed: Feed) -> None:
    run = sync_flow.submit(1)
    opened(began)
    run.pause()
    gate.set()
    feed.await_task(1, "Completed")
    assert (run.state.name, run.done()) == ("Paused", False)
    run.resume()
    assert in_time(run.result) == 4

    gate.clear()
    began.clear()
    other = async_flow.submit(1)
    opened(began)
    other.cancel()
    gate.set()
    with pytest.raises(CancelledRun):
        in_time(other.result)


def test_it_can_be_suspended(engine: Engine) -> None:
    run = sync_flow.submit(1)
    opened(began)
    run.suspend()
    gate.set()
    state = in_time(run.wait)
    assert state is not None
    assert (state.type, state.name) == (StateType.PAUSED, "Suspended")
    with pytest.raises(PausedRun):
        run.result()


def test_it_has_the_context_of_its_caller(engine: Engine) -> None:
    gate.set()
    with tags("nightly"):
        run = mapped_flow.submit(count=2)
    assert in_time(run.result) == [0, 2]
    row = engine.store.flow_run(run.number)
    assert row is not None
    assert row.tags == ("nightly",)


def test_a_call_that_does_not_fit_raises_at_once_and_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(ParameterBindError):
        sync_flow.submit()
    for name in ("return_state", "wait_for"):
        with pytest.raises(UsageError, match=f"takes no {name}: its handle"):
            sync_flow.submit(1, **{name: True})
    assert engine.store.flow_runs() == []


def test_in_a_flow_or_a_sketch_or_while_code_is_loaded_it_is_refused(engine: Engine) -> None:
    around = flow(lambda: sync_flow.submit(1), name="submitted-around")
    with pytest.raises(UsageError, match="call it: a subflow"):
        in_time(around)
    with pytest.raises(UsageError, match="call it: a subflow"):
        around.visualize()
    token = blocked.set(True)
    try:
        with pytest.raises(UsageError, match="nothing was run"):
            sync_flow.submit(1)
    finally:
        blocked.reset(token)
    assert [row.flow for row in engine.store.flow_runs()] == ["submitted-around"]


SCRIPT = """
import sys, threading
from tidegate import flow, task

@task
def wait(): print("waits", flush=True); threading.Event().wait()

@flow
def left(): wait()

run = left.submit()
input()
"""


def test_a_script_that_ends_does_not_hang_on_it(tmp_path: Any) -> None:
    with python(SCRIPT, env={"TIDEGATE_HOME": str(tmp_path / "home")}) as process:
        assert process.stdout.readline() == b"waits\n"
        assert process.communicate(b"\n", timeout=20)[1] == b""
        assert process.returncode == 0
