"""Agents in processes of their own: what they start, what they end, and what becomes of it when they are gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.agents import LONG, AgentProcess, agents, deployed, ordered, row_of, until, working_folder
from support.flows import flow, seeded, states_in_store, task
from tidegate import DeploymentRun, recovery, run_deployment
from tidegate.cli import main
from tidegate.deploy import jobs
from tidegate.deploy.loading import load_flow
from tidegate.engine import Engine, using
from tidegate.model.deployments import Place, WorkQueue
from tidegate.model.states import Cancelling, Pending, State
from tidegate.outputs import output_of
from tidegate.requests import ask
from tidegate.store.sqlite import SQLiteStore

Start = Callable[..., AgentProcess]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a script in it."""
    with working_folder(tmp_path, monkeypatch):
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
    assert state is not None, row_of(here.store, number).state
    return state.name


def call(*arguments: str) -> Result:
    """The command in this process, over the same store."""
    return CliRunner().invoke(main, ["--home", "home", *arguments])


# Runs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B287", "B288")
def test_a_run_that_is_asked_for_by_name_is_run_by_an_agent(here: Engine, store: SQLiteStore, agent: Start) -> None:
    deployed(store, "etl.py:nightly", parameters={"x": 4}, tags=["eu"])
    working = agent()
    run = run_deployment("nightly/now", flow_run_name="first", tags=["mine"], idempotency_key="a")
    assert run.result() == 8
    states = [each for each in states_in_store(store, run.number) if each != "Late"]  # as it is on a busy machine
    assert states == ["Scheduled", "Pending", "Running", "Completed"]
    row = row_of(store, run.number)
    assert (row.name, row.tags) == ("first", ("eu", "mine"))
    again = run_deployment("now", {"x": 5}, idempotency_key="a")
    assert (again.number, again.result()) == (run.number, 8)
    assert run_deployment("now", {"x": 5}).result() == 10
    said = call("deployment", "run", "now", "-p", "x=6", "--watch")
    assert (said.exit_code, "of nightly: Completed" in said.stdout) == (0, True)
    working.says(f"Flow run {run.number} (first): Completed.")
    assert working.stop() == working.lines[-1]
    assert working.lines[-1].endswith("The agent has stopped.")
    assert "x is 4\n" in output_of(store.path.parent, run.number).read_text()


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
    until(lambda: states_in_store(store, held) == ["Scheduled", "Late"], "late")
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
    until(lambda: (path.exists() and path.read_text()) or row_of(store, number).state.is_at_rest(), "the body")
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


