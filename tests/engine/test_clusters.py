"""Tasks on a cluster: what every runner whose functions run elsewhere must do, over real clusters on this machine."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from support.flows import Feed, Start, edges_full, flow, in_time, task
from support.ray_instance import local_ray
from tidegate import (
    ConcurrentTaskRunner,
    DaskTaskRunner,
    NotSendable,
    OutsideFlow,
    RayTaskRunner,
    WorkerDied,
    create_markdown_artifact,
    get_run_logger,
    runtime,
)
from tidegate.engine import Engine
from tidegate.model.states import StateType
from tidegate.task_runners import cluster

# A worker cannot import a test module, whose name is pytest's; a user's script or notebook goes the same way.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

LONG = 60.0
"""Seconds that nothing here may take, on a machine with much else to do."""

SLOTS = 2
"""Calls at a time of each cluster here."""


def dask_runner() -> Iterator[Any]:
    """Over one cluster of two processes with a thread each."""
    from dask import config
    from distributed import LocalCluster

    # A worker that a test has killed is started again; on a busy machine that takes longer than Dask waits for it.
    with (
        config.set({"distributed.deploy.lost-worker-timeout": "120s"}),
        LocalCluster(n_workers=SLOTS, threads_per_worker=1, dashboard_address=":0") as made,
    ):
        yield DaskTaskRunner(cluster=made)


def ray_runner() -> Iterator[Any]:
    """Over one instance with two processors, which is not the runner's own."""
    with local_ray(num_cpus=SLOTS):
        yield RayTaskRunner()


MAKERS = {"dask": dask_runner, "ray": ray_runner}


