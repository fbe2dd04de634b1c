"""What an artifact holds: the data of tables, images and objects, and how each kind is shown."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .errors import InvalidOption

ROWS_SHOWN = 1_000
"""Rows of a table that are shown; it keeps all of them."""

_HEADS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
    b"<svg": "image/svg+xml",
    b"<?xml": "image/svg+xml",
}
"""How the bytes of an image begin."""

_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "image/svg+xml": "_repr_svg_",
}
KEPT_TYPES = ("text/plain", *_METHODS)
"""MIME types that are kept of an object."""

_SCHEMES = ("http", "https", "mailto", "ftp", "file")
_PLAIN = (str, int, bool, type(None))


def table(given: Any) -> dict[str, Any]:
    """``columns`` and ``rows`` of a list of dicts, a dict of lists, a list of lists or a data frame.

    ``columns`` is null where they have no names.  Raises `InvalidOption`.
    """
    if hasattr(given, "to_dicts"):  # polars
        given = given.to_dicts()
    elif hasattr(given, "to_dict") and hasattr(given, "columns"):  # pandas, without the need to import it
        return _frame(given)
    if isinstance(given, Mapping):
        return _of_columns(given)
    rows = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else None
    if rows is not None and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return {"columns": [str(name) for name in names], "rows": [[_cell(row.get(n)) for n in names] for row in rows]}
    if rows is not None and all(isinstance(row, Sequence) and not isinstance(row, (str, bytes)) for row in rows):
        return {"columns": None, "rows": [[_cell(each) for each in row] for row in rows]}
    raise InvalidOption(
        "A table is a list of dicts, a dict of lists, a list of lists or a data frame, "
        f"not {type(given).__name__}: {given!r:.60}."
    )


def _frame(frame: Any) -> dict[str, Any]:
    split = frame.to_dict(orient="split")
    columns, rows = [str(name) for name in split["columns"]], split["data"]
    if list(split["index"]) != list(range(len(rows))):  # an index of its own says something
        columns = [str(frame.index.name or ""), *columns]
        rows = [[name, *row] for name, row in zip(split["index"], rows, strict=True)]
    return {"columns": columns, "rows": [[_cell(each) for each in row] for row in rows]}


def _of_columns(given: Mapping[Any, Any]) -> dict[str, Any]:
    try:
        columns = [list(column) for column in given.values()]
    except TypeError:
        raise InvalidOption("A table that is a dict needs a list in each column.") from None
    if len({len(column) for column in columns}) > 1:
        sizes = ", ".join(f"{name} has {len(column)}" for name, column in zip(given, columns, strict=True))
        raise InvalidOption(f"The columns of a table need one length: {sizes}.")
    rows = [[_cell(each) for each in row] for row in zip(*columns, strict=True)]
    return {"columns": [str(name) for name in given], "rows": rows}


def _cell(value: Any) -> Any:
    """A cell as JSON has it: NaN and infinity have no place there, and what is neither text nor number is its text."""
    if type(value) not in (*_PLAIN, float) and hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of numpy's
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, _PLAIN) else str(value)


def link(address: Any, text: str | None) -> dict[str, Any]:
    """A link that may be shown as one.  Raises `InvalidOption`: ``javascript:`` in a saved notebook would run."""
    if not isinstance(address, str) or not address:
        raise InvalidOption(f"A link is a text that is not empty, not {address!r:.60}.")
    scheme, colon, _ = address.partition(":")
    if colon and not set(scheme) & set("/?#") and scheme.lower() not in _SCHEMES:
        raise InvalidOption(f"A link leads to http, https, mailto, ftp, file or has no scheme, unlike {address!r:.60}.")
    return {"link": address, "text": text or address}


def image(given: Any) -> dict[str, Any]:
    """``url``, or ``type`` and ``base64`` of the bytes.  Raises `InvalidOption` for bytes of no image."""
    if isinstance(given, str) and given:
        return {"url": given if given.startswith("data:image/") else link(given, None)["link"]}
    if isinstance(given, (bytes, bytearray, memoryview)):
        data = bytes(given)
        for head, kind in _HEADS.items():
            if data.startswith(head):
                return {"type": kind, "base64": base64.b64encode(data).decode()}
        raise InvalidOption("These bytes are no image: they begin as neither PNG, JPEG, GIF, WebP nor SVG does.")
    raise InvalidOption(f"An image is the address of one, or its bytes, not {type(given).__name__}: {given!r:.60}.")


def bundle_of(value: Any) -> dict[str, str]:
    """How an object shows itself in a notebook, by MIME type; bytes in base64."""
    found: dict[str, Any] = {}
    if not isinstance(value, type):  # the methods of a class are those of its instances
        rich = getattr(value, "_repr_mimebundle_", None)
        given = rich(include=None, exclude=None) if callable(rich) else None
        found.update((given[0] if isinstance(given, tuple) else given) or {})
        for mime, name in _METHODS.items():
            method = getattr(value, name, None)
            if mime not in found and callable(method):
                found[mime] = method()
        if "image/png" not in found and type(value).__module__.startswith("matplotlib.") and hasattr(value, "savefig"):
            drawn = io.BytesIO()
            value.savefig(drawn, format="png", bbox_inches="tight")
            found["image/png"] = drawn.getvalue()
    found.setdefault("text/plain", repr(value))
    return {mime: _text(found[mime]) for mime in KEPT_TYPES if found.get(mime) is not None}


def _text(value: Any) -> str:
    if isinstance(value, tuple):  # data and metadata
        value = value[0]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def shown(kind: str, data: Mapping[str, Any]) -> dict[str, str]:
    """How an artifact is shown, by MIME type; there is always ``text/plain``."""
    if kind == "object":
        return dict(data)
    if kind == "markdown":
        return {"text/plain": data["markdown"], "text/markdown": data["markdown"]}
    if kind == "link":
        return {
            "text/plain": f"{data['text']} ({data['link']})",
            "text/html": f'<a href="{escape(data["link"])}" rel="noopener">{escape(data["text"])}</a>',
        }
    if kind == "progress":
        done = data["progress"]
        return {
            "text/plain": f"{done:g} %",
            "text/html": f'<progress max="100" value="{done:g}"></progress> {done:g} %',
        }
    if kind == "table":
        return _shown_table(data["columns"], data["rows"])
    if "url" in data:
        return {"text/plain": data["url"], "text/html": f'<img src="{escape(data["url"])}" alt="">'}
    source = f"data:{data['type']};base64,{data['base64']}"
    return {"text/plain": f"<{data['type']}>", "text/html": f'<img src="{source}" alt="">'}


def _shown_table(columns: list[str] | None, rows: list[list[Any]]) -> dict[str, str]:
    def line(cells: Iterable[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(_seen(each))}</{tag}>" for each in cells) + "</tr>"

    head = [columns] if columns else []
    body = rows[:ROWS_SHOWN]
    more = f"{len(rows) - len(body):,} rows more" if len(rows) > len(body) else ""
    plain = ["\t".join(_seen(each) for each in row) for row in [*head, *body]]
    html = "".join([*(line(each, "th") for each in head), *(line(each, "td") for each in body)])
    return {
        "text/plain": "\n".join([*plain, *filter(None, [more])]),
        "text/html": f"<table>{html}</table>{more}",
    }


def _seen(cell: Any) -> str:
    return "" if cell is None else str(cell)
