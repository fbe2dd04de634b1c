"""The layered layout: nothing overlaps, edges run to the right, a growing graph stays in place, and it is quick."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.random_graphs import GROUP, TASK, Edges, Nodes, workflow
from tidegate_widgets.layout import Layout, layout

# The edge 10-60 goes around below all nodes that have edges; those without any once stood in its way.
LANE_AT_THE_BOTTOM: tuple[Nodes, Edges] = (
    [(10 * i, *size) for i, size in enumerate([TASK, TASK, TASK, GROUP, GROUP, GROUP, GROUP, GROUP, TASK])],
    [(20, 30), (10, 20), (30, 60), (10, 60), (20, 70)],
)


@st.composite
def dags(draw: st.DrawFn) -> tuple[Nodes, Edges]:
    sizes = draw(st.lists(st.sampled_from([TASK, TASK, GROUP]), max_size=30))
    nodes = [(10 * i, *size) for i, size in enumerate(sizes)]
    pairs = st.tuples(st.integers(0, max(0, len(nodes) - 1)), st.integers(0, max(0, len(nodes) - 1)))
    drawn = draw(st.lists(pairs, max_size=60)) if nodes else []
    return nodes, [(10 * a, 10 * b) for a, b in drawn if a < b]


def overlaps(nodes: Nodes, result: Layout) -> list[tuple[int, int]]:
    boxes = [(node, *result.positions[node], w, h) for node, w, h in nodes]
    return [
        (a, b)
        for i, (a, ax, ay, aw, ah) in enumerate(boxes)
        for b, bx, by, bw, bh in boxes[i + 1 :]
        if ax < bx + bw and bx < ax + aw and ay < by + bh and by < ay + ah
    ]


@given(dags())
@settings(max_examples=150, deadline=None)
def test_no_nodes_overlap_and_edges_run_from_left_to_right(graph: tuple[Nodes, Edges]) -> None:
    nodes, edges = graph
    result = layout(nodes, edges)
    widths = {node: w for node, w, _ in nodes}
    assert set(result.positions) == set(widths)
    assert overlaps(nodes, result) == []
    for source, target in edges:
        assert result.positions[source][0] + widths[source] < result.positions[target][0]


@given(dags())
@example(LANE_AT_THE_BOTTOM)
@settings(max_examples=100, deadline=None)
def test_edges_end_at_their_nodes_and_pass_beside_all_others(graph: tuple[Nodes, Edges]) -> None:
    nodes, edges = graph
    result = layout(nodes, edges)
    size = {node: (w, h) for node, w, h in nodes}
    for source, target in edges:
        stops = result.stops[source, target]
        (ax, ay), (bx, by) = result.positions[source], result.positions[target]
        assert stops[0].left == ax + size[source][0]
        assert stops[0].y == pytest.approx(ay + size[source][1] / 2, abs=0.1)
        assert stops[-1].right == bx
        assert abs(stops[-1].y - (by + size[target][1] / 2)) <= 1.1
        for stop in stops:
            for node in size.keys() - {source, target}:
                (x, y), (w, h) = result.positions[node], size[node]
                inside = x < stop.right and stop.left < x + w and y < stop.y < y + h
                assert not inside, f"edge {source}-{target} runs through {node}"


@given(dags())
@example(([node for node in LANE_AT_THE_BOTTOM[0] if node[0] in (10, 20, 30, 60, 70)], LANE_AT_THE_BOTTOM[1]))
@settings(max_examples=100, deadline=None)
def test_everything_lies_within_the_extent(graph: tuple[Nodes, Edges]) -> None:
    nodes, edges = graph
    result = layout(nodes, edges)
    for node, w, h in nodes:
        x, y = result.positions[node]
        assert 0 < x < x + w < result.width
        assert 0 < y < y + h < result.height
    for stop in (stop for way in result.stops.values() for stop in way):
        assert 0 < stop.left <= stop.right < result.width
        assert 0 < stop.y < result.height


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60))
@settings(max_examples=150, deadline=None)
def test_cycles_and_self_edges_are_drawn_and_do_no_harm(pairs: Edges) -> None:
    nodes: Nodes = [(i, *TASK) for i in range(10)]
    result = layout(nodes, pairs)
    assert overlaps(nodes, result) == []
    for source, target in pairs:
        assert re.fullmatch(r"M[-\d., CL]+", result.path(source, target))


def test_only_the_edge_that_closes_a_cycle_is_left_out() -> None:
    x = {
        node: at[0]
        for node, at in layout([(i, *TASK) for i in range(4)], [(0, 1), (1, 2), (2, 0), (2, 3)]).positions.items()
    }
    assert x[0] < x[1] < x[2] < x[3]


def test_nothing_gives_an_empty_picture() -> None:
    result = layout([], [])
    assert result.positions == {}
    assert result.width > 0
    assert result.height > 0


def test_a_chain_is_a_straight_line() -> None:
    result = layout([(i, *TASK) for i in range(5)], [(i, i + 1) for i in range(4)])
    assert len({y for _, y in result.positions.values()}) == 1
    assert "C" not in result.path(0, 1)


def test_a_long_edge_goes_around_the_nodes_between() -> None:
    nodes: Nodes = [(i, *TASK) for i in range(4)]
    result = layout(nodes, [(0, 1), (1, 2), (2, 3), (0, 3)])
    middle = [stop for stop in result.stops[0, 3][1:-1] if stop.right > stop.left]
    assert middle
    for stop in middle:
        assert all(not y < stop.y < y + 42 for node, (_, y) in result.positions.items() if node in (1, 2))


def test_a_diamond_has_no_crossing() -> None:
    # In order of appearance the two middle columns would cross.
    nodes: Nodes = [(i, *TASK) for i in range(6)]
    y = {n: at[1] for n, at in layout(nodes, [(0, 1), (0, 2), (1, 4), (2, 3), (3, 5), (4, 5)]).positions.items()}
    assert (y[1] < y[2]) == (y[4] < y[3])


def test_a_column_is_turned_over_to_save_a_crossing() -> None:
    result = layout([(i, *TASK) for i in range(4)], [(0, 2), (0, 3), (1, 2)])
    assert result.positions[3][1] < result.positions[2][1]


def test_nodes_without_edges_stand_in_columns_in_order_of_appearance() -> None:
    nodes: Nodes = [(i, *TASK) for i in range(40)]
    result = layout(nodes, [])
    assert overlaps(nodes, result) == []
    columns = {x for x, _ in result.positions.values()}
    rows = {y for _, y in result.positions.values()}
    assert len(columns) >= 3
    assert len(rows) >= 3
    order = sorted(result.positions, key=result.positions.__getitem__)
    assert order == list(range(40))


def test_nodes_without_edges_stand_below_the_graph() -> None:
    nodes: Nodes = [(i, *TASK) for i in range(4)]
    result = layout(nodes, [(0, 1)])
    assert min(result.positions[i][1] for i in (2, 3)) > max(result.positions[i][1] + 42 for i in (0, 1))


@pytest.mark.parametrize("seed", range(5))
def test_existing_nodes_move_little_when_the_graph_grows(seed: int) -> None:
    nodes, edges = workflow(100, seed)
    small = layout(nodes[:90], [edge for edge in edges if max(edge) < 90])
    grown = layout(nodes, edges, small)
    fresh = layout(nodes, edges)

    def swapped(result: Layout) -> float:
        """The share of pairs in one column that changed places."""
        pairs = [
            (a, b)
            for a, (ax, ay) in small.positions.items()
            for b, (bx, by) in small.positions.items()
            if ax == bx and ay < by and result.positions[a][0] == result.positions[b][0]
        ]
        return sum(result.positions[a][1] > result.positions[b][1] for a, b in pairs) / len(pairs)

    assert swapped(grown) <= 0.1
    assert swapped(grown) <= swapped(fresh)


def test_a_new_leaf_turns_nothing_over() -> None:
    nodes: Nodes = [(i, *TASK) for i in range(7)]
    edges: Edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5)]
    before = layout(nodes[:6], edges)
    after = layout(nodes, [*edges, (3, 6)], before)
    for column in ((1, 2, 3), (4, 5)):
        heights = [after.positions[i][1] for i in column]
        assert sorted(column, key=lambda i: before.positions[i][1]) == sorted(
            column, key=lambda i: after.positions[i][1]
        ), heights


def test_the_same_input_gives_the_same_layout() -> None:
    nodes, edges = workflow(60, 1)
    assert layout(nodes, edges) == layout(nodes, edges)


def test_an_edge_to_an_unknown_node_is_an_error() -> None:
    with pytest.raises(KeyError):
        layout([(1, *TASK)], [(1, 2)])
