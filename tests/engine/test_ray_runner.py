"""The options of the runner for Ray, and what it needs of an instance."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from support.flows import flow, in_time, python, task, threads_end
from support.ray_instance import SMALL, local_ray, quiet_ray
from tidegate import ConflictingOptions, RayTaskRunner, UsageError, as_completed, remote_options
from tidegate.engine import Engine
from tidegate.task_runners import concurrent

cloudpickle.register_pickle_by_value(sys.modules[__name__])

LONG = 120.0


@task
def assigned(_: Any = None) -> dict[str, float]:
    """What Ray has set aside for the call."""
    import ray

    return dict(ray.get_runtime_context().get_assigned_resources())


@task
def pid() -> int:
    return os.getpid()


@pytest.fixture(scope="module")
def instance() -> Iterator[None]:
    """One that is not the runner's own."""
    with local_ray(num_cpus=2, resources={"disk": 2}):
        yield


@pytest.mark.conforms("B256")
def test_what_a_task_needs_is_set_aside(engine: Engine, instance: None) -> None:
    """By the options around the submission, the inner ones first; a map has those around it."""

    @flow(task_runner=RayTaskRunner())
    def work() -> list[Any]:
        usual = assigned.submit()
        with remote_options(num_cpus=2, resources={"disk": 1}):
            most = assigned.submit()
            with remote_options(num_cpus=0):
                mapped = assigned.map([1, 2])
        return [usual.result(), most.result(), *mapped.result()]

    usual, most, *mapped = in_time(work, LONG)
    assert usual == {"CPU": 1}
    assert most == {"CPU": 2, "disk": 1}
    assert mapped == [{"disk": 1}, {"disk": 1}]


def test_an_option_that_ray_does_not_know_is_one_line(engine: Engine, instance: None) -> None:
    @flow(task_runner=RayTaskRunner())
    def work() -> int:
        with remote_options(nonsense=1):
            state = pid.submit().wait()
        assert state.is_failed()
        assert state.message.startswith("UsageError: Ray does not take the remote_options of 'pid-0")
        assert "\n" not in state.message
        return int(pid.submit().result())

    assert in_time(work, LONG) != os.getpid()


@pytest.mark.conforms("B256")
def test_a_wait_does_not_hold_the_loop(engine: Engine, instance: None, tmp_path: Path) -> None:
    """What runs on Ray goes on only once the loop of the flow has turned a hundred times."""
    go_on = tmp_path / "go on"

    @task
    def waits() -> int:
        while not go_on.exists():
            pass
        return 1

    async def turns() -> None:
        for _ in range(100):
            await asyncio.sleep(0.001)
        go_on.touch()

    @flow(task_runner=RayTaskRunner())
    async def work() -> list[int]:
        turning = asyncio.create_task(turns())
        found = [future.result() async for future in as_completed([waits.submit()])]
        await turning
        return found

    assert in_time(lambda: asyncio.run(work()), LONG) == [1]


OTHER = """
import sys
from tidegate import RayTaskRunner, flow, task

@task
def double(x):
    return 2 * x

@flow(task_runner=RayTaskRunner(address=sys.argv[1], init_kwargs={"log_to_driver": False}))
def work():
    return double.map([1, 2]).result()

print(work())
"""


@pytest.mark.conforms("B256")
def test_a_running_instance_by_its_address(engine: Engine, instance: None, tmp_path: Path) -> None:
    """It is connected to from another process, and from this one; it goes on when they have ended."""
    import ray

    address = ray.get_runtime_context().gcs_address
    with python(OTHER, address, env={"TIDEGATE_HOME": str(tmp_path / "home")}, cwd=tmp_path) as other:
        out, err = other.communicate(timeout=LONG)
        assert out.decode().endswith("[2, 4]\n"), err.decode()
    assert in_time(flow(lambda: pid.submit().result(), name="work", task_runner=RayTaskRunner(address)), LONG)
    assert ray.is_initialized()


def test_another_address_than_the_one_that_is_connected(engine: Engine, instance: None) -> None:
    runner = RayTaskRunner(address="127.0.0.1:9")
    state = in_time(lambda: flow(lambda: pid.submit().wait(), name="w", task_runner=runner, final_state="raised")())
    assert state.is_crashed()
    assert "cannot be connected to 127.0.0.1:9 as well" in state.message
    assert "\n" not in state.message


@pytest.mark.conforms("B256")
def test_a_temporary_instance_ends_with_the_last_flow_that_uses_it(engine: Engine) -> None:
    """Two flow runs share it: a process has one connection to Ray."""
    with quiet_ray():
        import ray

        ray.shutdown()
        runner = RayTaskRunner(init_kwargs={**SMALL, "num_cpus": 1})

        @flow(task_runner=runner)
        def child() -> int:
            return int(pid.submit().result())

        @flow(task_runner=runner)
        def work() -> list[int]:
            assert not ray.is_initialized()  # nothing has been called yet
            first = task(pid.fn, name="first", retries=2).submit().result()  # a busy machine may not start it in time
            return [first, child(), pid.submit().result()]

        assert os.getpid() not in in_time(work, LONG)
        threads_end("tidegate-cluster-end", LONG)
        assert not ray.is_initialized()


def test_a_temporary_instance_outlives_the_thread_that_needed_it_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's processes end with the thread that started them, and idle workers end after a moment."""
    monkeypatch.setattr(concurrent, "IDLE_SECONDS", 0.0)
    with quiet_ray():
        runner = RayTaskRunner(init_kwargs={**SMALL, "num_cpus": 1})

        @flow(task_runner=runner)
        def work() -> int:
            task(pid.fn, name="once", retries=2).submit().wait()  # a busy machine may not start it in time
            threads_end("tidegate-worker", LONG)
            return int(pid.submit().result())

        assert in_time(work, LONG) != os.getpid()
        threads_end("tidegate-cluster-end", LONG)


def test_two_addresses_are_refused() -> None:
    with pytest.raises(ConflictingOptions, match="takes the address once") as caught:
        RayTaskRunner(address="a:1", init_kwargs={"address": "b:1"})
    assert isinstance(caught.value, ValueError)
    assert RayTaskRunner(init_kwargs={"address": "b:1"}).address == "b:1"


@pytest.mark.parametrize("senseless", [0, True, "2"])
def test_calls_at_most(senseless: Any) -> None:
    with pytest.raises(UsageError, match="max_concurrency must be a whole number from 1 on"):
        RayTaskRunner(max_concurrency=senseless)


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^RayTaskRunner needs Ray. Install it: pip install 'tidegate\[ray\]'$"):
        RayTaskRunner()
