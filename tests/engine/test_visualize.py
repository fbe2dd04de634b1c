"""The graph of a flow without a run: the same as that of a run, nothing done, and clear words where it cannot be."""

from __future__ import annotations

import asyncio
import builtins
import sys
from typing import Any, cast

import pytest

from support.flows import edges as edges_of
from support.flows import flow, in_time, task
from tidegate import (
    FlowGraph,
    MappingLengthMismatch,
    OutsideFlow,
    ParameterBindError,
    ParameterTypeError,
    UsageError,
    VisualizationError,
    allow_failure,
    as_completed,
    ask,
    create_markdown_artifact,
    get_run_logger,
    pause_flow_run,
    runtime,
    unmapped,
    wait,
)
from tidegate.engine import Engine


@task
def load(*args: Any) -> Any:
    raise AssertionError("a task ran")


@task
def clean(*args: Any) -> Any:
    raise AssertionError("a task ran")


@task
async def report(*args: Any) -> Any:
    raise AssertionError("a task ran")


@task(viz_return_value=[1, 2, 3])
def names() -> Any:
    raise AssertionError("a task ran")


@flow(name="child drawn")
def child(*args: Any) -> Any:
    raise AssertionError("a subflow ran")


def nodes(graph: FlowGraph) -> list[tuple[str, str, int | None]]:
    return [(node.name, node.kind, node.count) for node in graph.nodes]


def edges(graph: FlowGraph) -> set[tuple[str, str, str]]:
    return {(graph.nodes[e.source].name, graph.nodes[e.target].name, e.kind) for e in graph.edges}


def test_it_finds_nodes_and_edges_and_runs_nothing(engine: Engine) -> None:
    seen: list[Any] = []

    @flow(name="nightly")
    def nightly(day: int, size: str = "small") -> Any:
        seen.append((day, size, runtime.flow_run.id))
        rows = load(day)
        parts = clean.map(names(), unmapped(rows))
        below = child({"rows": [rows]})
        return report(parts, wait_for=[below])

    graph = nightly.visualize("7")
    assert seen == [(7, "small", None)]
    assert graph.flow == "nightly"
    assert nodes(graph) == [
        ("load", "task", 1),
        ("names", "task", 1),
        ("clean", "task", 3),
        ("child drawn", "flow", 1),
        ("report", "task", 1),
    ]
    assert edges(graph) == {
        ("load", "clean", "value"),
        ("names", "clean", "map"),
        ("load", "child drawn", "value"),
        ("clean", "report", "future"),
        ("child drawn", "report", "wait_for"),
    }
    assert engine.store.flow_runs() == []
    assert engine.live == {}


def test_it_is_the_graph_of_the_run(engine: Engine) -> None:
    """The same body, drawn and then run: the same calls and the same edges."""

    @task(viz_return_value=[0, 1])
    def items() -> list[int]:
        return [0, 1]

    @task
    def step(*args: Any) -> Any:
        return {"made": [len(args)]}

    @flow
    def work() -> None:
        first = step()
        chain = first
        for _ in range(3):
            chain = step(chain, first)
        mapped = step.map(items(), unmapped(other := step.submit(first)))
        step(mapped, [other, {"deep": (chain,)}])
        step(first["made"], wait_for=[mapped[0]])
        late = step.submit(allow_failure(other), chain)
        for future in as_completed([late, other]):
            step(future.result())
        wait([late])

    graph = work.visualize()
    work()
    rows = engine.store.task_runs(1)
    sites = list(dict.fromkeys(row.site for row in rows))
    counts = [sum(row.site == site for row in rows) for site in sites]
    assert [node.count for node in graph.nodes] == counts
    place = {row.number: sites.index(row.site) for row in rows}
    ran = {(place[up], place[down]) for up, down in edges_of(engine.store) if place[up] != place[down]}
    assert {(edge.source, edge.target) for edge in graph.edges} == ran


def test_a_map_over_a_result_has_any_number(engine: Engine) -> None:
    @flow
    def work() -> None:
        direct = load()
        clean.map(load.submit(), wait_for=[direct])
        clean.map(direct)
        clean.map([1, 2], direct)
        clean.map(allow_failure(direct["rows"])).result()

    graph = work.visualize()
    assert [node.count for node in graph.nodes] == [1, 1, None, None, 2, None]
    ends = {(edge.source, edge.target) for edge in graph.edges}
    assert ends == {(0, 2), (1, 2), (0, 3), (0, 4), (0, 5)}


def test_what_a_call_gives_is_of_the_kind_that_a_run_gives(engine: Engine) -> None:
    @flow
    def work() -> None:
        assert load(return_state=True).is_completed()
        assert load.submit(return_state=True).name == "Completed"
        future = load.submit()
        assert (future.done(), future.name, future.state.is_completed()) == (True, "load-2", True)
        assert [state.name for state in clean.map([1, 2], return_state=True)] == ["Completed"] * 2
        assert clean.map([1, 2]).failed == []
        assert f"{load()}" == "<the result of 'load'>"
        assert load() is not None
        assert len({load(), load()}) == 2
        report()  # sync code: a value, and nothing that waits to be awaited

    assert len(work.visualize().nodes) == 9


