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

def ends_in_order():
    child = os.fork()
    if child == 0:
        sys.exit(0)  # by way of all that stands around, and of what is registered for the end
    return child

@task(persist_result=True)
def step(x):
    return [x, "text" * 50]

@task
def forks(x):
    time.sleep(chance.uniform(0, 0.003))
    return ended(globals()[kind]())

def ended(child, seconds=10):
    "True once it has ended."
    if not isinstance(child, int):
        child.join(seconds)
        return child.exitcode is not None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False

@flow(task_runner=ConcurrentTaskRunner(4))
def work(n):
    written = step.map(range(20 * n))
    good = 0
    for x in range(n):
        good += forks(x)
    return good, len(written.result())

if __name__ == "__main__":
    good, written = work(count)
    os.write(1, f"{os.getpid()} {good} {written}{os.linesep}".encode())
"""
KINDS = ["leaves", "tidies_up", "in_a_process", "is_killed"]


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


@pytest.mark.xfail(
    reason="a child that does not leave at once goes on in the store of its parent, and what that keeps is lost"
)
@pytest.mark.scorecard(36, case=True)
def test_a_child_that_ends_in_order(tmp_path: Path, trials: Trials) -> None:
    trials.did(1)
    assert forked(tmp_path, "ends_in_order", trials) == []


@pytest.mark.scorecard(36, control=True, case=True)
def test_control_a_child_that_damages_the_store_is_found(tmp_path: Path, trials: Trials) -> None:
    trials.did(1)
    trials.found(forked(tmp_path, "meddles", trials) != [])
    assert trials.caught
