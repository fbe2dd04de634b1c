"""Seen means saved: what is shown as ended is kept at that moment; a store that fails never stops the user's code."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from support.flows import SOON, Feed, engine_over, flow, in_time, is_terminal, opened, states_in_store, task
from tidegate.engine import Engine
from tidegate.errors import ControlError, CrashedRun, StoreError
from tidegate.model.events import Event, FlowState, TaskState
from tidegate.model.states import StateType
from tidegate.model.views import task_rows
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def on_disk(file: Path) -> Iterator[Engine]:
    store = SQLiteStore(file)
    with engine_over(store) as engine:
        yield engine
    store.close()


class Witness:
    """Looks into the file, over a connection of its own, at the moment when something is shown."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self._file = file
        self._engine = engine
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self.looked = 0
        self.unsaved: list[Event] = []
        engine.observers.append(self._began)

    def _began(self, run: FlowRun) -> None:
        self._engine.subscribe(run.number, self.see)

    def see(self, events: Sequence[Event]) -> None:
        for event in events:
            asked = isinstance(event, FlowState) and bool(event.by)
            if (asked or is_terminal(event)) and not self.kept(event):
                self.unsaved.append(event)

    def kept(self, event: Event) -> bool:
        number = event.task_run if isinstance(event, TaskState) else 0
        with self._lock:
            self.looked += 1
            rows = self._connection.execute(
                "SELECT 1 FROM event WHERE flow_run = ?1 AND task_run = ?2 AND at = ?3 AND kind >= 4 "
                "UNION ALL SELECT 1 FROM task_run WHERE flow_run = ?1 AND number = ?2 AND ended = ?3 AND seq > 0",
                (event.flow_run, number, event.at),
            ).fetchall()
        return bool(rows)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def witness(on_disk: Engine, file: Path) -> Iterator[Witness]:
    made = Witness(on_disk, file)
    yield made
    made.close()


def test_what_is_shown_as_ended_is_in_the_file_at_that_moment(on_disk: Engine, witness: Witness) -> None:
    futures_unsaved: list[str] = []

    def at_end(future: object) -> None:
        number = getattr(future, "number", 0)
        with closing(sqlite3.connect(witness._file)) as connection:
            (state,) = connection.execute("SELECT state FROM task_run WHERE number = ?", (number,)).fetchone()
        if state < 5:  # the terminal ones begin there
            futures_unsaved.append(f"{number}: {state}")

    @task
    def sync(x: int) -> int:
        if x % 7 == 0:
            raise ValueError(x)
        return x

    @task
    async def coroutine(x: int) -> int:
        return x

    @flow
    def many() -> int:
        mapped = sync.map(range(300))
        for each in mapped[::10]:
            each.add_done_callback(at_end)
        awaited = coroutine.map(range(300))
        for x in range(1, 100):
            sync(x, return_state=True)
        awaited.wait()
        return 1

    assert in_time(many, 30) == 1
    assert witness.looked >= 700
    assert witness.unsaved == []
    assert futures_unsaved == []


