"""Several processes write to one store: none is turned away, none waits long, and one that hangs stops nobody."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from reliability.scorecard import mode
from reliability.trials import Trials
from support.flows import SOON, Feed, engine_over, flow, in_time, opened, python, states_in_store, task
from tidegate.errors import StoreError
from tidegate.model.events import FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import Completed, Running
from tidegate.store import write_connection, write_lock
from tidegate.store.sqlite import SQLiteStore

WRITER = """
import sys, time
from pathlib import Path
from typing import Any
from tidegate.model.events import FlowCreated, TaskCreated, TaskState
from tidegate.model.states import Completed
from tidegate.store import write_lock
from tidegate.store.sqlite import SQLiteStore

if sys.argv[4] == "rude":
    write_lock.WriteLock.acquire = write_lock.WriteLock.release = lambda self: None

store = SQLiteStore(Path(sys.argv[1]))
run = store.create_flow_run(FlowCreated(0, 1.0, sys.argv[2], "f", "n", "{}"))
print("ready", flush=True)
sys.stdin.readline()
end, number, worst = time.monotonic() + float(sys.argv[3]), 0, 0.0
while time.monotonic() < end:
    begun = time.monotonic()
    events = []
    for number in range(number + 1, number + 34):
        events += [TaskCreated(run, 1.0, number, "t", 1, number, {}), TaskState(run, 1.0, number, Completed(at=1.0), 1)]
    store.commit_all(events)
    worst = max(worst, time.monotonic() - begun)
