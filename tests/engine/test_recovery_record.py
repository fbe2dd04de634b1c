"""What the record tells of runs whose process was killed, before and after they are resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability.trials import Trials
from support.flows import engine_over, flow, in_time, python, states_in_store, task
from support.resumes import resumed
from tidegate import CrashedRun, dead_runs, rerun, resume
from tidegate.dead_runs import bury, bury_all
from tidegate.errors import NotStartable
from tidegate.flow_runs import create_flow_run, run_created
from tidegate.model.events import FlowCreated
from tidegate.model.states import State
from tidegate.store import sqlite
from tidegate.store.sqlite import SQLiteStore

IN_FLIGHT = """
import os, signal, sys
from tidegate import flow, resume, resume_plan, task
from tidegate.engine import engine

@task
def done(x):
    os.write(1, b"done ")
    return x

@task
def dies(x):
    os.write(1, b"dies ")
    if sys.argv[1] in ("new", "again"):
        engine().store.commit_all(())  # so that it is known to run
        os.kill(os.getpid(), signal.SIGKILL)
    return x + 1

@flow
def work(x):
    return dies(done(x))

@flow
def around(x):
    return work(x)

@flow
def waits(x):
    engine().store.commit_all(())
    os.write(1, b"up" + os.linesep.encode())
    sys.stdin.readline()

if sys.argv[1] == "new":
    globals()[sys.argv[2]](3)
elif sys.argv[1] == "plan":
    print(resume_plan(1))
elif sys.argv[1] == "race":
    engine().store.flow_runs()
    os.write(1, b"up" + os.linesep.encode())
    sys.stdin.readline()
    try:
        print(resume(1).result())
    except Exception as error:
        print(error)
else:
    print(resume(1).result())
