"""How good the layout is, in figures: few edges cross, beside those of dagre, and a graph that grows stays in place.

``python -m pytest -s tests/widgets/test_layout_quality.py`` prints the figures.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from itertools import cycle
from math import hypot
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from support.drawn_page import DrawnPage
from support.flows import flow, opened, task
from support.random_graphs import Edges, Nodes, stages, workflow
from tidegate.engine import Engine, using
from tidegate.store.memory import MemoryStore
from tidegate_widgets import level
from tidegate_widgets.layout import Layout, layout

FRONT_END = Path(__file__).parents[2] / "widgets" / "js"
SEEDS = 50

Middles = list[tuple[float, float]]


def why_no_dagre() -> str:
    """Why dagre cannot be asked, in one line; empty if it can."""
    if shutil.which("node") is None:
        return "There is no Node here, so that crossings are not compared with those of dagre."
    if not (FRONT_END / "node_modules" / "@dagrejs" / "dagre").is_dir():
        return "dagre is not installed; `make js` installs what the front end is tested with."
    return ""


def crossings(middles: Middles, edges: Edges) -> int:
    """Pairs of edges that cross, drawn as straight lines from middle to middle."""
    lines = [(middles[a], middles[b]) for a, b in edges]
    return sum(_cross(*one, *other) for at, one in enumerate(lines) for other in lines[at + 1 :])


def _cross(a: Any, b: Any, c: Any, d: Any) -> bool:
    def side(p: Any, q: Any, r: Any) -> float:
        turn: float = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
        return turn

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def middles_of(found: Layout, nodes: Nodes) -> Middles:
    return [(found.positions[node][0] + width / 2, found.middles[node]) for node, width, _ in nodes]


@pytest.mark.skipif(bool(why_no_dagre()), reason=why_no_dagre())
def test_edges_cross_at_most_a_fifth_more_often_than_those_of_dagre() -> None:
    sizes, kinds = cycle((15, 30, 45, 60)), cycle((workflow, stages))
    graphs = [next(kinds)(next(sizes), seed) for seed in range(SEEDS)]
    asked = json.dumps([{"nodes": nodes, "edges": edges} for nodes, edges in graphs])
    command = ["node", "test/dagre.mjs"]
    answer = subprocess.run(
        command, input=asked, capture_output=True, text=True, check=True, cwd=FRONT_END, timeout=120
    )
    pairs = zip(graphs, json.loads(answer.stdout), strict=True)
    theirs = sum(crossings(middles, edges) for (_, edges), middles in pairs)
    ours = sum(crossings(middles_of(layout(nodes, edges), nodes), edges) for nodes, edges in graphs)
    print(f"{SEEDS} graphs: {ours} crossings, dagre {theirs}: {ours / theirs:.2f}x")
    assert theirs > 1000, "graphs without crossings would show nothing"
    assert ours <= 1.2 * theirs


@pytest.mark.parametrize("kind", [workflow, stages])
@pytest.mark.parametrize("count", [40, 100, 200, 400])
def test_what_stands_moves_little_when_a_graph_grows_by_a_tenth(kind: Any, count: int) -> None:
    moves = []
    for seed in range(8):
        nodes, edges = kind(count, seed)
        kept = count * 10 // 11
        before = layout(nodes[:kept], [edge for edge in edges if max(edge) < kept])
        after = layout(nodes, edges, before)
        moves.append(
            mean(hypot(after.positions[i][0] - x, after.positions[i][1] - y) for i, (x, y) in before.positions.items())
        )
    print(f"{kind.__name__}, {count} nodes: {mean(moves):.0f} px on average, {max(moves):.0f} px at most")
    assert mean(moves) <= 80


def test_a_graph_that_grew_node_by_node_is_hardly_worse_than_one_that_is_laid_out_at_once() -> None:
    height = crossed = 0.0
    for seed in range(4):
        nodes, edges = stages(100, seed)
        grown: Layout | None = None
        for count in range(1, len(nodes) + 1):
            grown = layout(nodes[:count], [edge for edge in edges if max(edge) < count], grown)
        assert grown is not None
        fresh = layout(nodes, edges)
        height += grown.height / fresh.height / 4
        crossed += crossings(middles_of(grown, nodes), edges) / crossings(middles_of(fresh, nodes), edges) / 4
    print(f"grown node by node: {height:.2f}x as high, {crossed:.2f}x the crossings")
    assert height <= 1.25
    assert crossed <= 1.5


def test_the_thread_that_runs_the_flow_lays_nothing_out(page: DrawnPage, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    begun, go_on = threading.Event(), threading.Event()

    def noted(nodes: Nodes, *more: Any) -> Layout:
        if nodes:  # the empty graph is shown before the run begins
            threads.add(threading.current_thread())
        return layout(nodes, *more)

    monkeypatch.setattr(level, "layout", noted)

    @task
    def step(x: int) -> int:
        return x

    @flow
    def laid_out_inside() -> None:
        step(1)
        begun.set()
        opened(go_on)

    @flow
    def laid_out_subflow() -> None:
        step(2)
        laid_out_inside()

    def look() -> None:
        opened(begun)
        page.until(lambda: [each for *_, each in page.seen()] == [None, False], "the subflow can be opened")
        page.open("laid-out-inside", "step")
        go_on.set()

    with using(Engine(MemoryStore())) as engine:
        engine.observers.append(page.follow)
        looking = threading.Thread(target=look)
        looking.start()
        laid_out_subflow()
        page.until(lambda: bool(page.run) and page.run["state"]["name"] == "Completed", "the end")
        assert page.graph is not None
        assert len(page.graph.view["nodes"]) == 3
        looking.join(5)
    assert [each.name for each in threads] == ["tidegate-engine"]
