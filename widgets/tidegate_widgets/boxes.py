"""Which subflows are open as boxes in the graph of a run, and how many nodes of each are drawn.

They are the same for all who look at the run, unlike what is selected and where one looks: the kernel lays out, one
picture travels, with one number a change, and the saved one shows what was seen.  With boxes for each page there would
be a picture for each page ten times a second, all sent to all of them, because a comm is heard by every page of a
notebook.  Two pages that open and close at once do no harm: each says what it wants, not "the other way".
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

from .graph_model import RUN_STEP, GraphModel
from .level import Level
from .node import Node

MAX_NODES = 400
"""Nodes drawn at most, the first ones; the counts of the header go on."""


def base_of(number: int) -> int:
    """The base of the model that a node or a task run belongs to."""
    return number - number % RUN_STEP


class Boxes:
    """The open boxes of one graph, by the nodes that stand for them.

    A box is drawn once its nodes are known: somebody loads what `wanted` names, as levels by the base of their model.
    """

    def __init__(self, root: GraphModel) -> None:
        self.root = root
        self.levels = {0: Level(root)}
        self._open: list[int] = []
        """In the order in which they were touched; a box is touched after what is in it, and so stands behind."""
        self._last: int | None = None

    def open(self, node: int) -> None:
        """A subflow is to be a box with its nodes, as soon as these are known."""
        if self.subflow_of(node) is None:
            return
        self._last = node
        around: int | None = node
        while around is not None:
            if around in self._open:
                self._open.remove(around)
            self._open.append(around)
            around = self._around(around)

    def close(self, node: int) -> None:
        """A subflow is to be one node again; what was open in it is open again with it."""
        if node in self._open:
            self._open.remove(node)

    def still(self) -> Boxes:
        """As they are now, for another thread: what is laid out later does not touch it."""
        boxes = copy(self)
        boxes.levels = {base: copy(level) for base, level in self.levels.items()}
        boxes._open = self._open.copy()
        return boxes

    def past(self, models: Mapping[int, GraphModel]) -> Boxes:
        """The same boxes, with what these models know, by their base."""
        boxes = copy(self)
        boxes.root = models[0]
        # Which flow run is in a box does not change by looking back to before it began.
        boxes.root.newest, boxes.root.subflows = self.root.newest, self.root.subflows
        boxes.levels = {base: level.past(models) for base, level in self.levels.items()}
        return boxes

    def model_of(self, number: int) -> GraphModel:
        """The model of a node or a task run; that of the whole run where the box has been closed."""
        return self.levels.get(base_of(number), self.levels[0]).model

    def failed_after(self, number: int) -> int | None:
        """The first failed task run beyond that number: in its flow run, then in the open ones that began after it.

        After the last comes the first of all; null if none has failed.
        """
        order = sorted(self.levels)
        at = order.index(base_of(number)) if base_of(number) in order else 0
        found = self._model(order[at]).runs.failed_after(number - order[at])
        if found is not None:
            return order[at] + found
        for base in (*order[at + 1 :], *order[: at + 1]):
            first = self._model(base).runs.failed_after(0)
            if first is not None:
                return base + first
        return None

    def _model(self, base: int) -> GraphModel:
        return self.levels[base].model

    def subflow_of(self, node: int) -> int | None:
        """The flow run that a node stands for; null where there is none, or more than one."""
        model = self.model_of(node)
        found = model.nodes.get(node - model.base)
        return None if found is None else self.subflow(model, found)

    def subflow(self, model: GraphModel, node: Node) -> int | None:
        """As `subflow_of`."""
        number = self._number(model)
        if not node.subflow or len(node.members) != 1 or number is None:
            return None
        return self.root.newest.get((number, node.members[0]))

    def wanted(self) -> list[int]:
        """The flow runs whose nodes are to be seen, the outer ones first."""
        runs = {0: 0}
        for node in reversed(self._open):
            run = self.subflow_of(node) if base_of(node) in runs else None
            if run is not None:
                runs[run * RUN_STEP] = run
        return [run for run in runs.values() if run]

    def inner(self, model: GraphModel, node: Node) -> Level | None:
        """The level in a node that is open, where it is known."""
        run = self.subflow(model, node) if model.base + node.site in self._open else None
        return None if run is None else self.levels.get(run * RUN_STEP)

    def notice(self) -> None:
        """Where a subflow has begun, its node can be opened from now on."""
        for parent in self.root.begun:
            model, node = self._standing_for(parent)
            if node is not None:
                model.dirty.add(node.site)
        self.root.begun.clear()

    def choose(self) -> dict[int, int]:
        """How many nodes are drawn, by the base of the level.  A box that there is no room for any more is closed, the
        ones first that nobody touched for longest; the last one that was opened shows those that there is room for."""
        shown = {0: MAX_NODES}
        room = max(0, MAX_NODES - len(self.root.nodes))
        is_last = self._last in self._open
        for number in reversed(self._open.copy()):
            model = self.model_of(number)
            node = model.nodes.get(number - model.base)
            inner = None if node is None else self.inner(model, node)
            if node is None or inner is None or node not in self.levels[model.base].nodes(shown.get(model.base, 0)):
                continue
            size = len(inner.model.nodes)
            if size > room and not (is_last and room):
                self._open.remove(number)
                continue
            shown[inner.model.base] = min(size, room)
            room -= shown[inner.model.base]
            is_last = is_last and number != self._last
        return shown

    def _number(self, model: GraphModel) -> int | None:
        created = self.root.created
        return model.base // RUN_STEP or (None if created is None else created.flow_run)

    def _around(self, number: int) -> int | None:
        """The box that a node stands in; null outside of all."""
        created = self.root.subflows.get(base_of(number) // RUN_STEP)
        if created is None or created.parent is None:
            return None
        model, found = self._standing_for(created.parent)
        return None if found is None else model.base + found.site

    def _standing_for(self, parent: tuple[int, int]) -> tuple[GraphModel, Node | None]:
        """The node of a task run that stands for a subflow, and its model."""
        run, member = parent
        model = self.model_of(0 if run == self._number(self.root) else run * RUN_STEP)
        return model, model.node_of(member) if self._number(model) == run else None
