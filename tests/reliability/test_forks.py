"""User code that forks while the store is written to: the store is whole, the parent loses nothing, children end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from reliability.trials import Trials
from support.flows import SOON
from support.victims import Victims
from tidegate.store.sqlite import SQLiteStore

FORKS = """
import gc, multiprocessing, os, random, signal, sqlite3, sys, time
from tidegate import ConcurrentTaskRunner, flow, task

kind, count, chance = sys.argv[1], int(sys.argv[2]), random.Random(int(sys.argv[3]))

def square(x):
    return x * x

def leaves():
    child = os.fork()
    if child == 0:
        os._exit(0)
    return child

def tidies_up():
    child = os.fork()
    if child == 0:
        gc.collect()
        open(os.devnull).close()
        os._exit(0)
    return child

def in_a_process():
    process = multiprocessing.get_context("fork").Process(target=square, args=(3,))
    process.start()
    return process

def is_killed():
    child = os.fork()
    if child == 0:
        time.sleep(60)
    os.kill(child, signal.SIGKILL)
    return child

def meddles():
    child = os.fork()
    if child == 0:
        with sqlite3.connect(os.environ["TIDEGATE_HOME"] + "/store.db") as connection:
            while not connection.execute("DELETE FROM task_run WHERE number = 1").rowcount:
                connection.rollback()
        os._exit(0)
    return child

def exits():
    child = os.fork()
    if child == 0:
        sys.exit(7)
    return child

def goes_on():
    return os.fork()  # and both go on with what follows

def raises():
    child = os.fork()
    if child == 0:
        raise ValueError("of the child")
    return child

def works_on():
    child = os.fork()
    if child == 0:
        os.close(2)  # what it says of that is another test
        steps = [step.submit(x) for x in range(3)]
        steps[0].result()
        step(5)
        os._exit(0)  # not reached
    return child

@task(persist_result=True)
def step(x):
    return [x, "text" * 50]

CODES = {"exits": 7, "goes_on": 1, "raises": 1, "works_on": 1}

@task
def forks(x):
    time.sleep(chance.uniform(0, 0.003))
    return ended(globals()[kind]())

@task
async def forks_async(x):
    return ended(globals()[kind]())

def ended(child, seconds=10):
    "True once it has ended, as it was to."
    if not isinstance(child, int):
        child.join(seconds)
        return child.exitcode is not None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return kind not in CODES or os.waitstatus_to_exitcode(status) == CODES[kind]
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False

@flow(task_runner=ConcurrentTaskRunner(4))
def work(n):
    written = step.map(range(20 * n))
    good = 0
    for x in range(n):  # on this thread, on a worker, on the engine's loop
        good += [forks, lambda x: forks.submit(x).result(), forks_async][x % 3](x)
    return good, len(written.result())

if __name__ == "__main__":
    good, written = work(count)
    os.write(1, f"{os.getpid()} {good} {written}{os.linesep}".encode())
"""
KINDS = ["leaves", "tidies_up", "in_a_process", "is_killed", "exits", "goes_on", "raises", "works_on"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.scorecard(36, parts=len(KINDS))
def test_a_fork_harms_nothing(tmp_path: Path, kind: str, trials: Trials) -> None:
    trials.did(trials.count)
    assert forked(tmp_path, kind, trials) == []


def forked(folder: Path, kind: str, trials: Trials) -> list[str]:
    """What is wrong after a flow whose tasks have forked that often."""
    script, home = folder / "forks.py", folder / "home"
    script.write_text(FORKS)
    count = trials.count
    with Victims() as victims, victims.go(script, kind, count, trials.seed, home=home) as process:
        out, _ = process.communicate(timeout=SOON * 6)
        wrong = [] if process.returncode == 0 else [victims.errors()]
        if out.decode().split() != [str(process.pid), str(count), str(20 * count)]:
            wrong.append(f"it said {out.decode()!r}")
    with closing(sqlite3.connect(home / "store.db")) as connection:
        wrong += [each for (each,) in connection.execute("PRAGMA integrity_check") if each != "ok"]
    store = SQLiteStore(home / "store.db")
    rows = store.task_runs(1)
    if [row.state.name for row in rows] != ["Completed"] * (21 * count):
        wrong.append(f"{sum(row.state.is_completed() for row in rows)} of {21 * count} task runs are completed")
    if len(store.flow_runs()) != 1 or not store.flow_runs()[0].state.is_completed():
        wrong.append("the flow run is not completed")
    store.close()
    return wrong


OUTSIDE = """
import os, sys
from tidegate import flow, task
from tidegate.errors import StoreError

@task
def step(x):
    return x + 1

@flow
def work(n):
    return sum(step.map(range(n)).result())

if sys.argv[1] == "open":
    work(3)
child = os.fork()
if child == 0:
    try:
        os.write(1, f"{work(4)}{os.linesep}".encode())
    except StoreError as error:
        os.write(1, f"{error}{os.linesep}".encode())
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), work(5), flush=True)
"""


@pytest.mark.parametrize("store", ["open", "not open"])
@pytest.mark.scorecard(36, case=True)
def test_a_child_may_run_flows_over_a_store_that_its_parent_did_not_have_open(
    tmp_path: Path, store: str, trials: Trials
) -> None:
    """And is refused in one line over one that it had."""
    trials.did(1)
    script, home = tmp_path / "outside.py", tmp_path / "home"
    script.write_text(OUTSIDE)
    with Victims() as victims, victims.go(script, store, home=home) as process:
        out, _ = process.communicate(timeout=SOON)
        first, second = out.decode().splitlines()
        assert victims.errors() == ""
    if store == "open":
        assert first.startswith(f"The store {home / 'store.db'} cannot be ")
        assert "was forked from one that has it open. Start a new process" in first
    else:
        assert first == "10"
    assert second == "5 15"
    made = SQLiteStore(home / "store.db")
    assert [row.state.name for row in made.flow_runs()] == ["Completed"] * 2
    made.close()


TOLD = """
import os, sys
from tidegate import ProcessTaskRunner, flow, task

@task
def forks():
    if os.fork() == 0:
        if sys.argv[1] == "fails":
            raise ValueError("of the child")
        if sys.argv[1] == "calls":
            forks.submit()
        return
    os.wait()

runner = ProcessTaskRunner(1) if sys.argv[1] == "in a worker" else None
flow(lambda: forks.submit().result(), name="work", task_runner=runner)()
"""


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("goes on", "A child that 'forks-0' has forked went on beyond it, and ends here: leave it by `os._exit`."),
        ("in a worker", "A child that 'forks-0' has forked went on beyond it, and ends here: leave it by `os._exit`."),
        ("fails", "ValueError: of the child"),
        ("calls", "goes on in the process that this one was forked from."),
    ],
)
@pytest.mark.scorecard(36, case=True)
def test_why_a_child_ends_is_told(tmp_path: Path, what: str, told: str, trials: Trials) -> None:
    trials.did(1)
    script = tmp_path / "told.py"
    script.write_text(TOLD)
    with Victims() as victims, victims.go(script, what, home=tmp_path / "home") as process:
        assert process.wait(SOON) == 0
        assert victims.errors().splitlines()[-1].endswith(told)


@pytest.mark.scorecard(36, control=True, case=True)
def test_control_a_child_that_damages_the_store_is_found(tmp_path: Path, trials: Trials) -> None:
    trials.did(1)
    trials.found(forked(tmp_path, "meddles", trials) != [])
    assert trials.caught
