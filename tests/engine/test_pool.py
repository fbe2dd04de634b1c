"""The runners: no deadlock at any size, no more at work than allowed, no thread left behind, order where promised."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from support.flows import SOON, flow, in_time, opened, seeded, task
from tidegate import ConcurrentTaskRunner, SequentialTaskRunner
from tidegate.engine import Engine
from tidegate.task_runners import concurrent
from tidegate.task_runners.concurrent import WorkerPool


def workers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "tidegate-worker"}


class AtWork:
    """How many are inside at once, and how many were at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.now -= 1


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.conforms("B259")
def test_nested_submits_and_waits_never_deadlock(engine: Engine, size: int) -> None:
    """Each task submits two and waits for both, five deep: 63 task runs, of which half wait at any moment."""

    @task
    def tree(depth: int) -> int:
        if depth == 0:
            return 1
        futures = [tree.submit(depth - 1), tree.submit(depth - 1)]
        return sum(each.result() for each in futures)

    @flow(task_runner=ConcurrentTaskRunner(size))
    def grow() -> int:
        return int(tree.submit(5).result())

    assert in_time(grow, 20) == 32
    assert len(engine.store.task_runs(1)) == 63


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.conforms("B259")
def test_inputs_are_waited_for_without_a_worker(engine: Engine, size: int) -> None:
    """A chain handed in from its end: 200 runs that wait for the one before, on a single worker."""

    @task
    def add(x: int) -> int:
        return x + 1

    @flow(task_runner=ConcurrentTaskRunner(size))
    def chain() -> int:
        x: Any = add.submit(0)
        for _ in range(200):
            x = add.submit(x)
        return int(x.result())

    assert in_time(chain, 20) == 201


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_random_nesting_of_maps_submits_and_async_tasks(engine: Engine, size: int) -> None:
    chance = seeded(f"pool_{size}")
    shapes = [[chance.choice("msac") for _ in range(5)] for _ in range(4)]

    @task
    async def later(x: int) -> int:
        return x

    @task
    def node(shape: list[str]) -> int:
        if not shape:
            return 1
        kind, rest = shape[0], shape[1:]
        if kind == "m":
            return int(sum(node.map([rest, rest]).result()))
        if kind == "s":
            return int(node.submit(rest).result())
        if kind == "a":
            return int(later.submit(1).result()) * int(node.submit(rest).result())
        return int(node(rest))

    @flow(task_runner=ConcurrentTaskRunner(size))
    def forest() -> list[int]:
        return [each.result() for each in [node.submit(shape) for shape in shapes]]

    assert in_time(forest, 20) == [2 ** shape.count("m") for shape in shapes]


def test_at_most_so_many_are_at_work(engine: Engine) -> None:
    inside, full = AtWork(), threading.Barrier(3)

    @task
    def step(x: int) -> int:
        with inside:
            if x < 3:
                full.wait(SOON)  # three come together, or this breaks
            time.sleep(0.001)
        return x

    @flow(task_runner=ConcurrentTaskRunner(3))
    def steps() -> int:
        step.map(range(60)).wait()
        return 1

    assert in_time(steps) == 1
    assert inside.most == 3


def test_a_place_that_was_lent_is_taken_back(engine: Engine) -> None:
    """Tasks that wait for others make room while they wait; afterwards there may be one too many for a moment only."""
    inside = AtWork()

    @task
    def inner() -> int:
        return 1

    @task
    def outer() -> int:
        got: int = inner.submit().result()
        with inside:
            time.sleep(0.003)
        return got

    @flow(task_runner=ConcurrentTaskRunner(1))
    def steps() -> int:
        return sum(each.result() for each in [outer.submit() for _ in range(40)])

    assert in_time(steps) == 40
    assert inside.most <= 2, f"{inside.most} at work in a pool of one"


def test_idle_threads_end(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrent, "IDLE_SECONDS", 0.01)
    before = workers()
    pool = WorkerPool(4)
    done = threading.Semaphore(0)
    for _ in range(8):
        pool.submit(done.release)
    for _ in range(8):
        assert done.acquire(timeout=SOON)
    for each in workers() - before:
        each.join(SOON)
        assert not each.is_alive()
    pool.submit(done.release)  # and it works again afterwards
    assert done.acquire(timeout=SOON)
    pool.close()
    for each in workers() - before:
        each.join(SOON)
        assert not each.is_alive()


@pytest.mark.conforms("B258")
def test_the_end_of_a_flow_ends_its_threads(engine: Engine) -> None:
    before = workers()

    @task
    def step(x: int) -> int:
        return x

    @flow
    def steps() -> int:
        step.map(range(20)).wait()
        return 1

    in_time(steps)
    begun = time.monotonic()
    for each in workers() - before:
        each.join(SOON)
        assert not each.is_alive()
    assert time.monotonic() - begun < 1, "they waited to be idle for long enough"


def test_jobs_begin_in_the_order_of_their_submission() -> None:
    pool, order, done = WorkerPool(1), list[int](), threading.Event()
    for number in range(200):
        pool.submit(partial(order.append, number))
    pool.submit(done.set)
    opened(done)
    pool.close()
    assert order == list(range(200))


