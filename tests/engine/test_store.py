"""The stores: what was sent is what is read, rows are the fold of the events, order and numbers hold."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from support.flows import SOON, seeded
from tidegate.errors import StoreError
from tidegate.model.events import Event, FlowCreated, FlowState, Links, TaskCreated, TaskState
from tidegate.model.states import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    NotReady,
    Paused,
    Running,
    State,
)
from tidegate.model.views import FlowRow, TaskRow, new_flow_row, task_rows
from tidegate.ports import EventStore
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore

T0 = 1_700_000_000.0


def a_flow(name: str = "nightly", **changes: object) -> FlowCreated:
    made = FlowCreated(0, T0, uuid.uuid4().hex, name, "brave-otter", '{"x":1}', None, "0123456789abcdef")
    return replace(made, **changes)  # type: ignore[arg-type]


def a_task(flow_run: int, number: int, name: str = "load") -> TaskCreated:
    return TaskCreated(flow_run, T0 + number, number, name, 1, number - 1, {}, 0, False)


def task_state(flow_run: int, number: int, state: State, attempt: int = 1) -> TaskState:
    return TaskState(flow_run, state.timestamp, number, state, attempt)


def sent_by(store: EventStore, flow_run: int) -> list[Event]:
    return [event for _, event in store.events(flow_run)]


def fold_flow(events: Sequence[Event]) -> FlowRow:
    first = events[0]
    assert isinstance(first, FlowCreated)
    row = new_flow_row(first, first.flow_run)
    for event in events:
        if isinstance(event, FlowState):
            row.apply(event)
    return row


def a_life(chance: random.Random, flow_run: int, number: int) -> list[Event]:
    """Some way through the life of a task run, cut off anywhere."""
    now = T0 + number
    links: Links = {"x": (("future", 1, number - 1),), "y": (("value", 1, 1), ("map", 1, 2))}
    made = TaskCreated(
        flow_run,
        now,
        number,
        "täsk",
        3,
        number - 1,
        links if number > 2 else {},
        chance.choice([0, 1]),
        chance.random() < 0.1,
        version=chance.choice([None, "2", "ünknown"]),
    )
    events: list[Event] = [made]

    def say(state: State, attempt: int) -> None:
        events.append(TaskState(flow_run, state.timestamp, number, state, attempt))

    if chance.random() < 0.2:
        say(chance.choice([NotReady("load-0 is Failed.", at=now + 1), Cancelled("Cancelled by you.", at=now + 1)]), 0)
        return events
    for attempt in range(1, chance.randint(1, 4) + 1):
        now += chance.random()
        say(Running("Retrying" if attempt > 1 else "Running", at=now), attempt)
        if chance.random() < 0.5:
            break
        say(AwaitingRetry(now + 5, message="ValueError: 'quoted' \n ☃", at=now + 0.5), attempt)
    ends = [Completed(at=now + 1), Failed(message="OSError", at=now + 1), Crashed(name="Interrupted", at=now + 1)]
    end = chance.choice([None, *ends])
    if end is not None:
        say(end, attempt)
    return events


def test_flow_runs_are_numbered_from_one_and_listed_newest_first(store: EventStore) -> None:
    numbers = [store.create_flow_run(a_flow(name)) for name in ("a", "b", "c")]
    assert numbers == [1, 2, 3]
    assert [row.flow for row in store.flow_runs()] == ["c", "b", "a"]
    assert [row.number for row in store.flow_runs(limit=2)] == [3, 2]
    assert store.flow_run(4) is None
    assert store.task_runs(4) == []
    assert store.events(4) == []


def test_a_new_flow_run_is_pending_and_kept_whole(store: EventStore) -> None:
    made = a_flow(parent=None)
    number = store.create_flow_run(made)
    row = store.flow_run(number)
    assert row is not None
    assert row.state.is_pending()
    assert (row.uuid, row.flow, row.name, row.created) == (made.uuid, "nightly", "brave-otter", T0)
    assert (row.parameters, row.parent, row.started, row.ended) == ('{"x":1}', None, None, None)
    assert sent_by(store, number)[0] == replace(made, flow_run=number)


def test_a_subflow_run_knows_its_parent(store: EventStore) -> None:
    parent = store.create_flow_run(a_flow())
    child = store.create_flow_run(a_flow(parent=(parent, 7)))
    row = store.flow_run(child)
    assert row is not None
    assert row.parent == (parent, 7)


POSSIBLE: list[tuple[State, int]] = [
    (NotReady("load-0 is Failed.", at=T0), 0),
    (Cancelled("Cancelled before it began.", at=T0), 0),
    (Crashed(message="Stopped by an interrupt.", name="Interrupted", at=T0), 0),
    (Running(at=T0), 1),
    (AwaitingRetry(T0 + 12.5, message="ValueError: x", at=T0), 1),
    (AwaitingRetry(T0 + 12.5, at=T0), 2),
    (Running("Retrying", at=T0), 2),
    (Completed(at=T0), 1),
    (Completed(message="All states completed.", at=T0), 3),
    (Failed(message="ValueError: 'a\"b' ☃", at=T0), 1),
    (Crashed(message="Stopped by an interrupt.", name="Interrupted", at=T0), 2),
    (Cancelled("Cancelled while it ran.", at=T0), 1),
]


@pytest.mark.parametrize(("state", "attempt"), POSSIBLE, ids=[f"{state.name}-{n}" for state, n in POSSIBLE])
def test_each_state_reads_back_as_it_was_sent(store: EventStore, state: State, attempt: int) -> None:
    run = store.create_flow_run(a_flow())
    store.append(a_task(run, 1))
    event = task_state(run, 1, state, attempt)
    store.commit(event)
    assert sent_by(store, run)[-1] == event
    (row,) = store.task_runs(run)
    assert row.state == state
    assert row.attempts == attempt


@pytest.mark.parametrize("by", ["", "you", "the flow"])
def test_who_asked_is_kept(store: EventStore, by: str) -> None:
    run = store.create_flow_run(a_flow())
    event = FlowState(run, T0 + 1, Paused("Paused.", at=T0 + 1), by)
    store.commit(event)
    assert sent_by(store, run)[-1] == event


@pytest.mark.parametrize("text", ["x\udc80y", "nul \x00", "☃" * 400], ids=["surrogate", "nul", "snow"])
@pytest.mark.parametrize("way", ["commit", "commit_soon"])
def test_any_text_that_python_has_can_be_kept(store: EventStore, text: str, way: str) -> None:
    run = store.create_flow_run(a_flow())
    store.append(a_task(run, 1))
    event = task_state(run, 1, Failed(message=text, at=T0))
    if way == "commit":
        store.commit(event)
    else:
        done = threading.Event()
        store.commit_soon(event, lambda problem: done.set())
        assert done.wait(SOON), "nobody was told"
    (row,) = store.task_runs(run)
    assert row.state.is_failed()


def in_own_order(events: Sequence[Event]) -> dict[int, list[Event]]:
    """The events of each task run, and under 0 those of the flow run."""
    lives: dict[int, list[Event]] = {}
    for event in events:
        lives.setdefault(getattr(event, "task_run", 0), []).append(event)
    return lives


def test_a_pause_keeps_its_place_among_the_events_of_a_task_run(store: EventStore) -> None:
    run = store.create_flow_run(a_flow())
    sent: list[Event] = [
        a_task(run, 1),
        FlowState(run, T0 + 1, Paused(at=T0 + 1), "you"),
        FlowState(run, T0 + 2, Running("Resuming", at=T0 + 2), "you"),
        TaskState(run, T0 + 3, 1, Running(at=T0 + 3), 1),
        FlowState(run, T0 + 4, Paused(at=T0 + 4), "you"),
        TaskState(run, T0 + 5, 1, Completed(at=T0 + 5), 1),
    ]
    store.commit_all(sent)
    assert [type(event) for event in sent_by(store, run)[1:]] == [type(event) for event in sent]
    assert store.task_runs(run)[0].ran == 2.0
    assert store.flow_run(run).ran == 2.0  # type: ignore[union-attr]


def test_rows_are_the_fold_of_the_events(store: EventStore) -> None:
    chance = seeded("test_rows_are_the_fold")
    for _ in range(3):
        run = store.create_flow_run(a_flow())
        lives = [a_life(chance, run, number) for number in range(1, 60)]
        sent: list[Event] = [FlowState(run, T0 + 1, Running(at=T0 + 1))]
        while any(lives):  # interleave the lives, each in its own order
            life = chance.choice([each for each in lives if each])
            sent.append(life.pop(0))
        sent.append(FlowState(run, T0 + 99, Paused("x", at=T0 + 99), "you"))
        for event in sent:
            if chance.random() < 0.3:
                store.commit(event)
            else:
                store.append(event)
        store.commit_all([FlowState(run, T0 + 100, Failed(message="2/59 states failed.", at=T0 + 100))])
        kept = sent_by(store, run)
        assert in_own_order(kept[1:-1]) == in_own_order(sent)
        folded: list[TaskRow] = [row for _, row in sorted(task_rows(sent).items())]
        assert store.task_runs(run) == folded
        assert store.flow_run(run) == fold_flow(kept)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_what_a_task_run_does_not_say_changes_nothing_of_the_rest(tmp_path: Path, at_once: int) -> None:
    """Null is left out of the statement, by what is null in all that it keeps: each pattern has a statement."""
    store = SQLiteStore(tmp_path / "store.db")
    run = store.create_flow_run(a_flow())
    patterns = list(product([False, True], repeat=7))
    seeded("test_what_a_task_run_does_not_say").shuffle(patterns)
    sent: list[Event] = []
    for number, (links, tags, key, source, version, name, result) in enumerate(patterns, start=1):
        at = T0 + number
        made = a_task(run, number)
        known: Links = {"x": (("value", 1, 1),)} if links else {}
        made = replace(made, links=known, tags=("a", "b") if tags else (), key="k" * 32 if key else "")
        made = replace(made, source="s" * 32 if source else "", version="2" if version else None)
        end = task_state(run, number, Completed(at=at + 0.5))
        end = replace(end, name="named" if name else "", result=b"TG1 - json\n5" if result else None)
        sent += [made, task_state(run, number, Running(at=at + 0.25)), end]
        if number % at_once == 0:
            store.commit_all(sent[-3 * at_once :])
    store.commit_all(sent[len(patterns) // at_once * at_once * 3 :])
    assert store.task_runs(run) == [row for _, row in sorted(task_rows(sent).items())]
    assert list(store.upkeep.problems()) == []
    store.close()


def test_events_are_numbered_upwards_and_can_be_read_on(store: EventStore) -> None:
    one, two = store.create_flow_run(a_flow()), store.create_flow_run(a_flow())
    for number in range(1, 6):
        store.append(a_task(one, number))
        store.append(a_task(two, number))
    store.commit(FlowState(one, T0, Running(at=T0)))
    everything = store.events(one)
    numbers = [seq for seq, _ in everything]
    assert numbers == sorted(numbers)
    assert len(numbers) == 7
    for seq in numbers:
        assert store.events(one, after=seq) == [each for each in everything if each[0] > seq]


def test_a_commit_takes_along_all_that_was_appended_before(store: EventStore) -> None:
    run = store.create_flow_run(a_flow())
    for number in range(1, 1001):
        store.append(a_task(run, number))
    store.commit(task_state(run, 1, Completed(at=T0)))
    assert [row.number for row in store.task_runs(run)] == list(range(1, 1001))


def test_an_appended_event_is_kept_without_a_commit(make_store: Callable[[str], EventStore]) -> None:
    store = make_store("sqlite")
    run = store.create_flow_run(a_flow())
    store.append(a_task(run, 1))
    told = threading.Event()
    # Nobody asks for a commit; the writer comes by itself.  The wait has an end, the assertion is the row.
    for _ in range(200):
        if store.task_runs(run):
            break
        told.wait(0.05)
    assert len(store.task_runs(run)) == 1


def test_commit_soon_tells_once_it_is_readable(store: EventStore) -> None:
    run = store.create_flow_run(a_flow())
    store.append(a_task(run, 1))
    done = threading.Event()
    seen: list[tuple[str, bool]] = []

    def told(problem: str) -> None:
        seen.append((problem, store.task_runs(run)[0].state.is_completed()))
        done.set()

    store.commit_soon(task_state(run, 1, Completed(at=T0)), told)
    assert done.wait(SOON)
    assert seen == [("", True)]


def test_one_who_waits_and_fails_does_not_stop_the_writer(store: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    run = store.create_flow_run(a_flow())
    store.append(a_task(run, 1))
    done = threading.Event()

    def fails(problem: str) -> None:
        raise ValueError("mine")

    with contextlib.suppress(ValueError):  # of a store that tells at once, in the thread that asks
        store.commit_soon(task_state(run, 1, Running(at=T0)), fails)
    store.commit_soon(task_state(run, 1, Completed(at=T0)), lambda problem: done.set())
    assert done.wait(SOON)
    assert store.task_runs(run)[0].state.is_completed()
    assert isinstance(store, MemoryStore) or "ValueError: mine" in caplog.text


def test_threads_that_write_at_once_each_keep_their_order(store: EventStore) -> None:
    chance = seeded("test_threads_that_write")
    runs = [store.create_flow_run(a_flow()) for _ in range(4)]
    done = threading.Semaphore(0)

    def write(run: int, seed: int) -> None:
        mine = random.Random(seed)
        for number in range(1, 151):
            store.append(a_task(run, number))
            end = task_state(run, number, Completed(at=T0 + number))
            way = mine.randrange(3)
            if way == 0:
                store.commit(end)
            elif way == 1:
                store.commit_all([task_state(run, number, Running(at=T0)), end])
            else:
                store.commit_soon(end, lambda problem: done.release())
                continue
            done.release()

    threads = [threading.Thread(target=write, args=(run, chance.getrandbits(32))) for run in runs]
    for thread in threads:
        thread.start()
    for _ in range(4 * 150):
        assert done.acquire(timeout=SOON)
    for thread in threads:
        thread.join(SOON)
    for run in runs:
        ends = [e.task_run for e in sent_by(store, run) if isinstance(e, TaskState) and e.state.is_completed()]
        assert ends == list(range(1, 151))
        assert all(row.state.is_completed() for row in store.task_runs(run))


def test_a_reopened_file_holds_what_was_kept_and_goes_on_numbering(tmp_path: Path) -> None:
    path = tmp_path / "home" / "store.db"
    first = SQLiteStore(path)
    run = first.create_flow_run(a_flow())
    for event in a_life(random.Random(5), run, 3):
        first.append(event)
    first.close()  # keeps what is outstanding
    kept = SQLiteStore(path)
    try:
        assert [row.number for row in kept.task_runs(run)] == [3]
        assert len(kept.events(run)) > 2
        assert kept.create_flow_run(a_flow()) == run + 1
    finally:
        kept.close()


def test_another_process_sees_a_commit_at_once(make_store: Callable[[str], EventStore], tmp_path: Path) -> None:
    writer = make_store("sqlite")
    reader = make_store("sqlite")  # a second connection to the same file stands for the other process
    run = writer.create_flow_run(a_flow())
    writer.append(a_task(run, 1))
    writer.commit(task_state(run, 1, Completed(at=T0)))
    assert [row.state.name for row in reader.task_runs(run)] == ["Completed"]


def test_after_close_a_write_is_refused_in_one_line(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    run = store.create_flow_run(a_flow())
    store.close()
    with pytest.raises(StoreError) as caught:
        store.commit(FlowState(run, T0, Running(at=T0)))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "store.db") in str(caught.value)


def test_a_process_is_alive_for_a_store_until_it_closes_the_last_that_it_has_open(tmp_path: Path) -> None:
    look = "import sys; from pathlib import Path; from tidegate.store.processes import is_alive\n"
    look += "print(is_alive(Path(sys.argv[1]), sys.argv[2]))"
    first, second = SQLiteStore(tmp_path / "store.db"), SQLiteStore(tmp_path / "store.db")
    name = first.process

    def alive_for_others() -> str:
        asked = [sys.executable, "-c", look, str(tmp_path / "processes"), name]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()

    before = len(list(Path("/proc/self/fd").iterdir()))
    first.close()
    first.close()
    assert alive_for_others() == "True"
    second.close()
    assert alive_for_others() == "False"
    assert len(list(Path("/proc/self/fd").iterdir())) < before - 2  # the database, its log, and the lock
    again = SQLiteStore(tmp_path / "store.db")
    assert again.process == name
    assert alive_for_others() == "True"
    again.close()
