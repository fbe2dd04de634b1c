"""Files that cannot be a store: one line that says why, and not a byte of them changed."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.flows import engine_over, flow, in_time, python
from tidegate.engine import Engine, using
from tidegate.errors import StoreError
from tidegate.model.events import FlowState
from tidegate.model.states import Completed
from tidegate.settings import Settings
from tidegate.store import schema
from tidegate.store.sqlite import SQLiteStore


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE precious(x); INSERT INTO precious VALUES (1), (2);")


def foreign_with_an_id(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA application_id = 1196444487; PRAGMA user_version = 3;")


def no_database(path: Path) -> None:
    path.write_bytes(b"name,age\nada,36\n" * 500)


def newer(path: Path) -> None:
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")


REFUSED = [
    (foreign, "another program"),
    (foreign_with_an_id, "another program"),
    (no_database, "no SQLite file"),
    (newer, "newer Tidegate"),
]


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text, "more than one line"
    assert text.endswith(".")
    return text


@pytest.mark.parametrize(("make", "why"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_a_file_that_is_not_ours_is_left_as_it_was(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    path = tmp_path / "store.db"
    make(path)
    # What opening added beside the file, for `newer`, was ours; from here on nothing may change.
    before = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in tmp_path.iterdir()}
    modified = path.stat().st_mtime_ns
    with pytest.raises(StoreError) as caught:
        SQLiteStore(path)
    text = one_line(caught.value)
    assert str(path) in text
    assert why in text
    assert path.stat().st_mtime_ns == modified
    assert {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in tmp_path.iterdir()} == before


def test_a_foreign_file_whose_program_was_killed_keeps_its_log(tmp_path: Path) -> None:
    """Opening a file in WAL mode for writing would fold its log into it when closing."""
    live, path = tmp_path / "live.db", tmp_path / "store.db"
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("CREATE TABLE precious(x); INSERT INTO precious VALUES (1);")
        for end in ("", "-wal"):
            Path(f"{path}{end}").write_bytes(Path(f"{live}{end}").read_bytes())
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    with pytest.raises(StoreError, match="another program"):
        SQLiteStore(path)
    assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == before


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.mkdir()
    with pytest.raises(StoreError) as caught:
        SQLiteStore(path)
    assert "TIDEGATE_HOME" in one_line(caught.value)
    assert list(path.iterdir()) == []


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    """As root nothing is read-only; a file where the folder should be cannot be written by anybody."""
    (tmp_path / "home").write_text("I am a file")
    with pytest.raises(StoreError) as caught:
        SQLiteStore(tmp_path / "home" / "store.db")
    assert "TIDEGATE_HOME" in one_line(caught.value)
    assert (tmp_path / "home").read_text() == "I am a file"


def test_a_home_on_a_file_system_that_takes_nothing() -> None:
    with pytest.raises(StoreError) as caught:
        SQLiteStore(Path("/proc/tidegate/store.db"))
    one_line(caught.value)


def test_a_store_that_another_program_holds_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    SQLiteStore(path).close()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **{**kwargs, "timeout": 0.05}))
    with closing(connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as caught:
            in_time(lambda: SQLiteStore(path))
    assert "locked by another program" in one_line(caught.value)
    SQLiteStore(path).close()  # and once it is let go, it opens


@pytest.mark.parametrize("by", ["nothing", "another_store", "a_copy"])
def test_a_file_that_is_swapped_while_it_is_open_is_not_written_to(tmp_path: Path, by: str) -> None:
    """Nor is what came in its place; put back, it holds all that happened meanwhile."""
    path, aside, other = tmp_path / "store.db", tmp_path / "aside.db", tmp_path / "other.db"
    SQLiteStore(other).close()
    ours = SQLiteStore(path)
    with engine_over(ours):
        small()
        ours._file._fold_log()
        if by == "a_copy":
            other.write_bytes(path.read_bytes())
        path.rename(aside)
        if by != "nothing":
            other.rename(path)
        before = path.read_bytes() if path.exists() else b""
        ours._file._looked = 0.0  # the next write looks
        with pytest.raises(StoreError, match="its file was moved, removed or replaced while it was open") as caught:
            small()
        one_line(caught.value)
        ours._file._looked = 0.0
        with pytest.raises(StoreError):
            ours.commit(FlowState(1, 5.0, Completed(at=5.0), "you"))
        with ours._lock:
            ours._file._last = 0.0
            ours._file.keep_up()
        assert (path.read_bytes() if path.exists() else b"") == before
        if by != "nothing":
            path.rename(other)
        aside.rename(path)
        ours._file._looked = 0.0
        small()
    assert [row.state.name for row in ours.flow_runs()] == ["Completed"] * 2
    assert [e.by for _, e in ours.events(1) if isinstance(e, FlowState)][-1] == "you"
    ours.close()


SEES = """
import sys
from pathlib import Path
from tidegate.store.sqlite import SQLiteStore
store = SQLiteStore(Path(sys.argv[1]))
print([row.state.name for row in store.flow_runs()], list(store.upkeep.problems()), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("gone", [["-wal"], ["-shm"], ["-wal", "-shm"]], ids="".join)
def test_a_log_that_is_removed_while_it_is_open_is_begun_anew(tmp_path: Path, gone: list[str]) -> None:
    """What was in it is not lost, and others see what follows."""
    path = tmp_path / "store.db"
    ours = SQLiteStore(path)
    with engine_over(ours):
        small()
        for end in gone:
            Path(f"{path}{end}").unlink()
        ours._file._looked = 0.0  # the next write looks
        small()
        with python(SEES, path) as other:
            assert other.stdout.readline() == b"['Completed', 'Completed'] []\n"
            small()
        assert [row.state.name for row in ours.flow_runs()] == ["Completed"] * 3
    ours.close()
    with python(SEES, path) as other:
        assert other.stdout.readline() == b"['Completed', 'Completed', 'Completed'] []\n"


def test_a_log_that_another_process_has_begun_anew_is_not_written_past(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    ours = SQLiteStore(path)
    with engine_over(ours):
        small()
        ours._file._fold_log()
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink()
        with python(SEES, path) as other:
            assert other.stdout.readline() == b"['Completed'] []\n"
            ours._file._looked = 0.0
            before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
            with pytest.raises(
                StoreError, match="its log was removed while it was open, and another process"
            ) as caught:
                small()
            one_line(caught.value)
            assert (path.read_bytes(), Path(f"{path}-wal").read_bytes()) == before
    ours.close()


def test_closing_a_store_whose_file_was_swapped_leaves_the_other_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    ours = SQLiteStore(path)
    with engine_over(ours):
        small()
    path.unlink()
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    code = (
        "import os, sys; from pathlib import Path; from tidegate.model.events import FlowCreated\n"
        "from tidegate.store.sqlite import SQLiteStore\n"
        "SQLiteStore(Path(sys.argv[1])).create_flow_run(FlowCreated(0, 1.0, 'u', 'f', 'n', '{}')); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=30)
    log = Path(f"{path}-wal")
    assert log.stat().st_size > 0, "what the other wrote is in its log alone"
    ours.close()
    assert log.stat().st_size > 0
    again = SQLiteStore(path)
    assert [row.flow for row in again.flow_runs()] == ["f"]
    again.close()


@flow
def small() -> int:
    return 1


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    SQLiteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)


def test_a_folder_made_for_the_store_is_private_and_ignored_by_git(tmp_path: Path) -> None:
    home = tmp_path / "home"
    SQLiteStore(home / "store.db").close()
    assert home.stat().st_mode & 0o077 == 0
    assert (home / ".gitignore").read_text() == "*\n"


def test_a_folder_that_was_there_stays_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "analysis.py").write_text("print()\n")
    SQLiteStore(tmp_path / "store.db").close()
    assert not (tmp_path / ".gitignore").exists(), "git would ignore the user's own files from now on"


def test_a_flow_over_a_store_that_cannot_be_used_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.write_text("I am a file")
    monkeypatch.setattr("tidegate.settings._process", Settings(home=home))
    began: list[int] = []

    @flow
    def work() -> int:
        began.append(1)
        return 1

    with using(Engine()) as engine:
        for _ in range(2):  # the second call is as good as the first
            with pytest.raises(StoreError, match="TIDEGATE_HOME"):
                work()
        assert engine.live == {}
    assert began == []
