"""The graph of a flow as `Flow.visualize` finds it, without a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .model.events import LinkKind


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One call site: all calls of a task, or of a flow, that are written at one place."""

    name: str
    kind: Literal["task", "flow"]
    count: int | None
    """How often it is called there; null where that depends on a result, as for a map over one."""

    @property
    def times(self) -> str:
        """The count in words; empty for one."""
        if self.count is None:
            return "any number"
        return "" if self.count == 1 else f"\N{MULTIPLICATION SIGN} {self.count:,}"


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """Data, or only the order, goes from one node to another; both are places in `FlowGraph.nodes`."""

    source: int
    target: int
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """What a flow would run, and what needs what.  A notebook draws it; ``print`` lists it."""

    flow: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]

    def sources(self, node: int) -> list[str]:
        """The names of what goes into a node."""
        return [self.nodes[edge.source].name for edge in self.edges if edge.target == node]

    def __str__(self) -> str:
        lines = [f"{self.flow}: {len(self.nodes)} node{'' if len(self.nodes) == 1 else 's'}, nothing was run"]
        for at, node in enumerate(self.nodes):
            what = "subflow" if node.kind == "flow" else ""
            after = ", ".join(self.sources(at))
            parts = (node.name, node.times, what, after and f"<- {after}")
            lines.append("  " + "  ".join(part for part in parts if part))
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        found = {"text/plain": str(self)}
        try:
            from tidegate_widgets.plan_picture import plan_picture  # who draws it is above us, and need not be there
        except ImportError:
            return found
        return {**found, "text/html": plan_picture(self)}
