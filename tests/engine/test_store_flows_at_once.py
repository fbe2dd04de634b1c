"""Flow runs that run at once number their task runs alike: none may be taken for that of another."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from support.flows import SOON, engine_over, flow, seeded, task
from tidegate.model.events import FlowCreated, TaskCreated, TaskState
from tidegate.model.states import Completed, Running
from tidegate.ports import EventStore
from tidegate.store.sqlite import SQLiteStore


def a_run(store: EventStore, uuid: str) -> int:
    return store.create_flow_run(FlowCreated(0, 1.0, uuid, "f", "f", "{}"))


def test_an_end_is_not_taken_for_that_of_the_task_run_of_another_flow_run(store: EventStore) -> None:
    """Created and begun in the one, ended in the other, in one group: each has its own number 1."""
    first, second = a_run(store, "a"), a_run(store, "b")
    store.append(TaskCreated(second, 1.0, 1, "t", 1, 0, {}))
    store.commit(TaskState(second, 1.0, 1, Running(at=1.0), 1))
    store.append(TaskCreated(first, 1.0, 1, "t", 1, 0, {}))
    store.append(TaskState(first, 1.0, 1, Running(at=1.0), 1))
    store.commit(TaskState(second, 2.0, 1, Completed(at=2.0), 1))
    names = {run: [row.state.name for row in store.task_runs(run)] for run in (first, second)}
    assert names == {first: ["Running"], second: ["Completed"]}


@pytest.mark.usefixtures("hectic")
def test_flows_of_two_threads_are_kept_whole(tmp_path: Path) -> None:
    """As a notebook does that resumes a run from its page while a cell runs."""
    seeded("flows_at_once")
    store = SQLiteStore(tmp_path / "store.db")

    @task(persist_result=True)
    async def later(x: int) -> int:
        return x

    @task(persist_result=True)
    def now(x: int) -> int:
        return x

    @flow
    def work(first: int) -> int:
        for x in range(first, first + 4):
            now(x)
            later(x)
        return first

    with engine_over(store) as here:
        ends = time.monotonic() + 2

        def repeat(first: int) -> None:
            while time.monotonic() < ends:
                work(first)

        threads = [threading.Thread(target=repeat, args=(at * 1_000,)) for at in (1, 2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(SOON)
        for run in store.flow_runs(100_000):
            rows = store.task_runs(run.number)
            first = run.recorded_parameters()["first"]
            assert [row.state.name for row in rows] == ["Completed"] * 8
            assert [here.saving.recorded(row).result() for row in rows] == [first + at // 2 for at in range(8)]
    store.close()
