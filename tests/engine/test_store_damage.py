"""A disk that gives back something else than was written: it is noticed, said, and never believed."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import engine_over, flow, task
from support.resumes import Bodies
from support.tampering import tampered
from tidegate.cache_policies import INPUTS
from tidegate.engine import Engine
from tidegate.errors import MissingResult, StoreError
from tidegate.model.events import Event
from tidegate.model.views import FlowRow, TaskRow
from tidegate.ports import CacheHit
from tidegate.recovery import resume, resume_plan
from tidegate.results import storage
from tidegate.results.signing import Signer
from tidegate.store import checksums
from tidegate.store.sqlite import SQLiteStore


def test_the_checksum_of_a_row_stays_what_it_is() -> None:
    """Or every store that was written before would count as damaged."""
    assert checksums.of([1, 2**40, -7, 1.5, None, "täsk ☃", "", b"\x00\xff"]) == 4022945932
    assert checksums.fits([1, "a", checksums.of([1, "a"])])
    for other in ([2, "a"], [1, "b"], [1.0, "a"], [1, b"a"], [1, None]):
        assert not checksums.fits([*other, checksums.of([1, "a"])])
    assert not checksums.fits([1, "a", None])


def fill(path: Path) -> None:
    """Runs with all that a row may hold."""

    @task(cache_policy=INPUTS, persist_result=True)
    def load(n: int) -> dict[str, Any]:
        return {"n": n, "text": "x" * 40 * n}

    @task(retries=1)
    def shaky(data: dict[str, Any], tries: list[int]) -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("once, with ☃ and 'quotes'")
        return int(data["n"])

    @flow(name="nightly", tags=["a", "b"])
    def work(rows: int) -> Any:
        loaded = [load(n) for n in range(rows)]
        mapped = load.map(range(5, 9)).result()
        return sum(shaky(each, [] if n == 2 else [1]) for n, each in enumerate(loaded)) + len(mapped)

    store = SQLiteStore(path)
    with engine_over(store):
        for rows in (3, 6, 9):
            work(rows)
    store.close()


class Content:
    """All that can be read of a store; what cannot be is told."""

    def __init__(self, path: Path, numbers: range, keys: list[str], clean: type[Exception] = StoreError) -> None:
        self.told = 0
        self._clean = clean
        self.entries: set[tuple[str, int, int]] = set()
        """Of the cache: key, flow run, task run; for a sound store."""
        self.flows: list[FlowRow] = []
        self.tasks: list[TaskRow] = []
        self.events: list[tuple[int, Event]] = []
        self.hits: list[tuple[str, CacheHit]] = []
        try:
            store = SQLiteStore(path)
        except clean:
            self.told += 1
            return
        with closing(store):
            for number in numbers:
                for look in (self._flow, self._tasks, self._events):
                    self._try(look, store, number)
            self._try(lambda store, limit: self.flows.extend(store.flow_runs(limit)), store, 100)
            for key in keys:
                self._try(self._hit, store, key)

    def _try(self, look: Any, store: SQLiteStore, of: Any) -> None:
        try:
            look(store, of)
        except self._clean:
            self.told += 1

    def _flow(self, store: SQLiteStore, number: int) -> None:
        row = store.flow_run(number)
        self.flows += [row] if row is not None else []

    def _tasks(self, store: SQLiteStore, number: int) -> None:
        self.tasks += store.task_runs(number)

    def _events(self, store: SQLiteStore, number: int) -> None:
        self.events += store.events(number)

    def _hit(self, store: SQLiteStore, key: str) -> None:
        hit = store.cached(key, 0.0)
        self.hits += [(key, hit)] if hit is not None else []

    def wrong(self, right: Content) -> Iterator[Any]:
        """What is not as it was, and does not say so."""
        rows: list[Any] = [*self.flows, *self.tasks]
        sound = [*right.flows, *right.tasks]
        yield from (row for row in rows if row.state.name != "Damaged" and row not in sound)
        yield from (each for each in self.events if each not in right.events)
        yield from (hit for key, hit in self.hits if not right.holds(key, hit))

    def holds(self, key: str, hit: CacheHit) -> bool:
        """True for a result that was kept under that key: an older one is as good where the newest is damaged."""
        entry = hit.entry
        kept = {(row.flow_run, row.number): row.result for row in self.tasks}
        same = [known.entry for name, known in self.hits if name == key]
        known = (key, hit.flow_run, hit.task_run) in self.entries and kept[hit.flow_run, hit.task_run] == hit.blob
        return known and (entry.key, entry.task, entry.parts) == (key, same[0].task, same[0].parts)

    def same(self, right: Content) -> bool:
        """True if nothing is missing."""
        return all(getattr(self, each) == getattr(right, each) for each in ("flows", "tasks", "events", "hits"))


class Flips:
    """A sound store, of which one bit after another is turned round."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / "store.db"
        fill(path)
        with closing(sqlite3.connect(path)) as connection:
            self._keys = [key for (key,) in connection.execute("SELECT DISTINCT key FROM cache")]
            entries = set(connection.execute("SELECT key, flow_run, task_run FROM cache"))
        assert len(self._keys) == 9
        self._kept = path.read_bytes()
        self._right = Content(path, range(1, 4), self._keys)
        self._right.entries = entries
        assert self._right.told == 0
        assert len(self._right.events) > 60

    def flip(self, chance: random.Random, clean: type[Exception] = StoreError) -> tuple[str, bool]:
        """What is wrong and does not say so, if anything is; and whether anything was noticed."""
        home = self._folder / "copy"
        home.mkdir()
        at, bit = chance.randrange(len(self._kept)), chance.randrange(8)
        data = bytearray(self._kept)
        data[at] ^= 1 << bit
        (home / "store.db").write_bytes(data)
        found = Content(home / "store.db", range(1, 4), self._keys, clean)
        shutil.rmtree(home)
        wrong = next((f"byte {at}, bit {bit}: {each}"[:300] for each in found.wrong(self._right)), "")
        return wrong, not found.same(self._right)


