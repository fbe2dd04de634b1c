"""What a page knows of a run graph: it folds what the kernel sends as `store.ts` does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from kernel_ext.shapes import misfits
from tidegate.run.flow_run import FlowRun
from tidegate_widgets import protocol
from tidegate_widgets.run_graph import RunGraph

from .flows import SOON


class DrawnPage:
    """A page that shows one graph."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: dict[int, protocol.NodeView] = {}
        self.edges: list[protocol.EdgeView] = []
        self.run: Any = {}
        self.graph: RunGraph | None = None
        self._answers: dict[str, Any] = {}
        self._keys = count(1)
        self._came = threading.Condition()
        monkeypatch.setattr(RunGraph, "send", self._send)

    def show(self, graph: RunGraph) -> RunGraph:
        """Show that graph from now on."""
        self.graph = graph
        self._say({"kind": "hello", "id": "hello"})
        return graph

    def follow(self, run: FlowRun) -> None:
        """Show the graph of a run that has begun; an observer of an engine."""
        self.show(RunGraph.follow(run))

    def _say(self, message: dict[str, Any]) -> None:
        assert self.graph is not None
        self.graph.conversation.hear(message)

    def _send(self, content: dict[str, Any], buffers: Any = None) -> None:
        with self._came:
            if content["kind"] == "snap":
                assert misfits(content["view"], protocol.View) == []
                self._take(content["view"], whole=True)
            elif content["kind"] == "delta":
                assert misfits(content["delta"], protocol.Delta) == []
                self._take(content["delta"], whole="width" in content["delta"])
            else:
                self._answers[content["id"]] = content
            self._came.notify_all()

    def _take(self, told: Any, *, whole: bool) -> None:
        if whole:
            self.nodes = {}
        self.nodes |= {node["id"]: node for node in told["nodes"]}
        self.edges = told.get("edges", self.edges)
        self.run = told["run"]

    def until(self, seen: Callable[[], bool], what: str) -> None:
        """Wait until that is seen."""
        with self._came:
            assert self._came.wait_for(seen, SOON), f"{what}: {self.seen()}"

    def get(self, **what: Any) -> Any:
        """The answer of the kernel."""
        key = str(next(self._keys))
        self._say({"kind": "get", "id": key, **what})
        with self._came:
            assert self._came.wait_for(lambda: key in self._answers, SOON), f"no answer to {what}"
            return self._answers.pop(key)

    def answered(self, key: str) -> bool:
        """True if the kernel has answered what was asked under that id."""
        with self._came:
            return key in self._answers

    def named(self, name: str) -> protocol.NodeView:
        """The node of that name."""
        return next(node for node in self.nodes.values() if node["name"] == name)

    def turn(self, name: str, *, is_open: bool) -> None:
        """Ask for a subflow to be opened, or closed."""
        self._say({"kind": "open", "id": str(next(self._keys)), "node": self.named(name)["id"], "open": is_open})

    def open(self, name: str, *inside: str) -> None:
        """Open a subflow and wait for the names that are to be in it."""
        self.turn(name, is_open=True)
        self.until(lambda: self.inside(name) == list(inside) and self.named(name)["open"] is True, f"{name} opens")

    def close(self, name: str) -> None:
        """Close a subflow and wait until it is."""
        self.turn(name, is_open=False)
        self.until(lambda: self.named(name)["open"] is False, f"{name} closes")

    def inside(self, name: str) -> list[str]:
        """What stands in the box of that name."""
        box = self.named(name)["id"]
        return [node["name"] for node in self.nodes.values() if node["parent"] == box]

    def seen(self) -> list[tuple[str, str, bool | None]]:
        """Name, line and openness of each node, in order."""
        return [(node["name"], node["line"], node["open"]) for node in self.nodes.values()]
