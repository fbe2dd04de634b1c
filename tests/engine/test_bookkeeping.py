"""What is written down of each run, and what is said of one that goes wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest

from support.flows import flow, in_time, task
from tidegate import get_run_context, temporary_settings
from tidegate.engine import Engine
from tidegate.model.states import StateType
from tidegate.run import lifecycles
from tidegate.settings import settings


@pytest.mark.conforms("B119")
def test_each_attempt_sees_its_own_count_state_and_start(stored: Engine) -> None:
    seen: list[tuple[int, str, float]] = []

    @task(retries=2)
    def fails() -> int:
        run: Any = get_run_context()
        seen.append((run.run_count, run.state.name, run.state.timestamp))
        if len(seen) < 3:
            raise ValueError
        return 1

    assert in_time(flow(lambda: fails(), name="work")) == 1
    assert [each[:2] for each in seen] == [(1, "Running"), (2, "Retrying"), (3, "Retrying")]
    assert seen[0][2] < seen[1][2] < seen[2][2]


@pytest.mark.conforms("B279")
def test_a_row_has_times_counts_and_ids(stored: Engine) -> None:
    @task(retries=1, retry_delay_seconds=0.01)
    def fails_once() -> int:
        if get_run_context().run_count == 1:  # type: ignore[union-attr]  # a task run
            raise ValueError
        return 1

    @flow
    def child() -> int:
        return fails_once()  # type: ignore[no-any-return]

    @flow
    def work() -> int:
        return child()  # type: ignore[no-any-return]

    assert in_time(work) == 1
    parent, inner = stored.store.flow_run(1), stored.store.flow_run(2)
    (tracking,), (row,) = stored.store.task_runs(1), stored.store.task_runs(2)
    assert parent is not None
    assert inner is not None
    assert inner.parent == (1, tracking.number)
    assert tracking.state.type is inner.state.type is parent.state.type is StateType.COMPLETED
    assert (row.attempts, row.state.name, inner.attempts) == (2, "Completed", 1)
    assert row.started is not None
    assert row.ended is not None
    assert row.created <= row.started < row.ended == row.state.timestamp
    assert 0 < row.ran < row.ended - row.started, "the wait between the attempts counts as run time"
    assert parent.started is not None
    assert parent.ended is not None
    assert 0 < parent.ran <= parent.ended - parent.started


@pytest.mark.conforms("B218")
def test_a_defect_of_the_engine_crashes_the_task_run_and_fails_the_flow(
    stored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(lifecycles, "_decide_running", broken)
    work = task(lambda: 1, name="work")
    state = in_time(lambda: flow(lambda: [work.submit()], name="main")(return_state=True))
    assert state.type is StateType.FAILED
    (row,) = stored.store.task_runs(1)
    assert row.state.type is StateType.CRASHED
    assert "RuntimeError: a defect" in row.state.message


@pytest.mark.conforms("B216")
def test_a_crash_is_recorded_with_an_error_and_where_it_was_for_those_who_debug(stored: Engine) -> None:
    @task(retries=3)
    def leaves() -> None:
        raise SystemExit(3)

    logger = logging.getLogger("tidegate")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        state = in_time(lambda: flow(lambda: leaves(), name="main")(return_state=True))
    finally:
        logger.setLevel(before)
    assert state.type is StateType.CRASHED
    (row,) = stored.store.task_runs(1)
    assert (row.state.type, row.attempts) == (StateType.CRASHED, 1)
    lines = [(line.level, line.text) for _, line in stored.store.logs(1, task_run=1)]
    assert lines[0] == (logging.ERROR, "The task crashed: SystemExit.")
    assert lines[1][0] == logging.DEBUG
    assert "raise SystemExit(3)" in lines[1][1]


@pytest.mark.conforms("B128")
def test_a_failure_that_is_tried_again_is_told_and_tried_again(stored: Engine) -> None:
    tries: list[int] = []

    @task(retries=1)
    def fails_once() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return 1

    assert in_time(flow(lambda: fails_once(), name="main")) == 1
    lines = [line.text for _, line in stored.store.logs(1, task_run=1)]
    assert "The task is tried again in 0 s: ValueError: not yet" in lines


@pytest.mark.conforms("B248")
def test_settings_hold_on_workers_and_loops_too(engine: Engine) -> None:
    def level() -> str:
        return settings().log_level

    async def level_async() -> str:
        return settings().log_level

    sync, coroutine = task(level), task(level_async)

    @flow
    def work() -> list[str]:
        return [level(), sync(), sync.submit().result(), coroutine(), coroutine.submit().result()]

    with temporary_settings({"log_level": "WARNING"}):
        assert in_context(work) == ["WARNING"] * 5
    assert "WARNING" not in in_context(work)


def in_context(call: Any) -> Any:
    """As `in_time`, in the context of the caller."""
    from contextvars import copy_context

    context = copy_context()
    return in_time(lambda: context.run(call))


def test_a_loop_that_has_ended_is_let_go_of(stored: Engine) -> None:
    """With all that it holds: a kernel may see thousands of them."""
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    @task
    async def step(x: int) -> int:
        return x

    @flow
    async def work() -> int:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return int(sum(await asyncio.gather(*[step(x) for x in range(3)])))

    for _ in range(3):
        assert asyncio.run(work()) == 3
    gc.collect()
    assert [each() for each in loops] == [None] * 3
