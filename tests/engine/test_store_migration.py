"""A store of an older version is brought up to date when it is opened, and copied first; a newer one is left alone."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tidegate.errors import StoreError
from tidegate.model.events import FlowCreated, TaskCreated, TaskState
from tidegate.model.states import Completed
from tidegate.store import checksums, schema
from tidegate.store.sqlite import SQLiteStore


def old_store(path: Path, version: int) -> None:
    """A store as that version left it: one flow run with one task run that has completed."""
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.executescript("".join(schema.STEPS[:version]))
        made.execute(
            "INSERT INTO flow_run(number, uuid, flow, name, parameters, source, state, created, at, started) "
            "VALUES (1, 'u', 'nightly', 'brave-otter', '{}', '', 5, 1, 3, 2)"
        )
        made.execute(
            "INSERT INTO task_run(flow_run, number, task, site, place, parent, subflow, state, attempts, created, at, "
            "started, ended) VALUES (1, 1, 'load', 1, 0, 0, 0, 5, 1, 1, 3, 2, 3)"
        )
        made.execute(
            "INSERT INTO event(flow_run, seq, task_run, kind, at, detail) "
            "VALUES (1, 1, 0, 1, 1, NULL), (1, 2, 1, 2, 1, NULL)"
        )
        if version >= checksums.SINCE:
            checksums.teach(made)
            checksums.seal_all(made)
        made.execute(f"PRAGMA user_version = {version}")
        made.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        made.commit()
        made.execute("PRAGMA journal_mode = WAL")


@pytest.mark.scorecard(16, case=True)
@pytest.mark.parametrize("version", range(1, schema.VERSION))
def test_an_older_store_is_brought_up_to_date_and_copied_first(tmp_path: Path, version: int) -> None:
    path = tmp_path / "store.db"
    old_store(path, version)
    for _ in range(2):  # the second opening finds nothing to do
        store = SQLiteStore(path)
        (run,) = store.flow_runs()
        (task,) = store.task_runs(1)
        assert (run.name, task.name, task.state.name, task.result) == ("brave-otter", "load-0", "Completed", None)
        assert [seq for seq, _ in store.events(1)] == [1, 2]
        store.close()
    with contextlib.closing(sqlite3.connect(path)) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with contextlib.closing(sqlite3.connect(tmp_path / f"store-v{version}.db")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (version,)
        assert copy.execute("SELECT name FROM flow_run").fetchone() == ("brave-otter",)


def newer_store(path: Path) -> bytes:
    """The bytes of a store of a version that is not known yet, which has a run."""
    old_store(path, 1)
    SQLiteStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    return path.read_bytes()


@pytest.mark.scorecard(16, case=True)
def test_a_newer_store_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    before = newer_store(path)
    with pytest.raises(StoreError, match=r"^[^\n]*newer Tidegate[^\n]*$"):
        SQLiteStore(path)
    assert path.read_bytes() == before


@pytest.mark.scorecard(16, control=True, case=True)
def test_control_a_step_that_is_left_out_and_a_newer_store_that_is_opened_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = newer_store(tmp_path / "newer.db")
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    store = SQLiteStore(tmp_path / "newer.db")
    store.create_flow_run(FlowCreated(0, 1.0, "u2", "f", "n", "{}"))
    store.close()
    assert (tmp_path / "newer.db").read_bytes() != before
    monkeypatch.setattr(schema, "STEPS", schema.STEPS[:2])
    old_store(tmp_path / "old.db", 1)
    with pytest.raises(StoreError):
        SQLiteStore(tmp_path / "old.db").flow_runs()


def test_a_store_that_was_brought_up_to_date_takes_new_runs(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    old_store(path, 1)
    store = SQLiteStore(path)
    store.commit_all(
        [
            TaskCreated(1, 4.0, 2, "load", 1, 1, {}, tags=("nightly",)),
            TaskState(1, 5.0, 2, Completed(at=5.0), 1, name="load Aberdeen", result=b"T1 json\n1"),
        ]
    )
    task = store.task_runs(1)[1]
    assert (task.name, task.tags, task.result) == ("load Aberdeen", ("nightly",), b"T1 json\n1")
    store.close()


def test_what_an_older_process_writes_to_a_store_that_was_brought_up_to_date_is_refused(tmp_path: Path) -> None:
    """It has had the store open, and does not know that rows have a place of their own: none is to be wrong."""
    path = tmp_path / "store.db"
    old_store(path, schema.VERSION - 1)
    with contextlib.closing(sqlite3.connect(path)) as older:
        assert older.execute("SELECT count(*) FROM task_run").fetchone() == (1,)
        SQLiteStore(path).close()
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            older.execute(
                "INSERT INTO task_run(flow_run, number, task, site, place, parent, subflow, state, attempts, created, "
                "at, ran) VALUES (2, 7, 'load', 1, 0, 0, 0, 5, 1, 1, 3, 0)"
            )
    store = SQLiteStore(path)
    assert [each.number for each in store.task_runs(1)] == [1]
    store.close()
