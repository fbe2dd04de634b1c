"""The graph of the static picture, as an SVG element styled by attributes alone."""

from collections.abc import Iterator
from html import escape
from typing import Final, Literal

from .palette import FAMILIES, SHAPES, StripGrid, shape_of, strip_grid
from .protocol import Counts, EdgeView, Family, NodeView, View

CountName = Literal["done", "running", "retrying", "failed", "cancelled", "waiting"]
COUNTS: Final[tuple[tuple[CountName, Family, str], ...]] = (
    ("done", "done", "done"),
    ("running", "active", "active"),
    ("retrying", "attention", "retrying"),
    ("failed", "bad", "bad"),
    ("cancelled", "idle", "cancelled"),
    ("waiting", "idle", "idle"),
)
"""The words of `Counts` in the order shown, with family and shape."""

FULL, NO_STRIPS, NO_LINES, BOXES, NO_EDGES = range(5)
"""How much is drawn: all; no strips; names only; boxes and straight edges; boxes."""

_LETTERS: Final[dict[str, Family]] = {"d": "done", "r": "active", "a": "attention", "f": "bad", "c": "idle"}
_ROLES: Final = {
    "fill": 'fill="{0}" stroke="none"',
    "line": "",
    "faint": 'stroke-opacity=".3"',
    "arc": "",
    "cut": 'stroke="#fff"',
    "dash": 'stroke-dasharray="2.3 2.2" stroke-linecap="butt"',
}
_SOLID = 'stroke="currentColor" stroke-opacity=".38"'
_PALE = 'stroke="currentColor" stroke-opacity=".16"'


def plain(text: str, limit: int = 80) -> str:
    """`text` on one line, without what cannot be printed, at most `limit` characters long, escaped for HTML."""
    return escape(shortened(text, limit))


