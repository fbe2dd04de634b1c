"""Subflows: one after the other as they are called, together only where the caller gathers them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.flows import flow, in_time, task
from tidegate.engine import Engine


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
