"""A subflow opens in the graph as a box with its task runs in it, live and from the record, and closes again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.drawn_page import DrawnPage
from support.flows import flow, opened, task
from tidegate.engine import Engine, using
from tidegate.errors import StoreError
from tidegate.model.events import Event, FlowCreated, TaskCreated
from tidegate.ports import EventStore
from tidegate.recovery import resume
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.boxes import MAX_NODES
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.graph_model import RUN_STEP, GraphModel
from tidegate_widgets.level import Level
from tidegate_widgets.picture import picture
from tidegate_widgets.protocol import NodeView
from tidegate_widgets.run_graph import RunGraph


@task
def fetch(x: object) -> list[object]:
    return [x]  # and no number: of these nobody can tell whence they came


@task
def double(x: list[object]) -> list[object]:
    if x == [3]:
        raise ValueError("bad row 3")
    return 2 * x


@flow
def train_subflow(x: object) -> list[object]:
    found: list[object] = fetch(x)
    return found


@flow
def model_subflow(x: object) -> list[object]:
    first: list[object] = fetch(x)
    train_subflow(first)
    double.map([first, [2], [3]]).wait()
    return first


@flow
def nightly_subflows() -> None:
    first = fetch(1)
    double(model_subflow(first))
    train_subflow(5)
    for each in (6, 7):
        train_subflow(each)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    kept = SQLiteStore(tmp_path / "store.db")
    yield kept
    kept.close()


def within(inner: NodeView, box: NodeView) -> bool:
    """True if a node lies in a box, below its title."""
    across = box["x"] < inner["x"] and inner["x"] + inner["w"] < box["x"] + box["w"]
    return across and box["y"] + 26 < inner["y"] and inner["y"] + inner["h"] < box["y"] + box["h"]


def overlapping(a: NodeView, b: NodeView) -> bool:
    across = a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
    return across and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def sound(page: DrawnPage) -> None:
    """Boxes hold their nodes, and nothing else overlaps; edges join what stands in the same box."""
    nodes = list(page.nodes.values())
    for at, node in enumerate(nodes):
        if node["parent"] is not None:
            assert within(node, page.nodes[node["parent"]]), (node["name"], page.nodes[node["parent"]]["name"])
        for other in nodes[at + 1 :]:
            assert node["parent"] != other["parent"] or not overlapping(node, other), (node["name"], other["name"])
    for edge in page.edges:
        source, target = page.nodes[edge["source"]], page.nodes[edge["target"]]
        assert source["parent"] == target["parent"]
        start = edge["path"].removeprefix("M").replace("C", " ").replace("L", " ").split()[0]
        assert [float(each) for each in start.split(",")] == pytest.approx(
            [source["x"] + source["w"], source["y"] + source["h"] / 2], abs=0.2
        )


def of_record(page: DrawnPage, engine: Engine) -> RunGraph:
    nightly_subflows(return_state=True)
    graph = page.show(RunGraph.of_record(engine, 1))
    page.until(lambda: len(page.nodes) > 0, "the graph")
    return graph


def test_a_subflow_of_the_record_opens_with_its_tasks_in_it_and_closes(page: DrawnPage, store: EventStore) -> None:
    with using(Engine(store)) as engine:
        graph = of_record(page, engine)
        closed = page.seen()
        assert [(name, is_open) for name, _, is_open in closed] == [
            ("fetch", None),
            ("model-subflow", False),
            ("double", None),
            ("train-subflow", False),
            ("train-subflow", None),  # two runs of one call site
        ]
        page.open("model-subflow", "fetch", "train-subflow", "double")
        sound(page)
        assert page.named("model-subflow")["line"].startswith("4 of 5 done · ")
        inner = [node for node in page.nodes.values() if node["parent"] is not None]
        assert [node["kind"] for node in inner] == ["task", "flow", "group"]
        assert len([edge for edge in page.edges if edge["source"] >= RUN_STEP]) == 2
        assert ">model-subflow<" in picture(graph.view)
        assert ">fetch<" in picture(graph.view).partition(">model-subflow<")[2]
        page.close("model-subflow")
        assert page.seen() == closed
        sound(page)


def test_a_subflow_in_a_subflow_opens_and_is_open_again_with_it(page: DrawnPage) -> None:
    with using(Engine(MemoryStore())) as engine:
        of_record(page, engine)
        page.open("model-subflow", "fetch", "train-subflow", "double")
        inner = next(node["id"] for node in page.nodes.values() if node["name"] == "train-subflow" and node["parent"])
        page._say({"kind": "open", "id": "x", "node": inner, "open": True})
        page.until(lambda: page.nodes[inner]["open"] is True, "the inner one opens")
        sound(page)
        assert [node["name"] for node in page.nodes.values() if node["parent"] == inner] == ["fetch"]
        whole = [(node["name"], node["parent"]) for node in page.nodes.values()]
        page.close("model-subflow")
        assert len(page.nodes) == 5
        page.turn("model-subflow", is_open=True)
        page.until(lambda: [(each["name"], each["parent"]) for each in page.nodes.values()] == whole, "both are open")
        sound(page)


def test_only_what_is_open_is_read(page: DrawnPage, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MemoryStore()
    read: list[int] = []
    events = kept.events

    def counted(flow_run: int, after: int = 0) -> list[tuple[int, Event]]:
        read.append(flow_run)
        return events(flow_run, after)

    monkeypatch.setattr(kept, "events", counted)
    with using(Engine(kept)) as engine:
        graph = of_record(page, engine)
        assert read == [1]
        page.open("model-subflow", "fetch", "train-subflow", "double")
        assert read == [1, 2]
        page.turn("model-subflow", is_open=True)  # another page says the same
        page.close("model-subflow")
        assert read == [1, 2]
        assert list(graph.conversation.drawing.boxes.levels) == [0], "what is closed is not kept"


@flow
def failing_subflow() -> None:
    double.map([[3], [1], [3]]).wait()


@flow
def failing_subflows() -> None:
    double.map([[3], [2]]).wait()
    failing_subflow(return_state=True)
    double.map([[3]]).wait()


def test_the_next_that_failed_may_be_in_a_box(page: DrawnPage) -> None:
    with using(Engine(MemoryStore())) as engine:
        failing_subflows(return_state=True)
        page.show(RunGraph.of_record(engine, 1))
        page.until(lambda: len(page.nodes) > 0, "the graph")

        def walk(steps: int) -> list[int]:
            found = [0]
            for _ in range(steps):
                found.append(page.get(failed_after=found[-1])["member"]["number"])
            return found[1:]

        assert walk(4) == [1, 3, 4, 1]
        page.open("failing-subflow", "double")
        assert walk(6) == [1, 3, 4, 2 * RUN_STEP + 1, 2 * RUN_STEP + 3, 1]
        page.close("failing-subflow")
        # Whoever stood in it begins with the first.
        assert page.get(failed_after=2 * RUN_STEP + 1)["member"]["number"] == 1


def test_the_task_runs_in_a_box_tell_their_story(page: DrawnPage) -> None:
    with using(Engine(MemoryStore())) as engine:
        of_record(page, engine)
        page.open("model-subflow", "fetch", "train-subflow", "double")
        node = next(each for each in page.nodes.values() if each["name"] == "double" and each["parent"])
        detail = page.get(node=node["id"])["detail"]
        assert (detail["node"], detail["errors"][0]["error"]) == (node["id"], "ValueError: bad row 3")
        failed = detail["errors"][0]["runs"][0]["number"]
        rows = page.get(members=node["id"], first=0, only="", sort="place")["page"]["rows"]
        assert [row["label"] for row in rows] == ["double[0]", "double[1]", "double[2]"]
        assert rows[2]["number"] == failed
        story = page.get(member=failed)["member"]
        assert (story["number"], story["node"], story["label"]) == (failed, node["id"], "double[2]")
        assert story["error"] == "ValueError: bad row 3"
        one = page.get(member=rows[0]["number"])["member"]
        source = next(each for each in page.nodes.values() if each["name"] == "fetch" and each["parent"])
        assert [(each["node"], each["label"]) for each in one["inputs"]] == [(source["id"], "fetch")]
        lanes = page.get(timeline=True)["timeline"]["lanes"]
        assert [lane["node"] for lane in lanes] == list(page.nodes)


def test_a_box_is_live_while_its_subflow_runs(page: DrawnPage, store: EventStore) -> None:
    begun, go_on, last = threading.Event(), threading.Event(), threading.Event()

    @task
    def wait_inside(x: int) -> list[int]:
        begun.set()
        opened(go_on)
        return [x]

    @task
    def after_it(x: list[int]) -> None:
        opened(last)

    @flow
    def slow_subflow() -> None:
        fetch(1)
        after_it(wait_inside(2))

    @flow
    def live_subflows() -> None:
        slow_subflow()

    with using(Engine(store)) as engine:
        engine.observers.append(page.follow)
        thread = threading.Thread(target=live_subflows)
        thread.start()
        opened(begun)
        page.until(lambda: [each for *_, each in page.seen()] == [False], "the subflow can be opened")
        page.open("slow-subflow", "fetch", "wait_inside")
        page.until(lambda: page.named("wait_inside")["line"] == "running", "the inner task runs")
        assert page.named("slow-subflow")["line"] == "1 of 2 done · running"
        go_on.set()
        page.until(lambda: page.inside("slow-subflow")[2:] == ["after_it"], "a new task appears")
        page.until(lambda: page.named("after_it")["line"] == "running", "which runs")
        sound(page)
        assert len(page.edges) == 1
        last.set()
        thread.join(5)
        page.until(lambda: page.run["state"]["name"] == "Completed", "the end")
        live = page.seen()
        assert page.named("slow-subflow")["line"].startswith("3 of 3 done · ")
        page.show(RunGraph.of_record(engine, 1))
        page.until(lambda: [each for *_, each in page.seen()] == [False], "the record, closed")
        page.open("slow-subflow", "fetch", "wait_inside", "after_it")
        assert [name for name, *_ in page.seen()] == [name for name, *_ in live]
        assert [each["counts"] for each in page.nodes.values()][1:] == [
            {"done": 1, "running": 0, "retrying": 0, "failed": 0, "cancelled": 0, "waiting": 0}
        ] * 3


def test_what_is_told_while_it_is_read_is_neither_lost_nor_counted_twice(
    page: DrawnPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read is held up until all that it should find comes by itself as well."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    kept = MemoryStore()
    events = kept.events

    def held_up(flow_run: int, after: int = 0) -> list[tuple[int, Event]]:
        if flow_run == 2:
            go_on.set()
            opened(ended)
        return events(flow_run, after)

    monkeypatch.setattr(kept, "events", held_up)

    @flow
    def crowded_subflow() -> None:
        begun.set()
        opened(go_on)
        for each in range(20):
            fetch(each)
        ended.set()

    @flow
    def crowded_run() -> None:
        crowded_subflow()

    with using(Engine(kept)) as engine:
        engine.observers.append(page.follow)
        thread = threading.Thread(target=crowded_run)
        thread.start()
        opened(begun)
        page.until(lambda: [each for *_, each in page.seen()] == [False], "the subflow can be opened")
        page.open("crowded-subflow", "fetch")
        thread.join(5)
        page.until(lambda: page.run["state"]["name"] == "Completed", "the end")
        found = page.named("fetch")
        assert (found["total"], found["counts"]["done"]) == (20, 20)


def test_a_box_goes_on_with_a_run_that_is_resumed(page: DrawnPage) -> None:
    good = False

    @task
    def once_bad() -> None:
        if not good:
            raise ValueError("not yet")

    @flow
    def halting_subflow() -> None:
        fetch(1)
        once_bad()
        double(2)

    @flow
    def halting_run() -> None:
        halting_subflow()

    with using(Engine(MemoryStore())) as engine:
        graphs: list[RunGraph] = []
        follow = engine.observers.append
        follow(lambda run: graphs[0].again(run) if graphs else graphs.append(page.show(RunGraph.follow(run))))
        assert halting_run(return_state=True).is_failed()
        page.until(lambda: bool(page.run) and page.run["state"]["name"] == "Failed", "it fails")
        page.open("halting-subflow", "fetch", "once_bad")
        good = True
        resume(1, halting_run)
        page.until(lambda: page.run["state"]["name"] == "Completed", "it is resumed")
        page.until(lambda: page.inside("halting-subflow") == ["fetch", "once_bad", "double"], "what came with it")
        assert page.named("halting-subflow")["state"]["name"] == "Completed"


def test_a_record_that_cannot_be_read_is_said_to(page: DrawnPage, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MemoryStore()
    with using(Engine(kept)) as engine:
        graph = of_record(page, engine)
        told: list[str] = []

        def broken(flow_run: int, after: int = 0) -> Any:
            raise StoreError("The store cannot be read.")

        monkeypatch.setattr(kept, "events", broken)
        monkeypatch.setattr(graph.conversation.subflows, "_tell", told.append)
        page.open("model-subflow")
        assert told == ["The store cannot be read."]


# The budget ---------------------------------------------------------------------------------------------------------


def run_of(sites: int, subflows: int) -> Drawing:
    """A run of so many call sites; the first ones are subflows, flow runs 2, 3 ..."""
    model = GraphModel()
    model.apply([FlowCreated(1, 0.0, "u", "root", "r", "{}")])
    for at in range(1, sites + 1):
        model.apply([TaskCreated(1, 0.0, at, f"t{at}", at, 0, {}, subflow=at <= subflows)])
    for at in range(1, subflows + 1):
        model.apply([FlowCreated(1 + at, 0.0, f"u{at}", f"t{at}", "r", "{}", (1, at))])
    return Drawing(model, live=True)


def load(drawing: Drawing, node: int, sites: int) -> None:
    """Open a box of so many call sites."""
    run = node + 1
    inner = GraphModel(run * RUN_STEP)
    inner.apply([FlowCreated(run, 0.0, "u", "t", "r", "{}", (1, node))])
    inner.apply([TaskCreated(run, 0.0, at, f"s{at}", at, 0, {}) for at in range(1, sites + 1)])
    drawing.boxes.levels[run * RUN_STEP] = Level(inner)
    drawing.boxes.open(node)


def open_nodes(drawing: Drawing) -> list[int]:
    view = drawing.view(0.0)
    assert len(view["nodes"]) <= MAX_NODES
    return [node["id"] for node in view["nodes"] if node["open"]]


def test_boxes_that_there_is_no_room_for_are_closed_the_oldest_first() -> None:
    drawing = run_of(10, 3)
    load(drawing, 1, 150)
    load(drawing, 2, 150)
    assert open_nodes(drawing) == [1, 2]
    load(drawing, 3, 150)
    assert open_nodes(drawing) == [2, 3]
    drawing.boxes.close(2)
    assert open_nodes(drawing) == [3], "what was closed for room stays closed"


def test_a_box_that_grows_closes_the_others_while_it_does() -> None:
    drawing = run_of(10, 2)
    load(drawing, 1, 150)
    load(drawing, 2, 150)
    model = drawing.boxes.levels[3 * RUN_STEP].model
    model.apply([TaskCreated(3, 0.0, at, f"s{at}", at, 0, {}) for at in range(151, 301)])
    delta = drawing.delta(0.0)
    assert [node["id"] for node in delta["nodes"] if node["open"]] == [2]
    assert len(delta["nodes"]) == 310


def test_the_last_box_shows_as_many_nodes_as_there_is_room_for() -> None:
    drawing = run_of(100, 2)
    load(drawing, 1, 1000)
    view = drawing.view(0.0)
    assert len([node for node in view["nodes"] if node["parent"] == 1]) == MAX_NODES - 100
    full = run_of(MAX_NODES, 1)
    assert full.view(0.0)["nodes"][0]["open"] is None, "there is no room for any box"


def test_a_subflow_that_begins_after_its_node_was_drawn_can_be_opened() -> None:
    drawing = run_of(3, 1)
    drawing.model.apply([TaskCreated(1, 0.0, 4, "late", 4, 0, {}, subflow=True)])
    assert drawing.view(0.0)["nodes"][3]["open"] is None
    drawing.model.apply([FlowCreated(9, 0.0, "u9", "late", "r", "{}", (1, 4))])
    assert [(node["name"], node["open"]) for node in drawing.delta(0.0)["nodes"]] == [("late", False)]
