"""Subflows: one after the other as they are called, together only where the caller gathers them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from support.flows import flow, in_time, states_in_store, task
from tidegate import cancel_flow_run, pause_flow_run, runtime
from tidegate.engine import Engine
from tidegate.model.events import Event


@pytest.mark.parametrize("child_kind", ["sync", "async"])
@pytest.mark.parametrize("parent_kind", ["sync", "async"])
@pytest.mark.conforms("B194")
def test_subflows_run_in_the_order_of_their_calls(engine: Engine, parent_kind: str, child_kind: str) -> None:
    trace: list[str] = []

    @task
    def step(name: str) -> None:
        trace.append(name)

    def body(name: str) -> None:
        trace.append(f"{name} begins")
        step.submit(f"{name} works").wait()
        trace.append(f"{name} ends")

    async def coroutine(name: str) -> None:
        trace.append(f"{name} begins")
        await asyncio.sleep(0)
        step(f"{name} works")
        trace.append(f"{name} ends")

    child: Any = flow(body if child_kind == "sync" else coroutine, name="child")

    @flow
    def parent() -> int:
        child("a")
        child("b")
        return 1

    @flow
    async def parent_async() -> int:
        for name in ("a", "b"):
            given = child(name)
            if child_kind == "async":
                await given
        return 1

    assert in_time(lambda: parent() if parent_kind == "sync" else asyncio.run(parent_async())) == 1
    assert trace == [f"{name} {what}" for name in ("a", "b") for what in ("begins", "works", "ends")]


@pytest.mark.conforms("B191")
def test_the_run_that_stands_for_a_subflow_is_in_the_state_of_the_subflow(engine: Engine) -> None:
    seen: list[str] = []

    def watch(_: Sequence[Event]) -> None:
        for number in list(engine.live):
            run = engine.live[number]
            if run.tracking is not None and run.tracking.state.name == "Paused" and not seen:
                seen.append(run.state.name)
                threading.Thread(target=run.resume).start()  # not here: a subscriber only listens

    @flow(retries=1)
    def child() -> int:
        pause_flow_run(key="look")
        if len(seen) == 1:
            seen.append("failed once")
            raise ValueError("once")
        return 2

    @flow
    def parent() -> int:
        engine.subscribe(current(), watch)
        return int(child())

    assert in_time(parent) == 2
    assert seen == ["Paused", "failed once"]
    (tracking,) = engine.store.task_runs(1)
    (below,) = engine.store.subflow_runs(1, tracking.number)
    assert below.parent == (1, tracking.number)
    mirrored = states_in_store(engine.store, 1, tracking.number)
    of_child = states_in_store(engine.store, below.number)
    assert mirrored == ["Running", "Paused", "Resuming", "AwaitingRetry", "Retrying", "Completed"]
    assert mirrored == of_child


@pytest.mark.conforms("B191")
def test_a_subflow_that_is_cancelled_says_so_in_the_run_that_stands_for_it(engine: Engine) -> None:
    @flow
    def child() -> None:
        cancel_flow_run(current())
        step()

    @task
    def step() -> None: ...

    @flow
    def parent() -> None:
        child(return_state=True)

    parent(return_state=True)
    assert states_in_store(engine.store, 1, 1) == ["Running", "Cancelling", "Cancelled"]


def current() -> int:
    number = runtime.flow_run.id
    assert isinstance(number, int)
    return number
