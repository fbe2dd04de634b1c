"""The columns of a layered layout: which node stands in which, in what order, and how high.

Edges that pass the same columns from one source, or to one target, share their stand-ins ("dummies") and so run as one
trunk.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

MARGIN = 20.0
"""Free space around the drawing; the sheets behind a group reach into it."""
NODE_GAP = 18.0
"""Between two nodes of a column."""
COLUMN_GAPS = ((8, 52.0), (30, 72.0), (10**9, 96.0))
"""Between two columns, by the number of lines that cross the gap; in steps, so that it seldom changes."""

TRUNK = 6.0
HOLD = 0.35
"""How far a node that stood somewhere is kept there, of the way to where its neighbours would have it.  Without it a
graph of 400 nodes that grew by a tenth moved by 81 px, with it by 66; with more the edges are less level."""
CROWDED = 2
"""So many times the lines of a step widen a gap that is there already."""
_LEVEL = 1.0
_STEP_BUDGET = 3000


@dataclass(frozen=True, slots=True)
class Stop:
    """A level stretch of an edge, from `left` to `right` at the height `y`; curves join the stops."""

    left: float
    right: float
    y: float


class Columns:
    """The graph under work: nodes (first) and dummies (after them) by index, in columns."""

    __slots__ = ("columns", "down", "links", "nodes", "rank", "size", "up", "ways", "y")

    def __init__(self, order: list[int], links: list[tuple[int, int]], heights: list[float]) -> None:
        self.nodes = len(heights)
        self.links = links
        self.size = list(heights)
        self.rank = [0] * self.nodes
        self.up: list[list[int]] = [[] for _ in heights]
        self.down: list[list[int]] = [[] for _ in heights]
        self.ways: dict[tuple[int, int], list[int]] = {}
        self.y: list[float] = []
        self._set_ranks(order)
        self._connect()
        depth = max((self.rank[i] for i in order), default=-1) + 1
        self.columns: list[list[int]] = [[] for _ in range(depth)]
        for i in self._walk(sorted(order)):
            self.columns[self.rank[i]].append(i)

    def _set_ranks(self, order: list[int]) -> None:
        targets: defaultdict[int, list[int]] = defaultdict(list)
        for a, b in self.links:
            targets[a].append(b)
        rank = self.rank
        for a in order:
            for b in targets[a]:
                rank[b] = max(rank[b], rank[a] + 1)

    def _connect(self) -> None:
        """Join neighbours, through dummies where an edge passes columns: the shortest edges first, while the
        budget lasts.  What is left over is drawn as a plain curve behind the nodes."""
        rank = self.rank
        long = [(a, b) for a, b in self.links if rank[b] - rank[a] > 1]
        leaving: defaultdict[int, int] = defaultdict(int)
        arriving: defaultdict[int, int] = defaultdict(int)
        for a, b in long:
            leaving[a] += 1
            arriving[b] += 1
        joined = {(a, b) for a, b in self.links if rank[b] - rank[a] == 1}
        for a, b in joined:
            self.ways[a, b] = []
        chain: dict[tuple[bool, int, int], int] = {}
        steps = 0
        for a, b in sorted(long, key=lambda link: rank[link[1]] - rank[link[0]]):
            steps += rank[b] - rank[a]
            if steps > _STEP_BUDGET:
                break
            by_source = leaving[a] >= arriving[b]
            keys = [(by_source, a if by_source else b, r) for r in range(rank[a] + 1, rank[b])]
            for key in keys:
                if key not in chain:
                    chain[key] = self._add_dummy(key[2])
            way = [chain[key] for key in keys]
            self.ways[a, b] = way
            joined.update(zip([a, *way], [*way, b], strict=True))
        for a, b in sorted(joined):
            self.down[a].append(b)
            self.up[b].append(a)

    def _add_dummy(self, rank: int) -> int:
        self.rank.append(rank)
        self.size.append(TRUNK)
        self.up.append([])
        self.down.append([])
        return len(self.rank) - 1

    def _walk(self, members: list[int]) -> list[int]:
        """All nodes and dummies, depth first from the roots in order of appearance."""
        seen = bytearray(len(self.rank))
        found: list[int] = []
        stack = [i for i in reversed(members) if not self.up[i]]
        while stack:
            u = stack.pop()
            if not seen[u]:
                seen[u] = 1
                found.append(u)
                stack.extend(v for v in reversed(self.down[u]) if not seen[v])
        return found

    def sort(self, before: Mapping[int, float]) -> None:
        """Order each column so that few edges cross, starting from the heights `before`."""
        if before:
            self._take_up(before)
        position = [0] * len(self.rank)
        for column in self.columns:
            for k, u in enumerate(column):
                position[u] = k
        best = [column.copy() for column in self.columns]
        fewest = self._crossings(position)
        # What a reader has learnt is worth some crossings: what stood before gives way only to far fewer.
        share = 0.6 if before else 1.0
        limit = share * fewest
        for sweep in range(8 if len(self.rank) < 500 else 4):
            if not fewest:
                break
            self._sweep(position, downwards=sweep % 2 == 0)
            crossings = self._crossings(position)
            if crossings < limit:
                fewest = limit = crossings
                best = [column.copy() for column in self.columns]
            elif sweep > 2:
                break
        self.columns = best

    def _take_up(self, before: Mapping[int, float]) -> None:
        height = [before.get(i, inf) for i in range(len(self.rank))]
        for column in self.columns:
            for u in column:
                if height[u] == inf:
                    known = [height[v] for v in self.up[u] if height[v] < inf]
                    known = known or [height[v] for v in self.down[u] if height[v] < inf]
                    if known:
                        height[u] = sum(known) / len(known)
            column.sort(key=height.__getitem__)

    def _sweep(self, position: list[int], *, downwards: bool) -> None:
        near = self.up if downwards else self.down
        weight = [0.0] * len(position)
        for column in self.columns if downwards else reversed(self.columns):
            for u in column:
                neighbours = near[u]
                if neighbours:
                    weight[u] = sum([position[v] for v in neighbours]) / len(neighbours)
                else:
                    weight[u] = position[u]
            column.sort(key=weight.__getitem__)
            for k, u in enumerate(column):
                position[u] = k

    def _crossings(self, position: list[int]) -> int:
        total = 0
        for column in self.columns:
            passed: list[int] = []
            for u in column:
                for p in sorted([position[v] for v in self.down[u]]):
                    total += len(passed) - bisect_right(passed, p)
                    insort(passed, p)
        return total

    def settle(self, before: Mapping[int, float]) -> None:
        """Choose the heights: in the order of each column, as near to the neighbours as the gaps allow."""
        self.y = [0.0] * len(self.rank)
        for column in self.columns:
            at = 0.0
            for u in column:
                self.y[u] = before.get(u, at + self.size[u] / 2)
                at += self.size[u] + NODE_GAP
        rounds = 8 if len(self.rank) < 500 else 5
        for turn in range(rounds):
            for column in self.columns if turn % 2 == 0 else reversed(self.columns):
                if turn >= rounds - 2:
                    wanted = [self._middle(self.up[u] + self.down[u], u) for u in column]
                else:
                    near = self.up if turn % 2 == 0 else self.down
                    wanted = [self._middle(near[u], u) for u in column]
                if before:
                    wanted = [y + HOLD * (before.get(u, y) - y) for u, y in zip(column, wanted, strict=True)]
                self._place(column, wanted)

    def _middle(self, neighbours: list[int], u: int) -> float:
        y = self.y
        return sum([y[v] for v in neighbours]) / len(neighbours) if neighbours else y[u]

    def _place(self, column: list[int], wanted: list[float]) -> None:
        """Isotonic regression (pool adjacent violators) of the wanted heights, after taking the gaps away."""
        size = self.size
        offsets: list[float] = []
        means: list[float] = []
        weights: list[float] = []
        counts: list[int] = []
        offset = 0.0
        for k, u in enumerate(column):
            if k:
                offset += (size[column[k - 1]] + size[u]) / 2 + NODE_GAP
            offsets.append(offset)
            mean, weight, count = wanted[k] - offset, (2.0 if u >= self.nodes else 1.0), 1
            while means and means[-1] >= mean:
                other = weights.pop()
                mean = (mean * weight + means.pop() * other) / (weight + other)
                weight += other
                count += counts.pop()
            means.append(mean)
            weights.append(weight)
            counts.append(count)
        k = 0
        for mean, count in zip(means, counts, strict=True):
            for u in column[k : k + count]:
                self.y[u] = mean + offsets[k]
                k += 1

    def gaps(self, before: Sequence[float]) -> tuple[float, ...]:
        """What stays free behind each column.  It was `before`, and becomes no less, and more only for many more lines,
        because all that stands further to the right moves with it."""
        found = []
        for at, column in enumerate(self.columns):
            lines = sum(len(self.down[u]) for u in column)
            known = at < len(before)
            gap = next(gap for most, gap in COLUMN_GAPS if lines <= (CROWDED * most if known else most))
            found.append(max(gap, before[at]) if known else gap)
        return tuple(found)

    def corners(
        self, widths: list[float], gaps: Sequence[float]
    ) -> tuple[dict[int, tuple[float, float]], dict[tuple[int, int], tuple[Stop, ...]]]:
        """The corners of the nodes and the ways of the edges."""
        y, size = self.y, self.size
        top = min((y[u] - size[u] / 2 for column in self.columns for u in column), default=0.0) - MARGIN
        corners: dict[int, tuple[float, float]] = {}
        sides: list[tuple[float, float]] = []
        left = MARGIN
        for column, gap in zip(self.columns, gaps, strict=True):
            width = max(widths[u] for u in column if u < self.nodes)
            sides.append((left, left + width))
            for u in column:
                if u < self.nodes:
                    corners[u] = (left, round(y[u] - size[u] / 2 - top, 1))
            left += width + gap
        ways: dict[tuple[int, int], tuple[Stop, ...]] = {}
        for (a, b), way in self.ways.items():
            first, last = sides[self.rank[a]], sides[self.rank[b]]
            ways[a, b] = _straightened(
                [
                    Stop(first[0] + widths[a], first[1], y[a] - top),
                    *(Stop(*sides[self.rank[d]], y[d] - top) for d in way),
                    Stop(last[0], last[0], y[b] - top),
                ]
            )
        return corners, ways


def _straightened(way: list[Stop]) -> tuple[Stop, ...]:
    joined = [way[0]]
    for stop in way[1:]:
        last = joined[-1]
        if abs(stop.y - last.y) < _LEVEL:
            joined[-1] = Stop(last.left, stop.right, last.y)
        else:
            joined.append(stop)
    return tuple(joined)