def shortened(text: str, limit: int) -> str:
    """`text` on one line, without what cannot be printed, at most `limit` characters long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def shape(name: str, family: Family) -> str:
    """The parts of the shape `name` on a 16 by 16 field, for inside of an element that strokes in its colour."""
    colour = FAMILIES[family].middle
    return "".join(f'<path d="{d}" {_ROLES[role].format(colour)}'.rstrip() + "/>" for role, d in SHAPES[name])


def shape_style(family: Family) -> str:
    """The attributes that the parent of a `shape` needs."""
    colour = FAMILIES[family].middle
    return f'fill="none" stroke="{colour}" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"'


def icon(name: str, family: Family) -> str:
    """The shape `name` as a small ``<svg>`` in a line of text."""
    return (
        f'<svg width="14" height="14" viewBox="0 0 16 16" aria-hidden="true" style="flex:none" {shape_style(family)}>'
        f"{shape(name, family)}</svg>"
    )


def graph(view: View, level: int, label: str) -> str:
    """The graph of `view` as ``<svg>``, in as much detail as `level` says, named `label` (escaped) for readers."""
    width, height = round(view["width"]), round(view["height"])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" aria-label="{label}" fill="currentColor" font-size="12.5"'
        f" font-family=\"system-ui,-apple-system,'Segoe UI','Noto Sans',sans-serif\""
        f' style="display:block;max-width:100%;min-width:{round(width * 0.6)}px;height:auto">'
    )
    if level < BOXES:
        body = [*_edges(view["edges"]), *(_node(node, level) for node in view["nodes"])]
    else:
        body = [*(_straight_edges(view) if level == BOXES else ()), *_boxes(view)]
    return "".join((head, *body, "</svg>"))


def _edges(edges: list[EdgeView]) -> Iterator[str]:
    for waiting, dashes in ((False, ""), (True, ' stroke-dasharray="5 4"')):
        ways = [escape(edge["path"]) for edge in edges if edge["waiting"] is waiting]
        if ways:
            yield f'<path d="{"".join(ways)}" fill="none" {_SOLID} stroke-width="1.4"{dashes}/>'
    tips = "".join(_arrow(edge["path"]) for edge in edges)
    if tips:
        yield f'<path d="{tips}" fill="none" {_SOLID} stroke-width="1.4" stroke-linejoin="round"/>'


def _arrow(path: str) -> str:
    """The head of an edge: where the last numbers of its path lead."""
    x, _, y = path.replace(" ", "C").rpartition("C")[2].rpartition("L")[2].partition(",")
    try:
        return f"M{float(x) - 6:g},{float(y) - 3.6:g}l6,3.6l-6,3.6"
    except ValueError:
        return ""


def _straight_edges(view: View) -> Iterator[str]:
    at = {node["id"]: node for node in view["nodes"]}
    lines = []
    for edge in view["edges"]:
        a, b = at[edge["source"]], at[edge["target"]]
        x, y = round(a["x"] + a["w"]), round(a["y"] + a["h"] / 2)
        lines.append(f"M{x},{y}L{round(b['x'])},{round(b['y'] + b['h'] / 2)}")
    yield f'<path d="{"".join(lines)}" fill="none" {_SOLID}/>'


def _boxes(view: View) -> Iterator[str]:
    for family, colours in FAMILIES.items():
        boxes = [
            f"M{round(node['x'])},{round(node['y'])}h{round(node['w'])}v{round(node['h'])}h-{round(node['w'])}z"
            for node in view["nodes"]
            if node["state"]["family"] == family and not node["open"]
        ]
        if boxes:
            yield f'<path d="{"".join(boxes)}" fill="{colours.middle}" fill-opacity=".5"/>'


def _node(node: NodeView, level: int) -> str:
    width, height, family = node["w"], node["h"], node["state"]["family"]
    group = node["kind"] == "group"
    waiting = ' stroke-dasharray="4 3"' if node["state"]["type"] in ("SCHEDULED", "PENDING") else ""
    middle = FAMILIES[family].middle
    border = f'stroke="{middle}" stroke-width="1.5"' if family == "active" else f"{_SOLID}{waiting}"
    parts = [
        f'<g transform="translate({node["x"]:g},{node["y"]:g})">',
        f"<title>{plain(node['name'])}</title>" if level < NO_LINES else "",
        *(_sheets(width, height) if group else ()),
        f'<rect width="{width:g}" height="{height:g}" rx="6" fill="none" {border}/>',
        f'<path d="M6,0a6,6 0 0 0 -6,6v{height - 12:g}a6,6 0 0 0 6,6z" fill="{middle}"/>',
    ]
    if level < NO_LINES:
        icon = shape(shape_of(node["state"]), family)
        parts.append(f'<g transform="translate(12,7) scale(.875)" {shape_style(family)}>{icon}</g>')
    if group:
        parts += _group(node, level)
    elif node["open"]:
        parts.append(_title(node, level))
    else:
        flow = node["kind"] == "flow"
        parts.append(f'<text x="31" y="18.5" font-weight="600">{plain(node["name"], 24 if flow else 15)}</text>')
        if level < NO_LINES:
            text = " · ".join(filter(None, ("subflow" if flow else "", node["line"], node["alert"])))
            parts.append(f'<text x="31" y="33" {_SMALL}>{plain(text, 30 if flow else 20)}</text>')
    return "".join((*parts, "</g>"))


def _title(node: NodeView, level: int) -> str:
    """The title row of a box; what is in it is drawn as the nodes that follow."""
    line = f'<tspan dx="8" {_SMALL} font-weight="400">subflow · {plain(node["line"], 40)}</tspan>'
    return (
        f'<path d="M6,26H{node["w"]:g}" {_PALE}/>'
        f'<rect width="{node["w"]:g}" height="{node["h"]:g}" rx="6" fill-opacity=".04"/>'
        f'<text x="31" y="18" font-weight="600">{plain(node["name"], 24)}{line if level < NO_LINES else ""}</text>'
    )


_SMALL = 'font-size="11" fill-opacity=".8"'
_TIMES = "\N{MULTIPLICATION SIGN}"
_END = 'text-anchor="end"'


def _sheets(width: float, height: float) -> Iterator[str]:
    for step, style in ((4, _SOLID), (8, _PALE)):
        right, bottom = width + step, height + step
        yield (
            f'<path d="M{right - 3:g},{step}a3,3 0 0 1 3,3V{bottom - 6:g}a6,6 0 0 1 -6,6'
            f'H{step + 3:g}a3,3 0 0 1 -3,-3" fill="none" {style}/>'
        )


def _group(node: NodeView, level: int) -> list[str]:
    width, height = node["w"], node["h"]
    times = f'<tspan dx="7" {_SMALL} font-weight="400">{_TIMES} {node["total"]:,}</tspan>'
    parts = [
        f'<text x="32" y="20.5" font-weight="600">{plain(node["name"], 19)}{times}</text>',
        bar(node["counts"], node["total"], 14, 34, width - 26, 7),
    ]
    if level < NO_STRIPS:
        grid = strip_grid(len(node["strip"]), width - 26, max(12.0, height - 80))
        rows = -(-len(node["strip"]) // grid.columns)
        room = max(0.0, height - 80 - rows * grid.dy) / 2
        parts.append(f'<g transform="translate(14,{49 + room:g})">{"".join(_strip(node["strip"], grid))}</g>')
    if level < NO_LINES:
        parts.append(f'<text x="14" y="{height - 9:g}" {_SMALL}>{plain(node["line"], 34)}</text>')
    if node["alert"]:
        parts.append(
            f'<text x="{width - 12:g}" y="{height - 9:g}" {_END} font-size="11" font-weight="700">'
            f"{plain(node['alert'], 14)}</text>"
        )
    return parts


def bar(counts: Counts, total: int, x: float, y: float, width: float, height: float) -> str:
    """The segments of `counts` on a pale track."""
    parts = [f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" fill-opacity=".16"/>']
    shares = {word: max(3.0, counts[word] / max(1, total) * width) for word, _, _ in COUNTS[:-1] if counts[word]}
    if shares:
        # What the smallest segments get beyond their share, the largest gives.
        shares[max(shares, key=shares.__getitem__)] -= max(0.0, sum(shares.values()) - width)
    at = x
    for word, family, _ in COUNTS[:-1]:
        length = shares.get(word, 0.0)
        if length:
            colour = FAMILIES[family].middle
            parts.append(f'<rect x="{at:.1f}" y="{y:g}" width="{length:.1f}" height="{height:g}" fill="{colour}"/>')
            at += length
    return "".join(parts)


def _strip(strip: str, grid: StripGrid) -> Iterator[str]:
    """One path a letter; a run of equal cells in a row is one dashed line whose dashes are the cells."""
    lines: dict[str, list[str]] = {}
    start = 0
    while start < len(strip):
        row, column = divmod(start, grid.columns)
        letter, end = strip[start], start + 1
        while end < len(strip) and end % grid.columns and strip[end] == letter:
            end += 1
        length = (end - start) * grid.dx - 0.7
        lines.setdefault(letter, []).append(f"M{column * grid.dx:.4g},{(row + 0.5) * grid.dy:.4g}h{length:.4g}")
        start = end
    dashes = f'stroke-width="{grid.dy - 0.7:.3g}" stroke-dasharray="{grid.dx - 0.7:.4g} .7"'
    for letter, ways in lines.items():
        family = _LETTERS.get(letter)
        colour = f'stroke="{FAMILIES[family].middle}"' if family else _PALE
        yield f'<path d="{"".join(ways)}" fill="none" {colour} {dashes}/>'
