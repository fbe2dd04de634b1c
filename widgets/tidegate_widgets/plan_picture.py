"""The picture of a flow that was not run: the boxes and edges of the run graph, without states and counts."""

from typing import Final, cast

from tidegate.flow_graph import FlowGraph, GraphNode

from .layout import Layout, layout
from .palette import node_size
from .picture_svg import BOXES, FULL, NO_LINES, graph, plain
from .protocol import NodeView, StateView, View

LIMIT: Final = 60_000
"""Bytes of UTF-8 that a picture has at most, as that of a run; texts are left out to keep to it."""

_PLANNED: Final[StateView] = {"type": "PLANNED", "name": "Planned", "family": "idle", "message": ""}
_NONE: Final = {"done": 0, "running": 0, "retrying": 0, "failed": 0, "cancelled": 0, "waiting": 0}


def plan_picture(found: FlowGraph) -> str:
    """The graph as an HTML fragment without ids, scripts or addresses."""
    view = _view(found)
    text = ""
    for level in (FULL, NO_LINES, BOXES):
        text = _fragment(found, graph(view, level, plain(f"The graph of {found.flow}", 240)))
        if len(text.encode()) <= LIMIT:
            break
    return text


def _fragment(found: FlowGraph, drawn: str) -> str:
    body = "<div>It calls no task.</div>"
    if found.nodes:
        body = f'<div style="overflow-x:auto;margin-top:6px">{drawn}</div>'
    return (
        "<div data-tidegate-plan=\"\" style=\"font:13px/1.4 system-ui,-apple-system,'Segoe UI','Noto Sans',sans-serif;"
        'border:1px dashed rgba(128,128,128,.6);border-radius:8px;padding:10px 12px">'
        f'<b style="font-size:14px">{plain(found.flow)}</b> '
        f'<span style="opacity:.8;font-size:12px">as it would run; nothing was run</span>{body}</div>'
    )


def _view(found: FlowGraph) -> View:
    sizes = [node_size(node.kind) for node in found.nodes]
    places = layout(
        [(at, *size) for at, size in enumerate(sizes)], [(edge.source, edge.target) for edge in found.edges]
    )
    # The header and the numbers of a run are what a plan has not, and nothing of them is drawn here.
    made = {
        "width": places.width,
        "height": places.height,
        "nodes": [_node(at, node, places) for at, node in enumerate(found.nodes)],
        "edges": [
            {"source": each.source, "target": each.target, "kind": each.kind, "waiting": each.kind == "wait_for"}
            | {"path": places.path(each.source, each.target)}
            for each in found.edges
        ],
    }
    return cast("View", made)


def _node(at: int, node: GraphNode, places: Layout) -> NodeView:
    (x, y), (width, height) = places.positions[at], node_size(node.kind)
    made: dict[str, object] = {
        "open": None,
        "parent": None,
        "state": _PLANNED,
        "total": 1,
        "counts": _NONE,
        "strip": "",
        "progress": None,
    }
    made |= {"id": at, "kind": node.kind, "name": node.name, "line": node.times or "once", "alert": ""}
    return cast("NodeView", made | {"x": x, "y": y, "w": width, "h": height})
