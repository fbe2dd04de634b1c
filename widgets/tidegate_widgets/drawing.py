"""From the model to what the page draws: places, texts, and only what changed."""

from __future__ import annotations

import json
from collections import Counter

from tidegate.model.events import InputAsked, InputGiven
from tidegate.model.states import StateType

from .form import Form
from .graph_model import WORST_FIRST, GraphModel, Node
from .layout import Layout, layout
from .palette import node_size
from .protocol import VERSION, Delta, EdgeView, NodeView, QuestionView, RunView, Verb, View
from .wording import answered, counts_view, node_alert, node_line, node_state, note, state_view

CELLS = 336
"""Cells of a strip at most; beyond that, one cell stands for several task runs."""

MAX_NODES = 400
"""Nodes drawn at most, the first ones; the counts of the header go on."""

_RANK = {letter: rank for rank, letter in enumerate(WORST_FIRST)}


class Drawing:
    """Draws one model, and remembers what the page has."""

    def __init__(self, model: GraphModel, live: bool) -> None:
        self.model = model
        self.live = live
        self.resumable = False
        """True if somebody here can go on with a run that no process has any more."""
        self.seq = 0
        self._layout: Layout | None = None
        self._sizes: dict[int, tuple[float, float]] = {}
        self._form: tuple[InputAsked, QuestionView] | None = None
        self._answered: tuple[InputGiven, str] | None = None

    def view(self, now: float) -> View:
        """Everything."""
        self._place()
        self.model.dirty.clear()
        self.model.grown = False
        return {
            "v": VERSION,
            "seq": self.seq,
            "run": self.run(now),
            "width": self._extent()[0],
            "height": self._extent()[1],
            "nodes": [self._node(node) for node in self.drawn()],
            "edges": self._edges(),
        }

    def delta(self, now: float) -> Delta:
        """What changed since the last view or delta."""
        model = self.model
        moved = self._place()
        self.seq += 1
        sites = {node.site for node in self.drawn()} if moved else model.dirty
        waiting = {target for source, target in model.edges if source in sites and model.nodes[target].counts["w"]}
        changed = [self._node(node) for node in self.drawn() if node.site in sites or node.site in waiting]
        delta: Delta = {"seq": self.seq, "run": self.run(now), "nodes": changed}
        if moved or any(node["state"]["type"] != "PENDING" for node in changed):
            delta["edges"] = self._edges()
        if moved:
            delta["width"], delta["height"] = self._extent()
        model.dirty.clear()
        model.grown = False
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
            "note": note(model, counts),
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
            return [] if state.is_completed() or not self.resumable else [again]
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

    def drawn(self) -> list[Node]:
        """The nodes that the page has, in order of appearance."""
        return list(self.model.nodes.values())[:MAX_NODES]

    def _place(self) -> bool:
        """Lay the graph out again if it grew or a node changed its size; true if so."""
        sizes = {node.site: _size(node) for node in self.drawn()}
        if self._layout is not None and not self.model.grown and sizes == self._sizes:
            return False
        before = self._layout.positions if self._layout is not None else None
        nodes = [(site, *size) for site, size in sizes.items()]
        edges = [pair for pair in self.model.edges if pair[0] in sizes and pair[1] in sizes]
        self._layout = layout(nodes, edges, before)
        self._sizes = sizes
        return True

    def _extent(self) -> tuple[float, float]:
        assert self._layout is not None
        return self._layout.width, self._layout.height

    def _node(self, node: Node) -> NodeView:
        assert self._layout is not None
        x, y = self._layout.positions[node.site]
        width, height = self._sizes[node.site]
        total = len(node.members)
        group = total > 1
        return {
            "id": node.site,
            "kind": "group" if group else "flow" if node.subflow else "task",
            "name": node.task,
            "line": node_line(node, self._waits_for(node) if node.counts["w"] else 0),
            "alert": node_alert(node),
            "state": state_view(node_state(node)),
            "total": total,
            "counts": counts_view(node.counts),
            "strip": _strip(self.model.letters(node)) if group else "",
            "progress": node.ended / total if group else None,
            "x": x,
            "y": y,
            "w": width,
            "h": height,
        }

    def _waits_for(self, node: Node) -> int:
        """Upstream task runs that have not ended."""
        sources = [self.model.nodes[source] for source, target in self.model.edges if target == node.site]
        return sum(len(source.members) - source.ended for source in sources)

    def _edges(self) -> list[EdgeView]:
        assert self._layout is not None
        nodes = self.model.nodes
        return [
            {
                "source": source,
                "target": target,
                "kind": kind,
                "waiting": nodes[target].first_started is None,
                "path": self._layout.path(source, target),
            }
            for (source, target), kind in self.model.edges.items()
            if source in self._sizes and target in self._sizes
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
    chunks = (letters[at : at + size] for at in range(0, len(letters), size))
    return "".join(min(chunk, key=_RANK.__getitem__) for chunk in chunks)
