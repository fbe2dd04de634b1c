"""What the code can learn of the run that it is in."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from support.flows import flow, in_time, task
from tidegate import FlowRun, get_run_context
from tidegate.context import frame
from tidegate.engine import Engine
from tidegate.errors import MissingContext


@task
def where() -> str:
    return str(get_run_context().name)


@task
async def where_async() -> str:
    return str(get_run_context().name)


@pytest.mark.conforms("B241")
def test_the_task_run_comes_before_the_flow_run(engine: Engine) -> None:
    @task
    def outer() -> list[str]:
        return [where(), str(get_run_context().name)]

    @flow(flow_run_name="inside")
    def child() -> list[str]:
        return [str(get_run_context().name), where()]

    @flow(flow_run_name="around")
    def parent() -> list[Any]:
        run = get_run_context()
        assert isinstance(run, FlowRun)
        return [run.name, where(), where.submit().result(), where_async(), outer(), child(), get_run_context().name]

    wanted = ["around", "where-0", "where-1", "where_async-0", ["where-2", "outer-0"], ["inside", "where-0"], "around"]
    assert in_time(parent) == wanted


@pytest.mark.conforms("B241")
def test_side_by_side_each_has_its_own(engine: Engine) -> None:
    @flow
    async def together() -> list[str]:
        return list(await asyncio.gather(*(where_async() for _ in range(20))))

    assert in_time(lambda: asyncio.run(together())) == [f"where_async-{at}" for at in range(20)]


@pytest.mark.conforms("B241")
def test_where_nothing_runs_there_is_none(engine: Engine) -> None:
    met: list[BaseException] = []

    def ask() -> None:
        try:
            get_run_context()
        except MissingContext as error:
            met.append(error)

    @flow
    def starts_a_thread() -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    ask()
    in_time(starts_a_thread)

    with pytest.raises(MissingContext):
        where()
    assert len(met) == 2
    assert isinstance(met[0], RuntimeError)
    assert "\n" not in str(met[0])


def test_afterwards_everything_is_as_before(engine: Engine) -> None:
    @task
    def fails() -> None:
        raise ValueError("no")

    @flow
    def work() -> bool:
        before = frame.get()
        where()
        with pytest.raises(ValueError, match="no"):
            fails()
        return frame.get() is before

    assert in_time(work) is True
    assert frame.get() is None