@pytest.fixture(scope="module", params=MAKERS)
def runner(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each runner in turn, with one cluster for all tests."""
    yield from MAKERS[request.param]()


def run(body: Callable[[], Any], runner: Any, **options: Any) -> Any:
    """What a flow with this body gives."""
    return in_time(lambda: flow(body, name="work", task_runner=runner, **options)(), LONG)


def names(engine: Engine) -> list[str]:
    return [row.state.name for row in engine.store.task_runs(1)]


def wait_for(path: Path) -> None:
    """Wait for a file: no event of this process is in another one."""
    end = time.monotonic() + LONG
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come"
        time.sleep(0.002)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def same(value: Any) -> Any:
    return value


@task
def pid(_: Any = None) -> int:
    return os.getpid()


@task
async def async_pid() -> int:
    return os.getpid()


# What comes of calls --------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B254", "B257")
def test_where_code_runs(engine: Engine, runner: Any) -> None:
    """Submitted and mapped sync tasks on the cluster, all else here."""

    @flow
    def subflow() -> tuple[int, int]:
        return os.getpid(), pid.submit().result()

    def body() -> None:
        here = os.getpid()
        assert pid() == async_pid.submit().result() == here
        assert subflow() == (here, here)
        assert here not in {pid.submit().result(), *pid.map(range(6)).result()}

    run(body, runner)
    assert set(names(engine)) == {"Completed"}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.conforms("B257")
def test_ways_to_call(engine: Engine, runner: Any, kind: str) -> None:
    def body() -> list[Any]:
        one = add.submit(1)
        return [
            one.result(),
            add.submit(1, y=one, return_state=True).result(),
            add.map(add.map(range(20)), y=one).result(),
            add.submit([one], [2]).result(),
            add(one),
        ]

    async def coroutine() -> list[Any]:
        return body()

    wanted = [2, 3, list(range(3, 23)), [2, 2], 3]
    if kind == "sync":
        assert run(body, runner) == wanted
    else:
        assert in_time(lambda: asyncio.run(flow(coroutine, task_runner=runner)()), LONG) == wanted
    assert set(names(engine)) == {"Completed"}


@pytest.mark.conforms("B254", "B257")
def test_links_are_those_of_threads(engine: Engine, runner: Any) -> None:
    def body() -> None:
        one = same.map([bytes(50_000), bytes(60_000), "c"])
        two = same.submit(one)
        three = same.submit(two.result())
        same.submit({"a": [three.result()], "b": one[1]}, wait_for=[two])

    def seen(with_runner: Any) -> Any:
        run(body, with_runner)
        return edges_full(engine.store, engine.store.flow_runs()[0].number)

    assert seen(runner) == seen(ConcurrentTaskRunner(2))


@pytest.mark.conforms("B257", "B180")
def test_a_failure_and_what_hangs_on_it(stored: Engine, runner: Any) -> None:
    """An exception of the function is a failure, with its cause, its notes and the lines where it was."""

    @task
    def bad() -> None:
        try:
            raise LookupError("below")
        except LookupError as below:
            error = ValueError("no", 3)
            error.add_note("a note")
            raise error from below

    def body() -> None:
        failed = bad.submit()
        chain = add.submit(add.submit(failed))
        assert (chain.wait().type, chain.wait().name) == (StateType.PENDING, "NotReady")
        state = failed.wait()
        assert state.is_failed()
        with pytest.raises(ValueError, match="no") as caught:
            failed.result()
        assert caught.value.args == ("no", 3)
        text = "".join(traceback.format_exception(caught.value))
        for line in ("raise error from below", 'raise LookupError("below")', "a note", Path(__file__).name, "in bad"):
            assert line in text
        assert add.submit(1).result() == 2

    in_time(lambda: flow(body, name="work", task_runner=runner)(return_state=True), LONG)
    assert names(stored) == ["Failed", "NotReady", "NotReady", "Completed"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.conforms("B257", "B251")
def test_a_crash_stays_with_its_task(engine: Engine, runner: Any, error: BaseException) -> None:
    @task
    def raises() -> None:
        raise error

    def body() -> int:
        future = raises.submit()
        assert future.wait().is_crashed()
        with pytest.raises(type(error)):
            future.result()
        return int(add.submit(1).result())

    assert run(body, runner) == 2


def test_what_cannot_be_sent_is_one_line(engine: Engine, runner: Any) -> None:
    lock = threading.Lock()

    def raises() -> None:
        error: Any = ValueError()
        error.lock = threading.Lock()
        raise error

    cases: dict[str, Callable[[], Any]] = {
        "The input 'value' of 'same-0' cannot be sent": lambda: same.submit(lock),
        "The function of 'held' cannot be sent": lambda: task(lambda: lock, name="held").submit(),
        "What 'gives-0' returned cannot be sent back": lambda: task(threading.Lock, name="gives").submit(),
        "'raises-0' raised an exception that cannot be sent back": lambda: task(raises).submit(),
    }

    def body() -> int:
        for says, call in cases.items():
            future = call()
            assert future.wait().is_failed()
            with pytest.raises(NotSendable) as caught:
                future.result()
            assert str(caught.value).startswith(says)
            assert "\n" not in str(caught.value)
        return int(add.submit(1).result())

    assert run(body, runner, final_state="raised") == 2


@pytest.mark.conforms("B255", "B257")
def test_a_retry_runs_the_function_again(stored: Engine, runner: Any, tmp_path: Path) -> None:
    """Also in the next attempt of the flow: the cluster remembers the call, and does not serve it from memory."""
    calls = tmp_path / "calls"

    @task(retries=1, retry_delay_seconds=0.01)
    def step() -> int:
        with calls.open("a") as file:
            file.write("called\n")
        count = len(lines(calls))
        if count < 4:
            raise ValueError("not yet")
        return count

    assert run(lambda: step.submit().result(), runner, retries=1) == 4
    assert stored.store.task_runs(1)[0].attempts == 4


# What is said and known there -----------------------------------------------------------------------------------------


def test_prints_and_logs(
    stored: Engine, runner: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Prints appear here and nowhere else, and in the log where that is wanted; loggers reach the handlers here."""

    @task(log_prints=True)
    def talks() -> None:
        import logging

        print("one", "two")
        print("three ", end="")
        print("fo\u00fcr")
        print("an error", file=sys.stderr)
        get_run_logger().info("said %s", 6)
        get_run_logger().debug("too little")
        logging.getLogger("a.library").warning("seven")

    @task
    def mute() -> None:
        print("not kept")

    def body() -> None:
        talks.submit().wait()
        mute.submit().wait()

    with caplog.at_level("INFO"):
        run(body, runner)
    out, err = capfd.readouterr()
    assert out == "one two\nthree fo\u00fcr\nnot kept\n"
    assert err == "an error\n"
    assert [line.text for _, line in stored.store.logs(1, task_run=1)] == ["one two", "three fo\u00fcr", "said 6"]
    assert stored.store.logs(1, task_run=2) == []
    assert "seven" in caplog.messages


def test_what_is_known_of_the_run(engine: Engine, runner: Any) -> None:
    """`runtime` tells what it tells threads."""

    @task(name="who", tags=["a"], task_run_name="who-{x}")
    def who(x: int, y: int = 2) -> Any:
        run, above = runtime.task_run, runtime.flow_run
        return (
            *(run.name, run.task_name, run.tags, run.parameters, run.run_count),
            *(above.flow_name, above.tags, above.run_count, above.parent_flow_run_id, above.parameters),
        )

    def seen(with_runner: Any) -> Any:
        made = flow(lambda p: who.submit(1).result(), name="work", task_runner=with_runner)
        return in_time(lambda: made([1, 2]), LONG)

    assert seen(runner) == seen(ConcurrentTaskRunner(1))


def test_what_cannot_be_done_there_is_one_line(engine: Engine, runner: Any) -> None:
    @task
    def tries(what: Any) -> Any:
        return what()

    def body() -> None:
        for what in (lambda: add(1), lambda: add.submit(1), lambda: create_markdown_artifact("x")):
            with pytest.raises(OutsideFlow, match="from the flow") as caught:
                tries.submit(what).result()
            assert "\n" not in str(caught.value)

    run(body, runner, final_state="raised")


# Deaths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B254", "B257")
def test_a_worker_that_is_killed(stored: Engine, runner: Any, tmp_path: Path) -> None:
    """Its task run is crashed, and tried again only where it has retries: the cluster itself runs nothing again."""
    calls = tmp_path / "calls"

    def dies(name: str, deaths: int) -> int:
        with calls.open("a") as file:
            file.write(f"{name}\n")
        count = runtime.task_run.run_count or 0
        if count <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    def body() -> None:
        once = task(dies, name="once").submit("once", 1)
        state = once.wait()
        assert state.is_crashed()
        with pytest.raises(WorkerDied):
            once.result()
        assert task(dies, name="again", retries=1).submit("again", 1).result() == 2
        assert add.map(range(4)).result() == [1, 2, 3, 4]

    in_time(lambda: flow(body, name="work", task_runner=runner)(return_state=True), LONG)
    assert lines(calls) == ["once", "again", "again"]
    assert names(stored) == ["Crashed"] + ["Completed"] * 5


# Control --------------------------------------------------------------------------------------------------------------


def endless(begun: Path, ended: Path) -> None:
    """Says that it has begun, and that it was interrupted."""
    begun.touch()
    try:
        while True:
            time.sleep(0.005)
    finally:
        ended.touch()


@pytest.mark.conforms("B257")
def test_a_task_over_its_limit_is_ended_there(stored: Engine, runner: Any, tmp_path: Path) -> None:
    """The run ends on time, and the function soon after; the limit does not count the wait for a place."""
    limited = task(endless, name="limited", timeout_seconds=1.0)

    def body() -> int:
        add.submit(1).wait()
        state = limited.submit(tmp_path / "begun", tmp_path / "ended").wait()
        assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
        wait_for(tmp_path / "ended")
        return int(add.submit(1).result())

    assert run(body, runner, final_state="raised") == 2
    assert names(stored) == ["Completed", "TimedOut", "Completed"]


@pytest.mark.conforms("B257")
def test_a_cancel_ends_the_functions_there(stored: Engine, start: Start, runner: Any, tmp_path: Path) -> None:
    marks = [(tmp_path / f"begun {n}", tmp_path / f"ended {n}") for n in range(SLOTS + 1)]

    def body() -> None:
        for begun, ended in marks:
            task(endless).submit(begun, ended)

    running = start(flow(body, name="work", task_runner=runner))
    for begun, _ in marks[:SLOTS]:
        wait_for(begun)
    running.run.cancel()
    with pytest.raises(Exception, match="Cancelled"):
        running.ended(LONG)
    assert set(names(stored)) == {"Cancelled"}
    for _, ended in marks[:SLOTS]:
        wait_for(ended)
    assert not marks[SLOTS][0].exists()


@pytest.mark.conforms("B257")
def test_a_flow_over_its_limit(engine: Engine, runner: Any, tmp_path: Path) -> None:
    def body() -> None:
        task(endless).submit(tmp_path / "begun", tmp_path / "ended")

    limited = flow(body, name="work", task_runner=runner, timeout_seconds=3.0)
    state = in_time(lambda: limited(return_state=True), LONG)
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    wait_for(tmp_path / "ended")


def test_pause_and_resume(stored: Engine, feed: Feed, start: Start, runner: Any, tmp_path: Path) -> None:
    """What is at work goes on and ends; no further call goes to the cluster until the resume."""
    go_on = tmp_path / "go on"

    @task
    def step(x: int) -> int:
        (tmp_path / f"begun {x}").touch()
        wait_for(go_on)
        return x

    running = start(flow(lambda: step.map(range(SLOTS + 2)).result(), name="work", task_runner=runner))
    for x in range(SLOTS):
        wait_for(tmp_path / f"begun {x}")
    running.run.pause()
    go_on.touch()
    for x in range(SLOTS):
        feed.await_task(x + 1, "Completed")
    assert add_directly(runner) == 2  # by which time anything that was let begin would have
    assert not (tmp_path / f"begun {SLOTS}").exists()
    assert feed.task_states(SLOTS + 1) == []
    running.run.resume()
    assert running.ended(LONG) == list(range(SLOTS + 2))


def add_directly(runner: Any) -> int:
    """A whole flow run besides."""
    return int(run(lambda: add.submit(1).result(), runner))


@pytest.mark.conforms("B254")
def test_calls_under_way_hold_no_threads(engine: Engine, runner: Any) -> None:
    most = 0

    def body() -> list[int]:
        nonlocal most
        futures = add.map(range(SLOTS * 100))
        while not futures[-1].done():
            ours = [each for each in threading.enumerate() if each.name == "tidegate-worker"]
            most = max(most, len(ours))
            futures[-1].wait(0.05)
        return list(futures.result())

    assert in_time(lambda: flow(body, name="work", task_runner=runner)(), 2 * LONG) == list(range(1, SLOTS * 100 + 1))
    assert 1 <= most <= cluster.CARRIERS


# Values that lie on the cluster ---------------------------------------------------------------------------------------


class Sent:
    """The bytes of the calls that go to a cluster, and how many of its own futures go along."""

    def __init__(self, patch: pytest.MonkeyPatch, runner: Any) -> None:
        self.calls: list[tuple[int, int]] = []
        kind = type(runner.start()._connect())
        call = kind.call

        def spy(this: Any, name: str, kit: Any, made: bytes, upstream: Any, context: Any) -> Any:
            self.calls.append((len(made), len(upstream)))
            return call(this, name, kit, made, upstream, context)

        patch.setattr(kind, "call", spy)


@task
def sizes(*values: Any) -> list[int]:
    return [len(each) for value in values for each in (value if isinstance(value, (list, tuple)) else [value])]


@task
def made_there(size: int) -> bytes:
    return bytes(size)


SIZE = 1_000_000


@pytest.mark.conforms("B254")
def test_what_lies_on_the_cluster_is_not_sent_there(
    engine: Engine, runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of a future's value goes the cluster's own future, at any depth; what was fetched goes by value."""
    sent = Sent(monkeypatch, runner)

    def body() -> None:
        one, two = made_there.map([SIZE, 2 * SIZE])
        small = made_there.submit(10)
        assert sizes.submit(one).result() == [SIZE]
        assert sizes.submit([one, two], small, [one]).result() == [SIZE, 2 * SIZE, 10, SIZE]
        assert sizes.submit(small, wait_for=[one]).result() == [10]
        assert sizes.submit(one.result()).result() == [SIZE]  # the control: it is seen where data is sent

    run(body, runner)
    uses = sent.calls[3:]
    assert [futures for _, futures in uses] == [1, 2, 0, 0]
    assert [length > SIZE for length, _ in uses] == [False, False, False, True]


@pytest.mark.conforms("B254")
def test_what_the_cluster_has_lost_is_sent_again(stored: Engine, runner: Any, tmp_path: Path) -> None:
    """The worker that has a value dies: the value is here as well, and its function is not called once more.

    The next call may be given to the dead worker before anybody knows, hence its retries.
    """
    calls = tmp_path / "calls"

    @task
    def once() -> bytes:
        with calls.open("a") as file:
            file.write("called\n")
        return os.getpid().to_bytes(8) + bytes(SIZE)

    def body() -> None:
        future = once.submit()
        os.kill(int.from_bytes(future.result()[:8]), signal.SIGKILL)
        assert task(sizes.fn, retries=2, name="sizes").submit([future]).result() == [8 + SIZE]

    run(body, runner, final_state="raised")
    assert lines(calls) == ["called"]


# The runner -----------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B088", "B257")
def test_a_runner_is_pickled_before_during_and_after_its_flow(engine: Engine, runner: Any) -> None:
    def body(with_runner: Any) -> int:
        again = pickle.loads(pickle.dumps(with_runner))
        assert type(again) is type(runner)
        assert run(lambda: add.submit(2).result(), again) == 3
        return int(add.submit(1).result())

    again = pickle.loads(pickle.dumps(runner))
    assert run(lambda: body(again), again) == 2
    assert vars(pickle.loads(pickle.dumps(again))) == vars(pickle.loads(pickle.dumps(runner)))


@pytest.mark.conforms("B257")
def test_one_runner_serves_several_flows_at_once(engine: Engine, runner: Any) -> None:
    @flow(task_runner=runner)
    def child(x: int) -> int:
        return int(add.submit(x).result())

    def body() -> list[int]:
        first = add.submit(0)
        return [*(child(x) for x in range(3)), first.result(), add.submit(5).result()]

    assert run(body, runner) == [1, 2, 3, 1, 6]
