"""What every task runner must do: one suite, passed by each of them."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from support.flows import SOON, Feed, Start, edges, flow, in_time, task
from tidegate import CancelledRun, ConcurrentTaskRunner, SequentialTaskRunner
from tidegate.engine import Engine
from tidegate.model.states import StateType

RUNNERS = {
    "four workers": ConcurrentTaskRunner(4),
    "one worker": ConcurrentTaskRunner(1),
    "sequential": SequentialTaskRunner(),
}


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> Any:
    """Each runner in turn."""
    return RUNNERS[request.param]


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
async def async_add(x: int, y: int = 1) -> int:
    await asyncio.sleep(0)
    return x + y


@task
def bad(x: Any = None) -> Any:
    raise ValueError("no")


def names(engine: Engine) -> list[str]:
    return [row.state.name for row in engine.store.task_runs(1)]


@pytest.mark.conforms("B257")
def test_success(stored: Engine, runner: Any) -> None:
    @flow(task_runner=runner)
    def work() -> list[Any]:
        one = add.submit(1)
        two = async_add.submit(one)
        three = add.submit(one, y=two)
        return [one.result(), two.result(), three.result(), add.map(range(20), three).result(), add(three)]

    assert in_time(work) == [2, 3, 5, list(range(5, 25)), 6]
    assert set(names(stored)) == {"Completed"}
    assert edges(stored.store) == {(1, 2), (1, 3), (2, 3), (3, 24), *((3, at) for at in range(4, 24))}


@pytest.mark.conforms("B257", "B180")
def test_a_failure_and_what_hangs_on_it(stored: Engine, runner: Any) -> None:
    @flow(task_runner=runner)
    def work() -> None:
        failed = bad.submit()
        chain = add.submit(async_add.submit(add.submit(failed)))
        assert (chain.wait().type, chain.wait().name) == (StateType.PENDING, "NotReady")
        assert add.submit(1, wait_for=[failed]).wait().name == "NotReady"
        assert add.submit(1).result() == 2

    state = in_time(lambda: work(return_state=True))
    assert names(stored) == ["Failed", "NotReady", "NotReady", "NotReady", "NotReady", "Completed"]
    assert state.is_failed()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B257")
def test_a_task_that_takes_too_long(stored: Engine, runner: Any, kind: str) -> None:
    never = threading.Event()

    def endless() -> None:
        while not never.wait(0.002):
            pass

    async def endless_async() -> None:
        await asyncio.sleep(SOON)

    slow = task(endless if kind == "sync" else endless_async, name="slow", timeout_seconds=0.05)

    @flow(task_runner=runner)
    def work() -> int:
        state = slow.submit().wait()
        assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
        return int(add.submit(1).result())

    assert in_time(work) == 2
    assert names(stored) == ["TimedOut", "Completed"]


@pytest.mark.conforms("B257")
def test_a_flow_that_takes_too_long(engine: Engine, runner: Any) -> None:
    never = threading.Event()

    @task
    def endless() -> None:
        while not never.wait(0.002):
            pass

    @flow(task_runner=runner, timeout_seconds=0.05)
    def work() -> None:
        for _ in range(2):
            endless.submit()

    state = in_time(lambda: work(return_state=True))
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert set(names(engine)) <= {"Cancelled"}


@pytest.mark.conforms("B257", "B252")
def test_order(engine: Engine, runner: Any) -> None:
    """Results stand in the order of the items; where there is one place, the runs begin in it too."""
    began: list[int] = []

    @task
    def step(x: int) -> int:
        began.append(x)
        return x

    @flow(task_runner=runner)
    def work() -> list[int]:
        singles = [step.submit(x) for x in range(10)]
        return [*(each.result() for each in singles), *step.map(range(10, 40)).result()]

    assert in_time(work) == list(range(40))
    assert sorted(began) == list(range(40))
    if runner is not RUNNERS["four workers"]:
        assert began == list(range(40))


@pytest.mark.conforms("B257")
def test_what_waits_for_another_begins_after_it(engine: Engine, runner: Any) -> None:
    trace: list[str] = []

    @task
    def step(name: str) -> None:
        trace.append(f"{name} begins")
        trace.append(f"{name} ends")

    @flow(task_runner=runner)
    def work() -> None:
        last: list[Any] = []
        for name in "abcd":
            last = [step.submit(name, wait_for=last)]

    in_time(work)
    assert trace == [f"{name} {what}" for name in "abcd" for what in ("begins", "ends")]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B257", "B194")
def test_subflows_run_in_the_order_of_their_calls(engine: Engine, runner: Any, kind: str) -> None:
    trace: list[Any] = []

    @task
    def step(x: int) -> None:
        trace.append(x)

    def body(x: int) -> int:
        trace.append(f"flow {x}")
        step.map([x, x])  # which nobody waits for but the subflow
        return x

    async def coroutine(x: int) -> int:
        return body(x)

    child = flow(body if kind == "sync" else coroutine, name="child", task_runner=runner)

    @flow(task_runner=runner)
    def parent() -> list[int]:
        return [child(x) for x in range(4)]

    assert in_time(parent) == [0, 1, 2, 3]
    assert trace == [each for x in range(4) for each in (f"flow {x}", x, x)]


@pytest.mark.conforms("B257")
def test_a_runner_is_pickled_before_during_and_after_its_flow(engine: Engine, runner: Any) -> None:
    again = pickle.loads(pickle.dumps(runner))
    assert type(again) is type(runner)
    assert vars(again) == vars(runner)

    @flow(task_runner=again)
    def work() -> int:
        assert vars(pickle.loads(pickle.dumps(again))) == vars(runner)
        return int(add.submit(1).result())

    assert in_time(work) == 2
    assert vars(pickle.loads(pickle.dumps(again))) == vars(runner)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), ValueError("no")], ids=repr)
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B257", "B251", "B253")
def test_a_crash_stays_with_its_task(engine: Engine, runner: Any, kind: str, error: BaseException) -> None:
    def body() -> None:
        raise error

    async def coroutine() -> None:
        body()

    raises = task(body if kind == "sync" else coroutine, name="raises")

    @flow(task_runner=runner)
    def work() -> int:
        future = raises.submit()
        state = future.wait()
        assert state.is_failed() if isinstance(error, Exception) else state.is_crashed()
        with pytest.raises(type(error)) as caught:
            future.result()
        assert caught.value is error
        return int(add.submit(1).result())

    assert in_time(work) == 2


@pytest.mark.conforms("B257", "B258")
def test_a_flow_ends_when_all_that_it_submitted_has_ended(stored: Engine, runner: Any) -> None:
    ended: list[int] = []

    @task
    def step(x: int) -> None:
        threading.Event().wait(0.002)
        ended.append(x)

    @flow(task_runner=runner)
    def work() -> int:
        step.map(range(20))
        return 1

    assert in_time(work) == 1
    assert sorted(ended) == list(range(20))
    assert set(names(stored)) == {"Completed"}


@pytest.mark.conforms("B257", "B259")
def test_tasks_that_submit_tasks_and_wait(engine: Engine, runner: Any) -> None:
    @task
    def tree(depth: int) -> int:
        return 1 if depth == 0 else int(sum(tree.map([depth - 1] * 2).result()))

    @flow(task_runner=runner)
    def work() -> int:
        return int(tree.submit(5).result())

    assert in_time(work) == 32


@pytest.mark.conforms("B257", "B253")
def test_async_tasks_overlap(engine: Engine, runner: Any) -> None:
    """They share a loop, whatever the runner: each waits for the other, and only together can they end."""
    both = asyncio.Barrier(2)

    @task
    async def step(x: int) -> int:
        async with asyncio.timeout(SOON), both:
            return x

    @flow(task_runner=runner)
    def work() -> list[int]:
        return list(step.map([1, 2]).result())

    assert in_time(work) == [1, 2]


@pytest.mark.conforms("B257")
def test_a_retry(stored: Engine, runner: Any) -> None:
    tries: list[int] = []

    @task(retries=2, retry_delay_seconds=0.001)
    def step() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return len(tries)

    @flow(task_runner=runner)
    def work() -> int:
        return int(step.submit().result())

    assert in_time(work) == 3
    assert stored.store.task_runs(1)[0].attempts == 3


@pytest.mark.conforms("B257")
def test_a_cancel(stored: Engine, feed: Feed, start: Start, runner: Any) -> None:
    never = threading.Event()

    @task
    def endless() -> None:
        while not never.wait(0.002):
            pass

    @flow(task_runner=runner)
    def work() -> None:
        for _ in range(6):
            endless.submit()

    running = start(work)
    feed.await_task(1, "Running")
    running.run.cancel()
    with pytest.raises(CancelledRun):
        running.ended(5)
    assert set(names(stored)) <= {"Cancelled"}


@pytest.mark.conforms("B257")
def test_one_runner_serves_several_flows_at_once(engine: Engine, runner: Any) -> None:
    """Each flow run starts a pool of its own: what one of them ends, the other still has."""
    first_ended = threading.Event()

    @flow(task_runner=runner)
    def short() -> int:
        return int(add.submit(1).result())

    @flow(task_runner=runner)
    def long() -> int:
        add.submit(1).wait()
        assert first_ended.wait(SOON)
        return int(add.submit(2).result())

    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(long()), daemon=True)
    thread.start()
    assert in_time(short) == 2
    first_ended.set()
    thread.join(SOON)
    assert got == [3]
    assert in_time(short) == 2


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    def workers() -> set[threading.Thread]:
        return {each for each in threading.enumerate() if each.name == "tidegate-worker"}

    before = workers()
    yield
    for each in workers() - before:
        each.join(SOON)
        assert not each.is_alive(), f"{each} goes on after the test"
