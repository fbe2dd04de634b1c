"""A run as the store tells of it, look by look: nothing is missed and nothing comes twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.flows import Feed, engine_over, flow, opened, task
from tidegate import ask, create_markdown_artifact
from tidegate.model.events import (
    ArtifactMade,
    Event,
    FlowCreated,
    FlowState,
    InputAsked,
    TaskCreated,
    TaskState,
)
from tidegate.model.states import Completed, Running, StateType
from tidegate.store import reader
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.stored_run import StoredRun


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "store.db")
    yield made
    made.close()


@pytest.fixture
def other(store: SQLiteStore) -> Iterator[SQLiteStore]:
    """The same store as another process has it."""
    made = SQLiteStore(store.path)
    yield made
    made.close()


def test_looks_one_after_the_other_give_what_one_look_gives(store: SQLiteStore, other: SQLiteStore) -> None:
    stored, seen, lock = StoredRun(other, 1), list[Event](), threading.Lock()

    def look() -> None:
        with lock:
            seen.extend(stored.news())

    @task
    def step(x: int) -> int:
        look()
        return x

    @flow(name="looked-at-inside")
    def inside() -> int:
        create_markdown_artifact("inside", key="deep")
        look()
        return int(step(1))

    @flow(name="looked-at")
    def outside() -> None:
        create_markdown_artifact("first")
        look()
        for x in range(3):
            step(x)
        inside()
        look()
        step.map([4, 5]).wait()

    with engine_over(store):
        outside()
    look()
    assert stored.news() == []
    at_once = StoredRun(other, 1).news()
    assert sorted(map(repr, seen)) == sorted(map(repr, at_once))
    below = {event.flow_run for event in at_once if isinstance(event, FlowCreated)} - {1}
    assert len(below) == 1
    assert {type(event) for event in at_once if event.flow_run in below} == {FlowCreated, FlowState, ArtifactMade}
    models = GraphModel(), GraphModel()
    for model, events in zip(models, (seen, at_once), strict=True):
        model.apply(events)
    assert models[0].total == models[1].total == 6
    assert all(node.counts["d"] == len(node.members) for model in models for node in model.nodes.values())


def test_an_answer_in_a_subflow_is_heard_of_before_the_end(store: SQLiteStore, other: SQLiteStore) -> None:
    asked_once = threading.Event()

    @flow(name="looked-at-asker")
    def asker() -> int:
        answer: Any = ask(int)
        return int(answer)

    @flow(name="looked-at-above")
    def above() -> None:
        asker()

    with engine_over(store) as engine:
        feed = Feed(engine)
        thread = threading.Thread(target=above)
        thread.start()
        note_questions(engine, asked_once)
        opened(asked_once, "the question")
        stored, model = StoredRun(other, 1), GraphModel()
        model.apply(stored.news())
        (asked,) = model.questions.values()
        assert model.subflow_name(asked.flow_run).startswith("looked-at-asker")
        engine.live[asked.flow_run].resume(run_input=7)
        feed.await_flow(StateType.COMPLETED)
        thread.join(5)
    model.apply(stored.news())
    assert model.questions == {}
    assert model.given is not None
    assert model.given[1].answer == "7"


def note_questions(engine: Any, asked: threading.Event) -> None:
    """Set once something is asked in the flow run 1, or below it, and kept."""

    def note(events: Any) -> None:
        if any(isinstance(event, InputAsked) for event in events):
            asked.set()

    engine.subscribe(1, note, subflows=True)


def test_what_is_written_during_a_look_is_in_this_look_or_in_the_next(
    store: SQLiteStore, other: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = store.create_flow_run(FlowCreated(0, 1.0, "u", "flow", "name", "{}"))
    stored = StoredRun(other, number)
    stored.news()
    whole = reader._whole

    def write_first(*arguments: Any) -> Iterator[Any]:
        monkeypatch.setattr(reader, "_whole", whole)
        store.commit(FlowState(number, 2.0, Running(at=2.0)))
        created = TaskCreated(number, 3.0, 1, "load", 1, 0, {})
        states = [TaskState(number, 3.0, 1, state, 1) for state in (Running(at=3.0), Completed(at=3.0))]
        store.commit_all([created, *states])
        yield from whole(*arguments)

    monkeypatch.setattr(reader, "_whole", write_first)
    found = [*stored.news(), *stored.news()]
    assert [type(event) for event in found] == [FlowState, TaskCreated, TaskState, TaskState]
