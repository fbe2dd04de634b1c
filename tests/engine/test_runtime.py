"""What code can ask about the run around it, wherever it stands."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from support.flows import flow, in_time, task
from tidegate import runtime, tags
from tidegate.engine import Engine
from tidegate.flow_runs import create_flow_run, run_created

FLOW = ("id", "name", "flow_name", "tags", "parameters", "run_count", "parent_flow_run_id")
TASK = ("id", "name", "task_name", "tags", "parameters", "run_count")


def told(which: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What a helper of the user's, which was given nothing, finds out."""
    return {name: getattr(which, name) for name in names}


def test_outside_of_a_run_it_is_null_and_nothing_is_raised() -> None:
    empty: dict[str, Any] = {"tags": [], "parameters": {}}
    assert told(runtime.flow_run, FLOW) == dict.fromkeys(FLOW) | empty
    assert told(runtime.task_run, TASK) == dict.fromkeys(TASK) | empty
    assert runtime.flow_run.scheduled_start_time is None
    assert (repr(runtime.flow_run), repr(runtime.task_run)) == ("<no flow run>", "<no task run>")
    with pytest.raises(AttributeError, match="nmae"):
        runtime.flow_run.nmae  # type: ignore[attr-defined]


def test_a_flow_and_its_tasks_know_themselves(engine: Engine) -> None:
    seen: list[Any] = []

    def note() -> None:
        seen.append((told(runtime.flow_run, FLOW), told(runtime.task_run, TASK)))

    @task(tags=["io"])
    def load(day: int, rows: int = 3) -> int:
        note()
        return day

    @flow(name="nightly", flow_run_name="night {day}", tags=["eu"])
    def nightly(day: int, size: str = "small") -> None:
        note()
        load(load.submit(day))

    nightly("7")
    of_flow = {
        "id": 1,
        "name": "night 7",
        "flow_name": "nightly",
        "tags": ["eu"],
        "parameters": {"day": 7, "size": "small"},
        "run_count": 1,
        "parent_flow_run_id": None,
    }
    nothing: dict[str, Any] = {**dict.fromkeys(TASK), "tags": [], "parameters": {}}
    common = {"task_name": "load", "tags": ["eu", "io"], "parameters": {"day": 7, "rows": 3}, "run_count": 1}
    assert seen == [
        (of_flow, nothing),
        (of_flow, {"id": 1, "name": "load-0", **common}),
        (of_flow, {"id": 2, "name": "load-1", **common}),
    ]


def test_attempts_are_counted(engine: Engine) -> None:
    counts: list[tuple[int | None, int | None]] = []

    @task(retries=1)
    def shaky() -> None:
        counts.append((runtime.flow_run.run_count, runtime.task_run.run_count))
        if len(counts) < 4:
            raise ValueError("not yet")

    @flow(retries=1)
    def work() -> None:
        shaky()

    work()
    assert counts == [(1, 1), (1, 2), (2, 3), (2, 4)]


def test_async_code_and_subflows_each_see_their_own(engine: Engine) -> None:
    @task
    async def who() -> tuple[Any, Any]:
        await asyncio.sleep(0)
        return runtime.flow_run.id, runtime.task_run.name

    @flow(name="child")
    async def child() -> Any:
        return runtime.flow_run.parent_flow_run_id, runtime.flow_run.name, runtime.task_run.id, await who()

    @flow
    async def parent() -> Any:
        with tags("below"):
            return runtime.flow_run.id, await who(), await child(), await asyncio.gather(who(), who())

    own, first, below, both = in_time(lambda: asyncio.run(parent()))
    assert (own, first) == (1, (1, "who-0"))
    assert below[0] == 1
    assert below[2:] == (None, (2, "who-0"))
    assert sorted(both) == [(1, "who-1"), (1, "who-2")]


def test_when_it_was_to_begin(engine: Engine) -> None:
    at: list[datetime | None] = []

    @flow(name="timed")
    def timed() -> None:
        at.append(runtime.flow_run.scheduled_start_time)

    timed()
    row = engine.store.flow_run(1)
    assert row is not None
    assert at == [datetime.fromtimestamp(row.created, UTC)]
    row = engine.store.flow_run(create_flow_run("timed", scheduled_time=1_700_000_000.5))
    assert row is not None
    run_created(timed, row)
    assert at[1] == datetime.fromtimestamp(1_700_000_000.5, UTC)