"""


def say_in(home: Path, *arguments: str) -> str:
    with python(IN_FLIGHT, *arguments, env={"TIDEGATE_HOME": str(home)}) as process:
        out, error = process.communicate(timeout=30)
        assert process.returncode == (-9 if arguments[0] in ("new", "again") else 0), error.decode()
    return str(out.decode().strip())


def test_what_was_in_flight_runs_once_more_and_the_record_tells_it(tmp_path: Path) -> None:
    assert say_in(tmp_path, "new", "work") == "done dies"
    assert (
        say_in(tmp_path, "plan") == "Flow run 1 (" + row_name(tmp_path) + "): 1 task run is kept. Again: 1 in flight."
    )
    assert say_in(tmp_path, "resume") == "dies 4"
    store = SQLiteStore(tmp_path / "store.db")
    row = store.flow_run(1)
    assert row is not None
    assert (row.attempts, len(store.flow_runs())) == (2, 1)
    assert states_in_store(store, 1) == ["Running", "Crashed", "Resuming", "Completed"]
    assert states_in_store(store, 1, 1) == ["Running", "Completed"]
    assert states_in_store(store, 1, 2) == ["Running", "Crashed", "Retrying", "Completed"]
    assert [(each.name, each.attempts) for each in store.task_runs(1)] == [("done-0", 1), ("dies-0", 2)]
    store.close()


def row_name(home: Path) -> str:
    store = SQLiteStore(home / "store.db")
    try:
        return store.flow_runs()[0].name
    finally:
        store.close()


def test_the_runs_of_dead_processes_are_found_crashed_and_no_others(tmp_path: Path) -> None:
    """Subflows as well; a run that has been created ahead and one that is at work elsewhere are left alone."""
    assert say_in(tmp_path, "new", "around") == "done dies"
    with python(IN_FLIGHT, "new", "waits", env={"TIDEGATE_HOME": str(tmp_path)}) as alive:
        store = SQLiteStore(tmp_path / "store.db")
        with engine_over(store) as here:
            assert in_time(alive.stdout.readline) == b"up\n"
            ahead = create_flow_run("work", {"x": 1})
            assert sorted(bury_all(here)) == [1, 2]
            assert bury_all(here) == []
            assert states_in_store(store, 1) == states_in_store(store, 2) == ["Running", "Crashed"]
            assert states_in_store(store, ahead) == ["Pending"]
            assert states_in_store(store, 3) == ["Running"]
            with pytest.raises(
                NotStartable,
                match=r"^The flow run 3 \(.*\) is Running, and its process is alive\. `tidegate\.resume\(3, take",
            ):
                resume(3, flow(lambda x: x, name="waits"))
            with pytest.raises(NotStartable, match=r"is a subflow\. Resume flow run 1, which called it\.$"):
                resume(2, flow(lambda x: x, name="work"))
        alive.kill()
        alive.wait()
        with engine_over(store) as here:
            assert bury_all(here) == [3]
        store.close()


def test_a_subflow_that_was_in_flight_goes_on_in_the_same_run(tmp_path: Path) -> None:
    assert say_in(tmp_path, "new", "around") == "done dies"
    assert say_in(tmp_path, "resume") == "dies 4"
    store = SQLiteStore(tmp_path / "store.db")
    assert [(row.flow, row.state.name) for row in store.flow_runs()] == [
        ("work", "Completed"),
        ("around", "Completed"),
    ]
    store.close()


def test_one_process_may_look_and_go_on_after_others_have(tmp_path: Path) -> None:
    """What it knew of the run, such as the place of its last event, has been overtaken."""
    ran: list[str] = []
    fails = [True, False]

    def body(x: int) -> int:
        ran.append("body")
        if fails.pop(0):
            raise ValueError("here")
        return x

    assert say_in(tmp_path, "new", "work") == "done dies"
    store = SQLiteStore(tmp_path / "store.db")
    work = flow(body, name="work")
    with engine_over(store) as here:
        assert bury_all(here) == [1]
        assert say_in(tmp_path, "again") == "dies"
        assert bury_all(here) == [1]
        resume(1, work)
        assert say_in(tmp_path, "again") == "dies"
        resume(1, work)
        assert ran == ["body", "body"]
        again = ["Resuming", "Crashed"]
        assert states_in_store(store, 1) == [
            "Running",
            "Crashed",
            *again,
            "Resuming",
            "Failed",
            *again,
            "Resuming",
            "Completed",
        ]
    store.close()


def test_of_two_processes_that_resume_a_run_one_has_it(tmp_path: Path) -> None:
    env = {"TIDEGATE_HOME": str(tmp_path)}
    assert say_in(tmp_path, "new", "work") == "done dies"
    with python(IN_FLIGHT, "race", env=env) as one, python(IN_FLIGHT, "race", env=env) as two:
        for each in (one, two):
            assert each.stdout.readline() == b"up\n"
        for each in (one, two):
            each.stdin.write(b"\n")
            each.stdin.flush()
        said = sorted(each.communicate(timeout=30)[0].decode().strip() for each in (one, two))
    assert said[1] == "dies 4"
    told = (
        "take_over=True)` takes it from that one.",
        "has just been resumed by somebody else.",
        "there is nothing to resume.",
    )
    assert said[0].startswith("The flow run 1 (")
    assert said[0].endswith(told)


@pytest.mark.scorecard(31)
def test_a_task_that_kills_its_process_each_time_is_left_until_somebody_asks_for_it(
    tmp_path: Path, trials: Trials
) -> None:
    for trial in trials:
        poisoned(tmp_path / str(trial))


@pytest.mark.scorecard(31, control=True, case=True)
def test_control_a_task_that_is_run_however_often_it_kills_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(dead_runs, "TOO_OFTEN", 1_000)
    trials.did(1)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        poisoned(tmp_path)
    trials.found(True)


def poisoned(tmp_path: Path) -> None:
    """Three processes die of it; the next one leaves it alone."""
    assert say_in(tmp_path, "new", "work") == "done dies"
    assert say_in(tmp_path, "again") == "dies"
    assert say_in(tmp_path, "again") == "dies"
    store = SQLiteStore(tmp_path / "store.db")
    ran: list[str] = []

    @task
    def done(x: int) -> int:
        ran.append("done")
        return x

    @task
    def dies(x: int) -> int:
        ran.append("dies")
        return x + 1

    done.key, dies.key = "done", "dies"

    @flow(name="work")
    def work(x: int) -> int:
        return int(dies(done(x)))

    with engine_over(store) as here:
        told = (
            r"^Its process ended before it did\. That was so 3 times in a row\. `tidegate\.rerun\(1, 'dies-0'\)` runs"
        )
        with pytest.raises(CrashedRun, match=told):
            in_time(lambda: resumed(1, work))
        assert "dies" not in ran
        assert states_in_store(here.store, 1, 2)[-1] == "Quarantined"
        ended = rerun(1, "dies-0", work)
        assert isinstance(ended, State)
        assert ended.result() == 4
        assert ran[-1] == "dies"
        assert states_in_store(here.store, 1, 2)[-2:] == ["Retrying", "Completed"]
    store.close()


def test_who_looked_too_long_ago_does_not_bury_what_is_at_work_again(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    with engine_over(store) as here:
        store.create_flow_run(FlowCreated(0, 0.0, "", "work", "work", "{}", owner="gone"))
        seen = store.flow_run(1)
        now = store.flow_run(1)
        assert seen is not None
        assert now is not None
        assert store.claim_flow_run(now)  # somebody resumes it
        assert bury(here, seen) is False
        assert states_in_store(store, 1) == []
        assert bury(here, now) is False
    store.close()


def test_the_begin_of_a_task_that_is_not_to_run_twice_is_kept_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LINGER", 60.0)  # the writer is in no hurry
    store = SQLiteStore(tmp_path / "store.db")
    seen: list[str] = []

    @task(rerun="never")
    def step() -> None:
        seen.extend(states_in_store(store, 1, 1))

    @flow
    def work() -> None:
        step()
        assert seen == ["Running"]

    with engine_over(store):
        work()
    store.close()


def test_a_run_that_was_created_ahead_is_begun_once(tmp_path: Path) -> None:
    """Whoever comes second is told, whether it looked before the first one began or after."""
    store = SQLiteStore(tmp_path / "store.db")
    ran: list[int] = []

    @flow
    def work(x: int) -> None:
        ran.append(x)

    with engine_over(store):
        number = create_flow_run("work", {"x": 1})
        before = store.flow_run(number)
        assert before is not None
        assert store.claim_flow_run(before)
        with pytest.raises(NotStartable, match=r"^The flow run 1 \(.*\) has just been begun by somebody else\.$"):
            run_created(work, before)
        after = store.flow_run(number)
        assert after is not None
        with pytest.raises(NotStartable, match=r"cannot be started: it is Pending, and a process that is alive has it"):
            run_created(work, after)
        assert ran == []
    store.close()
