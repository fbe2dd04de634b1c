"""A store that is damaged: what can be read of it is kept, in a new one."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from support.flows import engine_over, flow, seeded, task
from tidegate.cli import main
from tidegate.errors import StoreError
from tidegate.model.states import State
from tidegate.recovery import resume
from tidegate.store import salvage
from tidegate.store.sqlite import SQLiteStore

PAGE = 2048
RUNS = 30
TRIALS = 20


@task(persist_result=True)
def salvaged_step(n: int) -> list[int]:
    return [n] * 40


@flow(name="salvaged")
def work(runs: int) -> int:
    return sum(salvaged_step(n)[0] for n in range(runs))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of many runs, whose log is folded into it."""
    store = SQLiteStore(tmp_path / "home" / "store.db")
    with engine_over(store):
        for number in range(1, RUNS + 1):
            work(number)
    store.slots.put("api", 3)
    store.close()
    return store.path


def wrecked(path: Path, first: int, last: int, data: bytes) -> None:
    """Write over bytes of a file."""
    with path.open("r+b") as file:
        file.seek(first)
        file.write((data * ((last - first) // len(data) + 1))[: last - first])


def content(path: Path) -> dict[int, tuple[Any, ...]]:
    """All that a store tells of each run."""
    with closing(SQLiteStore(path)) as store:
        rows = {row.number: row for row in store.flow_runs(1000)}
        return {n: (row, store.task_runs(n), store.events(n), store.logs(n)) for n, row in rows.items()}


@pytest.mark.parametrize(
    ("first", "last"),
    [(100, PAGE), (112, 400), (16, 18), (28, 32)],
    ids=["all of the schema's first page", "its cells", "the size of pages", "the size of the file"],
)
def test_a_store_that_does_not_open_is_made_anew_with_all_of_its_runs(
    path: Path, caplog: pytest.LogCaptureFixture, first: int, last: int
) -> None:
    before = content(path)
    wrecked(path, first, last, b"\xa5\x5a")
    damaged = path.read_bytes()
    with caplog.at_level(logging.WARNING, "tidegate"):
        assert content(path) == before
    aside = path.with_name("store-damaged-1.db")
    told = f"Kept: {RUNS} flow runs with {sum(range(RUNS + 1))} task runs. The damaged file is {aside}."
    assert [line for line in caplog.messages if told in line]
    assert aside.read_bytes() == damaged
    assert {each.stat().st_mode & 0o777 for each in (path, aside)} == {0o600}
    assert [each.name for each in path.parent.glob("*salvage*")] == []
    with closing(SQLiteStore(path)) as store, engine_over(store):
        assert [(each.tag, each.limit) for each in store.slots.limits()] == [("api", 3)]
        assert work(2) == 1
        assert store.flow_runs(1)[0].number == RUNS + 1, "no number is given twice"


def test_what_is_in_the_log_is_kept_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from engine.test_store_salvage import work\n"
        "from support.flows import engine_over; from tidegate.store.sqlite import SQLiteStore\n"
        "store = SQLiteStore(Path(sys.argv[1]))\n"
        "with engine_over(store): work(5)\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path), str(Path(__file__).parents[1])], check=True)
    assert path.with_name("store.db-wal").stat().st_size > 0
    wrecked(path.with_name("store.db-wal"), 0, 0, b"x")
    with closing(sqlite3.connect(path)) as connection:  # the first page is in the log too: fold it, keep the rest
        connection.execute("SELECT * FROM flow_run").fetchall()
    wrecked(path, 100, PAGE, b"\xa5\x5a")
    assert len(content(path)) == RUNS + 1


def test_a_flow_run_goes_on_after_a_salvage(path: Path) -> None:
    fails = [True]

    @flow(name="goes on")
    def half(n: int) -> Any:
        total = sum(salvaged_step(each)[0] for each in range(n))
        if fails:
            raise ValueError("once")
        return total

    with closing(SQLiteStore(path)) as store, engine_over(store), pytest.raises(ValueError, match="once"):
        half(4)
    wrecked(path, 100, PAGE, b"\xa5\x5a")
    fails.clear()
    with closing(SQLiteStore(path)) as store, engine_over(store):
        state = resume(RUNS + 1, half)
        assert isinstance(state, State)
        assert state.result() == 6
        assert sum(row.state.name == "Completed" for row in store.task_runs(RUNS + 1)) == 4


def test_random_pages_cost_what_was_in_them_and_nothing_is_wrong(path: Path, tmp_path: Path) -> None:
    chance = seeded("salvage")
    before, sound = content(path), path.read_bytes()
    whole = []
    for trial in range(TRIALS):
        here = tmp_path / f"trial{trial}" / "store.db"
        here.parent.mkdir()
        here.write_bytes(sound)
        for page in chance.sample(range(1, len(sound) // PAGE), 2):
            wrecked(here, page * PAGE, (page + 1) * PAGE, chance.randbytes(PAGE))
        done = CliRunner().invoke(main, ["--home", str(here.parent), "store", "salvage"])
        assert done.exit_code == 0, done.output
        checked = CliRunner().invoke(main, ["--home", str(here.parent), "store", "check"])
        assert "is sound" in checked.output
        after = content(here)
        assert [n for n, found in after.items() if found[0] != before[n][0]] == []
        whole.append(sum(after.get(n) == run for n, run in before.items()))
    print(f"{len(sound) // PAGE} pages; runs of {RUNS} that were whole afterwards: {sorted(whole)}")
    assert sorted(whole)[TRIALS // 2] > RUNS / 2


def test_a_salvage_that_was_interrupted_is_finished(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(path)
    wrecked(path, 100, PAGE, b"\xa5\x5a")

    def killed(path: Path) -> None:
        if path.with_name("store.db-salvaged").exists():
            path.with_name("store.db-wal").unlink(missing_ok=True)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(salvage, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            SQLiteStore(path)
    assert path.with_name("store.db-salvaged").exists()
    assert content(path) == before
    assert not path.with_name("store.db-salvaged").exists()


@pytest.fixture
def somebody(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the store open."""
    script = (
        "import sys; from pathlib import Path; from tidegate.store.sqlite import SQLiteStore\n"
        "store = SQLiteStore(Path(sys.argv[1])); store.process; print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        yield process
        process.stdin.close()


def test_a_store_that_somebody_has_open_is_left_as_it_is(path: Path, somebody: subprocess.Popen[bytes]) -> None:
    wrecked(path, 100, PAGE, b"\xa5\x5a")
    damaged = path.read_bytes()
    with pytest.raises(StoreError, match=r"is damaged, and is open elsewhere\. End the kernels and programs"):
        SQLiteStore(path)
    assert path.read_bytes() == damaged
    assert list(path.parent.glob("store-damaged*")) == []
    assert somebody.stdin is not None
    somebody.stdin.close()
    somebody.wait(30)
    assert len(content(path)) == RUNS


def test_what_is_damaged_while_it_is_open_says_what_to_do(path: Path) -> None:
    with closing(SQLiteStore(path)) as store:
        wrecked(path, PAGE * 2, path.stat().st_size, Random(1).randbytes(PAGE))
        with pytest.raises(StoreError, match="then `tidegate store salvage` keeps what can be read"):
            store.task_runs(RUNS - 1)


def test_a_sound_store_is_left_alone(path: Path) -> None:
    done = CliRunner().invoke(main, ["--home", str(path.parent), "store", "salvage"])
    assert done.output == f"{path} is sound.\n"
    assert list(path.parent.glob("store-damaged*")) == []
