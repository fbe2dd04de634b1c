"""What is deleted from a store goes whole, and nothing else goes; also when it is killed meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reliability.trials import Trials
from support.flows import engine_over, flow, task
from support.tampering import tampered
from support.victims import Victims
from tidegate import retention
from tidegate.cli import main
from tidegate.model.events import FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import Completed, Running, Scheduled
from tidegate.results.storage import FileStorage
from tidegate.retention import Limits, plan, prune, sweep
from tidegate.store.sqlite import SQLiteStore

DAY = 86_400.0
NOW = 1_700_000_000.0
LATER = 4_000_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "home" / "store.db")
    yield made
    made.close()


def a_run(store: SQLiteStore, days: float, tasks: int = 3, end: Any = Completed, **changes: Any) -> int:
    """A run that ended so many days ago."""
    at = NOW - days * DAY
    made = FlowCreated(0, at, os.urandom(8).hex(), "nightly", "brave-otter", "{}", **changes)
    run = store.create_flow_run(made)
    for number in range(1, tasks + 1):
        store.append(TaskCreated(run, at, number, "load", 1, number, {}))
        store.append(TaskState(run, at, number, Completed(at=at), 1, result=b"TG1 - json\n1"))
    store.commit(FlowState(run, at, end(at=at), attempt=1))
    return run


def numbers(store: SQLiteStore) -> list[int]:
    return [row.number for row in store.flow_runs()][::-1]


def going(store: SQLiteStore, **limits: Any) -> list[int]:
    return [run.number for run in plan(store, Limits(**limits), NOW)]


def test_each_limit_says_what_stays_at_most(store: SQLiteStore) -> None:
    for days in (50, 40, 20, 10, 0):
        a_run(store, days)
    assert going(store) == []
    assert going(store, days=30) == [1, 2]
    assert going(store, days=45) == [1]
    assert going(store, runs=3) == [1, 2]
    assert going(store, runs=0) == [1, 2, 3, 4], "the newest stays: its number is not to be given twice"
    assert going(store, runs=4, days=30) == [1, 2]
    assert going(store, size=10**9) == []
    assert going(store, size=0) == [1, 2, 3, 4]
    some = going(store, size=retention.size_of(store) - 100)
    assert some == [1]


def test_what_has_not_ended_stays(store: SQLiteStore) -> None:
    running = a_run(store, 50, end=Running)
    a_run(store, 50, end=lambda at: Scheduled(at + 1, at=at))
    parent = a_run(store, 50)
    a_run(store, 50, parent=(parent, 1), end=Running)  # a subflow that its parent did not wait for
    old = a_run(store, 50)
    a_run(store, 0)
    assert going(store, days=1) == [old]
    store.commit(FlowState(running, NOW - 2 * DAY, Completed(at=NOW - 2 * DAY), attempt=1))
    assert going(store, days=1) == [old, running], "the oldest first"


def test_a_run_goes_with_all_that_belongs_to_it(store: SQLiteStore) -> None:
    parent = a_run(store, 50)
    child = a_run(store, 49, parent=(parent, 1))
    grandchild = a_run(store, 48, parent=(child, 2))
    a_run(store, 0)
    done = prune(store, plan(store, Limits(days=30), NOW), NOW)
    assert done.runs == 1
    assert numbers(store) == [4]
    for table, column in EVERYWHERE.items():
        left = {each for (each,) in tampered(store.path, f"SELECT DISTINCT {column} FROM {table}")}
        assert not left & {parent, child, grandchild}, table
    assert a_run(store, 0) == 5


def test_a_run_that_was_begun_again_meanwhile_stays(store: SQLiteStore) -> None:
    run = a_run(store, 50)
    a_run(store, 0)
    chosen = plan(store, Limits(days=30), NOW)
    assert [each.number for each in chosen] == [run]
    row = store.flow_run(run)
    assert row is not None
    assert store.claim_flow_run(row)
    assert prune(store, chosen, NOW).runs == 0
    assert len(store.task_runs(run)) == 3


def test_a_deleted_number_is_never_given_again(store: SQLiteStore) -> None:
    a_run(store, 50)
    newest = a_run(store, 50)
    prune(store, plan(store, Limits(runs=0), NOW), NOW)
    assert numbers(store) == [newest]
    assert a_run(store, 0) == newest + 1


EVERYWHERE = {
    "flow_run": "number",
    "task_run": "flow_run",
    "event": "flow_run",
    "log": "flow_run",
    "artifact": "flow_run",
    "cache": "flow_run",
    "request": "flow_run",
    "tag_slot": "flow_run",
    "dispatch": "flow_run",
}


def test_every_table_is_thought_of(store: SQLiteStore) -> None:
    tables = {name for (name,) in tampered(store.path, "SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {*EVERYWHERE, "tag_limit", "deployment", "work_queue"}


# Files of results -----------------------------------------------------------------------------------------------------


def large(store: SQLiteStore, *values: bytes) -> list[str]:
    """A run whose task runs return these, and the names of the files that hold them."""

    @task(persist_result=True)
    def make(value: bytes) -> bytes:
        return value * 100_000

    @flow
    def work() -> int:
        return len([make(value) for value in values])

    with engine_over(store):
        work()
    run = max(numbers(store))
    return [found.key for flow_run, _, found in retention.named_files(store) if flow_run == run]


def files(store: SQLiteStore) -> set[str]:
    return set(retention.sizes(store.results_folder))


def test_files_go_once_no_row_names_them_and_an_hour_has_passed(store: SQLiteStore) -> None:
    first = large(store, b"a", b"b")
    second = large(store, b"b", b"c")
    assert first[1] == second[0], "equal values are one file"
    assert files(store) == {*first, *second}
    now = time.time()
    done = prune(store, plan(store, Limits(runs=1), now), now)
    assert (done.runs, done.files) == (1, 0), "somebody may be about to name it"
    later = now + retention.GRACE + 5
    assert sweep(store, later, pretend=True)[0] == 1
    assert files(store) == {*first, *second}
    assert sweep(store, later)[0] == 1
    assert files(store) == set(second)
    assert list(retention.problems(store)) == []


def test_a_file_that_is_written_again_is_young_again(store: SQLiteStore, tmp_path: Path) -> None:
    """It was there already, named by nobody; the row that names it is yet to come."""
    storage = FileStorage(tmp_path / "home" / "results")
    key = storage.write(b"again")
    (path,) = storage.folder.glob("??/??/*")
    os.utime(path, (1.0, 1.0))
    storage.write(b"again")
    assert storage.sweep(set(), time.time() - 60) == (0, 0)
    os.utime(path, (1.0, 1.0))
    assert storage.sweep(set(), time.time() - 60) == (1, 5), "control: an old one goes"
    assert not path.exists()
    assert storage.write(b"again") == key


def test_a_file_that_is_wanted_while_it_is_swept_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FileStorage(tmp_path)
    key = storage.write(b"wanted")
    (path,) = tmp_path.glob("??/??/*")
    os.utime(path, (1.0, 1.0))
    rename = os.rename

    def slow(source: str, target: str, **folders: int) -> None:
        if source == key:
            storage.write(b"wanted")  # between the look and the move
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", slow)
    assert storage.sweep(set(), time.time() - 60) == (0, 0)
    assert storage.read(key) == b"wanted"


def test_what_a_sweep_that_was_killed_left_aside_is_put_back_or_removed(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    named, other = storage.write(b"named"), storage.write(b"other")
    for path in tmp_path.glob("??/??/*"):
        os.utime(path, (1.0, 1.0))
        path.rename(path.with_name(f".swept.{path.name}"))
    (tmp_path / named[:2] / named[2:4] / ".0123456789abcdef.77.draft").write_bytes(b"half")
    os.utime(tmp_path / named[:2] / named[2:4] / ".0123456789abcdef.77.draft", (1.0, 1.0))
    assert storage.sweep({named}, time.time() - 60)[0] == 2
    assert storage.read(named) == b"named"
    assert {path.name for path in tmp_path.glob("??/??/*")} == {named}
    assert other


def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "results")
    key = storage.write(b"mine")
    elsewhere = tmp_path / "elsewhere"
    (storage.folder / key[:2] / key[2:4]).rename(elsewhere)
    (storage.folder / key[:2] / key[2:4]).symlink_to(elsewhere)
    os.utime(elsewhere / key, (1.0, 1.0))
    assert storage.sweep(set(), time.time() - 60) == (0, 0)
    assert (elsewhere / key).exists()


# Kills ----------------------------------------------------------------------------------------------------------------

PRUNER = """
import sqlite3, sys
from pathlib import Path
from tidegate import retention
from tidegate.results.storage import FileStorage
from tidegate.store.sqlite import SQLiteStore

