"""The static picture: it is safe, small, readable everywhere, and says what happened."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.moments import duration
from tidegate_widgets.layout import layout
from tidegate_widgets.palette import FAMILIES, SHAPES, node_size, shape_of, strip_grid
from tidegate_widgets.picture import LIMIT, page, picture, summary
from tidegate_widgets.protocol import Counts, EdgeView, Family, NodeView, StateView, View

JS = Path(__file__).parents[2] / "widgets" / "js" / "src"
HOSTILE = "</text></svg><script>alert('x')</script><img src=x onerror=\"alert(1)\"> & \x00\ud800\n{0}%s"
VOID = {"meta", "br", "img", "link", "hr", "input"}


def state(kind: str = "COMPLETED", family: Family = "done", name: str = "") -> StateView:
    return {"type": kind, "name": name or kind.capitalize(), "family": family, "message": ""}


def counts(**numbers: int) -> Counts:
    zero: Counts = {"done": 0, "running": 0, "retrying": 0, "failed": 0, "cancelled": 0, "waiting": 0}
    return {**zero, **numbers}  # type: ignore[typeddict-item]


def node(number: int, name: str = "task", *, group: bool = False, **changes: Any) -> NodeView:
    strip = "drafcw" * 56 if group else ""
    width, height = node_size("group" if group else "task", len(strip))
    made: NodeView = {
        "id": number,
        "kind": "group" if group else "task",
        "name": name,
        "line": "1.2s",
        "alert": "3 failed" if group else "",
        "state": state(),
        "total": 336 if group else 1,
        "counts": counts(done=333, failed=3) if group else counts(done=1),
        "strip": strip,
        "progress": None,
        "open": None,
        "parent": None,
        "x": 0.0,
        "y": 0.0,
        "w": width,
        "h": height,
    }
    return {**made, **changes}  # type: ignore[typeddict-item]


def view(nodes: list[NodeView], edges: list[tuple[int, int]], **run: Any) -> View:
    placed = layout([(each["id"], each["w"], each["h"]) for each in nodes], edges)
    for each in nodes:
        each["x"], each["y"] = placed.positions[each["id"]]
    drawn: list[EdgeView] = [
        {"source": a, "target": b, "kind": "future", "waiting": b % 2 == 1, "path": placed.path(a, b)} for a, b in edges
    ]
    base = {
        "id": "0f3c",
        "flow": "airports",
        "name": "amber-otter",
        "state": state("FAILED", "bad"),
        "started": 1.0,
        "elapsed": 166.0,
        "running": False,
        "left": None,
        "counts": counts(done=3366, failed=12),
        "total": 3378,
        "can": [],
        "note": "",
        "saved": True,
        "durability": "process",
    }
    return {
        "v": 1,
        "seq": 1,
        "run": {**base, **run},  # type: ignore[typeddict-item]
        "width": placed.width,
        "height": placed.height,
        "nodes": nodes,
        "edges": drawn,
    }


def small() -> View:
    return view([node(1, "fetch"), node(2, "locate", group=True), node(3, "plot")], [(1, 2), (2, 3)])


class Reader(HTMLParser):
    """Elements with their attributes, the text, and whether every tag was closed in its place."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_summary_is_one_line_of_plain_text() -> None:
    assert summary(small()) == "airports 'amber-otter': Failed · 3,378 tasks, 12 failed · 2m 46s"


