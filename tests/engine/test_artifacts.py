"""Artifacts: kept with the run that made them, shown while it goes on, within bounds."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from typing import Any

import pytest

from support.flows import Feed, flow, in_time, task
from tidegate import (
    InvalidName,
    InvalidOption,
    MissingContext,
    artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from tidegate.artifacts import LARGEST, mimebundle
from tidegate.engine import Engine
from tidegate.model.events import ArtifactMade

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def made_by(engine: Engine, *calls: Any) -> list[ArtifactMade]:
    """What is kept after a flow that does this."""

    @flow
    def work() -> str:
        for call in calls:
            call()
        return "done"

    work()
    number = len(engine.store.flow_runs())
    return engine.store.artifacts(number)


def data_of(engine: Engine, call: Any) -> Any:
    (made,) = made_by(engine, call)
    return json.loads(made.data)


def test_they_are_kept_with_the_run_and_shown_while_it_goes_on(stored: Engine, feed: Feed) -> None:
    def shown() -> list[ArtifactMade]:
        return [event for event in feed.events if isinstance(event, ArtifactMade)]

    @task
    def load(day: int) -> None:
        create_link_artifact("https://example.org/x", "the source", key=f"source-{day}")

    @flow
    def work() -> list[int]:
        first = create_markdown_artifact("# Night", key="report", description="what happened")
        assert [event.number for event in shown()] == [first]  # before the run has ended
        load.map([1, 2]).result()
        return [first, create_markdown_artifact("no key")]

    assert work() == [1, 4]
    kept = stored.store.artifacts(1)
    assert sorted(shown(), key=lambda event: event.number) == kept
    assert [(made.number, made.kind, made.key) for made in kept if made.number in (1, 4)] == [
        (1, "markdown", "report"),
        (4, "markdown", None),
    ]
    assert kept[0].description == "what happened"
    assert {(made.task_run, made.key) for made in kept[1:3]} == {(1, "source-1"), (2, "source-2")}
    assert stored.store.artifacts(2) == []
    assert all(not isinstance(event, ArtifactMade) for _, event in stored.store.events(1))


def test_async_code_makes_them_by_a_plain_call(stored: Engine) -> None:
    @task
    async def report(x: int) -> int:
        await asyncio.sleep(0)
        return create_markdown_artifact(f"{x}")

    @flow
    async def work() -> Any:
        create_markdown_artifact("flow")
        return sorted(await asyncio.gather(*(report(x) for x in range(3))))

    assert in_time(lambda: asyncio.run(work())) == [2, 3, 4]
    assert [made.task_run for made in stored.store.artifacts(1)] == [0, 1, 2, 3]


def test_progress_moves_on_in_its_place(stored: Engine, feed: Feed) -> None:
    @task
    def half(number: int) -> None:
        update_progress_artifact(number, 50)

    @flow
    def work() -> str:
        number = create_progress_artifact(0, key="rows", description="rows read")
        half.submit(number).result()
        update_progress_artifact(number, 100.0, description="all rows read")
        with pytest.raises(InvalidOption, match="7 is no progress artifact"):
            update_progress_artifact(7, 3)
        return "done"

    work()
    steps = [event for event in feed.events if isinstance(event, ArtifactMade)]
    assert [json.loads(each.data)["progress"] for each in steps] == [0, 50, 100]
    (kept,) = stored.store.artifacts(1)
    assert kept == steps[-1]
    assert (kept.number, kept.key, kept.description) == (1, "rows", "all rows read")
    assert mimebundle(kept)["text/plain"] == "100 %"


def test_a_flow_that_is_retried_counts_on(stored: Engine) -> None:
    tries: list[int] = []

    @flow(retries=1)
    def work() -> None:
        tries.append(create_markdown_artifact("once more"))
        if len(tries) == 1:
            raise ValueError("no")

    work()
    assert tries == [1, 2]


def test_a_run_that_goes_on_elsewhere_counts_on_and_knows_its_progress(stored: Engine) -> None:
    """As after a restart: what this process knows of the run is gone."""
    from tidegate import artifacts

    @flow
    def work() -> Any:
        number = create_progress_artifact(10)
        stored.store.commit_all(())
        artifacts._of_runs.clear()
        update_progress_artifact(number, 20)
        return create_markdown_artifact("next")

    assert work() == 2
    assert [json.loads(made.data) for made in stored.store.artifacts(1)] == [{"progress": 20.0}, {"markdown": "next"}]


class Frame2:
    """As polars has it."""

    def to_dicts(self) -> list[dict[str, int]]:
        return [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("table", "columns", "rows"),
    [
        ([{"a": 1, "b": "x"}, {"b": None, "c": True}], ["a", "b", "c"], [[1, "x", None], [None, None, True]]),
        ({"a": [1, 2], "b": (3.5, math.nan)}, ["a", "b"], [[1, 3.5], [2, None]]),
        ([[1, 2], (3, {4})], None, [[1, 2], [3, "{4}"]]),
        ([], [], []),
        (Frame2(), ["a"], [[1], [2]]),
    ],
)
def test_tables(engine: Engine, table: Any, columns: Any, rows: Any) -> None:
    assert data_of(engine, lambda: create_table_artifact(table)) == {"columns": columns, "rows": rows}


def test_data_frames(engine: Engine) -> None:
    pandas = pytest.importorskip("pandas")
    plain = pandas.DataFrame({"a": [1, 2], "b": [0.5, math.nan]})
    kept = data_of(engine, lambda: create_table_artifact(plain))
    assert kept == {"columns": ["a", "b"], "rows": [[1, 0.5], [2, None]]}
    named = plain.set_index(pandas.Index(["x", "y"], name="code"))
    kept = data_of(engine, lambda: create_table_artifact(named))
    assert kept == {"columns": ["code", "a", "b"], "rows": [["x", 1, 0.5], ["y", 2, None]]}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: create_table_artifact({"a": [1], "b": []}), "one length: a has 1, b has 0"),
        (lambda: create_table_artifact({"a": 1}), "needs a list in each column"),
        (lambda: create_table_artifact("text"), "A table is a list of dicts"),
        (lambda: create_table_artifact([1, 2]), "A table is a list of dicts"),
        (lambda: create_markdown_artifact(b"x"), "Markdown is a text, not bytes"),  # type: ignore[arg-type]
        (lambda: create_link_artifact("javascript:alert(1)"), "A link leads to http"),
        (lambda: create_link_artifact("java\tscript:alert(1)"), "A link leads to http"),
        (lambda: create_link_artifact(""), "A link is a text"),
        (lambda: create_image_artifact(b"hello"), "These bytes are no image"),
        (lambda: create_image_artifact(3), "An image is the address of one"),  # type: ignore[arg-type]
        (lambda: create_progress_artifact(101), "from 0 to 100, not 101"),
        (lambda: create_progress_artifact(math.nan), "from 0 to 100, not nan"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_line(engine: Engine, call: Any, told: str) -> None:
    with pytest.raises(InvalidOption, match=told) as caught:
        made_by(engine, call)
    assert "\n" not in str(caught.value)
    assert engine.store.artifacts(1) == []


@pytest.mark.parametrize("key", ["", "Report", "a b", "a_b", "ä", "a\n", 3])
def test_a_key_is_lower_case_letters_digits_and_dashes(engine: Engine, key: Any) -> None:
    with pytest.raises(InvalidName, match="lower case letters, digits and dashes"):
        made_by(engine, lambda: create_markdown_artifact("x", key=key))
    assert made_by(engine, lambda: create_markdown_artifact("x", key="night-7"))[0].key == "night-7"


def test_five_megabytes_are_the_limit(stored: Engine) -> None:
    frame = len('{"markdown":""}')
    (kept,) = made_by(stored, lambda: create_markdown_artifact("x" * (LARGEST - frame)))
    assert len(kept.data) == LARGEST
    with pytest.raises(InvalidOption, match=r"An artifact is 5 MB at most, and this one 5\.0 MB"):
        made_by(stored, lambda: create_markdown_artifact("x" * (LARGEST - frame + 1)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: create_markdown_artifact("x"),
        lambda: update_progress_artifact(1, 5),
        lambda: artifact(object()),
    ],
)
def test_outside_of_a_run_there_is_nothing_to_keep_it_with(call: Any) -> None:
    with pytest.raises(MissingContext, match="none is active here"):
        call()


class Rich:
    def __repr__(self) -> str:
        return "Rich()"

    def _repr_html_(self) -> str:
        return "<b>rich</b>"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return PNG, {"width": 3}

    def _repr_markdown_(self) -> None:
        """Has none today."""


class Bundle:
    def _repr_mimebundle_(self, include: Any, exclude: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"text/plain": "as it says", "text/markdown": "*b*", "application/javascript": "alert(1)"}, {}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (
            Rich(),
            {"text/plain": "Rich()", "text/html": "<b>rich</b>", "image/png": base64.b64encode(PNG).decode()},
        ),
        (Bundle(), {"text/plain": "as it says", "text/markdown": "*b*"}),
        ([1, 2], {"text/plain": "[1, 2]"}),
        (int, {"text/plain": "<class 'int'>"}),
    ],
)
def test_an_object_is_kept_as_it_shows_itself(stored: Engine, value: Any, wanted: dict[str, str]) -> None:
    (made,) = made_by(stored, lambda: artifact(value, key="shown"))
    assert (made.kind, json.loads(made.data)) == ("object", wanted)
    assert mimebundle(made) == wanted
    if value is int:
        assert data_of(stored, lambda: artifact(Rich)).keys() == {"text/plain"}


def test_a_figure_is_kept_as_its_picture(engine: Engine) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure(figsize=(1, 1))
    figure.add_subplot().plot([1, 2])
    kept = data_of(engine, lambda: artifact(figure))
    assert base64.b64decode(kept["image/png"]).startswith(PNG[:8])


def test_how_each_kind_is_shown(engine: Engine) -> None:
    """What the user put in stays text: nothing of it becomes markup."""
    kept = made_by(
        engine,
        lambda: create_markdown_artifact("*m*"),
        lambda: create_table_artifact([{"<a>": "<script>", "b": None}]),
        lambda: create_link_artifact('https://x.org/?a="b"', "<here>"),
        lambda: create_image_artifact(PNG),
        lambda: create_image_artifact("https://x.org/a.png"),
        lambda: create_table_artifact([[n] for n in range(1_500)]),
    )
    shown = [mimebundle(each) for each in kept]
    assert shown[0]["text/markdown"] == "*m*"
    assert shown[1] == {
        "text/plain": "<a>\tb\n<script>\t",
        "text/html": "<table><tr><th>&lt;a&gt;</th><th>b</th></tr><tr><td>&lt;script&gt;</td><td></td></tr></table>",
    }
    assert shown[2]["text/html"] == '<a href="https://x.org/?a=&quot;b&quot;" rel="noopener">&lt;here&gt;</a>'
    assert shown[3]["text/html"].startswith('<img src="data:image/png;base64,')
    assert shown[4]["text/html"] == '<img src="https://x.org/a.png" alt="">'
    assert shown[5]["text/plain"].endswith("999\n500 rows more")


def test_text_that_no_file_can_hold_is_spelled_out(stored: Engine) -> None:
    (made,) = made_by(stored, lambda: create_markdown_artifact("bad \udcff name", description="\udcff"))
    assert "bad " in mimebundle(made)["text/plain"]
