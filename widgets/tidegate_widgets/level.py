"""The nodes of one flow run in the picture: the run itself, or a subflow that is opened in it as a box."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

from .graph_model import GraphModel
from .layout import layout
from .node import WORST_FIRST, Node
from .palette import node_size
from .protocol import EdgeView, NodeView
from .wording import box_line, counts_view, node_alert, node_line, node_state, state_view

CELLS = 336
"""Cells of a strip at most; beyond that, one cell stands for several task runs."""

TITLE = 26.0
"""The height of a box's title row, in px; below it lie the nodes, with the margin of their layout."""

SMALLEST = (320.0, 62.0)
"""Width and height of a box at least: its title and the button that closes it have room."""

Box = tuple[GraphModel, float, float]
"""An open subflow: what is known of it, and its width and height."""


class Level:
    """Draws the call sites of one model, and remembers where they stand."""

    def __init__(self, model: GraphModel) -> None:
        self.model = model
        self.layout = layout([], [])
        self._boxes: Mapping[int, Box] = {}
        self._sizes: dict[int, tuple[float, float]] | None = None

    def place(self, most: int, boxes: Mapping[int, Box]) -> bool:
        """Lay the first `most` nodes out, those of `boxes` (by site) as boxes of that size; true if anything moved."""
        self._boxes = boxes
        sizes = {node.site: boxes[node.site][1:] if node.site in boxes else _size(node) for node in self.nodes(most)}
        if not self.model.grown and sizes == self._sizes:
            return False
        edges = [pair for pair in self.model.edges if pair[0] in sizes and pair[1] in sizes]
        self.layout = layout([(site, *size) for site, size in sizes.items()], edges, self.layout)
        self._sizes = sizes
        return True

    def nodes(self, most: int) -> list[Node]:
        """The first call sites, in order of appearance."""
        return list(self.model.nodes.values())[:most]

    @property
    def drawn(self) -> list[Node]:
        """Those that were laid out."""
        sizes = self._sizes or {}
        return [node for node in self.nodes(len(sizes)) if node.site in sizes]

    def past(self, models: Mapping[int, GraphModel]) -> Level:
        """The same places, with what these models know of the nodes, by their base."""
        level = copy(self)
        level.model = models[self.model.base]
        level._boxes = {site: (models[box.base], w, h) for site, (box, w, h) in self._boxes.items()}
        return level

    def box_size(self) -> tuple[float, float]:
        """Of the box with these nodes in it."""
        return max(SMALLEST[0], self.layout.width), max(SMALLEST[1], TITLE + self.layout.height)

    def node(self, node: Node, parent: int | None, openable: bool, x: float, y: float) -> NodeView:
        """A node of a level whose corner is at `x` and `y`, in the box `parent`."""
        assert self._sizes is not None
        at, (width, height) = self.layout.positions[node.site], self._sizes[node.site]
        total = len(node.members)
        group = total > 1
        box = self._boxes.get(node.site)
        line = node_line(node, self._waits_for(node) if node.counts["w"] else 0)
        return {
            "id": self.model.base + node.site,
            "kind": "group" if group else "flow" if node.subflow else "task",
            "name": node.task,
            "line": line if box is None else box_line(box[0], line),
            "alert": node_alert(node),
            "state": state_view(node_state(node)),
            "total": total,
            "counts": counts_view(node.counts),
            "strip": _strip(node.letters) if group else "",
            "progress": node.ended / total if group else None,
            "open": box is not None if openable else None,
            "parent": parent,
            "x": x + at[0],
            "y": y + at[1],
            "w": width,
            "h": height,
        }

    def _waits_for(self, node: Node) -> int:
        """Upstream task runs that have not ended."""
        sources = [self.model.nodes[source] for source, target in self.model.edges if target == node.site]
        return sum(len(source.members) - source.ended for source in sources)

    def edges(self, x: float, y: float) -> list[EdgeView]:
        """The edges of a level whose corner is at `x` and `y`."""
        nodes, base, sizes = self.model.nodes, self.model.base, self._sizes or {}
        return [
            {
                "source": base + source,
                "target": base + target,
                "kind": kind,
                "waiting": nodes[target].first_started is None,
                "path": self.layout.path(source, target, x, y),
            }
            for (source, target), kind in self.model.edges.items()
            if source in sizes and target in sizes
        ]


def _size(node: Node) -> tuple[float, float]:
    members = len(node.members)
    if members > 1:
        return node_size("group", min(members, CELLS))
    return node_size("flow" if node.subflow else "task", 0)


def _strip(letters: str) -> str:
    """At most `CELLS` letters; where one stands for several task runs, the worst of them."""
    size = -(-len(letters) // CELLS)
    if size == 1:
        return letters
    # All searches are at the speed of C, and only for letters that are there: mostly two or three.
    present = [letter for letter in WORST_FIRST if letter in letters]
    parts = [letters[at : at + size] for at in range(0, len(letters), size)]
    return "".join([next(filter(part.__contains__, present)) for part in parts])
