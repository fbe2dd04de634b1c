"""Deployments: how they are made and refused, what the store keeps of them, and the commands."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.agents import deployed, ordered, row_of, working_folder
from support.flows import states_in_store
from tidegate import run_deployment
from tidegate.cli import main
from tidegate.dead_runs import call_off
from tidegate.deployed_runs import new_run
from tidegate.engine import Engine, using
from tidegate.errors import DeploymentNotFound, StoreError, UsageError
from tidegate.model.deployments import Deployment, Dispatch, Place, Schedule, WorkQueue
from tidegate.model.events import FlowCreated, FlowState
from tidegate.model.states import Completed, Pending, Scheduled
from tidegate.outputs import output_of
from tidegate.retention import Limits, plan, prune
from tidegate.store.memory import MemoryStore
from tidegate.store.opening import salvage_store
from tidegate.store.sqlite import SQLiteStore


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


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", "home", *arguments])


def said(*arguments: str) -> str:
    """What a command says that does what it is to do."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


# Making ---------------------------------------------------------------------------------------------------------------


def test_a_deployment_is_found_from_any_folder(store: SQLiteStore, folder: Path) -> None:
    made = deployed(store, "etl.py:nightly", name="early", parameters={"x": 4}, tags=["b", "a"], cron="0 3 * * *")
    assert made == store.deployments.get("nightly/early")
    assert (made.target, made.folder) == (f"{folder}/etl.py:nightly", str(folder))
    assert (made.parameters, made.tags, made.queue, made.paused) == ('{"x": 4}', ("a", "b"), "default", False)
    assert made.schedules == (Schedule("0 3 * * *", "UTC"),)


