"""Limits by tag across processes: one limit for all that use a store, and no slot stays with the dead.

Real processes work and are killed; bodies say when they began and ended through pipes, so that the witness is outside.
"""

from __future__ import annotations

import itertools
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from support.flows import SOON, engine_over, flow, in_time, python, task
from tidegate import concurrency_limits, create_concurrency_limit, delete_concurrency_limit, read_concurrency_limit
from tidegate.engine import Engine
from tidegate.model.tag_limits import Holder
from tidegate.rules.slots import Take
from tidegate.store import processes
from tidegate.store.sqlite import SQLiteStore

WORK = """
import os, sys, time
from pathlib import Path
from tidegate import flow, task
from tidegate.engine import Engine, using
from tidegate.store.sqlite import SQLiteStore

path, number = Path(sys.argv[1]), int(sys.argv[2])

@task(tags=["db"])
def query(x):
    began = time.monotonic_ns()
    time.sleep(0.005)
    os.write(1, b"%d %d\\n" % (began, time.monotonic_ns()))

@flow
def work():
    query.map(range(number)).result()

with using(Engine(SQLiteStore(path))):
    sys.stdin.readline()
    work()
"""
"""Says of each body when it began and ended, by the clock that all processes of a machine share."""

HOLD = """
import os, sys, time
from pathlib import Path
from tidegate import flow, task
from tidegate.engine import Engine, using
from tidegate.store.sqlite import SQLiteStore

@task(tags=["db"])
def hold():
    if len(sys.argv) > 2 and os.fork() == 0:
        os.read(0, 1)  # it outlives its parent, up to the end of the test
        os._exit(0)
    os.write(1, b"held\\n")
    sys.stdin.readline()

@flow
def work():
    hold()

with using(Engine(SQLiteStore(Path(sys.argv[1])))):
    work()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "store.db"


@pytest.fixture
def here(path: Path) -> Iterator[Engine]:
    """An engine of this process over the store that the others use."""
    store = SQLiteStore(path)
    with engine_over(store) as engine:
        yield engine
    store.close()


@task(tags=["db"])
def mine() -> str:
    return "mine"


@flow
def mine_alone() -> str:
    return str(mine.submit().result())


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {SOON:g} s"
        time.sleep(0.01)


def most_at_work(path: Path, number: int) -> int:
    """Two processes with so many task runs each; how many were at work at once at most."""
    with ExitStack() as stack:
        workers = [stack.enter_context(python(WORK, path, number)) for _ in range(2)]
        for each in workers:
            each.stdin.write(b"\n")
            each.stdin.flush()
        said: list[list[bytes]] = [each.stdout.readlines() for each in workers]
        for each in workers:
            assert each.wait(SOON) == 0, each.stderr.read().decode()
    assert [len(lines) for lines in said] == [number, number]
    spans = [tuple(map(int, line.split())) for lines in said for line in lines]
    changes = sorted(change for began, ended in spans for change in ((began, 1), (ended, -1)))
    return max(itertools.accumulate(change for _, change in changes))


@pytest.mark.conforms("B270")
def test_two_processes_share_a_limit(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 2)
    assert in_time(lambda: most_at_work(path, 40), 30) <= 2
    assert read_concurrency_limit("db").active == ()


def test_control_without_a_limit_the_witness_sees_more(here: Engine, path: Path) -> None:
    assert in_time(lambda: most_at_work(path, 40), 30) > 2


def test_a_slot_that_another_process_gives_back_is_found(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 1)
    with python(HOLD, path) as other:
        assert other.stdout.readline() == b"held\n"
        thread = threading.Thread(target=mine_alone, daemon=True)
        thread.start()
        until(lambda: bool(here.tag_slots._queues), "the one that waits")
        assert read_concurrency_limit("db").active == (Holder(1, 1),)
        other.stdin.write(b"\n")
        other.stdin.flush()
        thread.join(SOON)
        assert not thread.is_alive()
        assert other.wait(SOON) == 0, other.stderr.read()
    assert read_concurrency_limit("db").active == ()


@pytest.mark.conforms("B283")
def test_deleting_a_limit_lets_those_of_other_processes_begin(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 1)
    holder = Holder(99, 1)

    class Asks:
        pass

    asks: Any = Asks()
    asks.holder, asks.tags = holder, frozenset({"db"})
    here.store.slots.trade([], [[asks]])
    with python(HOLD, path) as other:
        until(lambda: any(row.state.is_running() for row in here.store.flow_runs()), "the other's flow run")
        delete_concurrency_limit("db")
        assert other.stdout.readline() == b"held\n"


@pytest.mark.conforms("B285")
@pytest.mark.parametrize("forks", [False, True], ids=["", "with a child that lives on"])
def test_slots_of_a_killed_process_are_freed(here: Engine, path: Path, forks: bool) -> None:
    create_concurrency_limit("db", 1)
    with python(HOLD, path, *(["forks"] if forks else [])) as other:
        assert other.stdout.readline() == b"held\n"
        thread = threading.Thread(target=mine_alone, daemon=True)
        thread.start()
        until(lambda: bool(here.tag_slots._queues), "the one that waits")
        assert read_concurrency_limit("db").active == (Holder(1, 1),), "a living process keeps its slot"
        other.kill()
        thread.join(SOON)
        assert not thread.is_alive()
    assert read_concurrency_limit("db").active == ()
    left = [each.name for each in (path.parent / "processes").iterdir()]
    assert left == [processes.own_name(path.parent / "processes")]


@pytest.mark.conforms("B285")
def test_whoever_lists_the_limits_frees_what_the_dead_held(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 2)
    with python(HOLD, path) as other:
        assert other.stdout.readline() == b"held\n"
        (limit,) = concurrency_limits()
        assert limit.active == (Holder(1, 1),)
        other.kill()
        other.wait(SOON)
        (limit,) = concurrency_limits()
        assert limit.active == ()


def test_a_stopped_process_is_not_dead(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 1)
    with python(HOLD, path) as other:
        assert other.stdout.readline() == b"held\n"
        other.send_signal(signal.SIGSTOP)
        assert read_concurrency_limit("db").active == (Holder(1, 1),)
        other.send_signal(signal.SIGCONT)


FORK = """
import os, sys
from pathlib import Path
from tidegate.model.tag_limits import Holder
from tidegate.store import processes
from tidegate.store.sqlite import SQLiteStore

