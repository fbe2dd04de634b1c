"""The timeline: bars where there are few task runs, one bounded lane where there are ten thousand."""

from __future__ import annotations

import json

import pytest

from kernel_ext.shapes import misfits
from tidegate.model.events import Event, FlowCreated, FlowState, TaskCreated, TaskState
from tidegate.model.states import Cached, Completed, Failed, Running, State
from tidegate_widgets import protocol
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.timeline import FEW, SLICES, timeline


def model_of(*events: Event) -> GraphModel:
    model = GraphModel()
    model.apply([FlowCreated(1, 90.0, "u", "work", "name", "{}"), FlowState(1, 99.0, Running(at=99.0)), *events])
    return model


def made(number: int, site: int, at: float = 100.0) -> TaskCreated:
    return TaskCreated(1, at, number, f"task_{site}", site, number - 1, {})


def entered(number: int, state: State, attempt: int = 1) -> TaskState:
    return TaskState(1, state.timestamp, number, state, attempt)


def told(model: GraphModel, now: float) -> protocol.Timeline:
    found = timeline(model, [(model, node) for node in model.nodes.values()], now)
    assert misfits(found, protocol.Timeline) == []
    return found


def test_few_task_runs_have_a_bar_each_from_their_last_begin() -> None:
    model = model_of(
        made(1, 1), made(2, 2), made(3, 2), made(4, 3),
        entered(1, Running(at=101.0)), entered(1, Failed(ValueError(), at=102.0)),
        entered(1, Running(at=103.0), 2), entered(1, Completed(at=105.0), 2),
        entered(2, Running(at=106.0)),
        entered(4, Cached(1, at=107.0), 0),
    )  # fmt: skip
    found = told(model, 110.0)
    assert found["seconds"] == 10.0
    assert [lane["node"] for lane in found["lanes"]] == [1, 2, 3]
    bars = [[(bar["letter"], bar["start"], bar["end"]) for bar in lane["bars"]] for lane in found["lanes"]]
    assert bars == [[("d", 3.0, 5.0)], [("r", 6.0, 10.0)], [("d", 7.0, 7.0)]]


def test_the_likely_end_of_a_map_at_work_lies_beyond_now() -> None:
    events: list[Event] = []
    for number in range(1, 41):
        events += [made(number, 1), entered(number, Running(at=100.0))]
        events += [entered(number, Completed(at=105.0))] if number <= 20 else []
    model = model_of(*events)
    left = Drawing(model, live=True).left(110.0)
    assert left == 10.0  # twenty took ten seconds, and twenty are left
    found = timeline(model, [(model, node) for node in model.nodes.values()], 110.0, left)
    assert (found["seconds"], found["likely"]) == (10.0, 20.0)
    assert told(model, 110.0)["likely"] is None
    model.apply([FlowState(1, 111.0, Failed(ValueError(), at=111.0))])
    assert Drawing(model, live=True).left(112.0) is None


def test_a_lane_of_ten_thousand_is_no_larger_than_one_of_thirty() -> None:
    sizes = []
    for members in (30, 10_000):
        events: list[Event] = []
        for number in range(1, members + 1):
            begun = 100.0 + 50.0 * (number - 1) / members
            end = Failed(ValueError(), at=begun + 25) if number % 100 == 7 else Completed(at=begun + 25)
            events += [made(number, 1), entered(number, Running(at=begun)), entered(number, end)]
        lane = told(model_of(*events, FlowState(1, 200.0, Completed(at=200.0))), 900.0)["lanes"][0]
        assert len(lane["heights"]) == SLICES
        assert lane["bars"] == []
        assert 0 < len(lane["failed"]) <= FEW
        # It rises while runs begin, and falls while they end.
        assert max(lane["heights"]) == pytest.approx(members / 2, rel=0.15)
        assert lane["heights"][-1] == 0
        sizes.append(len(json.dumps(lane)))
    assert sizes[1] < 3 * sizes[0]


def test_it_ends_with_the_run_and_an_empty_one_has_no_lanes() -> None:
    model = model_of(made(1, 1), entered(1, Running(at=101.0)), entered(1, Completed(at=102.0)))
    model.apply([FlowState(1, 104.0, Completed(at=104.0))])
    assert told(model, 900.0)["seconds"] == 4.0
    assert told(model_of(), 900.0)["lanes"] == []
