"""The options of the runner for Dask: which cluster, whose it is, what is too much; over clusters of threads here."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from distributed import Client, LocalCluster

from support.flows import flow, in_time, python, task, threads_end
from tidegate import ConflictingOptions, DaskTaskRunner, UsageError
from tidegate.engine import Engine
from tidegate.task_runners import dask

LONG = 60.0
SMALL: dict[str, Any] = {
    "processes": False,
    "protocol": "tcp",
    "n_workers": 1,
    "threads_per_worker": 2,
    "dashboard_address": ":0",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A running cluster that is somebody else's."""
    with LocalCluster(**SMALL) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """What a flow run has connected to or made is let go of soon after its end."""
    yield
    threads_end("tidegate-cluster-end", LONG)


@task(log_prints=True)
def add(x: int, y: int = 1) -> int:
    print("adds", x)
    return x + y


def run(runner: Any) -> list[int]:
    """What a flow with some tasks gives."""

    @flow(task_runner=runner)
    def work() -> list[int]:
        one = add.submit(1)
        return [one.result(), *add.map(range(3), y=one).result()]

    return list(in_time(work, LONG))


class Noted(LocalCluster):  # type: ignore[misc]  # Dask has no types
    """Remembers which were made, and how."""

    made: ClassVar[list[tuple[Any, dict[str, Any]]]] = []

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.adapted: dict[str, Any] | None = None
        self.made.append((self, options))

    def adapt(self, **options: Any) -> Any:
        self.adapted = options
        return super().adapt(**options)


@pytest.fixture
def noted() -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    Noted.made.clear()
    yield Noted.made
    Noted.made.clear()


