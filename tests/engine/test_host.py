"""How a loop waits while a flow is awaited on it."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

from support.flows import flow
from tidegate.engine import Engine
from tidegate.host import SLICE


class Noting(selectors.DefaultSelector):
    """Notes how long it is asked to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps: list[float | None] = []

    def select(self, timeout: float | None = None) -> Any:
        self.sleeps.append(timeout)
        return super().select(timeout)


def test_a_loop_that_awaits_a_flow_looks_for_signals_now_and_then(engine: Engine) -> None:
    """A signal that comes just before it falls asleep does not wake it."""

    @flow
    async def work() -> None:
        await asyncio.sleep(3 * SLICE)

    selector = Noting()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(work())
        inside, selector.sleeps = selector.sleeps, []
        runner.run(asyncio.sleep(3 * SLICE))
    assert all(each is not None and each <= SLICE for each in inside)
    assert any(each is not None and each > SLICE for each in selector.sleeps), "the control"