store.close()
print(run, number, worst)
"""

HOLDER = """
import sys
from pathlib import Path
from typing import Any
from tidegate.store import write_lock
lock = write_lock.hold(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("free", flush=True)
sys.stdin.readline()
"""


def a_run(store: SQLiteStore) -> int:
    return store.create_flow_run(FlowCreated(0, 1.0, os.urandom(8).hex(), "f", "n", "{}"))


LONG = {"plain": 1.5, "ci": 10.0, "nightly": 60.0}
"""Seconds for which they write, by mode."""
SHARE, WAIT = (0.3, 2.0) if mode() == "plain" else (0.7, 0.25)
"""What the slowest writes of what the fastest does, and the seconds that one waits: of a machine that has other things
to do, and of a quiet one."""


def at_once(folder: Path, seconds: float, kind: str = "polite") -> tuple[list[str], float, float]:
    """What is wrong after four processes wrote at once; the share of the slowest, and the longest wait."""
    path = folder / "store.db"
    SQLiteStore(path).close()
    with ExitStack() as stack:
        writers = [stack.enter_context(python(WRITER, path, name, seconds, kind)) for name in range(4)]
        assert [each.stdout.readline() for each in writers] == [b"ready\n"] * 4
        for each in writers:
            each.stdin.write(b"go\n")
            each.stdin.flush()
        said = [each.stdout.read().split() for each in writers]
        wrong = [each.stderr.read().decode() for each in writers if each.wait(SOON)]
    if wrong:
        return wrong, 0.0, 0.0
    with closing(sqlite3.connect(path)) as connection:
        wrong = [each for (each,) in connection.execute("PRAGMA integrity_check") if each != "ok"]
    store = SQLiteStore(path)
    for run, number, _ in said:
        if [row.number for row in store.task_runs(int(run))] != list(range(1, int(number) + 1)):
            wrong.append(f"flow run {int(run)} has not what was acknowledged")
    store.close()
    written = [int(number) for _, number, _ in said]
    return wrong, min(written) / max(written), max(float(worst) for _, _, worst in said)


@pytest.mark.timed
@pytest.mark.scorecard(11)
def test_four_processes_write_at_once_and_take_turns(tmp_path: Path, trials: Trials) -> None:
    for trial in trials:
        with trials.judged(f"trial {trial}"):
            wrong, share, worst = at_once(tmp_path / str(trial), LONG[mode()])
            trials.most("longest wait", worst)
            trials.most("unfairness", 1 - share)
            assert wrong == []
            assert share > SHARE
            assert worst < WAIT


@pytest.mark.scorecard(11, control=True, case=True)
def test_control_without_the_lock_between_processes_they_do_not(tmp_path: Path, trials: Trials) -> None:
    trials.did(1)
    for tried in range(10):  # they are unfair mostly, and not always in a second and a half
        wrong, share, worst = at_once(tmp_path / str(tried), 1.5, "rude")
        print(f"{wrong}, share {share:.2f}, longest wait {worst:.2f} s")
        if wrong or share < 0.7 or worst > 0.25:
            break
    else:
        pytest.fail("they take turns without it")
    trials.found(True)


def test_one_that_hangs_with_the_lock_stops_nobody_and_all_is_kept_after(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SQLiteStore(path)
    run = a_run(store)
    with python(HOLDER, path) as holder:
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        store._file._gate.patience = 0.2  # not five seconds
        with pytest.raises(StoreError, match="another process is writing to it") as caught:
            in_time(lambda: store.commit(FlowState(run, 2.0, Running(at=2.0))))
        assert "\n" not in str(caught.value)
        with pytest.raises(StoreError):
            in_time(lambda: store.commit(TaskCreated(run, 3.0, 1, "t", 1, 0, {})))
        holder.send_signal(signal.SIGCONT)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"free\n"
        in_time(lambda: store.commit(TaskState(run, 4.0, 1, Completed(at=4.0), 1)))
    assert states_in_store(store, run)[-1] == "Running"
    assert [row.state.name for row in store.task_runs(run)] == ["Completed"]
    store.close()


def test_a_lock_that_came_too_late_is_given_on(tmp_path: Path) -> None:
    """Nobody in this process wanted it any more: the next process gets it."""
    path = tmp_path / "store.db"
    lock = write_lock.hold(path)
    lock.patience = 0.05
    with python(HOLDER, path) as holder, lock.threads:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(sqlite3.OperationalError):
            lock.acquire()
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"free\n"
        with python(HOLDER, path) as next_one:
            assert next_one.stdout.readline() == b"held\n"
    lock.patience = write_lock.PATIENCE
    with lock.threads:
        in_time(lock.acquire)
        lock.release()
    write_lock.let_go(lock)


def test_a_flow_goes_on_under_a_foreign_lock_and_all_of_it_is_kept_after(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SQLiteStore(path)
    store._file.connection.execute("PRAGMA busy_timeout = 100")  # not five seconds
    held, ran = threading.Event(), []
    foreign = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    @task
    def step(n: int) -> int:
        ran.append(n)
        if n == 3:
            foreign.execute("BEGIN IMMEDIATE")
            held.set()
        return n

    @flow
    def work() -> Any:
        total = sum(step(n) for n in range(30))
        opened(held)
        foreign.execute("ROLLBACK")
        return total

    with engine_over(store) as engine, closing(foreign):
        feed = Feed(engine)
        assert in_time(work, 60.0) == sum(range(30))
        problems = feed.saving()
    assert ran == list(range(30))
    assert "locked" in problems[0]
    assert problems[-1] == ""
    rows = store.task_runs(1)
    assert [row.state.name for row in rows] == ["Completed"] * 30
    assert states_in_store(store, 1)[-1] == "Completed"
    store.close()


def test_two_stores_of_a_process_share_one_lock(tmp_path: Path) -> None:
    """Closing a second handle of the file would drop the lock under the first."""
    path = tmp_path / "store.db"
    first = SQLiteStore(path)
    SQLiteStore(path).close()
    first._file._gate.acquire()
    with python(HOLDER, path) as other:
        other.stdin.write(b"\n")
        other.stdin.flush()
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.append(other.stdout.readline()))
        reader.start()
        reader.join(0.5)
        assert said == [], "the other process has the lock that this one holds"
        first._file._gate.release()
        reader.join(SOON)
        assert said == [b"held\n"]
    first.close()


def test_nobody_else_may_read_what_is_kept(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        store = SQLiteStore(tmp_path / "home" / "store.db")
        a_run(store)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "home").glob("store.db*")}
        store.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["store.db", "store.db-lock", "store.db-shm", "store.db-wal"], 0o600)
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_a_store_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SQLiteStore(path).close()
    path.chmod(0o664)
    store = SQLiteStore(path)
    a_run(store)
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.glob("store.db*")} == {0o600}
    store.close()


def log_size(path: Path) -> int:
    return path.with_name("store.db-wal").stat().st_size


def test_the_log_does_not_grow_without_end(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    run = a_run(store)
    for first in range(1, 40_000, 1000):
        store.commit_all([TaskCreated(run, 1.0, first + i, "t", 1, i, {}, source="0" * 400) for i in range(1000)])
        store.commit_all([TaskState(run, 1.0, first + i, Completed(at=1.0), 1) for i in range(1000)])
    kept = (tmp_path / "store.db").stat().st_size
    print(f"file {kept}, log {log_size(store.path)}")
    assert kept > 3 * write_connection.LOG_SIZE
    assert log_size(store.path) < 2 * write_connection.LOG_SIZE
    store.close()


@pytest.fixture
def idle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_connection, "IDLE", 0.1)


@pytest.mark.usefixtures("idle_soon")
@pytest.mark.parametrize("looking", [False, True], ids=["nobody_looks", "somebody_looks"])
def test_the_log_is_emptied_when_nothing_happens(tmp_path: Path, looking: bool) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    folded = threading.Event()
    fold: Callable[[], None] = store._file._fold_log

    def seen() -> None:
        fold()
        folded.set()

    store._file._fold_log = seen  # type: ignore[method-assign]
    with closing(sqlite3.connect(store.path, isolation_level=None)) as look:
        run = a_run(store)
        if looking:
            look.execute("BEGIN")
            look.execute("SELECT count(*) FROM flow_run").fetchall()
        store.append(TaskCreated(run, 1.0, 1, "t", 1, 0, {}))
        opened(folded, "the log is folded in")
        assert (log_size(store.path) > 0) is looking
        if looking:  # and once it is over, it is tried again
            folded.clear()
            look.execute("COMMIT")
            for _ in range(50):
                opened(folded, "the log is folded in again")
                if not log_size(store.path):
                    break
                folded.clear()
            assert log_size(store.path) == 0
    store.close()
