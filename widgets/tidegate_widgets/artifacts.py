"""The artifacts of a run as the page shows them: cut to what can be looked at, and with nothing in them that could run.

Whatever they hold is shown as text; a picture is one only as data, and a link only where it leads to a page.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tidegate import artifact_data
from tidegate.errors import InvalidOption
from tidegate.model.events import ArtifactMade, Event, FlowCreated
from tidegate.ports import EventStore

from .picture_svg import shortened
from .protocol import ArtifactView

MAX_ARTIFACTS: Final = 100
"""Artifacts that are shown, the first ones; the others are counted."""
MAX_TEXT: Final = 20_000
"""Characters of a text at most."""
MAX_ADDRESS: Final = 4_000
"""Characters of a link at most."""
MAX_ROWS: Final = 200
MAX_COLUMNS: Final = 50
MAX_CELL: Final = 200
"""Characters of a cell at most."""
MAX_IMAGE: Final = 2_000_000
"""Characters of an image at most, as data."""
MAX_IMAGES: Final = 20_000_000
"""Characters of all images of a run at most: the graph keeps them in memory."""

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
_BASE64 = re.compile("[A-Za-z0-9+/]+={0,2}")
_TITLES = {
    "markdown": "Text",
    "table": "Table",
    "link": "Link",
    "image": "Image",
    "progress": "Progress",
}


class Artifacts:
    """The artifacts of a run and of its subflows, each in its newest version."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with each change."""
        self._shown: dict[tuple[int, int], tuple[int, ArtifactView]] = {}
        self._others: set[tuple[int, int]] = set()
        self._images = 0

    @property
    def count(self) -> int:
        """How many there are, with those that are not shown."""
        return len(self._shown) + len(self._others)

    def take(self, made: ArtifactMade, maker: str) -> None:
        """Add one, or its newer version; `maker` names who made it, and is empty for the flow itself."""
        key = made.flow_run, made.number
        self.version += 1
        if key not in self._shown and len(self._shown) >= MAX_ARTIFACTS:
            self._others.add(key)
            return
        number = self._shown[key][1]["id"] if key in self._shown else len(self._shown) + 1
        view = _view(made, number, maker)
        if view["kind"] == "image":
            self._images += len(view["url"])
            if self._images > MAX_IMAGES:
                view["kind"], view["url"] = "text", ""
                view["note"] = "The images of this run are too many to be shown here; the record has this one."
        self._shown[key] = self.version, view

    def since(self, version: int) -> list[ArtifactView]:
        """Those that came or changed after a version."""
        return [view for at, view in self._shown.values() if at > version]


def recorded(store: EventStore, flow_run: int) -> Iterator[Event]:
    """The artifacts of a run of the record and of the flow runs below it, and what says that those exist."""
    yield from store.artifacts(flow_run)
    for row in store.task_runs(flow_run):
        for below in store.subflow_runs(flow_run, row.number) if row.subflow else ():
            head = (below.number, below.created, below.uuid, below.flow, below.name, below.parameters, below.parent)
            yield FlowCreated(*head)
            yield from recorded(store, below.number)


def _view(made: ArtifactMade, number: int, maker: str) -> ArtifactView:
    view: ArtifactView = {
        "id": number,
        "title": shortened(made.key or "", 100) or _TITLES.get(made.kind, "Object"),
        "maker": maker,
        "description": shortened(made.description or "", 400),
        "kind": "text",
        "text": "",
        "url": "",
        "columns": [],
        "rows": [],
        "progress": 0.0,
        "note": "",
    }
    try:
        _FILL.get(made.kind, _object)(view, json.loads(made.data))
    except (AttributeError, KeyError, TypeError, ValueError):
        view["kind"], view["note"] = "text", "What the record has of it cannot be read."
    return view


def _text(view: ArtifactView, text: str) -> None:
    view["text"] = text[:MAX_TEXT]
    if len(text) > MAX_TEXT:
        view["note"] = f"{len(text) - MAX_TEXT:,} characters more are in the record."


def _markdown(view: ArtifactView, data: Mapping[str, Any]) -> None:
    _text(view, data["markdown"])


def _table(view: ArtifactView, data: Mapping[str, Any]) -> None:
    rows = data["rows"]
    view["kind"] = "table"
    view["columns"] = [shortened(name, MAX_CELL) for name in (data["columns"] or ())[:MAX_COLUMNS]]
    view["rows"] = [[shortened(_cell(each), MAX_CELL) for each in row[:MAX_COLUMNS]] for row in rows[:MAX_ROWS]]
    width = max(map(len, [data["columns"] or (), *rows]), default=0)
    more = [
        f"{number - most:,} {word}{'' if number - most == 1 else 's'} more"
        for number, most, word in ((len(rows), MAX_ROWS, "row"), (width, MAX_COLUMNS, "column"))
        if number > most
    ]
    view["note"] = f"{' and '.join(more)}, in the record." if more else ""


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _link(view: ArtifactView, data: Mapping[str, Any]) -> None:
    view["text"] = shortened(data["text"], 400)
    try:
        address = artifact_data.link(data["link"], None)["link"]
    except InvalidOption:
        address = ""
    if not 0 < len(address) <= MAX_ADDRESS:
        view["note"] = "This leads to no page, and is no link here."
        return
    view["kind"], view["url"] = "link", address


def _image(view: ArtifactView, data: Mapping[str, Any]) -> None:
    if "url" not in data:
        _picture(view, data["type"], data["base64"])
    elif data["url"].startswith("data:"):
        kind, _, encoded = data["url"].removeprefix("data:").partition(";base64,")
        _picture(view, kind, encoded)
    else:
        _link(view, {"link": data["url"], "text": data["url"]})
        view["note"] = view["note"] or "An image that is somewhere else is not loaded here."


def _picture(view: ArtifactView, kind: str, encoded: str) -> None:
    if kind not in _IMAGES or not _BASE64.fullmatch(encoded):
        view["note"] = "This is no image that can be shown here."
    elif len(encoded) > MAX_IMAGE:
        view["note"] = f"The image has {len(encoded) * 3 // 4:,} bytes and is not shown here; the record has it."
    else:
        view["kind"], view["url"] = "image", f"data:{kind};base64,{encoded}"


def _progress(view: ArtifactView, data: Mapping[str, Any]) -> None:
    view["kind"], view["progress"] = "progress", min(100.0, max(0.0, float(data["progress"])))


def _object(view: ArtifactView, data: Mapping[str, Any]) -> None:
    """As a picture where the object gave one, else as its text; never as HTML."""
    for kind in ("image/png", "image/jpeg", "image/svg+xml"):
        if kind in data:
            drawn = data[kind]
            encoded = b64encode(drawn.encode()).decode() if kind == "image/svg+xml" else "".join(drawn.split())
            _picture(view, kind, encoded)
            return
    _text(view, data.get("text/markdown") or data["text/plain"])


_FILL: Mapping[str, Callable[[ArtifactView, Mapping[str, Any]], None]] = {
    "markdown": _markdown,
    "table": _table,
    "link": _link,
    "image": _image,
    "progress": _progress,
}