def test_the_summary_leaves_out_what_there_is_not() -> None:
    one = view([node(1)], [], total=1, counts=counts(done=1), state=state(), started=None)
    assert summary(one) == "airports 'amber-otter': Completed · 1 task"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0426, "43ms"),
        (0.096, "0.1s"),
        (0.44, "0.4s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (166, "2m 46s"),
        (3599.9, "1h 00m"),
        (11_130, "3h 05m"),
        (-1, "0ms"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_picture_says_what_the_run_did() -> None:
    made = small()
    made["run"]["note"] = "ValueError: no such airport"
    read = Reader(picture(made))
    for expected in ("Failed", "airports", "amber-otter", "2m 46s", "3,366 done", "12 failed", "fetch", "locate"):
        assert expected in read.text
    assert "ValueError: no such airport" in read.text
    assert read.open == []


def test_the_wrapper_tells_the_page_whose_picture_it_is() -> None:
    tag, attributes = Reader(picture(small())).elements[0]
    assert tag == "div"
    assert attributes["data-tidegate-picture"] == "0f3c"


def test_all_nodes_and_edges_are_drawn_where_the_view_has_them() -> None:
    made = small()
    text = picture(made)
    for each in made["nodes"]:
        assert f"translate({each['x']:g},{each['y']:g})" in text
    for edge in made["edges"]:
        assert edge["path"] in text


def test_it_needs_no_script_no_ids_and_no_network() -> None:
    for tag, attributes in Reader(picture(small())).elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "use", "image", "foreignobject"}
        for name, value in attributes.items():
            assert name not in {"id", "src", "href"}
            assert not name.startswith("on")
            assert "url(" not in (value or "")


def hostile() -> View:
    names = [node(1, HOSTILE, line=HOSTILE, alert=HOSTILE), node(2, HOSTILE, group=True, line=HOSTILE, alert=HOSTILE)]
    bad = state("FAILED", "bad", HOSTILE)
    for each in names:
        each["state"] = bad
    return view(names, [(1, 2)], id=HOSTILE, flow=HOSTILE, name=HOSTILE, note=HOSTILE, state=bad)


@pytest.mark.parametrize("draw", [picture, page])
def test_hostile_names_stay_text(draw: Any) -> None:
    made = draw(hostile())
    made.encode()
    read = Reader(made)
    assert read.open == []
    assert {tag for tag, _ in read.elements} == {tag for tag, _ in Reader(draw(small())).elements}
    assert all(not name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert "<script>" in read.text


def test_a_hostile_summary_is_one_printable_line() -> None:
    line = summary(hostile())
    line.encode()
    assert line.isprintable()


@given(st.text(max_size=60), st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_leaves_the_structure_alone(name: str, note: str) -> None:
    # Lone surrogates included: a picture must be writable to a file.
    made = view([node(1, name), node(2, name, group=True)], [(1, 2)], flow=name, note=note or "-")
    text = page(made)
    text.encode()
    plain = view([node(1), node(2, group=True)], [(1, 2)], flow="f", note="-")
    assert [tag for tag, _ in Reader(text).elements] == [tag for tag, _ in Reader(page(plain)).elements]


@pytest.mark.parametrize("number", [5, 60, 150, 400, 1500, 6000])
@pytest.mark.parametrize("group", [False, True])
def test_no_picture_is_larger_than_the_limit(number: int, group: bool) -> None:
    nodes = [node(i, f"a_task_with_a_long_name_{i}", group=group) for i in range(number)]
    edges = [(i // 2, i) for i in range(1, number)] + [(i // 3, i) for i in range(6, number)]
    text = picture(view(nodes, edges))
    assert len(text.encode()) <= LIMIT
    assert Reader(text).open == []
    assert "airports" in text
    if number <= 1500:
        assert "<svg" in text[text.index("overflow-x:auto") :]


def test_strips_are_the_first_to_go() -> None:
    def drawn(number: int) -> str:
        return picture(view([node(i, f"name_{i}", group=True) for i in range(number)], []))

    assert 'stroke-dasharray="3.3' in drawn(3)
    assert 'stroke-dasharray="3.3' not in drawn(40)
    assert "name_39" in drawn(40)


def test_an_empty_run_says_so() -> None:
    empty = view([], [], total=0, counts=counts(), state=state("RUNNING", "active"))
    assert "No task has run" in Reader(picture(empty)).text


def test_a_page_is_complete_and_lets_nothing_in() -> None:
    text = page(small())
    read = Reader(text)
    assert text.startswith("<!doctype html>")
    assert read.open == []
    assert "default-src 'none'" in text
    assert "airports &#x27;amber-otter&#x27;: Failed" in text


def luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_colours_are_seen_on_their_pages(family: Family) -> None:
    colours = FAMILIES[family]
    assert contrast(colours.middle, "#ffffff") >= 3
    assert contrast(colours.middle, "#212121") >= 3
    assert contrast(colours.light_ink, "#ffffff") >= 4.5
    assert contrast(colours.dark_ink, "#212121") >= 4.5


def test_text_is_in_the_colour_of_the_page() -> None:
    text = picture(small())
    drawings = [attributes for tag, attributes in Reader(text).elements if tag == "svg" and "font-size" in attributes]
    assert [drawing["fill"] for drawing in drawings] == ["currentColor"]
    assert not re.search(r"<text[^>]* fill=", text)
    assert "background:#" not in text.replace(f"background:{FAMILIES['bad'].middle}2e", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_has_the_same_colours(family: Family) -> None:
    css = (JS / "style.css").read_text()
    light, dark = css.split('[data-theme="dark"]')
    colours = FAMILIES[family]
    assert f"--{family}: {colours.light}; --{family}-ink: {colours.light_ink};" in light
    assert f"--{family}: {colours.dark}; --{family}-ink: {colours.dark_ink};" in dark


def test_the_page_has_the_same_shapes() -> None:
    source = (JS / "icons.ts").read_text()
    constants = dict(re.findall(r'^const ([A-Z]+) =\s*"([^"]+)";', source, re.MULTILINE))
    body = re.search(r"SHAPES = \{(.*?)\n\} as const", source, re.DOTALL)
    assert body
    theirs: dict[str, list[tuple[str, str]]] = {}
    for name, parts in re.findall(r"^  (\w+): \[(.*?)\],$", body[1], re.MULTILINE | re.DOTALL):
        theirs[name] = [
            (role, constants.get(constant, text))
            for role, text, constant in re.findall(r'\["(\w+)", (?:"([^"]+)"|([A-Z]+))\]', parts)
        ]
    assert theirs == {name: list(parts) for name, parts in SHAPES.items()}


@pytest.mark.parametrize(
    ("kind", "name", "family", "shape"),
    [
        ("COMPLETED", "Completed", "done", "done"),
        ("COMPLETED", "Cached", "done", "cached"),
        ("SCHEDULED", "Throttled", "attention", "retrying"),
        ("SCHEDULED", "AwaitingRetry", "attention", "retrying"),
        ("CRASHED", "Interrupted", "bad", "crashed"),
        ("FAILED", "TimedOut", "bad", "bad"),
        ("CANCELLED", "Cancelled", "idle", "cancelled"),
        ("PENDING", "NotReady", "idle", "idle"),
    ],
)
def test_states_have_shapes_of_their_own(kind: str, name: str, family: Family, shape: str) -> None:
    assert shape_of(state(kind, family, name)) == shape


@pytest.mark.parametrize("cells", [0, 1, 12, 56, 57, 200, 336])
def test_every_cell_of_a_strip_has_its_place(cells: int) -> None:
    grid = strip_grid(cells, 226, 42)
    rows = -(-cells // grid.columns)
    assert grid.columns * grid.dx <= 226.001
    assert rows * grid.dy <= 42.001
    assert grid.columns * max(rows, 1) >= cells