@pytest.mark.scorecard(15, parts=2)
def test_a_bit_that_is_turned_round_is_never_a_wrong_value(tmp_path: Path, trials: Trials) -> None:
    flips = Flips(tmp_path)
    noticed = 0
    for trial in trials:
        with trials.judged(f"flip {trial}"):
            wrong, told = flips.flip(trials.chance)
            noticed += told
            assert wrong == ""
    print(f"{trials.count} flips, {noticed} noticed")


@pytest.mark.scorecard(15, control=True, case=True)
def test_control_without_checksums_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: Trials) -> None:
    monkeypatch.setattr(checksums, "fits", lambda row: True)
    trials.did(1)
    flips = Flips(tmp_path)
    trials.found(any(flips.flip(trials.chance, Exception)[0] for _ in range(200)))
    assert trials.caught


def flipped_file(folder: Path, chance: random.Random) -> Any:
    """What is handed back of a result in a file, of which one bit was turned round."""
    value = [chance.randbytes(70_000), "end"]

    @task(persist_result=True)
    def make() -> Any:
        return value

    store = SQLiteStore(folder / "store.db")
    with engine_over(store) as here:
        flow(lambda: len(make()), name="work")()
        (path,) = (folder / "results").glob("??/??/*")
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            return here.saving.recorded(store.task_runs(1)[0]).result() == value
        except MissingResult:
            return None
        finally:
            store.close()


@pytest.mark.scorecard(15, parts=2)
def test_a_bit_of_a_file_that_is_turned_round_is_a_result_that_is_lost(tmp_path: Path, trials: Trials) -> None:
    for trial in trials:
        with trials.judged(f"flip {trial}"):
            assert flipped_file(tmp_path / str(trial), trials.chance) is None
            shutil.rmtree(tmp_path / str(trial))


@pytest.mark.scorecard(15, control=True, case=True)
def test_control_without_a_look_at_it_the_file_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(storage, "_whole", lambda data, key, where: data)
    monkeypatch.setattr(Signer, "verify", lambda *_: True)
    trials.did(1)
    trials.found(any(flipped_file(tmp_path / str(at), trials.chance) is False for at in range(10)))
    assert trials.caught


# What becomes of a damaged row ---------------------------------------------------------------------------------------


def damaged(path: Path, statement: str) -> None:
    """Change a row, and not its checksum."""
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount == 1


@pytest.fixture
def failed(tmp_path: Path) -> Iterator[tuple[Engine, Any, Bodies]]:
    """A flow run of three task runs that failed at its end, once."""
    bodies = Bodies("end")

    @task(persist_result=True)
    def step(n: int) -> int:
        bodies(str(n))
        return n

    @flow(name="nightly")
    def work() -> Any:
        total = sum(step(n) for n in range(3))
        bodies("end")
        return total

    store = SQLiteStore(tmp_path / "store.db")
    with engine_over(store) as engine:
        with pytest.raises(ValueError, match="end"):
            work()
        bodies.fails.clear()
        yield engine, work, bodies
    store.close()


def test_a_damaged_task_run_counts_as_not_saved_and_runs_again(
    tmp_path: Path, failed: tuple[Engine, Any, Bodies]
) -> None:
    engine, work, bodies = failed
    damaged(tmp_path / "store.db", "UPDATE task_run SET result = x'00' WHERE number = 2")
    row = engine.store.task_runs(1)[1]
    assert (row.number, row.state.name, row.result, row.key) == (2, "Damaged", None, "")
    assert "1 Damaged" in str(resume_plan(1))
    assert resume(1, work).result() == 3  # type: ignore[union-attr]
    assert bodies.ran == ["0", "1", "2", "end", "1", "end"]
    assert engine.store.task_runs(1)[1].state.name == "Damaged", "it is not made sound by writing over it"


def test_a_damaged_flow_run_is_listed_as_that_and_cannot_be_resumed(
    tmp_path: Path, failed: tuple[Engine, Any, Bodies]
) -> None:
    engine, work, _ = failed
    damaged(tmp_path / "store.db", "UPDATE flow_run SET parameters = '[1]'")
    assert [(row.number, row.state.name) for row in engine.store.flow_runs()] == [(1, "Damaged")]
    with pytest.raises(StoreError, match="Flow run 1 cannot be read: its row in the store is damaged"):
        resume(1, work)


def test_a_damaged_event_is_left_out_and_told(
    tmp_path: Path, failed: tuple[Engine, Any, Bodies], caplog: pytest.LogCaptureFixture
) -> None:
    engine, _, _ = failed
    before = engine.store.events(1)
    damaged(tmp_path / "store.db", "UPDATE event SET at = at + 1 WHERE seq = (SELECT MAX(seq) FROM event)")
    with caplog.at_level(logging.WARNING, "tidegate"):
        assert engine.store.events(1) == before[:-1]
    assert "An event of flow run 1 is damaged and left out." in caplog.text


def test_a_store_that_is_brought_up_to_date_has_its_checksums(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path)
    sums = "SELECT crc FROM task_run UNION ALL SELECT crc FROM event UNION ALL SELECT crc FROM cache"
    before = tampered(path, sums)
    assert tampered(path, sums) == before
    assert None not in {crc for (crc,) in before}
