"""`rate=`: how often runs of a task start, and what a run is while it waits for that."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import Any

import pytest

from support.flows import Feed, Start, cancelled, created, flow, in_time, opened, task
from support.limits import other_work_goes_on
from tidegate import ConcurrentTaskRunner, ProcessTaskRunner, UsageError
from tidegate.engine import Engine
from tidegate.model.events import TaskState
from tidegate.model.states import StateType

HARDLY_EVER = "1/h"


def starts(engine: Engine, *flow_runs: int) -> list[float]:
    """When attempts began, in order."""
    return sorted(
        event.at
        for number in flow_runs or (1,)
        for _, event in engine.store.events(number)
        if isinstance(event, TaskState) and event.state.is_running()
    )


def spaced(begun: list[float], interval: float) -> bool:
    """Whether no span of time saw more than the rate; a timer that was late may be made up for."""
    pairs = itertools.combinations(enumerate(begun), 2)
    return all(last - first >= (j - i) * interval - 0.07 for (i, first), (j, last) in pairs)


@pytest.mark.parametrize("kind", ["direct", "map", "async", "async in async", "process"])
def test_starts_are_spaced(engine: Engine, kind: str) -> None:
    def sync(x: int) -> int:
        return x

    async def coroutine(x: int) -> int:
        return x

    limited = task(coroutine if "async" in kind else sync, rate=20, name="limited")
    runner = ProcessTaskRunner(1) if kind == "process" else ConcurrentTaskRunner(8)

    @flow(task_runner=runner)
    def work() -> list[int]:
        return [limited(x) for x in range(6)] if kind == "direct" else list(limited.map(range(6)).result())

    @flow
    async def work_async() -> list[int]:
        return list(await asyncio.gather(*[limited(x) for x in range(6)]))

    assert in_time(lambda: asyncio.run(work_async()) if kind == "async in async" else work()) == list(range(6))
    begun = starts(engine)
    assert spaced(begun, 0.05)
    assert begun[-1] - begun[0] < 5


def test_retries_count_as_starts(engine: Engine) -> None:
    @task(rate=20, retries=1)
    def fails(x: int) -> None:
        raise ValueError(x)

    @flow
    def work() -> None:
        fails.map(range(3)).wait()

    in_time(lambda: work(return_state=True))
    begun = starts(engine)
    assert len(begun) == 6
    assert spaced(begun, 0.05)


def test_all_flow_runs_of_the_process_share_it(engine: Engine) -> None:
    limited = task(lambda x: x, rate=20, name="limited")

    @flow
    def work() -> None:
        limited.map(range(3)).wait()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert len(starts(engine, 1, 2)) == 6
    assert spaced(starts(engine, 1, 2), 0.05)


def test_options_have_rates_of_their_own(engine: Engine) -> None:
    slow = task(lambda: 1, rate=HARDLY_EVER, name="slow")
    free, other = slow.with_options(rate=None), slow.with_options(rate=HARDLY_EVER)

    @flow
    def work() -> int:
        return int(slow() + free() + free() + other())

    assert in_time(work) == 4


def test_a_run_that_waits_for_its_turn_holds_no_worker(engine: Engine) -> None:
    free = threading.Event()

    @task(rate=HARDLY_EVER)
    def limited() -> None: ...

    @task
    def other() -> int:
        return 7

    @flow(task_runner=ConcurrentTaskRunner(1))
    def work() -> Any:
        waiting = [limited.submit() for _ in range(3)]
        waiting[0].wait()
        got = other.submit().result(timeout=5)
        assert [each.state.name for each in waiting] == ["Completed", "Pending", "Pending"]
        free.set()
        return got

    def stop() -> None:
        opened(free)
        engine.live[1].cancel()

    threading.Thread(target=stop, daemon=True).start()
    in_time(lambda: work(return_state=True))
    assert [row.state.name for row in engine.store.task_runs(1)] == ["Completed", "Cancelled", "Cancelled", "Completed"]
    assert other_work_goes_on(rate=1000, concurrency=1)


def test_one_that_waits_for_its_turn_holds_no_place_and_no_slot(engine: Engine) -> None:
    """Slots of the tag are for others meanwhile."""
    import tidegate

    tidegate.create_concurrency_limit("shared", 1)
    limited = task(lambda: 1, rate=HARDLY_EVER, tags=["shared"], name="limited")
    other = task(lambda: 2, tags=["shared"], name="other")

    @flow
    def work() -> None:
        limited.submit().wait()
        limited.submit()
        assert other.submit().result(timeout=5) == 2
        engine.live[1].cancel()

    assert in_time(lambda: work(return_state=True)).is_cancelled()


def test_what_waits_for_a_place_does_not_pile_up(engine: Engine) -> None:
    """When the place is free again the starts are as far from each other as ever."""
    began, free = threading.Event(), threading.Event()

    @task(rate=20, concurrency=2)
    def limited(x: int) -> None:
        if x < 2:
            began.set()
            opened(free)

    @flow
    def work() -> None:
        found = limited.map(range(6))
        opened(began)
        time.sleep(0.3)  # in which six more could have started
        free.set()
        found.wait()

    in_time(work)
    assert spaced(starts(engine), 0.05)


def test_a_pause_holds_those_that_wait(engine: Engine, feed: Feed, start: Start) -> None:
    limited = task(lambda x: x, rate=20, name="limited")

    @flow
    def work() -> int:
        return len(limited.map(range(4)).wait())

    running = start(work)
    feed.until(lambda: len(created(feed.events)) == 4, "all four")
    running.run.pause()
    feed.await_flow(StateType.PAUSED)
    begun = len(starts(engine))
    time.sleep(0.3)
    assert len(starts(engine)) == begun
    running.run.resume()
    assert running.ended() == 4
    assert spaced(starts(engine), 0.05)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_cancel_reaches_those_that_wait(stored: Engine, feed: Feed, start: Start, kind: str) -> None:
    async def coroutine(x: int) -> None: ...

    limited = task((lambda x: None) if kind == "sync" else coroutine, rate=HARDLY_EVER, name="limited")

    @flow
    def work() -> None:
        limited.map(range(4)).wait()

    running = start(work)
    feed.await_task(1, "Completed")
    feed.until(lambda: len(created(feed.events)) == 4, "all four")
    cancelled(running, within=2)
    assert [len(row.name) for row in stored.store.task_runs(1) if row.state.is_cancelled()] == [9, 9, 9]


def test_a_result_from_the_cache_uses_nothing_up(engine: Engine) -> None:
    from tidegate.cache_policies import INPUTS

    limited = task(lambda x: x, rate=HARDLY_EVER, cache_policy=INPUTS, name="limited")

    @flow
    def work() -> list[int]:
        return [limited(1), limited(1), limited(1)]

    assert in_time(work) == [1, 1, 1]
    assert len(starts(engine)) == 1


@pytest.mark.parametrize("rate", ["often", "0/s", 0, -3, True, "10/parsec"])
def test_what_is_no_rate_is_refused_in_one_line(rate: Any) -> None:
    with pytest.raises(UsageError, match=r"^rate of 'limited' must be such as '900/min'.*[^\n]$"):
        task(lambda: 1, rate=rate, name="limited")