@pytest.mark.parametrize("notebook", [False, True], ids=["no loop", "a loop runs"])
def test_async_flows(engine: Engine, notebook: bool) -> None:
    @flow
    async def work() -> Any:
        first = await report(1)
        await asyncio.sleep(0)
        both = await asyncio.gather(report(first), report(first))
        mapped = report.map([1, 2])
        async for future in as_completed(mapped):
            load(await future.result())
        assert await pause_flow_run() is None
        return await report(both, await mapped.result(), await ask(int))

    async def cell() -> FlowGraph:
        return work.visualize()  # type: ignore[no-any-return]

    graph = in_time(lambda: asyncio.run(cell()) if notebook else work.visualize())
    assert [node.count for node in graph.nodes] == [1, 2, 2, 2, 1]
    assert {(edge.source, edge.target) for edge in graph.edges} == {(0, 1), (2, 3), (1, 4), (2, 4)}


BREAKING: dict[str, Any] = {
    "iterates over": lambda x: [*x],
    "asks for the length of": len,
    "decides by": lambda x: 1 if x else 2,
    "compares": lambda x: x == 3,
    "looks into": lambda x: 3 in x,
    "calls": lambda x: x.upper(),
    "indexes by": lambda x: [1, 2][x],
    "converts": int,
    "calculates with": lambda x: 1 + x,
    "changes": lambda x: x.__setitem__(1, 2),
    "enters": lambda x: x.__enter__(),
}


@pytest.mark.parametrize("deed", BREAKING)
def test_what_needs_the_value_is_named_with_what_to_do(engine: Engine, deed: str) -> None:
    @flow
    def work() -> Any:
        return BREAKING[deed](load())

    with pytest.raises(VisualizationError, match=rf"the flow {deed} .*the result of 'load'") as caught:
        work.visualize()
    assert "@task(viz_return_value=...) on 'load'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, TypeError)


def test_each_kind_of_placeholder_has_its_own_advice(engine: Engine) -> None:
    def words(body: Any) -> str:
        with pytest.raises(VisualizationError) as caught:
            flow(body, name="advice").visualize()
        return str(caught.value)

    assert "A subflow is one node" in words(lambda: [*child()])
    assert "[0] of the result of 'load'" in words(lambda: [*load()[0]])
    assert "`rows` of the result of 'load'" in words(lambda: [*load().rows])
    assert "the answer to a question" in words(lambda: cast(Any, ask(int)) + 1)


def test_a_stand_in_value_lets_the_body_go_on(engine: Engine) -> None:
    @flow
    def work() -> None:
        for name in names():
            load(name)
        if names.with_options(viz_return_value={"ok": True})()["ok"]:
            clean()

    assert nodes(work.visualize()) == [
        ("names", "task", 1),
        ("load", "task", 3),
        ("names", "task", 1),
        ("clean", "task", 1),
    ]


def test_what_asks_for_the_run_does_no_harm(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def work() -> None:
        get_run_logger().warning("nobody is to hear this")
        create_markdown_artifact("# nothing")
        pause_flow_run()
        load()

    assert len(work.visualize().nodes) == 1
    assert caplog.records == []


def test_it_says_what_a_run_would_say(engine: Engine) -> None:
    @task
    def pair(a: int, b: int) -> None: ...

    @flow
    def work(day: int) -> None:
        pair.map([1, 2], [1])

    with pytest.raises(ParameterBindError):
        work.visualize()
    with pytest.raises(ParameterTypeError):
        work.visualize("x")
    with pytest.raises(MappingLengthMismatch):
        work.visualize(1)

    @flow
    def broken() -> None:
        raise KeyError("of the body")

    with pytest.raises(KeyError, match="of the body"):
        broken.visualize()
    with pytest.raises(OutsideFlow):  # and afterwards all is as before
        load.submit()


def test_it_may_be_asked_for_in_a_run(engine: Engine) -> None:
    @task
    def real() -> int:
        return 5

    @flow
    def inner() -> None:
        load(load())

    @flow
    def outer() -> Any:
        graph = inner.visualize()
        return len(graph.nodes), real()

    assert outer() == (1, 5)  # a call of a call, written at one place, is one node
    assert [row.name for row in engine.store.task_runs(1)] == ["real-0"]


def test_it_lists_itself_and_is_drawn_where_the_widgets_are(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    @flow(name="nightly's")
    def nightly() -> None:
        rows = load()
        clean.map(rows)
        child(rows)

    graph = nightly.visualize()
    text = "nightly's: 3 nodes, nothing was run\n  load\n  clean  any number  <- load\n  child drawn  subflow  <- load"
    assert str(graph) == text
    shown = graph._repr_mimebundle_()
    assert shown["text/plain"] == text
    assert "nightly&#x27;s" in shown["text/html"]
    assert shown["text/html"].count("<rect") == 3
    assert "<script" not in shown["text/html"]

    monkeypatch.delitem(sys.modules, "tidegate_widgets.plan_picture")
    before = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("tidegate_widgets"):
            raise ImportError(name)
        return before(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert graph._repr_mimebundle_() == {"text/plain": text}


def test_large_graphs_and_none(engine: Engine) -> None:
    @flow
    def large() -> None:
        last: Any = None
        for at in range(300):
            last = load.with_options(name="x" * 200 + str(at))(last)

    @flow
    def empty() -> None: ...

    from tidegate_widgets.plan_picture import LIMIT

    graph = large.visualize()
    assert len(graph.nodes) == 1  # one task, called at one place
    many = FlowGraph("many", graph.nodes * 500, ())
    assert len(many._repr_mimebundle_()["text/html"].encode()) <= LIMIT
    assert "It calls no task" in empty.visualize()._repr_mimebundle_()["text/html"]