def test_the_cell_of_a_notebook_is_deployed(store: SQLiteStore, folder: Path) -> None:
    cells = [
        {"cell_type": "code", "source": "rows = 1", "metadata": {"tags": ["parameters"]}},
        {"cell_type": "code", "source": "%%flow\nrows", "metadata": {}},
    ]
    (folder / "night.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    made = deployed(store, "night.ipynb", parameters={"rows": 5})
    assert (made.full_name, made.target) == ("night/now", f"{folder}/night.ipynb:night")
    with pytest.raises(UsageError, match="has no parameter 'row'"):
        deployed(store, "night.ipynb", parameters={"row": 5})


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["gone.py"], "There is no file gone.py."),
        (["etl.py"], "There are several flows in"),
        (["etl.py:weekly"], "There is no flow 'weekly'"),
        (["etl.py:nightly", "--cron", "99 * * * *"], "'99 * * * *' is no cron expression"),
        (["etl.py:nightly", "--cron", ""], "is no cron expression"),
        (["etl.py:nightly", "--cron", "0 3 * * *", "--timezone", "Mars"], "There is no time zone 'Mars'."),
        (["etl.py:nightly", "--timezone", "Europe/Paris"], "A time zone goes with a cron expression"),
        (["etl.py:nightly", "--interval", "0"], "An interval takes 1 s or more"),
        (["etl.py:nightly", "-p", "y=1"], "nightly expects the parameters x; it was given y."),
        (["etl.py:nightly", "-p", "x=abc"], "x: Input should be a valid integer"),
        (["etl.py:nightly", "--queue", "a/b"], "'a/b' cannot name a work queue"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(store: SQLiteStore, arguments: list[str], wanted: str) -> None:
    result = call("deploy", *arguments, "--name", "nightly")
    assert (result.exit_code, result.stdout) == (2, "")
    assert wanted in result.stderr
    assert result.stderr.count("\n") == 1
    assert store.deployments.all() == []


def test_a_validator_of_the_user_that_raises_is_told_in_one_line(store: SQLiteStore, folder: Path) -> None:
    (folder / "strict.py").write_text(
        "from typing import Annotated\nimport pydantic\nfrom tidegate import flow\n"
        "def odd(value): raise RuntimeError('the wrong moon')\n"
        "@flow\ndef load(day: Annotated[str, pydantic.AfterValidator(odd)] = 'x'): ...\n"
    )
    result = call("deploy", "strict.py", "--name", "nightly", "-p", "day=Monday")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "The parameters of 'load' cannot be used. RuntimeError: the wrong moon" in result.stderr


def test_a_flow_that_needs_parameters_needs_them_if_nobody_gives_them_later(store: SQLiteStore, folder: Path) -> None:
    (folder / "needs.py").write_text("from tidegate import flow\n@flow\ndef load(day: str): ...\n")
    with pytest.raises(UsageError, match="load expects the parameters day"):
        deployed(store, "needs.py", cron="0 3 * * *")
    assert deployed(store, "needs.py").full_name == "load/now"


def test_a_store_in_memory_refuses_in_one_line() -> None:
    with using(Engine(MemoryStore())), pytest.raises(StoreError, match=r"^Deployments need a store on the disk[^\n]*$"):
        run_deployment("nightly/now")


# The store ------------------------------------------------------------------------------------------------------------


def test_a_key_makes_one_run_however_often_it_is_asked_for(store: SQLiteStore) -> None:
    made = deployed(store, "etl.py:nightly")
    first = ordered(store, made, 5.0, key="a")
    assert ordered(store, made, 9.0, key="a") == first
    other = deployed(store, "etl.py:nightly", name="other")
    assert ordered(store, other, 5.0, key="a") != first
    assert ordered(store, made, 5.0) != ordered(store, made, 5.0)


@pytest.mark.parametrize("how", ["pause", "rm", "again"])
def test_what_was_planned_is_called_off_and_may_be_planned_anew(store: SQLiteStore, how: str) -> None:
    made = deployed(store, "etl.py:nightly", cron="0 3 * * *")
    planned = ordered(store, made, 4e9, planned=True, key="schedule 4e9")
    asked_for = ordered(store, made, 4e9)
    assert store.deployments.planned(0.0) == {made.full_name: {4e9}}
    if how == "again":
        said("deploy", "etl.py:nightly", "--name", "now", "--cron", "0 4 * * *")
    else:
        said("deployment", how, "now")
    assert (row_of(store, planned).state.name, row_of(store, asked_for).state.name) == ("Cancelled", "Scheduled")
    assert row_of(store, planned).state.message.startswith("Its deployment was ")
    assert store.deployments.planned(0.0) == {}
    assert ordered(store, made, 4e9, planned=True, key="schedule 4e9") not in (planned, asked_for)


def test_a_run_that_an_agent_is_about_to_plan_is_not_made_once_its_deployment_is_paused(store: SQLiteStore) -> None:
    made = deployed(store, "etl.py:nightly", cron="0 3 * * *")
    said("deployment", "pause", "now")
    created = new_run(made, "late-otter", 1.0)
    dispatch = Dispatch(0, made.full_name, made.queue, 4e9, made.folder, planned=True, key="schedule 4e9")
    assert store.deployments.create_run(created, dispatch, Scheduled(4e9, at=1.0), made) == (0, False)
    assert store.flow_runs() == []


def test_what_somebody_cancelled_is_not_planned_anew(store: SQLiteStore) -> None:
    made = deployed(store, "etl.py:nightly", cron="0 3 * * *")
    planned = ordered(store, made, 4e9, planned=True, key="schedule 4e9")
    assert call_off(Engine(store), row_of(store, planned), "the test")
    assert store.deployments.planned(0.0) == {made.full_name: {4e9}}


def test_the_same_deployment_once_more_leaves_what_was_planned(store: SQLiteStore) -> None:
    made = deployed(store, "etl.py:nightly", cron="0 3 * * *")
    planned = ordered(store, made, 4e9, planned=True)
    deployed(store, "etl.py:nightly", cron="0 3 * * *")
    assert row_of(store, planned).state.name == "Scheduled"


@pytest.mark.conforms("B288")
def test_of_two_agents_one_is_granted_a_run(store: SQLiteStore) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly"))
    row = row_of(store, number)
    state = Pending(at=1.0).copy(scheduled_time=0.0)
    assert [store.deployments.claim(row, state, agent) for agent in ("a", "b")] == [True, False]
    dispatch = store.deployments.dispatch(number)
    assert dispatch is not None
    assert dispatch.agent == "a"
    assert [store.deployments.adopt(dispatch, agent) for agent in ("b", "c")] == [True, False]
    assert states_in_store(store, number) == ["Scheduled", "Pending"]
    assert row_of(store, number).state.scheduled_time == 0.0


def test_a_run_that_is_taken_from_its_process_is_written_by_it_no_more(store: SQLiteStore) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly"))
    assert store.claim_flow_run(row_of(store, number))
    other = SQLiteStore(store.path)
    assert other.deployments.move(row_of(store, number), Scheduled(9.0, at=2.0), "the test")
    other.close()
    with pytest.raises(StoreError, match="Another process has taken the flow run over"):
        store.commit(FlowState(number, 3.0, Completed(at=3.0), attempt=1))
    assert row_of(store, number).state.name == "Scheduled"


def test_a_run_of_a_deployment_goes_with_its_row(store: SQLiteStore) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly"))
    store.commit(FlowState(number, 1.0, Completed(at=1.0), attempt=1))
    newest = store.create_flow_run(FlowCreated(0, 1.0, "u", "f", "n", "{}"))
    assert prune(store, plan(store, Limits(days=1), 1e9), 1e9).runs == 1
    assert store.deployments.dispatch(number) is None
    assert store.flow_run(newest) is not None


def test_what_its_process_has_printed_goes_with_a_run(store: SQLiteStore) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly"))
    output = output_of(store.path.parent, number)
    output.parent.mkdir()
    output.write_text("x is 1")
    assert f"deployment  nightly/now, queue default\noutput      {output}\n" in said("show", str(number))
    store.commit(FlowState(number, 1.0, Completed(at=1.0), attempt=1))
    store.create_flow_run(FlowCreated(0, 1.0, "u", "f", "n", "{}"))
    prune(store, plan(store, Limits(days=1), 1e9), 1e9)
    assert not output.exists()


def everything(store: SQLiteStore) -> tuple[list[Deployment], Dispatch | None, list[WorkQueue]]:
    return store.deployments.all(), store.deployments.dispatch(1), store.deployments.queues()


def test_salvage_keeps_deployments_their_runs_and_queues(store: SQLiteStore, folder: Path) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly", cron="0 3 * * *"), planned=True, key="k")
    store.deployments.put_place(number, Place("here", 12, "boot"))
    store.deployments.put_queue(WorkQueue("gpu", 2, True))
    before = everything(store)
    store.close()
    salvage_store(folder / "home" / "store.db")
    kept = SQLiteStore(folder / "home" / "store.db")
    assert everything(kept) == before
    kept.close()


def test_a_row_that_is_damaged_is_found_and_not_believed(store: SQLiteStore, folder: Path) -> None:
    number = ordered(store, deployed(store, "etl.py:nightly"))
    store.deployments.put_place(number, Place("here", 12, "boot"))
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE deployment SET target = '/etc/other.py:nightly'")
        connection.execute("UPDATE dispatch SET pid = 1")
    assert store.deployments.all() == []
    with pytest.raises(StoreError, match="The deployment nightly/now is damaged"):
        store.deployments.get("nightly/now")
    assert store.deployments.dispatch(number) is None
    found = call("store", "check")
    assert found.exit_code == 1
    assert "deployment (name nightly/now) is not what was written" in found.output
    assert f"dispatch (flow_run {number}) is not what was written" in found.output
    assert said("deployment", "rm", "nightly/now") == "nightly/now is gone.\n"


# Commands -------------------------------------------------------------------------------------------------------------


def test_the_commands_name_list_show_pause_and_remove(store: SQLiteStore) -> None:
    assert said("deployment", "ls").startswith("There are no deployments.")
    cron = ("--cron", "0 3 * * *", "--timezone", "Europe/Paris")
    made = said("deploy", "etl.py:nightly", "--name", "early", *cron, "-p", "x=4", "-q", "gpu")
    assert made.startswith('nightly/early is deployed: "0 3 * * *" in Europe/Paris.\n`tidegate agent --queue gpu`')
    assert said("deployment", "ls").splitlines()[1].split()[0] == "nightly/early"
    shown = dict(line.split(maxsplit=1) for line in said("deployment", "inspect", "early").splitlines())
    assert (shown["parameters"], shown["queue"]) == ('{"x": 4}', "gpu")
    assert said("deployment", "pause", "early").startswith("nightly/early is paused.")
    assert "paused" in said("deployment", "ls")
    assert said("deployment", "resume", "early") == "nightly/early goes on.\n"
    assert "paused" not in said("deployment", "ls")
    asked = said("deployment", "run", "early", "-p", "x=5", "--in", "60")
    assert asked == f"Flow run 1 ({row_of(store, 1).name}) waits for an agent of the queue gpu.\n"
    assert row_of(store, 1).parameters == '{"x": 5}'
    assert said("deployment", "rm", "early") == "nightly/early is gone.\n"


def test_the_commands_limit_and_pause_queues(store: SQLiteStore) -> None:
    assert said("queue", "ls").startswith("No deployment names a queue.")
    deployed(store, "etl.py:nightly")
    assert said("queue", "limit", "gpu", "2") == "At most 2 of the runs of the queue gpu may be at work.\n"
    assert said("queue", "pause", "gpu").startswith("The queue gpu is paused.")
    assert store.deployments.queues() == [WorkQueue("default"), WorkQueue("gpu", 2, True)]
    assert said("queue", "ls").splitlines()[2].split() == ["gpu", "2", "yes"]
    assert said("queue", "resume", "gpu") == "The queue gpu goes on.\n"
    assert said("queue", "limit", "gpu") == "Any number of the runs of the queue gpu may be at work.\n"
    assert store.deployments.queues()[1] == WorkQueue("gpu")


def test_a_name_that_is_not_there_or_not_enough_is_told(store: SQLiteStore, folder: Path) -> None:
    with pytest.raises(DeploymentNotFound, match="There are no deployments here"):
        asked_for(store, "nightly")
    for target in ("etl.py:nightly", "etl.py:waiting"):
        deployed(store, target, name="early")
    with pytest.raises(DeploymentNotFound, match="several deployments 'early': nightly/early, waiting/early"):
        asked_for(store, "early")
    with pytest.raises(DeploymentNotFound, match=r"no deployment 'late'\. There are: nightly/early, waiting/early"):
        asked_for(store, "late")
    result = call("deployment", "pause", "late")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def asked_for(store: SQLiteStore, name: str) -> None:
    with using(Engine(store)):
        run_deployment(name, timeout=0)
