"""What is counted of a node whose task runs go on after they had ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.flows import flow, task
from tidegate import Flow, resume
from tidegate.engine import Engine, using
from tidegate.model.events import FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import Completed, Crashed, Failed, NotReady, Running, State
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.member import Record, told
from tidegate_widgets.wording import detail

CREATED = FlowCreated(1, 0.0, "u", "work", "name", "{}")


def state(number: int, at: float, entered: State, attempt: int) -> TaskState:
    return TaskState(1, at, number, entered, attempt)


def failed_then_mended() -> GraphModel:
    """Two of three fail, one waits for them in vain; then all complete."""
    model = GraphModel()
    model.apply([CREATED, FlowState(1, 0.0, Running(at=0.0))])
    model.apply([TaskCreated(1, 0.0, number, "step", 1, number - 1, {}) for number in (1, 2, 3)])
    model.apply([TaskCreated(1, 0.0, 4, "last", 2, 0, {})])
    for number in (1, 2, 3):
        model.apply([state(number, 1.0, Running(at=1.0), 1)])
    model.apply([state(1, 3.0, Completed(at=3.0), 1), state(2, 4.0, Failed("bad", at=4.0), 1)])
    model.apply([state(3, 5.0, Crashed(message="gone", at=5.0), 1)])
    model.apply([state(4, 5.0, NotReady("step-1 failed", at=5.0), 0)])
    return model


def mend(model: GraphModel) -> None:
    for number in (2, 3, 4):
        model.apply([state(number, 10.0, Running("Retrying", at=10.0), 2)])
        model.apply([state(number, 11.0, Completed(at=11.0), 2)])


def test_what_ended_badly_counts_no_more_once_it_goes_on() -> None:
    model = failed_then_mended()
    node, last = model.nodes[1], model.nodes[2]
    assert (node.ended, node.seconds, len(node.failures), last.not_ready) == (3, 9.0, 2, 1)
    model.apply([state(2, 10.0, Running("Retrying", at=10.0), 2)])
    assert (node.ended, node.seconds, [each.number for each in node.failures]) == (2, 6.0, [3])
    mend(failed := failed_then_mended())
    node, last = failed.nodes[1], failed.nodes[2]
    assert (node.ended, node.seconds, node.failures) == (3, 4.0, [])
    assert (last.ended, last.not_ready) == (1, 0)
    assert Drawing(failed, live=True).view(12.0)["run"]["counts"]["failed"] == 0


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_it_tells_which_task_runs_ran_with_which_code(tmp_path: Path, kind: str) -> None:
    store = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "store.db")
    models = GraphModel(), GraphModel()
    with using(Engine(store)) as engine:
        engine.subscribe(1, models[0].apply)
        with pytest.raises(ValueError, match="1"):
            work_of(fails=True)()
        resume(1, work_of(fails=False), on_change="reuse")
    models[1].apply([event for _, event in store.events(1)])
    store.close()
    for model in models:
        node = model.nodes[1]
        facts = {each["label"]: each["text"] for each in detail(model, node)["facts"]}
        assert facts["Code"] == "version 1: 1 task run, version 2: 2 task runs"
        assert [model.version(number) for number in node.members] == [1, 2, 2]
        told_of = told(model, 2, Record(None, []))
        assert told_of is not None
        assert {"label": "Code", "text": "version 2 of 2"} in told_of["facts"]


def work_of(fails: bool) -> Flow[[], list[int]]:
    """A flow whose second task run fails, or the same with a task that is mended: what it closes over is its code."""

    @task
    def step(x: int) -> int:
        if fails and x == 1:
            raise ValueError(x)
        return x

    @flow
    def work() -> list[int]:
        return [step(x) for x in range(3)]

    made: Flow[[], list[int]] = work
    return made