@pytest.mark.conforms("B288")
def test_a_run_whose_agent_died_before_it_was_begun_is_begun_by_another(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly"))
    assert store.deployments.claim(row_of(store, number), Pending(at=1.0), "0" * 32)
    agent()
    assert ended(here, number) == "Completed"
    assert states_in_store(store, number) == ["Scheduled", "Pending", "Running", "Completed"]


@pytest.mark.conforms("B288")
def test_agents_that_are_killed_lose_no_run_and_begin_none_twice(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    chance = seeded("killed agents")
    deployment = deployed(store, "etl.py:nightly")
    numbers = [ordered(store, deployment) for _ in range(8)]
    for moment in ("is started", "looks for runs", "looks for runs"):
        victim = agent("--limit", "2")
        victim.says(moment)
        time.sleep(chance.random() * 0.5)  # into the claims and starts that follow
        victim.kill()
    begun = [each for each in numbers if states_in_store(store, each)[-1] not in ("Scheduled", "Late")]
    assert begun, "nobody was killed in the middle of it"
    agent()
    assert [ended(here, each) for each in numbers] == ["Completed"] * 8
    assert (folder / "calls").read_text() == "x" * 8


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


@pytest.mark.conforms("B209")
def test_sigterm_is_heard_as_ctrl_c_and_what_completed_is_saved(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    number = ordered(store, deployed(store, "etl.py:waiting"))
    agent()
    os.kill(began(store, number), signal.SIGTERM)
    assert ended(here, number) == "Interrupted"


@pytest.mark.conforms("B208", "B209")
def test_a_process_that_answers_nobody_loses_its_run_and_is_killed(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    number = ordered(store, deployed(store, "etl.py:waiting"))
    agent("--grace", "1")
    pid = began(store, number)
    until(lambda: [row.state.name for row in store.task_runs(number)] == ["Running"], "the record of the task run")
    os.kill(pid, signal.SIGSTOP)
    said = call("cancel", str(number))
    assert said.exit_code == 0, said.output
    assert "does not answer. An agent of the queue 'default' ends it" in said.output
    assert ended(here, number) == "Cancelled"
    assert row_of(store, number).state.message == "Cancelled by the command line. Its process had to be killed."
    assert states_in_store(store, number)[-2:] == ["Cancelling", "Cancelled"]
    assert {row.state.name for row in store.task_runs(number)} == {"Cancelled"}
    assert not jobs.is_there(Place(jobs.host(), pid, jobs.beginning_of(pid)))


def cancelling(store: SQLiteStore, place: Place | None) -> int:
    """A run that was begun, whose process is this one by record, and that somebody has cancelled."""
    number = ordered(store, deployed(store, "etl.py:nightly"))
    assert store.deployments.claim(row_of(store, number), Pending(at=1.0), "")
    if place is not None:
        store.deployments.put_place(number, place)
    assert store.deployments.move(row_of(store, number), Cancelling("Cancelled by the test.", at=2.0), "the test")
    return number


@pytest.mark.conforms("B209", "B210", "B211")
def test_what_is_cancelled_and_has_no_process_here(here: Engine, store: SQLiteStore, agent: Start) -> None:
    mine = Place(jobs.host(), os.getpid(), jobs.beginning_of(os.getpid()))
    gone = cancelling(store, Place(mine.host, mine.pid, "the number was another process's"))
    unknown = cancelling(store, None)
    elsewhere = cancelling(store, Place("another-machine", mine.pid, mine.began))
    working = agent()
    assert (ended(here, gone), ended(here, unknown)) == ("Cancelled", "Cancelled")
    assert row_of(store, gone).state.message == "Cancelled by the test. Its process has ended."
    assert row_of(store, unknown).state.message == (
        "Cancelled by the test. No process of it was recorded: that its code has ended cannot be guaranteed."
    )
    (line,) = working.says(f"Flow run {elsewhere} (", "cannot be ended")
    assert f"its process {mine.pid} is on another-machine, and this agent on {mine.host}" in line
    later = ordered(store, deployed(store, "etl.py:nightly", name="later"))
    assert ended(here, later) == "Completed"
    assert row_of(store, elsewhere).state.is_cancelling()
    assert len(working.says("cannot be ended")) == 1, "it is said once"


def test_a_run_that_has_not_begun_is_cancelled_at_once(store: SQLiteStore) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly"), due=4e9)
    said = call("cancel", str(number))
    assert said.output == f"Flow run {number} is cancelled.\n"
    assert states_in_store(store, number) == ["Scheduled", "Cancelled"]


# Schedules, and the morning after -------------------------------------------------------------------------------------


@pytest.mark.conforms("B289")
def test_each_moment_of_a_schedule_is_run_once_by_two_agents(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    deployed(store, "etl.py:nightly", interval=1.0)
    two = [agent(), agent()]
    until(lambda: (folder / "calls").exists() and len((folder / "calls").read_text()) >= 4, "four runs")
    for one in two:
        one.stop()
    for row in store.flow_runs():
        if not row.state.is_scheduled():
            assert ended(here, row.number) == "Completed"
    dues = [store.deployments.dispatch(row.number) for row in store.flow_runs()]
    moments = [each.due for each in dues if each is not None]
    assert len(moments) == len(set(moments)) == len(store.flow_runs())
    assert sorted(moments) == [min(moments) + at for at in range(len(moments))], "none is left out"
    completed = [row for row in store.flow_runs() if row.state.is_completed()]
    assert len((folder / "calls").read_text()) == len(completed)


def test_a_failed_night_run_is_taken_over_here_and_keeps_what_completed(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    number = ordered(store, deployed(store, "etl.py:failing", parameters={"x": 3}))
    working = agent()
    assert ended(here, number) == "Failed"
    assert working.stop().endswith("has stopped.")
    (folder / "mended").touch()
    state = recovery.resume(number, load_flow("etl.py:failing"))
    assert isinstance(state, State)
    assert (state.name, state.result()) == ("Completed", 12)
    assert (folder / "calls").read_text() == "xx", "the first task run is not run again"


@pytest.mark.conforms("B268")
def test_a_run_that_failed_is_tried_again_by_an_agent_any_number_of_times(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    number = ordered(store, deployed(store, "etl.py:failing"))
    agent()

    def has_failed(times: int) -> None:
        until(lambda: states_in_store(store, number).count("Failed") == times, "the end of an attempt")

    for times in (1, 2, 3):
        has_failed(times)
        if times == 3:
            (folder / "mended").touch()
        assert call("deployment", "retry", str(number)).exit_code == 0
    until(lambda: row_of(store, number).state.is_completed(), "the end")
    again = ["AwaitingRetry", "Pending", "Running"]
    assert states_in_store(store, number) == [
        *("Scheduled", "Late", "Pending", "Running", "Failed"),
        *(*again, "Failed", *again, "Failed", *again, "Completed"),
    ]
    assert (folder / "calls").read_text() == "xx", "what completed is kept"
    said = call("deployment", "retry", str(number))
    assert (said.exit_code, said.stdout) == (1, "")
    assert "is Completed: there is nothing to try again." in said.stderr


# In a flow ------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B198")
def test_in_a_flow_a_run_is_tracked_by_a_task_run_with_its_inputs(
    here: Engine, store: SQLiteStore, agent: Start
) -> None:
    deployed(store, "etl.py:nightly")
    agent()

    @task
    def make() -> int:
        return 5

    @flow
    def outer() -> int:
        run = run_deployment("nightly/now", {"x": make.submit()})
        return int(run.result())

    assert outer() == 10
    parent, child = sorted(store.flow_runs(), key=lambda row: row.number)
    tracking = store.task_runs(parent.number)[1]
    assert child.parent == (parent.number, tracking.number)
    assert (tracking.task, tracking.subflow, tracking.name) == ("nightly", True, child.name)
    assert tracking.links == {"x": (("future", 1, 1),)}
    assert tracking.state.name == child.state.name == "Completed"
    assert child.parameters == '{"x": 5}'


@pytest.mark.conforms("B198")
def test_in_an_async_flow_it_is_awaited_and_a_failure_counts(here: Engine, store: SQLiteStore, agent: Start) -> None:
    deployed(store, "etl.py:failing")
    agent()

    @flow
    async def outer() -> None:
        run = await run_deployment("failing/now")
        assert run.state.is_failed()

    state = asyncio.run(outer(return_state=True))
    assert (state.name, state.message) == ("Failed", "1/1 states failed.")


@pytest.mark.conforms("B287")
def test_a_flow_that_does_not_wait_goes_on_and_so_does_the_run(here: Engine, store: SQLiteStore) -> None:
    deployed(store, "etl.py:nightly")

    @flow
    def outer() -> int:
        return int(run_deployment("nightly/now", timeout=0).number)

    number = outer()
    assert row_of(store, number).state.name == "Scheduled"
    above, _ = row_of(store, number).parent or (0, 0)
    (tracking,) = store.task_runs(above)
    assert tracking.state.message == f"Flow run {number} goes on by itself."
    run = run_deployment("nightly/now", timeout=0)
    assert (run.state.name, run.wait(0.01)) == ("Scheduled", None)


OUTER = """
from tidegate import flow, run_deployment

@flow
def outer():
    return run_deployment("waiting/now").result()
"""


@pytest.mark.conforms("B198")
def test_a_flow_that_goes_on_in_another_process_waits_for_the_run_that_it_had_made(
    here: Engine, store: SQLiteStore, agent: Start, folder: Path
) -> None:
    (folder / "outer.py").write_text(OUTER)
    deployed(store, "etl.py:waiting")
    agent()
    command = [sys.executable, "-m", "tidegate", "--home", "home", "run", "outer.py"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: len(store.flow_runs()) == 2, "the run of the deployment")
        child, parent = (row.number for row in store.flow_runs())
        began(store, child)
        process.kill()
    (folder / "go").touch()
    state = recovery.resume(parent, load_flow("outer.py"))
    assert isinstance(state, State)
    assert (state.name, state.result()) == ("Completed", 2)
    assert [row.number for row in store.flow_runs()] == [child, parent]
    assert (folder / "calls").read_text() == "x"


@pytest.mark.conforms("B198", "B287")
def test_two_calls_in_a_flow_with_one_key_are_of_one_run(store: SQLiteStore, here: Engine, agent: Start) -> None:
    deployed(store, "etl.py:nightly")
    agent()

    @flow
    def outer() -> list[int]:
        return [run_deployment("nightly/now", idempotency_key="a").number for _ in range(2)]

    first, second = outer()
    assert first == second
    assert [row.number for row in store.flow_runs()] == [2, 1]


def test_it_can_be_sketched(store: SQLiteStore, here: Engine) -> None:
    deployed(store, "etl.py:nightly")

    @flow
    def outer() -> None:
        run_deployment("nightly/now", {"x": 1})

    assert [each.name for each in outer.visualize().nodes] == ["nightly"]
    assert store.flow_runs() == []
