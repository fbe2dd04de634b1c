"""`concurrency=`: never more at work than allowed, and all of them run."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from support.flows import SOON, Feed, created, flow, in_time, opened, seeded, task
from support.limits import other_work_goes_on
from tidegate import ConcurrentTaskRunner
from tidegate.engine import Engine
from tidegate.model.states import StateType


class AtWork:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = self.total = 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.now -= 1


@pytest.mark.parametrize("kind", ["sync", "async", "async in async"])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_never_more_at_work_and_all_run(stored: Engine, limit: int, kind: str) -> None:
    inside = AtWork()
    full = threading.Barrier(limit)

    def sync(x: int) -> int:
        with inside:
            if x < limit:
                full.wait(SOON)  # as many as allowed do come together
            time.sleep(0.001)
        return x

    async def coroutine(x: int) -> int:
        with inside:
            if x < limit:
                await asyncio.to_thread(full.wait, SOON)
            await asyncio.sleep(0.001)
        return x

    limited = task(sync if kind == "sync" else coroutine, concurrency=limit, name="limited")

    @flow(task_runner=ConcurrentTaskRunner(8))
    def work() -> list[int]:
        return list(limited.map(range(40)).result())

    @flow
    async def work_async() -> list[int]:
        return list(await asyncio.gather(*[limited(x) for x in range(40)]))

    got = in_time(lambda: asyncio.run(work_async()) if kind == "async in async" else work())
    assert got == list(range(40))
    assert inside.most == limit
    assert inside.total == 40


def test_failures_and_retries_give_their_place_back(engine: Engine) -> None:
    chance = seeded("limit_failures")
    inside = AtWork()
    fate = {x: chance.choice(["fine", "once", "always"]) for x in range(60)}
    tried: dict[int, int] = {}

    @task(concurrency=3, retries=1)
    def step(x: int) -> int:
        with inside:
            tried[x] = tried.get(x, 0) + 1
            if fate[x] == "always" or (fate[x] == "once" and tried[x] == 1):
                raise ValueError(x)
        return x

    @flow
    def work() -> list[Any]:
        return [state.name for state in step.map(range(60)).wait()]

    assert in_time(work) == ["Failed" if fate[x] == "always" else "Completed" for x in range(60)]
    assert inside.most <= 3
    assert all(tried[x] == (1 if fate[x] == "fine" else 2) for x in range(60))


def test_a_run_that_waits_for_its_place_holds_no_worker(engine: Engine) -> None:
    assert other_work_goes_on(concurrency=1)


def test_a_run_begins_when_it_has_its_place(stored: Engine) -> None:
    """The record says when it began to work, not when it asked."""
    free = threading.Event()

    @task(concurrency=1)
    def limited(x: int) -> None:
        opened(free)

    @flow
    def work() -> int:
        rows = limited.map([1, 2])
        assert rows.wait(0.05) is None
        free.set()
        rows.wait()
        return 1

    in_time(work)
    rows = sorted(stored.store.task_runs(1), key=lambda row: row.started or 0)
    assert rows[0].ended is not None
    assert rows[1].started is not None
    assert rows[1].started >= rows[0].ended - 0.02


def test_options_have_limits_of_their_own(engine: Engine) -> None:
    inside = AtWork()
    together = threading.Barrier(3)

    @task(concurrency=1)
    def narrow(x: int) -> int:
        with inside:
            if wide_now[0]:
                together.wait(SOON)
        return x

    wide_now = [False]
    wide = narrow.with_options(concurrency=3)

    @flow
    def work() -> int:
        narrow.map(range(5)).wait()
        assert inside.most == 1
        wide_now[0] = True
        wide.map(range(3)).result()
        return inside.most

    assert in_time(work) == 3


def test_each_flow_run_has_places_of_its_own(engine: Engine) -> None:
    together = threading.Barrier(2)

    @task(concurrency=1)
    def limited() -> None:
        together.wait(SOON)

    @flow
    def work() -> int:
        limited()
        return 1

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SOON)
    assert [row.state.name for row in engine.store.flow_runs()] == ["Completed"] * 2


def test_a_cancel_reaches_those_that_queue(stored: Engine, feed: Feed) -> None:
    began, free = threading.Event(), threading.Event()

    @task(concurrency=1)
    def limited() -> None:
        began.set()
        while not free.is_set():
            pass

    @flow
    def work() -> None:
        for each in [limited.submit() for _ in range(5)]:
            each.wait()

    thread = threading.Thread(target=lambda: work(return_state=True), daemon=True)
    thread.start()
    opened(began)
    feed.until(lambda: len(created(feed.events)) == 5, "all five")
    feed.runs[0].cancel()
    feed.await_flow(StateType.CANCELLED)
    free.set()
    thread.join(SOON)
    assert [row.state.name for row in stored.store.task_runs(1)] == ["Cancelled"] * 5


def test_an_interrupted_wait_for_a_place_gives_it_on(engine: Engine, feed: Feed) -> None:
    """A direct call queues on the main thread and is interrupted; the flow goes on, and so does the queue."""
    import signal

    began, free = threading.Event(), threading.Event()

    @task(concurrency=1)
    def limited(x: int) -> int:
        began.set()
        if x == 0:
            opened(free)
        return x

    def press() -> None:
        feed.await_task(1, "Running")
        feed.until(lambda: "TaskCreated" in feed.names()[2:], "the second one")
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    @flow
    def work() -> int:
        first = limited.submit(0)
        opened(began)
        with pytest.raises(KeyboardInterrupt):
            limited(1)
        free.set()
        first.wait()
        third = limited.submit(2)
        return int(third.result(timeout=3))

    threading.Thread(target=press, daemon=True).start()
    assert work() == 2
