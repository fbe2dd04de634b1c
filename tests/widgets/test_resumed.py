"""A run that was left, or has ended, goes on in the same picture."""

from __future__ import annotations

import threading
from dataclasses import replace
from weakref import ref

import pytest

from support.flows import flow, opened, task
from support.resumes import resumed
from tidegate import suspend_flow_run
from tidegate.engine import Engine, using
from tidegate.errors import CancelledRun
from tidegate.model.events import FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Paused,
    Running,
    State,
    Suspended,
    Suspending,
)
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.run_graph import RunGraph

CREATED = FlowCreated(1, 0.0, "u", "work", "name", "{}")


def model_of(*states: State, by: str = "you") -> GraphModel:
    model = GraphModel()
    model.apply([CREATED, *(FlowState(1, state.timestamp, state, by) for state in states)])
    return model


@pytest.mark.parametrize(
    ("state", "here", "elsewhere"),
    [
        (Running(at=1.0), ["pause", "cancel"], []),
        (Paused(at=1.0), ["resume", "suspend", "cancel"], []),
        (Suspending(at=1.0), ["cancel"], []),
        (Suspended(at=1.0), ["resume", "cancel"], []),
        (Crashed(at=1.0), ["resume"], []),
        (Cancelled(at=1.0), ["resume"], []),
        (Failed(ValueError(), at=1.0), ["retry"], []),
        (Completed(at=1.0), [], []),
    ],
    ids=lambda each: each.name if isinstance(each, State) else "",
)
def test_the_buttons_are_those_that_do_something(state: State, here: list[str], elsewhere: list[str]) -> None:
    drawing = Drawing(model_of(state), live=True)
    drawing.resumable = drawing.can_call_off = True
    assert drawing.run(2.0)["can"] == here
    record = Drawing(model_of(state), live=False)
    assert record.run(2.0)["can"] == elsewhere


def test_the_time_in_which_nobody_had_the_run_is_none_of_its_own() -> None:
    model = model_of(Running(at=1.0), Suspended(at=3.0))
    head = Drawing(model, live=True).run(1000.0)
    assert (head["elapsed"], head["running"]) == (2.0, False)
    model.apply([FlowState(1, 1000.0, Running("Resuming", at=1000.0))])
    head = Drawing(model, live=True).run(1001.0)
    assert (head["elapsed"], head["running"], head["state"]["name"]) == (3.0, True, "Resuming")


def test_what_was_asked_before_the_end_and_is_shown_after_it_changes_nothing() -> None:
    model = model_of(Running(at=1.0), Completed(at=3.0), Running("Resuming", at=2.0))
    assert Drawing(model, live=True).run(9.0)["state"]["name"] == "Completed"


def test_task_runs_whose_begin_the_record_has_lost_are_left_out() -> None:
    model = model_of(Running(at=1.0))
    model.apply([TaskState(1, 2.0, 7, Running(at=2.0), 1)])
    model.apply([TaskCreated(1, 2.0, 3, "t", 1, 0, {"x": (("future", 99, 99),)})])
    assert Drawing(model, live=True).run(3.0)["counts"]["waiting"] == 1


def test_the_words_of_a_suspension() -> None:
    suspending = Drawing(model_of(Running(at=1.0), Suspending(at=2.0)), live=True).run(3.0)["note"]
    assert suspending.startswith("Suspended by you at ")
    assert suspending.endswith(". Its process lets go of it at its next call of a task.")
    cell = GraphModel()
    cell.apply(
        [replace(CREATED, body="step(1)"), *(FlowState(1, 1.0, state, "you") for state in (Running(), Suspending()))]
    )
    assert Drawing(cell, live=True).run(3.0)["note"].endswith(". The cell is released at its next call of a task.")
    suspended = Drawing(model_of(Running(at=1.0), Suspended(at=2.0)), live=True).run(3.0)["note"]
    assert suspended.endswith(". What completed is kept.")


def test_the_record_of_a_run_that_was_resumed_gives_its_whole_picture() -> None:
    @task
    def step(x: int) -> int:
        return x

    @flow
    def inner() -> int:
        suspend_flow_run()
        return int(step(2))

    @flow
    def work() -> int:
        return int(step(1)) + int(inner())

    with using(Engine(MemoryStore())) as engine:
        assert work(return_state=True).is_suspended()
        assert resumed(1) == 3
        model = GraphModel()
        model.apply([event for _, event in engine.store.events(1)])
    head = Drawing(model, live=False).run(0.0)
    assert (head["state"]["name"], head["counts"]["done"], head["total"]) == ("Completed", 2, 2)


def test_the_picture_of_a_run_that_is_resumed_holds_what_was_done_before() -> None:
    @task
    def step(x: int) -> int:
        return x

    @flow
    def work() -> None:
        step(1)
        suspend_flow_run()
        step(2)

    with using(Engine(MemoryStore())) as engine:
        assert work(return_state=True).is_suspended()
        graphs: list[RunGraph] = []
        engine.observers.append(lambda run: graphs.append(RunGraph.follow(run)))
        ended = threading.Event()
        engine.observers.append(lambda run: setattr(graphs[0], "on_final", lambda view: ended.set()))
        resumed(1)
        opened(ended)
    run = graphs[0].view["run"]
    assert (run["state"]["name"], run["counts"]["done"], run["total"]) == ("Completed", 2, 2)


def test_what_comes_late_of_a_task_run_does_not_end_the_buttons_of_a_run_that_is_resumed() -> None:
    @task
    def step() -> None:
        """Does nothing."""

    runs: list[FlowRun] = []
    graphs: list[RunGraph] = []

    @flow
    def work() -> None:
        step()
        if len(runs) == 1:
            suspend_flow_run()
        graph, end = graphs[0], Completed(at=2.0)
        graph._model.state = Suspended(at=1.0)  # it has not heard yet that the run goes on
        graph._news_of(ref(runs[1]), [TaskState(1, 2.0, 1, end, 1), FlowState(2, 2.0, end)])  # of a subflow
        graph.carry_out("cancel", {})

    def follow(run: FlowRun) -> None:
        runs.append(run)
        if graphs:
            graphs[0].again(run)
        else:
            graphs.append(RunGraph.follow(run))

    with using(Engine(MemoryStore())) as engine:
        engine.observers.append(follow)
        assert work(return_state=True).is_suspended()
        with pytest.raises(CancelledRun):
            resumed(1)