@pytest.mark.conforms("B255")
def test_a_temporary_cluster_is_made_for_a_flow_run_and_closed(
    stored: Engine, noted: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, for the first call; that it is asynchronous, or not, is not for the options to say."""
    runner = DaskTaskRunner(cluster_class=Noted, cluster_kwargs={**SMALL, "asynchronous": True})
    assert noted == []
    assert run(runner) == [2, 2, 3, 4]
    [(made, options)] = noted
    assert options == SMALL
    nothing_left(made)
    assert sorted(capsys.readouterr().out.splitlines()) == ["adds 0", "adds 1", "adds 1", "adds 2"]
    assert [line.text for _, line in stored.store.logs(1, task_run=1)] == ["adds 1"]
    assert run(runner) == [2, 2, 3, 4]
    assert len(noted) == 2


def nothing_left(made: Any) -> None:
    threads_end("tidegate-cluster-end", LONG)
    assert made.status.name == "closed"


def test_a_flow_that_calls_nothing_makes_no_cluster(engine: Engine, noted: list[Any]) -> None:
    assert in_time(flow(lambda: add(1), name="work", task_runner=DaskTaskRunner(cluster_class=Noted))) == 2
    assert noted == []


@pytest.mark.conforms("B255")
def test_a_class_by_its_name_and_a_cluster_that_adapts(engine: Engine, noted: list[Any]) -> None:
    """It begins without any worker, and grows for the calls that it is given."""
    runner = DaskTaskRunner(
        cluster_class=f"{LocalCluster.__module__}.LocalCluster",
        cluster_kwargs={**SMALL, "n_workers": 0},
        adapt_kwargs={"minimum": 0, "maximum": 2},
    )
    assert run(runner) == [2, 2, 3, 4]
    named = DaskTaskRunner(cluster_class=Noted, cluster_kwargs=SMALL, adapt_kwargs={"minimum": 1, "maximum": 2})
    assert run(named) == [2, 2, 3, 4]
    assert noted[0][0].adapted == {"minimum": 1, "maximum": 2}


@pytest.mark.conforms("B255")
def test_a_running_cluster_is_used_and_left_alone(engine: Engine, cluster: Any) -> None:
    """By its address, as an object, or through a client."""
    with Client(cluster, set_as_default=False) as client:
        for runner in (
            DaskTaskRunner(address=cluster.scheduler_address, client_kwargs={"timeout": 30, "asynchronous": True}),
            DaskTaskRunner(cluster=cluster),
            DaskTaskRunner(cluster=client),
            pickle.loads(pickle.dumps(DaskTaskRunner(cluster=cluster))),
            pickle.loads(pickle.dumps(DaskTaskRunner(cluster=client))),
        ):
            assert run(runner) == [2, 2, 3, 4]
        assert client.submit(os.getpid).result() == os.getpid()


def test_a_cluster_that_is_not_there(engine: Engine) -> None:
    """The task run says so in one line, and is crashed."""
    runner = DaskTaskRunner(address="tcp://127.0.0.1:9", client_kwargs={"timeout": 0.5})
    state = in_time(lambda: flow(lambda: add.submit(1).wait(), name="w", task_runner=runner, final_state="raised")())
    assert state.is_crashed()
    assert state.message.startswith("The cluster cannot be had: OSError")
    assert "\n" not in state.message


@pytest.mark.conforms("B254")
def test_a_cluster_that_goes_away_while_a_call_is_at_work(engine: Engine, tmp_path: Path) -> None:
    """The task run is crashed, and so is each one that comes after it."""
    begun, over = tmp_path / "begun", tmp_path / "over"

    @task
    def waits() -> None:
        begun.touch()
        wait_for(over)

    with LocalCluster(**SMALL) as going:

        @flow(task_runner=DaskTaskRunner(cluster=going), final_state="raised")
        def work() -> list[Any]:
            first = waits.submit()
            wait_for(begun)
            going.close()
            return [first.wait(), add.submit(1).wait()]

        try:
            states = in_time(work, LONG)
        finally:
            over.touch()
    assert [state.is_crashed() for state in states] == [True, True]
    assert all("luster" in state.message and "\n" not in state.message for state in states), states


@pytest.mark.conforms("B255")
def test_calls_have_keys_that_no_other_attempt_has(
    engine: Engine, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and numbers of the run and of the attempt: Dask would hand back what it remembers of an older one."""
    keys: list[str] = []
    call = dask.DaskCluster.call

    def spy(this: Any, name: str, *rest: Any) -> Any:
        keys.append(name)
        return call(this, name, *rest)

    monkeypatch.setattr(dask.DaskCluster, "call", spy)

    @task(retries=1)
    def bad() -> None:
        raise ValueError("no")

    @flow(task_runner=DaskTaskRunner(cluster=cluster), retries=1)
    def work() -> None:
        bad.submit()

    for _ in range(2):
        in_time(lambda: work(return_state=True))
    assert [key.rpartition("-")[0] for key in keys] == [f"bad-0-{n}-1-{count}" for n in (1, 2) for count in range(1, 5)]
    assert len(set(keys)) == 8


UNGUARDED = """
from tidegate import DaskTaskRunner, flow, task

@task
def step():
    return 1

@flow(task_runner=DaskTaskRunner(cluster_kwargs={"n_workers": 1, "dashboard_address": ":0"}))
def work():
    return step.submit().result()

work()
"""


def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    """Dask's worker process imports the script; its flow does not run there, and leaves no record."""
    script, home = tmp_path / "script.py", tmp_path / "home"
    script.write_text(UNGUARDED)

    def outcome(*command: str) -> Any:
        env = {**os.environ, "TIDEGATE_HOME": str(home)}
        return subprocess.run(
            [sys.executable, *command], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=LONG, check=False
        )

    done = outcome(str(script))
    assert done.returncode == 1
    assert done.stderr.count("UsageError: This flow would run once more in each worker process") == 1
    assert done.stderr.rstrip().endswith("In a script, call flows under `if __name__ == '__main__':`.")
    assert outcome("-m", "tidegate", "runs").stdout.count("Failed") == 1


OWNER = """
import sys, time
from pathlib import Path
from tidegate import DaskTaskRunner, flow, task

@task
def endless(begun, ended):
    begun.touch()
    try:
        while True:
            time.sleep(0.005)
    finally:
        ended.touch()

@flow(task_runner=DaskTaskRunner(address=sys.argv[1]))
def work():
    endless.submit(*map(Path, sys.argv[2:])).result()

work()
"""


def test_what_runs_ends_with_its_owner(cluster: Any, tmp_path: Path) -> None:
    """The process of the flow is killed: the cluster, which is somebody else's, does not go on for nobody."""
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    home = {"TIDEGATE_HOME": str(tmp_path / "home")}
    with python(OWNER, cluster.scheduler_address, begun, ended, env=home, cwd=tmp_path) as owner:
        wait_for(begun)
        assert not ended.exists()
        owner.kill()
        wait_for(ended)


def wait_for(path: Path) -> None:
    """Wait for a file that another process makes."""
    end = time.monotonic() + LONG
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come"
        time.sleep(0.005)


@pytest.mark.parametrize(
    "options",
    [
        {"address": "tcp://x:1", "cluster_class": LocalCluster},
        {"address": "tcp://x:1", "cluster_kwargs": {"n_workers": 1}},
        {"address": "tcp://x:1", "adapt_kwargs": {"maximum": 2}},
        {"address": "tcp://x:1", "cluster": object()},
        {"cluster": object(), "cluster_kwargs": {"n_workers": 1}},
    ],
    ids=lambda options: " and ".join(options),
)
@pytest.mark.conforms("B255")
def test_a_running_cluster_and_one_to_be_made_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConflictingOptions, match="not both") as caught:
        DaskTaskRunner(**options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, UsageError)
    assert "\n" not in str(caught.value)
    assert all(name in str(caught.value) for name in options)


@pytest.mark.parametrize("senseless", [0, -1, True, "2", 1.5])
def test_calls_at_most(senseless: Any) -> None:
    with pytest.raises(UsageError, match="max_concurrency must be a whole number from 1 on"):
        DaskTaskRunner(max_concurrency=senseless)


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^DaskTaskRunner needs Dask. Install it: pip install 'tidegate\[dask\]'$"):
        DaskTaskRunner()
