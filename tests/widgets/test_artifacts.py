"""Artifacts as the page shows them: each kind as what it is, cut to a size, and harmless whatever they hold."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from kernel_ext.shapes import misfits
from tidegate import artifact_data
from tidegate.engine import Engine, using
from tidegate.model.events import ArtifactMade, FlowCreated, FlowState, TaskCreated
from tidegate.model.states import Running
from tidegate.store.memory import MemoryStore
from tidegate_widgets import protocol
from tidegate_widgets.artifacts import (
    MAX_ARTIFACTS,
    MAX_CELL,
    MAX_COLUMNS,
    MAX_IMAGE,
    MAX_ROWS,
    MAX_TEXT,
    Artifacts,
    recorded,
)
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.picture import picture
from tidegate_widgets.protocol import ArtifactView

HOSTILE = "<script>alert('x')</script><img src=x onerror=\"alert(1)\"> \x00{0}%s"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def made(kind: str, data: Any, number: int = 1, *, flow_run: int = 7, **more: Any) -> ArtifactMade:
    return ArtifactMade(flow_run, 1.0, 0, number, kind, data if isinstance(data, str) else json.dumps(data), **more)


def shown(kind: str, data: Any, **more: Any) -> ArtifactView:
    """The one artifact as the page gets it."""
    artifacts = Artifacts()
    artifacts.take(made(kind, data, **more), "")
    (view,) = artifacts.since(0)
    assert misfits(view, protocol.ArtifactView) == []
    return view


def test_a_text_keeps_its_lines_and_ends_at_a_size() -> None:
    view = shown("markdown", {"markdown": "# Night\n\n*3* rows"}, key="report", description="what\nhappened")
    assert (view["kind"], view["text"], view["note"]) == ("text", "# Night\n\n*3* rows", "")
    assert (view["title"], view["description"]) == ("report", "what happened")
    long = shown("markdown", {"markdown": "x" * (MAX_TEXT + 5)})
    assert (len(long["text"]), long["note"]) == (MAX_TEXT, "5 characters more are in the record.")
    assert long["title"] == "Text"


def test_a_table_is_cut_in_rows_columns_and_cells() -> None:
    view = shown("table", artifact_data.table([{"day": 1, "rows": None}, {"day": 2.5, "rows": "x" * 999}]))
    assert view["columns"] == ["day", "rows"]
    assert view["rows"] == [["1", ""], ["2.5", "x" * (MAX_CELL - 1) + "…"]]
    wide = shown("table", artifact_data.table([[0] * (MAX_COLUMNS + 1)] * (MAX_ROWS + 2)))
    assert (len(wide["rows"]), len(wide["rows"][0]), wide["columns"]) == (MAX_ROWS, MAX_COLUMNS, [])
    assert wide["note"] == "2 rows more and 1 column more, in the record."
    assert shown("table", {"columns": None, "rows": []})["rows"] == []


def test_a_link_leads_to_a_page_or_is_none() -> None:
    view = shown("link", {"link": "https://example.org/x", "text": "the source"})
    assert (view["kind"], view["url"], view["text"]) == ("link", "https://example.org/x", "the source")
    for address in ("javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "", "https://" + "x" * 9_999):
        view = shown("link", {"link": address, "text": "press"})
        assert (view["kind"], view["url"], view["text"]) == ("text", "", "press")
        assert view["note"]


def test_an_image_is_shown_from_its_data_alone() -> None:
    source = f"data:image/png;base64,{b64encode(PNG).decode()}"
    assert shown("image", artifact_data.image(PNG))["url"] == source
    assert shown("image", artifact_data.image(source))["url"] == source
    elsewhere = shown("image", artifact_data.image("https://example.org/x.png"))
    assert (elsewhere["kind"], elsewhere["url"]) == ("link", "https://example.org/x.png")
    assert "not loaded here" in elsewhere["note"]
    large = shown("image", {"type": "image/png", "base64": "A" * (MAX_IMAGE + 4)})
    assert (large["kind"], large["url"]) == ("text", "")
    assert "1,500,003 bytes" in large["note"]
    for url in ("data:text/html;base64,AAAA", "data:image/svg+xml,<svg onload=alert(1)>", "javascript:alert(1)"):
        assert shown("image", {"url": url})["kind"] == "text"
    for data in ("", 'x" onerror="alert(1)', "AAAA AAAA"):
        view = shown("image", {"type": "image/png", "base64": data})
        assert (view["url"], view["note"]) == ("", "This is no image that can be shown here.")


def test_an_object_is_a_picture_or_text_but_never_html() -> None:
    class Drawn:
        def _repr_html_(self) -> str:
            return HOSTILE

        def _repr_png_(self) -> bytes:
            return PNG

    class Vector:
        def _repr_svg_(self) -> str:
            return "<svg/>"

    class Written:
        def _repr_html_(self) -> str:
            return HOSTILE

        def __repr__(self) -> str:
            return "Written()"

    assert shown("object", artifact_data.bundle_of(Drawn()))["url"].startswith("data:image/png;base64,")
    assert shown("object", artifact_data.bundle_of(Vector()))["url"] == "data:image/svg+xml;base64,PHN2Zy8+"
    written = shown("object", artifact_data.bundle_of(Written()))
    assert (written["kind"], written["text"], written["title"]) == ("text", "Written()", "Object")
    assert HOSTILE not in json.dumps(written)


@pytest.mark.parametrize("kind", ["markdown", "table", "link", "image", "progress", "object", "unheard of"])
@pytest.mark.parametrize(
    "data", ["{", "[]", "null", "7", '{"markdown": 7}', '{"rows": [7]}', '{"progress": "x"}', "{}"]
)
def test_what_cannot_be_read_says_so(kind: str, data: str) -> None:
    view = shown(kind, data)
    assert (view["kind"], view["note"]) == ("text", "What the record has of it cannot be read.")


def test_newer_versions_take_the_place_of_older_ones_and_only_news_are_sent() -> None:
    artifacts = Artifacts()
    artifacts.take(made("markdown", {"markdown": "a"}, 1), "")
    artifacts.take(made("progress", {"progress": 10.0}, 2), "load")
    before = artifacts.version
    assert artifacts.since(before) == []
    artifacts.take(made("progress", {"progress": 20.0}, 2), "load")
    (news,) = artifacts.since(before)
    assert (news["id"], news["progress"], news["maker"]) == (2, 20.0, "load")
    assert artifacts.count == 2


def test_many_artifacts_are_counted() -> None:
    artifacts = Artifacts()
    for number in (*range(1, MAX_ARTIFACTS + 4), MAX_ARTIFACTS + 3):
        artifacts.take(made("markdown", {"markdown": "a"}, number), "")
    assert (artifacts.count, len(artifacts.since(0))) == (MAX_ARTIFACTS + 3, MAX_ARTIFACTS)


def test_many_large_images_do_not_fill_the_memory() -> None:
    artifacts = Artifacts()
    for number in range(1, 14):
        artifacts.take(made("image", {"type": "image/png", "base64": "A" * MAX_IMAGE}, number), "")
    kinds = [view["kind"] for view in artifacts.since(0)]
    assert kinds[:9] == ["image"] * 9
    assert kinds[10:] == ["text"] * 3


def test_who_made_it_is_named_and_the_head_counts() -> None:
    model = GraphModel()
    model.apply([FlowCreated(7, 0.0, "0f", "reports", "amber-otter", "{}"), FlowState(7, 1.0, Running(at=1.0))])
    drawing = Drawing(model, live=True)
    assert "artifacts" not in drawing.run(1.0)
    model.apply([TaskCreated(7, 1.0, number, "clean", 1, number - 1, {}) for number in (1, 2)])
    model.apply(
        [TaskCreated(7, 1.0, 3, "load", 2, 0, {}), FlowCreated(8, 1.0, "a1", "below", "grey-lynx", "{}", (7, 4))]
    )
    text = '{"markdown": "x"}'
    for number, task_run in enumerate((0, 2, 3, 99), 1):
        model.apply([ArtifactMade(7, 1.0, task_run, number, "markdown", text)])
    model.apply([ArtifactMade(8, 1.0, 1, 1, "markdown", text)])
    makers = [view["maker"] for view in model.artifacts.since(0)]
    assert makers == ["", "clean[1]", "load", "", "below 'grey-lynx'"]
    assert drawing.run(1.0)["artifacts"] == {"count": 5, "version": 5}
    assert misfits(drawing.run(1.0), protocol.RunView) == []
    assert "5 artifacts in the record" in picture(drawing.view(1.0))


def test_the_record_gives_those_of_subflows_too() -> None:
    from tidegate import create_markdown_artifact, flow

    @flow
    def below() -> None:
        create_markdown_artifact("below")

    @flow
    def above() -> None:
        below()
        create_markdown_artifact("above")

    store = MemoryStore()
    with using(Engine(store)):
        above()
    model = GraphModel()
    model.apply([event for _, event in store.events(1)])
    model.apply(recorded(store, 1))
    assert [(view["text"], view["maker"].split()[:1]) for view in model.artifacts.since(0)] == [
        ("above", []),
        ("below", ["below"]),
    ]
