"""From the model to what the page draws: places, texts, and only what changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import copy
from typing import NamedTuple

from tidegate.model.events import InputAsked, InputGiven
from tidegate.model.states import StateType

from .boxes import MAX_NODES, Boxes
from .form import Form
from .graph_model import GraphModel
from .level import TITLE, Box, Level
from .node import Node
from .protocol import VERSION, Delta, EdgeView, NodeView, QuestionView, RunView, Verb, View
from .wording import answered, counts_view, note, state_view


class _Drawn(NamedTuple):
    """A node in its place."""

    level: Level
    node: Node
    box: int | None
    """The one that it stands in."""
    inner: Level | None
    """What is drawn in it."""
    x: float
    y: float
    """The corner of its level."""


class Drawing:
    """Draws one model, and remembers what the page has."""

    def __init__(self, model: GraphModel, live: bool) -> None:
        self.model = model
        self.live = live
        self.resumable = False
        """True if somebody here can go on with a run that no process has any more."""
        self.can_call_off = False
        """True if somebody here can cancel a run that is suspended."""
        self.advice = ""
        """How to go on with a run that is at rest and has not completed, where no button here can."""
        self.seq = 0
        self.boxes = Boxes(model)
        self._shown: dict[int, int] = {}
        self._form: tuple[InputAsked, QuestionView] | None = None
        self._answered: tuple[InputGiven, str] | None = None

    def view(self, now: float) -> View:
        """Everything."""
        self._place()
        self._settled()
        return self._view(now)

    def still(self) -> Drawing:
        """The picture as it is placed now, for another thread."""
        drawing = copy(self)
        drawing.boxes = self.boxes.still()
        return drawing

    def past(self, models: Mapping[int, GraphModel], at: float) -> View:
        """The picture as it was at a moment by what these models know, by their base.  What stands there now stands
        where it does, what had not been called yet is missing, and nothing may be asked of the run."""
        drawing = copy(self)
        drawing.model, drawing.boxes = models[0], self.boxes.past(models)
        drawing.live = drawing.resumable = drawing.can_call_off = False
        return drawing._view(at)

    def _view(self, now: float) -> View:
        return {
            "v": VERSION,
            "seq": self.seq,
            "run": self.run(now),
            "width": self._root.layout.width,
            "height": self._root.layout.height,
            "nodes": [self._node(each) for each in self._walk()],
            "edges": self._edges(),
        }

    def delta(self, now: float) -> Delta:
        """What changed since the last view or delta."""
        moved = self._place()
        self.seq += 1
        changed = [self._node(each) for each in self._walk() if moved or self._is_changed(each)]
        delta: Delta = {"seq": self.seq, "run": self.run(now), "nodes": changed}
        if moved or any(node["state"]["type"] != "PENDING" for node in changed):
            delta["edges"] = self._edges()
        if moved:
            delta["width"], delta["height"] = self._root.layout.width, self._root.layout.height
        self._settled()
        return delta

    def run(self, now: float) -> RunView:
        """The header."""
        model = self.model
        counts: Counter[str] = Counter()
        for node in model.nodes.values():
            counts.update(node.counts)
        created = model.created
        over = model.state.is_at_rest()
        started = model.started
        end = model.ended if over and model.ended is not None else now
        run: RunView = {
            "id": created.uuid if created else "",
            "number": created.flow_run if created else 0,
            "flow": created.flow if created else "",
            "name": created.name if created else "",
            "state": state_view(model.state),
            "started": started,
            "elapsed": max(0.0, end - started) if started is not None else 0.0,
            "running": not over and started is not None,
            "left": self.left(now),
            "counts": counts_view(counts),
            "total": model.total,
            "can": self._can(),
            "note": self._note(counts),
            "saved": not model.problem,
            "durability": created.durability if created else "",
        }
        if model.asked is not None:
            run["question"] = self._question(model.asked)
            run["questions"] = len(model.questions)
        if model.given is not None:
            run["answered"] = self._answer(*model.given)
        if model.artifacts.count:
            run["artifacts"] = {"count": model.artifacts.count, "version": model.artifacts.version}
        return run

    def _note(self, counts: Counter[str]) -> str:
        told, state = note(self.model, counts), self.model.state
        rests = state.is_at_rest() and not state.is_completed()
        return "  ·  ".join(filter(None, (told, self.advice))) if rests else told

    # The form and the answer are part of every delta; they are put together once.

    def _question(self, asked: InputAsked) -> QuestionView:
        if self._form is None or self._form[0] is not asked:
            form = Form.of(asked.key, asked.title, json.loads(asked.schema))
            self._form = asked, form.view(asked.flow_run, self.model.subflow_name(asked.flow_run))
        return self._form[1]

    def _answer(self, asked: InputAsked, given: InputGiven) -> str:
        if self._answered is None or self._answered[0] is not given:
            self._answered = given, answered(asked, given, self.model.subflow_name(asked.flow_run))
        return self._answered[1]

    def _can(self) -> list[Verb]:
        state = self.model.state
        if state.is_at_rest():
            again: Verb = "retry" if state.is_failed() else "resume"
            can = [] if state.is_completed() or not self.resumable else [again]
            return [*can, "cancel"] if state.is_suspended() and self.can_call_off else can
        if not self.live:
            return []
        if state.name == "Suspending":
            return ["cancel"]
        if state.type is StateType.PAUSED:
            asks = self.model.created is not None and self.model.created.flow_run in self.model.questions
            return ["suspend", "cancel"] if asks else ["resume", "suspend", "cancel"]
        return ["pause", "cancel"] if state.type is StateType.RUNNING else []

    def left(self, now: float) -> float | None:
        """Seconds left of the groups at work, at the pace they had so far; null before there is a pace, and at rest."""
        if self.model.state.is_at_rest() or self.model.state.type is StateType.PAUSED:
            return None
        longest = None
        for node in self.model.nodes.values():
            total, begun = len(node.members), node.first_started
            if begun is None or node.ended < 10 or node.ended == total or now - begun < 2.0:
                continue
            if node.counts["a"] > node.counts["w"]:
                return None  # what is left waits for its next attempt: the pace so far says nothing about it
            left = (total - node.ended) * (now - begun) / node.ended
            longest = max(longest or 0.0, left)
        return longest

    # Places ---------------------------------------------------------------------------------------------------------

    def drawn(self) -> list[tuple[GraphModel, Node]]:
        """The nodes that the page has, each with its model."""
        return [(each.level.model, each.node) for each in self._walk()]

    @property
    def _root(self) -> Level:
        return self.boxes.levels[0]

    def _place(self) -> bool:
        """Lay out again what grew or changed its size, from the inside out; true if anything moved."""
        self.boxes.notice()
        before, self._shown = self._shown, self.boxes.choose()
        return self._measure(self._root) or self._shown.keys() != before.keys()

    def _measure(self, level: Level) -> bool:
        moved = False
        boxes: dict[int, Box] = {}
        most = self._shown[level.model.base]
        for node in level.nodes(most):
            inner = self._inner(level, node)
            if inner is not None:
                moved = self._measure(inner) or moved
                boxes[node.site] = inner.model, *inner.box_size()
        return level.place(most, boxes) or moved

    def _inner(self, level: Level, node: Node) -> Level | None:
        inner = self.boxes.inner(level.model, node) if node.subflow else None
        return inner if inner is not None and inner.model.base in self._shown else None

    def _walk(self, level: Level | None = None, box: int | None = None, x: float = 0, y: float = 0) -> Iterator[_Drawn]:
        """The drawn nodes; those in a box follow it."""
        level = level or self._root
        for node in level.drawn:
            inner = self._inner(level, node)
            yield _Drawn(level, node, box, inner, x, y)
            if inner is not None:
                left, top = level.layout.positions[node.site]
                yield from self._walk(inner, level.model.base + node.site, x + left, y + top + TITLE)

    def _is_changed(self, drawn: _Drawn) -> bool:
        model, node = drawn.level.model, drawn.node
        if node.site in model.dirty or (drawn.inner is not None and drawn.inner.model.dirty):
            return True
        # What it waits for has changed.
        return node.counts["w"] > 0 and any((site, node.site) in model.edges for site in model.dirty)

    def _settled(self) -> None:
        for level in self.boxes.levels.values():
            level.model.dirty.clear()
            level.model.grown = False

    def _node(self, drawn: _Drawn) -> NodeView:
        level, node = drawn.level, drawn.node
        openable = len(self.model.nodes) < MAX_NODES and self.boxes.subflow(level.model, node) is not None
        return level.node(node, drawn.box, openable, drawn.x, drawn.y)

    def _edges(self) -> list[EdgeView]:
        corners = {id(each.level): each for each in self._walk()}
        return [edge for each in corners.values() for edge in each.level.edges(each.x, each.y)]
