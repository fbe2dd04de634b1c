"""Task runs that ended in an earlier attempt keep their end, whatever becomes of the attempts that follow."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from support.flows import Feed, Start, flow, opened, states_in_store, task
from tidegate import CancelledRun, ConcurrentTaskRunner, PausedRun, allow_failure, resume, suspend_flow_run
from tidegate.engine import Engine
from tidegate.model.events import TaskCreated
from tidegate.run import lifecycles
from tidegate.run.drivers import advance
from tidegate.run.task_run import TaskRun


@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_cancel_does_not_take_back_what_completed_before(
    stored: Engine, start: Start, gate: threading.Event, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(lifecycles, "CANCEL_GRACE", 0.05)  # the submitted one gets no worker before it is over
    tries: list[str] = []
    waits = threading.Event()

    @task
    def fails() -> None:
        tries.append("fails")
        if len(tries) > 1:
            waits.set()
            gate.wait()
        raise ValueError

    @task
    def done(x: Any) -> int:
        return 1

    @flow(retries=1, task_runner=ConcurrentTaskRunner(max_workers=1))
    def work() -> None:
        failed = fails.submit()
        if how == "call":
            done(allow_failure(failed))
        else:
            done.submit(allow_failure(failed)).wait()
        raise ValueError

    running = start(work)
    opened(waits)
    running.run.cancel()
    gate_opens = threading.Timer(0.5, gate.set)
    gate_opens.start()
    with pytest.raises(CancelledRun):
        running.ended()
    gate_opens.join()
    assert states_in_store(stored.store, 1, 2) == ["Running", "Completed"]


def test_what_had_not_begun_is_made_known_once(stored: Engine, feed: Feed, start: Start, gate: threading.Event) -> None:
    @task
    def first() -> int:
        gate.wait()
        return 1

    @task
    def second(x: int) -> int:
        return x + 1

    @flow
    def work() -> int:
        end = second.submit(first.submit())
        suspend_flow_run()
        return int(end.result())

    running = start(work)
    feed.until(lambda: "Suspending" in feed.flow_states(), "the suspension")
    gate.set()
    with pytest.raises(PausedRun):
        running.ended()
    final: Any = resume(1)
    assert final.result() == 2
    made = [event.task_run for _, event in stored.store.events(1) if isinstance(event, TaskCreated)]
    assert sorted(made) == [1, 2]


def test_what_wakes_a_task_run_that_has_ended_starts_nothing(engine: Engine) -> None:
    runs: list[TaskRun] = []

    @task
    def step() -> None: ...

    @flow
    def work() -> None:
        future = step.submit()
        future.wait()
        runs.append(future._run)

    work()
    advance(runs[0], True)  # as a latch does that it waited for when its flow run gave it up
    assert states_in_store(engine.store, 1, 1) == ["Running", "Completed"]
