"""A finished run is looked back at: what the graph was at a moment is the fold of what had happened by then."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from support.drawn_page import DrawnPage
from support.flows import flow, task
from tidegate.engine import Engine, using
from tidegate.model.events import Event, FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import State, StateType
from tidegate.store.memory import MemoryStore
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.graph_model import RUN_STEP, GraphModel
from tidegate_widgets.past import Past
from tidegate_widgets.run_graph import RunGraph

RUNNING, DONE = State(StateType.RUNNING, "Running"), State(StateType.COMPLETED, "Completed")
FAILED = State(StateType.FAILED, "Failed", "bad row 2")
BEGIN = 1_000.0
MANY = 10_000


def told(number: int, *events: Event) -> tuple[MemoryStore, Drawing]:
    """A store in which that has happened, and the picture of how it ended."""
    store = MemoryStore()
    run = store.create_flow_run(FlowCreated(number, BEGIN, f"uuid-{number}", "reports", "amber-otter", "{}"))
    assert run == number
    store.commit_all([FlowState(number, BEGIN, RUNNING), *events])
    model = GraphModel()
    model.apply([event for _, event in store.events(number)])
    drawing = Drawing(model, live=False)
    drawing.view(BEGIN)
    return store, drawing


def history() -> list[Event]:
    """load, 1 to 2 s; then parse of three, 2 to 5 s, of which the last fails; total at 6 s."""
    runs: list[Event] = [TaskCreated(1, BEGIN + 1, 1, "load", 1, 0, {})]
    runs += [TaskState(1, BEGIN + 1, 1, RUNNING, 1), TaskState(1, BEGIN + 2, 1, DONE, 1)]
    runs += [TaskCreated(1, BEGIN + 2, each, "parse", 2, each - 2, {"row": (("map", 1, 1),)}) for each in (2, 3, 4)]
    for each in (2, 3, 4):
        runs.append(TaskState(1, BEGIN + each, each, RUNNING, 1))
        runs.append(TaskState(1, BEGIN + each + 1, each, FAILED if each == 4 else DONE, 1))
    runs.append(TaskCreated(1, BEGIN + 6, 5, "total", 3, 0, {"rows": (("future", 2, 4),)}))
    runs += [TaskState(1, BEGIN + 6, 5, RUNNING, 1), TaskState(1, BEGIN + 7, 5, DONE, 1)]
    return [*runs, FlowState(1, BEGIN + 7, State(StateType.FAILED, "Failed", "1 of 5 failed."))]


def lines(view: Any) -> dict[str, str]:
    return {node["name"]: node["line"] for node in view["nodes"]}


def test_a_moment_has_what_had_happened_by_then_and_nothing_else() -> None:
    store, drawing = told(1, *history())
    past, still = Past(store, 1), drawing.still()
    before = past.view(still, BEGIN + 0.5)
    assert (before["nodes"], before["run"]["state"]["name"], before["run"]["total"]) == ([], "Running", 0)
    middle = past.view(still, BEGIN + 3.5)
    assert lines(middle) == {"load": "1.0s", "parse": "1 of 3 · 1 running"}
    assert middle["nodes"][1]["strip"] == "drw"
    assert [(edge["source"], edge["target"], edge["waiting"]) for edge in middle["edges"]] == [(1, 2, False)]
    run = middle["run"]
    assert (run["state"]["name"], run["elapsed"], run["counts"]["done"], run["can"]) == ("Running", 3.5, 2, [])
    end = past.view(still, BEGIN + 7)
    assert lines(end) == lines(drawing.view(BEGIN + 7))
    assert end["run"]["state"]["name"] == "Failed"
    # And back, to the very same.
    assert past.view(still, BEGIN + 3.5) == middle


def test_what_stands_there_at_the_end_stood_there_all_the_time() -> None:
    store, drawing = told(1, *history())
    end = {node["id"]: (node["x"], node["y"], node["w"], node["h"]) for node in drawing.view(BEGIN + 7)["nodes"]}
    past, still = Past(store, 1), drawing.still()
    for tenth in range(70):
        view = past.view(still, BEGIN + tenth / 10)
        assert (view["width"], view["height"]) == (drawing.view(0)["width"], drawing.view(0)["height"])
        for node in view["nodes"]:
            assert end[node["id"]] == (node["x"], node["y"], node["w"], node["h"])


def test_looking_back_changes_nothing_of_how_it_ended() -> None:
    store, drawing = told(1, *history())
    end = drawing.view(BEGIN + 7)
    Past(store, 1).view(drawing.still(), BEGIN + 3)
    assert drawing.view(BEGIN + 7) == end


@task
def step(number: int) -> int:
    return number + 1


@flow
def stepping_subflow() -> int:
    found: int = step(step(1))
    return found


@flow
def stepping() -> None:
    step(stepping_subflow())


def test_an_open_box_is_looked_back_at_with_what_was_in_it(page: DrawnPage) -> None:
    with using(Engine(MemoryStore())) as engine:
        stepping(return_state=True)
        page.show(RunGraph.of_record(engine, 1))
        page.until(lambda: len(page.nodes) > 0, "the graph")
        page.open("stepping-subflow", "step")
        begun = page.get(past=0.0)
        assert begun["at"] == 0.0
        assert [node["name"] for node in begun["view"]["nodes"]] == ["stepping-subflow"]
        ended = page.get(past=3600.0)["view"]
        assert [(node["name"], node["parent"] is None) for node in ended["nodes"]] == [
            ("stepping-subflow", True),
            ("step", False),
            ("step", True),
        ]
        assert all(node["id"] > RUN_STEP for node in ended["nodes"] if node["parent"] is not None)
        assert {node["state"]["name"] for node in ended["nodes"]} == {"Completed"}


def test_a_run_at_work_is_not_looked_back_at(page: DrawnPage) -> None:
    release = threading.Event()

    @task
    def wait() -> None:
        release.wait(10)

    @flow
    def waiting() -> None:
        wait()

    with using(Engine(MemoryStore())) as engine:
        engine.observers.append(page.follow)
        thread = threading.Thread(target=waiting)
        thread.start()
        page.until(lambda: any(node["line"] == "running" for node in page.nodes.values()), "it runs")
        assert page.graph is not None
        page.graph.conversation.hear({"kind": "get", "id": "early", "past": 0.0})
        page.get(timeline=True)
        assert not page.answered("early")
        release.set()
        thread.join()
        page.until(lambda: page.run["state"]["name"] == "Completed", "its end")
        assert page.get(past=0.0)["view"]["run"]["state"]["name"] == "Running"


def test_a_moment_of_ten_thousand_costs_less_than_a_frame_that_is_noticed() -> None:
    runs: list[Event] = [TaskCreated(1, BEGIN, each, "parse", 1, each - 1, {}) for each in range(1, MANY + 1)]
    for each in range(1, MANY + 1):
        runs.append(TaskState(1, BEGIN + each / 1000, each, RUNNING, 1))
        runs.append(TaskState(1, BEGIN + each / 1000 + 0.02, each, DONE, 1))
    store, drawing = told(1, *runs, FlowState(1, BEGIN + 11, DONE))
    past, still = Past(store, 1), drawing.still()
    past.view(still, BEGIN)
    spent = []
    for at in (9.0, 3.0, 3.1, 8.0, 0.5, 9.9, 9.8):
        before = time.thread_time()
        view = past.view(still, BEGIN + at)
        spent.append(time.thread_time() - before)
        assert view["run"]["counts"]["done"] == pytest.approx(1000 * at, abs=25)
    print([f"{1000 * each:.0f} ms" for each in spent])
    assert sorted(spent)[len(spent) // 2] < 0.06
