"""The colours, shapes and sizes of the run graph.

A family has a colour for light and for dark pages, and one between them for the static picture, which cannot
know its page.  A state has a shape of its own too, so that no meaning hangs on colour alone.
`widgets/js/src/icons.ts` and `style.css` hold the same values for the page, and a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .protocol import Family, StateView


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of one family, as ``#rrggbb``: fills, and inks for text and thin lines."""

    light: str
    light_ink: str
    dark: str
    dark_ink: str
    middle: str
    """At least 3:1 against white and against the dark themes' #212121."""


FAMILIES: Mapping[Family, Colours] = {
    "idle": Colours("#c9ced6", "#5d6673", "#4b525c", "#a3acb8", "#828b98"),
    "active": Colours("#0b57b0", "#0b57b0", "#4c9df0", "#6cb0f5", "#2f7ad6"),
    "done": Colours("#149474", "#0c6e56", "#4fd0a9", "#63ddb8", "#149474"),
    "attention": Colours("#d9a400", "#7a5600", "#f7d455", "#f7d455", "#b3830a"),
    "bad": Colours("#b42f06", "#b42f06", "#ee5c2a", "#f4723f", "#d84a1b"),
}

Role = Literal["fill", "line", "faint", "cut", "dash", "arc"]
"""How a part of a shape is drawn: filled, as a line, as a pale line, as a line in the background's colour."""

_DISC = "M1,8a7,7 0 1,0 14,0a7,7 0 1,0 -14,0z"
_RING = "M1.9,8a6.1,6.1 0 1,0 12.2,0a6.1,6.1 0 1,0 -12.2,0z"
_SQUARE = (
    "M4.5,1h7a3.5,3.5 0 0 1 3.5,3.5v7a3.5,3.5 0 0 1 -3.5,3.5h-7a3.5,3.5 0 0 1 -3.5,-3.5v-7a3.5,3.5 0 0 1 3.5,-3.5z"
)
_OCTAGON = "M5.1,1h5.8L15,5.1v5.8L10.9,15H5.1L1,10.9V5.1z"
_ARC = "M8,1.9a6.1,6.1 0 0 1 6.1,6.1"

SHAPES: Mapping[str, tuple[tuple[Role, str], ...]] = {
    "idle": (("dash", _RING),),
    "cancelled": (("line", _RING), ("line", "M4.8,8h6.4")),
    "active": (("faint", _RING), ("arc", _ARC), ("fill", "M6.4,5.5v5l4.1,-2.5z")),
    "cancelling": (("faint", _RING), ("arc", _ARC), ("fill", "M5.9,5.9h4.2v4.2h-4.2z")),
    "done": (("fill", _DISC), ("cut", "M4.6,8.3l2.3,2.3 4.5,-4.9")),
    "cached": (("line", "M8,1l7,7-7,7-7-7z"), ("line", "M5.3,8.2l1.9,1.9 3.5,-3.8")),
    "attention": (("fill", _SQUARE), ("cut", "M6,5v6M10,5v6")),
    "retrying": (("fill", _SQUARE), ("cut", "M11.4,8a3.4,3.4 0 1 1 -1,-2.4M11.4,3.6v2.2h-2.2")),
    "bad": (("fill", _OCTAGON), ("cut", "M5.5,5.5l5,5m0,-5l-5,5")),
    "crashed": (("fill", _OCTAGON), ("cut", "M9,3.8l-3.2,4.6h4.2l-3,3.9")),
}
"""SVG path data on a 16 by 16 field."""

_SPECIAL = {
    "CANCELLED": "cancelled",
    "CANCELLING": "cancelling",
    "CRASHED": "crashed",
    "Cached": "cached",
    "AwaitingRetry": "retrying",
    "Throttled": "retrying",
    "Retrying": "active",
}


def shape_of(state: StateView) -> str:
    """The key in `SHAPES` of a state."""
    return _SPECIAL.get(state["name"]) or _SPECIAL.get(state["type"]) or state["family"]


STRIP_COLUMNS = 56
"""Cells in a row of a strip, at most."""


@dataclass(frozen=True, slots=True)
class StripGrid:
    """How the cells of a strip are set: their columns, and the width and height of a cell with its gap, in px."""

    columns: int
    dx: float
    dy: float


def strip_grid(cells: int, width: float, height: float) -> StripGrid:
    """Set `cells` on a field of `width` by `height` px, in as few rows as may be."""
    rows = max(1, -(-cells // STRIP_COLUMNS))
    columns = max(1, -(-cells // rows))
    return StripGrid(columns, min(20.0, width / columns), min(20.0, height / rows))


def node_size(kind: Literal["task", "group", "flow"], cells: int = 0) -> tuple[float, float]:
    """Width and height in px of a node; `cells` is the length of a group's strip."""
    if kind != "group":
        return (156.0 if kind == "task" else 208.0), 42.0
    return 252.0, 98.0 if cells <= STRIP_COLUMNS else 122.0
