"""Agents in processes of their own: what they start, what they end, and what becomes of it when they are gone."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.agents import FLOWS, LONG, AgentProcess, agents, deployed, ordered, row_of
from support.flows import states_in_store
from support.modules import forgotten
from tidegate import DeploymentRun, recovery, run_deployment
from tidegate.deploy import jobs
from tidegate.deploy.loading import load_flow
from tidegate.engine import Engine, using
from tidegate.model.deployments import Place, WorkQueue
from tidegate.requests import ask
from tidegate.store.sqlite import SQLiteStore

Start = Callable[..., AgentProcess]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a script in it."""
    (tmp_path / "etl.py").write_text(FLOWS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    with forgotten(tmp_path):
        yield tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(folder / "home" / "store.db")
    yield made
    made.close()


@pytest.fixture
def agent(folder: Path) -> Iterator[Start]:
    with agents(folder / "home") as start:
        yield start


@pytest.fixture
def here(store: SQLiteStore) -> Iterator[Engine]:
    with using(Engine(store)) as made:
        yield made


def ended(here: Engine, number: int) -> str:
    """Wait until a run is at rest; its state."""
    state = DeploymentRun(here, number).wait(LONG)
    assert state is not None, row_of(here.store, number).state  # type: ignore[arg-type]
    return state.name


# Runs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B287", "B288")
def test_a_run_that_is_asked_for_by_name_is_run_by_an_agent(here: Engine, store: SQLiteStore, agent: Start) -> None:
    deployed(store, "etl.py:nightly", parameters={"x": 4}, tags=["eu"])
    working = agent()
    run = run_deployment("nightly/now", flow_run_name="first", tags=["mine"], idempotency_key="a")
    assert run.result() == 8
    assert states_in_store(store, run.number) == ["Scheduled", "Pending", "Running", "Completed"]
    row = row_of(store, run.number)
    assert (row.name, row.tags) == ("first", ("eu", "mine"))
    again = run_deployment("now", {"x": 5}, idempotency_key="a")
    assert (again.number, again.result()) == (run.number, 8)
    assert run_deployment("now", {"x": 5}).result() == 10
    working.says(f"Flow run {run.number} (first): Completed.")
    assert working.stop() == working.lines[-1]
    assert working.lines[-1].endswith("The agent has stopped.")
    assert "x is 4\n" in jobs.output_of(store.path.parent, run.number).read_text()


@pytest.mark.conforms("B211", "B288")
def test_of_two_agents_one_starts_each_run_of_the_queues_that_they_watch(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    deployment = deployed(store, "etl.py:nightly")
    other = deployed(store, "etl.py:nightly", name="other", queue="gpu")
    numbers = [ordered(store, deployment) for _ in range(6)]
    left = ordered(store, other)
    two = [agent("--limit", "2"), agent("--limit", "2")]
    assert [ended(here, each) for each in numbers] == ["Completed"] * 6
    for each in numbers:
        assert states_in_store(store, each) == ["Scheduled", "Late", "Pending", "Running", "Completed"]
        said = [line for one in two for line in one.lines if f"Flow run {each} (" in line and "is started" in line]
        assert len(said) == 1
    assert (folder / "calls").read_text() == "x" * 6
    assert states_in_store(store, left) == ["Scheduled"], "nobody watches its queue, not even to call it late"
    assert store.deployments.dispatch(left) == store.deployments.dispatch(left)
    agent("--queue", "gpu")
    assert ended(here, left) == "Completed"


@pytest.mark.conforms("B288")
def test_a_queue_holds_its_limit_and_its_pause_for_all_agents(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    store.deployments.put_queue(WorkQueue("default", limit=1))
    store.deployments.put_queue(WorkQueue("gpu", paused=True))
    waiting = ordered(store, deployed(store, "etl.py:waiting"), due=1.0)
    next_one = ordered(store, deployed(store, "etl.py:nightly"), due=2.0)
    held = ordered(store, deployed(store, "etl.py:nightly", name="gpu", queue="gpu"), due=3.0)
    one = agent("--queue", "default", "--queue", "gpu")
    one.says(f"Flow run {waiting} (", "is started")
    agent("--queue", "default", "--queue", "gpu")
    # What comes behind it in the same look has been decided on: both are late, and neither is begun.
    while states_in_store(store, held) != ["Scheduled", "Late"]:
        pass
    assert states_in_store(store, next_one) == ["Scheduled", "Late"]
    (folder / "go").touch()
    assert ended(here, next_one) == "Completed"
    assert states_in_store(store, held) == ["Scheduled", "Late"]
    store.deployments.put_queue(WorkQueue("gpu"))
    assert ended(here, held) == "Completed"


@pytest.mark.conforms("B288")
def test_a_process_that_dies_leaves_its_run_crashed(here: Engine, store: SQLiteStore, agent: Start) -> None:
    number = ordered(store, deployed(store, "etl.py:waiting"))
    working = agent()
    os.kill(began(store, number), signal.SIGKILL)
    assert ended(here, number) == "Crashed"
    assert row_of(store, number).state.message == "Its process ended before it did."
    working.says(f"Flow run {number} (", "Crashed")


@pytest.mark.conforms("B288")
def test_a_process_that_cannot_be_started_leaves_its_run_failed(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    deployment = deployed(store, str(folder / "etl.py") + ":nightly")
    monkeypatch.chdir(folder)
    gone.rmdir()
    number = ordered(store, deployment)
    agent()
    assert ended(here, number) == "Failed"
    assert row_of(store, number).state.message.startswith("Its process could not be started: No such file")


def began(store: SQLiteStore, number: int) -> int:
    """Wait until the body of a run is at work; its process."""
    path = Path("began")
    while not (path.exists() and path.read_text()):
        assert not row_of(store, number).state.is_at_rest(), row_of(store, number).state
    pid = int(path.read_text())
    path.unlink()
    return pid


def test_what_an_agent_has_started_outlives_it_and_the_next_one_sees_to_it(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    number = ordered(store, deployed(store, "etl.py:waiting"))
    first = agent()
    began(store, number)
    assert first.stop(signal.SIGTERM).endswith(
        f"The agent has stopped. 1 run goes on without it ({number}); the next agent sees to it."
    )
    second = agent()
    second.says(f"Flow run {number} (", "is seen to by this agent")
    (folder / "go").touch()
    assert ended(here, number) == "Completed"
    assert (folder / "calls").read_text() == "x"


# Cancel ---------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B208", "B209", "B211")
def test_a_process_that_hears_nothing_is_told_to_end_and_then_killed(
    here: Engine, store: SQLiteStore, agent: Start
) -> None:
    number = ordered(store, deployed(store, "etl.py:stubborn"))
    one, two = agent("--grace", "1"), agent("--grace", "1")
    pid = began(store, number)
    ask(store, number, "cancel", by="the test")
    assert ended(here, number) == "Cancelled"
    row = row_of(store, number)
    assert row.state.message == "Cancelled by the test. Its process had to be killed."
    assert states_in_store(store, number)[-2:] == ["Cancelling", "Cancelled"]
    lines = [*one.lines, *two.lines]
    assert len([line for line in lines if f"process {pid} is told to end" in line]) == 1
    assert len([line for line in lines if f"process {pid} has not ended in 1 s, and is killed" in line]) == 1


@pytest.mark.conforms("B208")
def test_a_process_that_hears_ends_its_run_itself(here: Engine, store: SQLiteStore, agent: Start) -> None:
    number = ordered(store, deployed(store, "etl.py:waiting"))
    agent()
    began(store, number)
    ask(store, number, "cancel", by="the test")
    assert ended(here, number) == "Cancelled"
    assert row_of(store, number).state.message == "Cancelled by the test."
