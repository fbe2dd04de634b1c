"""The picture: nodes, edges, and what changed of them."""

from typing import Literal, NotRequired, TypedDict

from .run import RunView
from .state import Counts, StateView

VERSION = 1


class NodeView(TypedDict):
    """One drawn node: a task run, or all runs of one call site or one mapped call, or a subflow."""

    id: int
    kind: Literal["task", "group", "flow"]
    """``group``: several runs of one call site, drawn as stacked sheets with a bar and a strip."""
    name: str
    line: str
    """The second line: ``0.2s``, ``running``, ``waits for 3,588``, ``6,412 of 10,000 · 16 running``."""
    alert: str
    """A short text in the colour of failures (``3 failed``), or empty."""
    state: StateView
    total: int
    counts: Counts
    strip: str
    """For groups, one letter a cell in index order, at most 336 cells (one cell may stand for several runs, the
    worst of them): ``d`` done, ``r`` running, ``a`` awaiting retry, ``f`` failed, ``c`` cancelled, ``w`` waiting.
    Empty for single runs."""
    progress: float | None
    """0 to 1 for groups of known size, else null."""
    open: bool | None
    """For a subflow: whether it is a box with its own nodes in it, or could be; null for all that cannot be opened."""
    parent: int | None
    """The box that it stands in; null outside of all."""
    x: float
    y: float
    w: float
    h: float


class EdgeView(TypedDict):
    """A drawn edge; data flowed from `source` to `target`."""

    source: int
    target: int
    kind: Literal["future", "value", "map", "wait_for", "subflow"]
    waiting: bool
    """Drawn dashed: the target has not begun."""
    path: str
    """An SVG path (``M … C … L …``) in the coordinates of the view."""


class View(TypedDict):
    """The whole picture."""

    v: int
    seq: int
    run: RunView
    width: float
    height: float
    """The extent of the drawn graph, in px at zoom 1."""
    nodes: list[NodeView]
    """In order of appearance; those of a box follow the box."""
    edges: list[EdgeView]


class Delta(TypedDict):
    """What changed.  `nodes` replace those of the same id; when the structure changed, `edges` and the extent come
    too and replace the old ones, and so does `nodes`: it then has all of them, in order."""

    seq: int
    run: RunView
    nodes: list[NodeView]
    edges: NotRequired[list[EdgeView]]
    width: NotRequired[float]
    height: NotRequired[float]
