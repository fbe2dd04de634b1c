"""A store in a folder on a network: no write-ahead log, and a word about it."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from support.flows import engine_over, flow, task
from tidegate.store import network
from tidegate.store.sqlite import SQLiteStore


@task(persist_result=True)
def networked(n: int) -> int:
    return n


@flow(name="networked")
def work() -> int:
    return int(sum(networked(n) for n in range(10)))


def mounted(monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str) -> None:
    """As if the folder were on a file system of that kind."""
    device = folder.stat().st_dev
    place = f"{os.major(device)}:{os.minor(device)}"
    told = folder / "mounts"
    told.write_text(
        f"28 1 {place} / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n29 28 0:7 / /sys rw - sysfs sysfs rw\n"
        f"36 28 {place} / {folder} rw,noatime shared:2 master:1 - {kind} server:/home rw,vers=4.2\n"
    )
    monkeypatch.setattr(network, "MOUNTS", told)


def journal(path: Path) -> str:
    """Whether the file of a store needs a write-ahead log, as its header says."""
    return {1: "truncate", 2: "wal"}[path.read_bytes()[18]]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "ceph"])
def test_a_store_on_a_network_has_no_log_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    mounted(monkeypatch, tmp_path, kind)
    for runs in (1, 2):
        with caplog.at_level(logging.WARNING, "tidegate"), closing(SQLiteStore(tmp_path / "store.db")) as store:
            with engine_over(store):
                assert work() == 45
            assert not (tmp_path / "store.db-wal").exists()
            assert not (tmp_path / "store.db-shm").exists(), "memory that another machine does not see"
            assert len(store.flow_runs()) == runs
            assert len(store.task_runs(runs)) == 10
    assert journal(tmp_path / "store.db") == "truncate"
    (line,) = [each for each in caplog.messages if "is on a network" in each]
    assert line == (
        f"The store {tmp_path / 'store.db'} is on a network ({kind}): each commit waits for it, and only one machine "
        "may use it at a time. Set TIDEGATE_HOME to a folder of this machine."
    )


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "overlay", "fuse.gocryptfs"])
def test_one_on_a_disk_has_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    mounted(monkeypatch, tmp_path, kind)
    with closing(SQLiteStore(tmp_path / "store.db")) as store, engine_over(store):
        assert work() == 45
    assert journal(tmp_path / "store.db") == "wal"
    assert [each for each in caplog.messages if "is on a network" in each] == []


def test_a_store_that_moves_has_what_its_new_place_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    for kind, wanted in (("ext4", "wal"), ("nfs", "truncate"), ("xfs", "wal")):
        mounted(monkeypatch, tmp_path, kind)
        with closing(SQLiteStore(path)) as store, engine_over(store):
            work()
        assert journal(path) == wanted
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM task_run").fetchone() == (30,)


def test_the_folders_of_this_machine_are_told_as_the_system_does(tmp_path: Path) -> None:
    told = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert bool(network.file_system(tmp_path)) == (told in ("nfs", "smb2", "cifs", "fuseblk", "ceph"))
    assert network.file_system(tmp_path / "gone") == ""
