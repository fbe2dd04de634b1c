"""Where the nodes of the run graph stand: a layered layout, left to right, in pure Python.

The steps are those of Sugiyama: ranks by longest path, stand-ins ("dummies") where an edge passes a column,
an order within each column by barycentre sweeps, then heights by isotonic regression.  Edges that pass the
same columns from one source, or to one target, share their dummies and so run as one trunk.

All lengths are px at zoom 1; x grows to the right and y down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .columns import COLUMN_GAPS, MARGIN, NODE_GAP, TRUNK, Columns, Stop

_GRID_ROWS = 4
_GRID_STEP = 60.0


@dataclass(frozen=True, slots=True)
class Layout:
    """A finished layout."""

    positions: Mapping[int, tuple[float, float]]
    """The top left corner of each node."""
    width: float
    height: float
    stops: Mapping[tuple[int, int], tuple[Stop, ...]]
    """The way of each edge, by (source, target)."""
    gaps: tuple[float, ...]
    """Between the columns."""
    middles: Mapping[int, float]
    """The height at which the middle of each node lies."""

    def path(self, source: int, target: int, x: float = 0.0, y: float = 0.0) -> str:
        """The edge as an SVG path of ``M``, ``L`` and ``C``, from the source's right to the target's left; `x` and `y`
        are where the corner of the layout is."""
        first, *rest = (Stop(each.left + x, each.right + x, each.y + y) for each in self.stops[source, target])
        parts = [f"M{_number(first.left)},{_number(first.y)}"]
        at = first
        for stop in (first, *rest):
            if stop is not at:
                bend = max(20.0, abs(stop.left - at.right) / 2)
                level, end = _number(at.y), f"{_number(stop.left)},{_number(stop.y)}"
                parts.append(f"C{_number(at.right + bend)},{level} {_number(stop.left - bend)},{_number(stop.y)} {end}")
                at = stop
            if stop.right > stop.left:
                parts.append(f"L{_number(stop.right)},{_number(stop.y)}")
        return "".join(parts)


def layout(
    nodes: Sequence[tuple[int, float, float]],
    edges: Iterable[tuple[int, int]],
    previous: Layout | None = None,
) -> Layout:
    """Place `nodes`, (id, width, height) in order of appearance, along `edges`, (source, target).

    `previous` is the last layout of the same growing graph: what stood above stays above,
    unless far fewer edges cross otherwise.  Edges that close a cycle do not count for the placing and are
    drawn as plain curves.  Raises `KeyError` for an edge whose end is not among the nodes.
    """
    index = {node: i for i, (node, _, _) in enumerate(nodes)}
    pairs = list(dict.fromkeys((index[source], index[target]) for source, target in edges))
    order, links = _acyclic(len(nodes), pairs)
    linked = {end for link in links for end in link}
    graph = Columns([i for i in order if i in linked], links, [h for _, _, h in nodes])
    middles = {} if previous is None else previous.middles
    before = {index[node]: y for node, y in middles.items() if node in index}
    graph.sort(before)
    graph.settle(before)

    gaps = graph.gaps(() if previous is None else previous.gaps)
    corners, stops = graph.corners([w for _, w, _ in nodes], gaps)
    # Where an edge goes around below the nodes, its lanes are the lowest: loose nodes and the extent heed them too.
    lanes = [round(stop.y + TRUNK / 2, 1) for way in stops.values() for stop in way]
    below = max([*lanes, *(y + nodes[i][2] for i, (_, y) in corners.items())], default=MARGIN - NODE_GAP)
    corners |= _grid(((i, w, h) for i, (_, w, h) in enumerate(nodes) if i not in linked), below + NODE_GAP)
    for pair in pairs:
        if pair not in stops:
            stops[pair] = _direct(pair, corners, nodes)
    return Layout(
        positions={node: corners[i] for i, (node, _, _) in enumerate(nodes)},
        width=max((x + nodes[i][1] for i, (x, _) in corners.items()), default=0.0) + MARGIN,
        height=max([*lanes, *(y + nodes[i][2] for i, (_, y) in corners.items())], default=0.0) + MARGIN,
        stops={(nodes[a][0], nodes[b][0]): way for (a, b), way in stops.items()},
        gaps=gaps,
        middles={node: corners[i][1] + height / 2 for i, (node, _, height) in enumerate(nodes)},
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _acyclic(n: int, pairs: Iterable[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """A topological order, and the pairs without those that close a cycle: a walk, depth first."""
    down: list[list[int]] = [[] for _ in range(n)]
    for a, b in pairs:
        if a != b:
            down[a].append(b)
    state = bytearray(n)  # 0 unseen, 1 on the current way, 2 left behind
    links: list[tuple[int, int]] = []
    left: list[int] = []
    for root in range(n):
        if state[root]:
            continue
        state[root] = 1
        way = [(root, iter(down[root]))]
        while way:
            u, children = way[-1]
            for v in children:
                if state[v] != 1:
                    links.append((u, v))
                if not state[v]:
                    state[v] = 1
                    way.append((v, iter(down[v])))
                    break
            else:
                state[u] = 2
                left.append(u)
                way.pop()
    left.reverse()
    return left, links


def _grid(nodes: Iterable[tuple[int, float, float]], top: float) -> dict[int, tuple[float, float]]:
    """Nodes without edges: columns in order of appearance, about as many columns as rows.

    The columns' height doubles when the grid has become too wide, so that a new node seldom moves others.
    """
    waiting = list(nodes)
    area = sum((h + NODE_GAP) / _GRID_STEP for _, _, h in waiting)
    rows = _GRID_ROWS
    while area > 1.25 * rows * rows:
        rows *= 2
    bottom = top + rows * _GRID_STEP
    corners: dict[int, tuple[float, float]] = {}
    x, y, widest = MARGIN, top, 0.0
    for node, width, height in waiting:
        if y > top and y + height > bottom:
            x, y, widest = x + widest + COLUMN_GAPS[0][1] / 2, top, 0.0
        corners[node] = (x, y)
        y += height + NODE_GAP
        widest = max(widest, width)
    return corners


def _direct(
    pair: tuple[int, int],
    corners: Mapping[int, tuple[float, float]],
    nodes: Sequence[tuple[int, float, float]],
) -> tuple[Stop, ...]:
    (ax, ay), (bx, by) = corners[pair[0]], corners[pair[1]]
    (_, width, height), below = nodes[pair[0]], nodes[pair[1]][2]
    start, end = ax + width, bx
    return Stop(start, start, ay + height / 2), Stop(end, end, by + below / 2)