path = Path(sys.argv[1])
folder = path.parent / "processes"

class Asks:
    holder, tags = Holder(1, 1), frozenset({"db"})

parent = processes.own_name(folder)
child = os.fork()
if child == 0:
    store = SQLiteStore(path)
    store.slots.trade([], [[Asks()]])
    assert processes.own_name(folder) != parent
    assert processes.is_alive(folder, parent)
    os.write(1, b"taken\\n")
    sys.stdin.readline()
    os._exit(0)
os.waitpid(child, 0)
os.write(1, b"ended\\n")
sys.stdin.readline()
"""


@pytest.mark.conforms("B285")
def test_a_forked_child_is_a_process_of_its_own(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 1)
    folder = path.parent / "processes"
    with python(FORK, path) as other:
        assert other.stdout.readline() == b"taken\n", other.stderr.read().decode()
        names = {each.name for each in folder.iterdir()}
        assert len(names) == 2
        assert read_concurrency_limit("db").active == (Holder(1, 1),)
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"ended\n"
        assert read_concurrency_limit("db").active == ()  # the child's, though its parent lives
        assert [processes.is_alive(folder, name) for name in names].count(True) == 1


def test_a_process_that_ends_in_order_leaves_no_file(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 1)
    with python(HOLD, path) as other:
        assert other.stdout.readline() == b"held\n"
        assert len(list((path.parent / "processes").iterdir())) == 1
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert other.wait(SOON) == 0
    assert list((path.parent / "processes").iterdir()) == []


def test_two_stores_of_one_process_do_not_take_each_other_for_dead(here: Engine, path: Path) -> None:
    create_concurrency_limit("db", 1)
    second = SQLiteStore(path)

    class Asks:
        holder, tags = Holder(7, 1), frozenset({"db"})

    assert [answer for _, answer in second.slots.trade([], [[Asks()]])] == [Take(("db",))]
    Asks.holder = Holder(8, 1)
    for _ in range(2):
        assert here.store.slots.trade([], [[Asks()]]) == []
    second.close()
    assert read_concurrency_limit("db").active == (Holder(7, 1),)


def test_a_store_that_was_tampered_with_deletes_no_file(here: Engine, path: Path, tmp_path: Path) -> None:
    create_concurrency_limit("db", 1)
    precious = tmp_path / "precious"
    precious.write_text("kept")
    in_time(mine_alone)
    (path.parent / "processes" / "notes").write_text("not of ours")
    with closing(sqlite3.connect(path)) as connection:
        for number, name in enumerate(["../../precious", str(precious), "notes", ""]):
            connection.execute("INSERT INTO tag_slot VALUES ('db', 50, ?, ?)", (number, name))
        connection.commit()
    assert in_time(mine_alone) == "mine"
    assert read_concurrency_limit("db").active == ()
    assert precious.read_text() == "kept"
    assert (path.parent / "processes" / "notes").exists()