path, way = Path(sys.argv[1]), sys.argv[2]
store = SQLiteStore(path)
now = 4_000_000_000.0
runs = retention.plan(store, retention.Limits(runs=6), now)
print(len(runs), flush=True)
sys.stdin.readline()
delete, sweep = store.upkeep.delete, FileStorage.sweep

def said(what, call):
    def act(*arguments, **more):
        print(what, flush=True)
        return call(*arguments, **more)
    return act

def bit_by_bit(run):  # what must not be: one table after the other
    connection = sqlite3.connect(path, isolation_level=None)
    for member in run.members:
        for table, column in (("flow_run", "number"), ("task_run", "flow_run"), ("event", "flow_run")):
            connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (member,))
    return True

store.upkeep.delete = said("run", delete if way == "whole" else bit_by_bit)
FileStorage.sweep = said("sweep", sweep)
retention.prune(store, runs, now)
print("done", flush=True)
"""


def a_full_store(path: Path) -> tuple[dict[int, tuple[int, int]], list[int]]:
    """A store of 24 runs, some with large results: how many rows each has, and which are to stay."""
    store = SQLiteStore(path)
    for at in range(24):
        if at % 6 == 5:
            large(store, bytes([at]), b"shared")
        else:
            a_run(store, 100 - at, tasks=200)
    tampered(path, "UPDATE flow_run SET ended = 1 WHERE number IN (6, 12)")  # two of those with files are old
    rows = {run: counted(store, run) for run in numbers(store)}
    going = {run.number for run in plan(store, Limits(runs=6), LATER)}
    store.close()
    return rows, sorted(set(rows) - going)


def counted(store: SQLiteStore, run: int) -> tuple[int, int]:
    return len(store.task_runs(run)), len(store.events(run))


@dataclass(frozen=True)
class Full:
    """A full store, of which each trial gets a copy."""

    home: Path
    rows: dict[int, tuple[int, int]]
    staying: list[int]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    home = tmp_path_factory.mktemp("full")
    return Full(home, *a_full_store(home / "store.db"))


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as made:
        yield made


def broken(folder: Path, way: str, full: Full, victims: Victims, chance: random.Random) -> list[str]:
    """Kill a process that prunes, at a random moment; what is wrong with the store after that."""
    home, rows, staying = folder / "home", full.rows, full.staying
    shutil.copytree(full.home, home)
    path, script = home / "store.db", folder / "pruner.py"
    script.write_text(PRUNER)
    with victims.go(script, path, way, home=home) as pruner:
        assert pruner.stdin is not None
        assert pruner.stdout is not None
        going = int(pruner.stdout.readline())
        assert going == len(rows) - len(staying)
        pruner.stdin.write(b"go\n")
        pruner.stdin.flush()
        for _ in range(chance.randint(1, going + 1)):  # the last line is said before files are swept
            pruner.stdout.readline()
        threading.Event().wait(chance.uniform(0, 0.002))
    store = SQLiteStore(path)
    left = numbers(store)
    print(f"{way}: killed with {len(left)} of {len(rows)} runs left, {len(files(store))} files")
    found = [f"run {run} is not whole" for run in left if counted(store, run) != rows[run]]
    for table, column in EVERYWHERE.items():
        with closing(sqlite3.connect(path)) as connection:
            there = {run for (run,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}")}
        found += [f"{table} has rows of run {run}, which is gone" for run in there - set(left)]
    found += retention.problems(store)
    # Whoever comes next finishes it, and no number is given twice.
    prune(store, plan(store, Limits(runs=6), LATER), LATER)
    if numbers(store) != staying:
        found.append(f"{numbers(store)} are left in the end, not {staying}")
    assert a_run(store, 0) == max(rows) + 1
    store.close()
    shutil.rmtree(home)
    return found


@pytest.mark.scorecard(17)
def test_a_kill_while_runs_are_deleted_leaves_each_whole_or_gone(
    tmp_path: Path, full: Full, victims: Victims, trials: Trials
) -> None:
    for trial in trials:
        with trials.judged(f"trial {trial}"):
            assert broken(tmp_path, "whole", full, victims, trials.chance) == []


@pytest.mark.scorecard(17, control=True)
def test_control_a_deletion_bit_by_bit_is_caught(tmp_path: Path, full: Full, victims: Victims, trials: Trials) -> None:
    for _ in trials:
        trials.found(broken(tmp_path, "bit_by_bit", full, victims, trials.chance) != [])
    assert trials.caught


# The command line -----------------------------------------------------------------------------------------------------


def call(store: SQLiteStore, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(store.path.parent), "store", *arguments])


def test_stats_tell_what_is_there(store: SQLiteStore) -> None:
    a_run(store, 0)
    a_run(store, 0, end=Running)
    large(store, b"x")
    said = call(store, "stats")
    assert said.exit_code == 0, said.output
    lines = dict(
        line.split(maxsplit=1) if line[4:5] != " " else line.split("  ", 1) for line in said.output.splitlines()
    )
    text = said.output
    assert str(store.path) in lines["store"]
    assert "flow runs  3 (1 Running, 2 Completed)" in text
    assert "task runs  7" in text
    assert "results    1 file, 100.1 KB" in text


def test_check_names_what_is_damaged(store: SQLiteStore) -> None:
    a_run(store, 0)
    (key,) = large(store, b"x")
    said = call(store, "check")
    assert (said.exit_code, said.output) == (0, f"{store.path} is sound: 2 flow runs, 4 task runs.\n")
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE task_run SET place = 77 WHERE flow_run = 1 AND number = 2")
        connection.execute("UPDATE event SET at = 1 WHERE flow_run = 1 AND seq = 1")
    (path,) = store.path.parent.glob(f"results/??/??/{key}")
    path.write_bytes(b"something else")
    lost = f"The saved result {key} in {path.parents[2]} is damaged, and was not loaded."
    said = call(store, "check")
    assert said.exit_code == 1
    assert said.stdout.splitlines() == [
        "task_run (flow_run 1, number 2) is not what was written, and counts as not saved.",
        "event (flow_run 1, seq 1) is not what was written, and counts as not saved.",
        f"{lost} It is the result of task run 1 of flow run 2, and counts as not saved.",
    ]
    assert said.stderr == f"3 problems in {store.path}.\n"


def test_backup_is_a_store(store: SQLiteStore, tmp_path: Path) -> None:
    a_run(store, 0)
    target = tmp_path / "copy" / "store.db"
    target.parent.mkdir()
    said = call(store, "backup", str(target))
    assert said.exit_code == 0, said.output
    assert target.stat().st_mode & 0o077 == 0
    assert [path.name for path in target.parent.iterdir()] == ["store.db"]
    copy = SQLiteStore(target)
    assert copy.flow_runs() == store.flow_runs()
    assert copy.task_runs(1) == store.task_runs(1)
    copy.close()
    again = call(store, "backup", str(target))
    assert again.exit_code == 1
    assert again.stderr == f"tidegate: {target} is there already. Name a file that is not.\n"


def test_prune_says_what_it_would_do_and_does_it(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    for days in (50, 40, 10, 0):
        a_run(store, days)
    said = call(store, "prune", "--dry-run")
    assert said.output.splitlines()[-1] == "2 runs would be deleted."
    assert [line.split()[:3] for line in said.output.splitlines()[1:-1]] == [
        ["1", "nightly", "brave-otter"],
        ["2", "nightly", "brave-otter"],
    ]
    assert numbers(store) == [1, 2, 3, 4]
    assert call(store, "prune").output == "2 runs deleted, and 0 files of 0 B.\n"
    assert numbers(store) == [3, 4]
    assert call(store, "prune", "--keep", "1").output == "1 run deleted, and 0 files of 0 B.\n"
    assert call(store, "prune", "--size", "1KB").output == "0 runs deleted, and 0 files of 0 B.\n"
    bad = call(store, "prune", "--size", "lots")
    assert bad.exit_code == 2
    assert "'lots' is no size, such as 500MB or 1.5GB." in bad.stderr


def test_vacuum_gives_the_room_back(store: SQLiteStore) -> None:
    for days in (50, 40, 0):
        a_run(store, days, tasks=3000)
    before = store.upkeep.stats().size
    for run in plan(store, Limits(runs=1), NOW):
        store.upkeep.delete(run)
    said = call(store, "vacuum")
    assert said.exit_code == 0, said.output
    assert store.path.stat().st_size < before / 2
    assert list(retention.problems(store)) == []


def test_a_store_of_an_older_version_can_give_room_back(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA auto_vacuum = NONE; VACUUM")
    store = SQLiteStore(path)
    assert store._file.connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    a_run(store, 50, tasks=3000)
    a_run(store, 0)
    before = store.upkeep.stats().size
    prune(store, plan(store, Limits(runs=1), NOW), NOW)
    assert path.stat().st_size < before
    store.close()