def test_pause_resume_and_cancel_are_shown_once_kept(on_disk: Engine, witness: Witness) -> None:
    feed = Feed(on_disk)

    @task
    async def step(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @flow
    async def steps() -> None:
        x = 0
        while True:
            x = await step(x + 1)

    run = threading.Thread(target=lambda: asyncio.run(steps(return_state=True)), daemon=True)
    run.start()
    feed.await_flow(StateType.RUNNING)
    (flow_run,) = feed.runs
    flow_run.pause()
    feed.await_flow(StateType.PAUSED)
    flow_run.resume()
    feed.await_flow(StateType.RUNNING, "Resuming")
    flow_run.cancel()
    feed.await_flow(StateType.CANCELLED)
    run.join(SOON)
    assert witness.looked >= 4
    assert witness.unsaved == []


@pytest.mark.conforms("B079")
def test_submit_returns_before_the_run_is_kept(on_disk: Engine, file: Path) -> None:
    """While somebody else holds the file nothing can be kept, and submitting goes on all the same."""

    @task
    def step(x: int) -> int:
        return x

    @flow
    def steps() -> list[int]:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            futures = [step.submit(x) for x in range(5)]
            kept = other.execute("SELECT count(*) FROM task_run").fetchone()[0]
            other.execute("COMMIT")
        return [kept, *[each.result() for each in futures]]

    assert in_time(steps) == [0, *range(5)]
    assert len(on_disk.store.task_runs(1)) == 5


@pytest.mark.conforms("B222")
@pytest.mark.parametrize("way", ["call", "submit"])
def test_a_crash_read_from_the_record_raises_with_its_message(on_disk: Engine, way: str) -> None:
    @task
    def exits() -> None:
        raise SystemExit(3)

    @flow
    def work() -> None:
        exits() if way == "call" else exits.submit().result()

    with pytest.raises(SystemExit):
        in_time(work)
    (row,) = on_disk.store.task_runs(1)
    flow_row = on_disk.store.flow_run(1)
    assert flow_row is not None
    for kept in (row.state, flow_row.state):
        with pytest.raises(CrashedRun, match=r"^Ended by SystemExit\(3\)\.$"):
            kept.result()


def test_control_the_witness_sees_what_is_shown_too_early(on_disk: Engine, witness: Witness) -> None:
    """The witness can fail: an engine that shows first and commits then is caught."""
    commit = on_disk.commit

    def shown_first(event: Event) -> None:
        on_disk._publish(event)
        commit(event)

    on_disk.commit = shown_first  # type: ignore[method-assign]

    @task
    def step() -> None: ...

    @flow
    def steps() -> int:
        step()
        return 1

    in_time(steps)
    assert witness.unsaved


class FlakyStore(MemoryStore):
    """A store that keeps nothing while it is broken, and what it missed once it is well."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self._missed: list[Event] = []

    def _keep(self, event: Event) -> str:
        if self.broken:
            self._missed.append(event)
            return "The disk is full."
        missed, self._missed = self._missed, []
        for each in missed:
            super().append(each)
        super().append(event)
        return ""

    def append(self, event: Event) -> None:
        self._keep(event)

    def commit(self, event: Event) -> None:
        problem = self._keep(event)
        if problem:
            raise StoreError(problem)

    def commit_all(self, events: Sequence[Event]) -> None:
        problems = [self._keep(event) for event in events]
        if any(problems):
            raise StoreError(problems[0])

    def commit_soon(self, event: Event, done: Callable[[str], None]) -> None:
        done(self._keep(event))


def flaky_flow(break_it: Callable[[], None], heal_it: Callable[[], None], feed: Feed) -> Callable[[], list[int]]:
    @task
    def sync(x: int) -> int:
        return x

    @task
    async def coroutine(x: int) -> int:
        return x

    @flow
    def through_it() -> list[int]:
        out = [sync(1)]
        break_it()
        out += [sync(2), coroutine(3), *sync.map([4, 5, 6]).result(), *coroutine.map([7, 8]).result()]
        feed.runs[0].pause()
        feed.await_flow(StateType.PAUSED)
        feed.runs[0].resume()
        heal_it()
        out.append(sync(9))
        return out

    return through_it  # type: ignore[no-any-return]


def test_a_store_that_fails_for_a_while_never_stops_the_code() -> None:
    store = FlakyStore()
    with engine_over(store) as engine:
        feed = Feed(engine)
        through_it = flaky_flow(lambda: setattr(store, "broken", True), lambda: setattr(store, "broken", False), feed)
        assert in_time(through_it) == list(range(1, 10))
    assert feed.saving() == ["The disk is full.", ""]
    assert [row.state.name for row in store.task_runs(1)] == ["Completed"] * 9


def test_a_real_file_that_cannot_be_written_for_a_while_heals(on_disk: Engine, file: Path) -> None:
    """Something outside makes every write fail; afterwards the file holds all that happened meanwhile, in order."""

    def outside(statement: str) -> Callable[[], None]:
        def act() -> None:
            with closing(sqlite3.connect(file, timeout=10)) as connection:
                connection.executescript(statement)

        return act

    feed = Feed(on_disk)
    through_it = flaky_flow(
        outside("ALTER TABLE event RENAME TO gone"),
        outside("ALTER TABLE gone RENAME TO event"),
        feed,
    )
    assert in_time(through_it, 20) == list(range(1, 10))
    problems = feed.saving()
    assert len(problems) == 2
    assert "no such table" in problems[0]
    assert "\n" not in problems[0]
    assert problems[1] == ""
    events = [event for _, event in on_disk.store.events(1)]
    assert states_in_store(on_disk.store, 1) == ["Running", "Paused", "Resuming", "Completed"]
    rows = on_disk.store.task_runs(1)
    for row in rows:
        row.result = None  # which the log does not repeat
    assert rows == [row for _, row in sorted(task_rows(events).items())]
    assert [row.state.name for row in rows] == ["Completed"] * 9
    for row in rows:
        kept = [event.state.name for event in events if isinstance(event, TaskState) and event.task_run == row.number]
        assert kept == ["Running", "Completed"]


def test_a_store_that_stays_broken_still_lets_the_flow_end(gate: threading.Event) -> None:
    store = FlakyStore()
    with engine_over(store) as engine:
        feed = Feed(engine)

        @task
        def sync(x: int) -> int:
            return x

        @flow
        def work() -> int:
            store.broken = True
            return sum(sync.map([1, 2, 3]).result())

        assert in_time(work) == 6
        assert feed.saving() == ["The disk is full."]
        assert feed.flow_states() == ["Running", "Completed"]
        assert engine.live == {}


def test_the_feed_shows_flow_states_in_the_order_of_the_record(on_disk: Engine) -> None:
    """A reader of the feed ends with the state that the record ends with, however the threads interleave."""
    feed = Feed(on_disk)
    going = threading.Event()

    @task
    def step(x: int) -> int:
        going.set()
        return x

    @flow
    def steps() -> int:
        for _ in range(20):
            step.map(range(20)).wait()
        return 1

    ended: list[object] = []
    runner = threading.Thread(target=lambda: ended.append(steps(return_state=True)), daemon=True)
    runner.start()
    opened(going)
    (run,) = feed.runs
    for _ in range(150):
        if run.finished.done():
            break
        with contextlib.suppress(ControlError):
            run.pause()
            run.resume()
    runner.join(30)
    assert ended
    on_disk.store.close()
    assert feed.flow_states() == states_in_store(on_disk.store, 1)