def test_a_job_that_raises_costs_no_worker() -> None:
    """The engine's jobs never raise; if a defect makes one, the pool must not hang for it."""
    pool, done, heard = WorkerPool(1), threading.Event(), threading.excepthook
    threading.excepthook = lambda args: None
    try:
        pool.submit(lambda: 1 / 0)
        pool.submit(done.set)
        opened(done, "the next job")
    finally:
        threading.excepthook = heard
        pool.close()


@pytest.mark.conforms("B252", "B074")
def test_the_sequential_runner_keeps_the_order_and_the_thread(engine: Engine) -> None:
    trace: list[Any] = []
    inside = AtWork()

    @task
    def step(x: int) -> int:
        with inside:
            trace.append((x, threading.get_ident()))
        return x

    @flow(task_runner=SequentialTaskRunner)
    def steps() -> list[int]:
        first = step.submit(-1)
        assert first.done()
        return [first.result(), *step.map(range(10)).result()]

    def here() -> tuple[Any, int]:
        return steps(), threading.get_ident()

    got, thread = in_time(here)
    assert got == list(range(-1, 10))
    assert trace == [(x, thread) for x in range(-1, 10)]
    assert inside.most == 1


@pytest.mark.conforms("B252")
def test_the_sequential_runner_lets_async_tasks_overlap(engine: Engine) -> None:
    @task
    async def step(x: int, mine: asyncio.Event, other: asyncio.Event) -> int:
        mine.set()
        await asyncio.wait_for(other.wait(), SOON)  # each waits for the other: only together can they end
        return x

    @flow(task_runner=SequentialTaskRunner)
    async def steps() -> list[int]:
        a, b = asyncio.Event(), asyncio.Event()
        return list(await asyncio.gather(step(1, a, b), step(2, b, a)))

    assert in_time(lambda: asyncio.run(steps())) == [1, 2]


ENDS: list[tuple[BaseException, str]] = [
    (ValueError("no"), "Failed"),
    (SystemExit(3), "Crashed"),
    (KeyboardInterrupt(), "Interrupted"),
    (GeneratorExit(), "Crashed"),
    (asyncio.CancelledError(), "Crashed"),
]


@pytest.mark.parametrize("runner", [ConcurrentTaskRunner, SequentialTaskRunner])
@pytest.mark.parametrize(("error", "name"), ENDS, ids=[type(error).__name__ for error, _ in ENDS])
@pytest.mark.conforms("B251", "B296")
def test_whatever_a_task_raises_is_its_end_and_no_more(
    engine: Engine, runner: Any, error: BaseException, name: str
) -> None:
    """Waiting raises nothing, the exception comes back as it is, and returning one is not raising it."""

    @task
    def raises(*, what: BaseException) -> None:
        raise what

    @task
    def returns(*, what: BaseException) -> BaseException:
        return what

    @flow(task_runner=runner)
    def work() -> int:
        future, calm = raises.submit(what=error), returns.submit(what=error)
        state = future.wait()
        assert (state.name, state.is_crashed()) == (name, name != "Failed")
        assert future.result(raise_on_failure=False) is error
        assert calm.wait().is_completed()
        assert calm.result() is error
        return 1

    assert in_time(work) == 1


@pytest.mark.conforms("B258")
def test_a_runner_can_be_pickled_also_while_its_flow_runs(engine: Engine) -> None:
    runners = [ConcurrentTaskRunner(3), SequentialTaskRunner()]

    @task
    def step(x: int) -> int:
        return x

    for runner in runners:

        @flow(task_runner=runner, name="outer")
        def outer(runner: Any = runner) -> int:
            again = pickle.loads(pickle.dumps(runner))
            inner = flow(lambda: step.submit(2).result(), name="inner", task_runner=again)
            return int(step.submit(1).result()) + int(inner())

        assert in_time(outer) == 3
    assert pickle.loads(pickle.dumps(runners[0])).max_workers == 3


@pytest.mark.conforms("B253")
def test_two_sync_tasks_overlap(engine: Engine) -> None:
    together = threading.Barrier(2)

    @task
    def step(x: int) -> int:
        together.wait(SOON)
        return x

    @flow
    def steps() -> list[int]:
        return list(step.map([1, 2]).result())

    assert in_time(steps) == [1, 2]


@pytest.mark.conforms("B009")
def test_a_runner_may_be_a_class_or_an_instance() -> None:
    def nothing() -> None: ...

    assert isinstance(flow(nothing).task_runner, ConcurrentTaskRunner)
    assert isinstance(flow(task_runner=SequentialTaskRunner)(nothing).task_runner, SequentialTaskRunner)
    mine = ConcurrentTaskRunner(3)
    assert flow(task_runner=mine)(nothing).task_runner is mine


def test_a_subflow_has_workers_of_its_own(engine: Engine) -> None:
    """The parent's only worker is at work; the child's tasks run all the same."""
    free = threading.Event()

    @task
    def blocks() -> int:
        opened(free)
        return 1

    @task
    def step() -> int:
        return 2

    @flow(task_runner=ConcurrentTaskRunner(1))
    def child() -> int:
        return int(step.submit().result())

    @flow(task_runner=ConcurrentTaskRunner(1))
    def parent() -> int:
        blocked = blocks.submit()
        got: int = child()
        free.set()
        return got + int(blocked.result())

    assert in_time(parent) == 3


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = workers()
    yield
    for each in workers() - before:
        each.join(SOON)
        assert not each.is_alive(), f"{each} goes on after the test"
