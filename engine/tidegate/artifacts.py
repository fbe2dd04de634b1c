"""Artifacts: things to look at that are kept with the run that made them.

    create_markdown_artifact("# Night 7: 3 rows skipped", key="report")
    artifact(figure)

Each is made from anywhere in a flow run, sync or async, is shown while the run goes on, and stays in the store.  Each
function gives the number of the artifact within its flow run.  All of them raise `MissingContext` where no run is
active, `InvalidName` for a key that cannot be one, and `InvalidOption` for what cannot be kept, or is above 5 MB.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from . import artifact_data
from .context import Frame, frame, sketching
from .errors import InvalidName, InvalidOption, MissingContext, StoreError
from .model.events import ArtifactMade
from .run.bodies import step_in, step_out

if TYPE_CHECKING:
    from .run.flow_run import FlowRun

LARGEST = 5_000_000
"""Bytes of one artifact at most, as it is kept: bytes of an image count 4/3."""

_KEY = re.compile("[a-z0-9-]+")


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> int:
    """Keep a text in Markdown.  `key` names it, in lower case letters, digits and dashes."""
    if not isinstance(markdown, str):
        raise InvalidOption(f"Markdown is a text, not {type(markdown).__name__}: {markdown!r:.60}.")
    return _make("markdown", {"markdown": markdown}, key, description)


def create_table_artifact(table: Any, key: str | None = None, description: str | None = None) -> int:
    """Keep a table: a list of dicts, a dict of lists, a list of lists or a data frame.

    Cells that are neither text nor number are kept as their text; NaN as an empty cell.
    """
    return _make("table", artifact_data.table(table), key, description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> int:
    """Keep a link, with the text to show for it."""
    return _make("link", artifact_data.link(link, link_text), key, description)


def create_image_artifact(image_url: str | bytes, key: str | None = None, description: str | None = None) -> int:
    """Keep an image: its address, or its bytes (PNG, JPEG, GIF, WebP or SVG)."""
    return _make("image", artifact_data.image(image_url), key, description)


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> int:
    """Show how far something is, from 0 to 100; `update_progress_artifact` moves it on."""
    return _make("progress", _progress(progress), key, description)


def update_progress_artifact(artifact_id: int, progress: float, description: str | None = None) -> None:
    """Move a progress artifact on, by the number that `create_progress_artifact` gave.

    Raises `InvalidOption` if this flow run has none of that number.
    """
    if sketching.get() is not None:
        return
    here = _inside()
    out = step_out(here)
    try:
        made = _artifacts_of(here.flow_run).progress.get(artifact_id)
        if made is None:
            raise InvalidOption(f"{artifact_id!r:.60} is no progress artifact of the flow run {here.flow_run.name!r}.")
        data = _encoded(_progress(progress))
        words = made.description if description is None else description
        _publish(here, replace(made, at=here.flow_run.now(), data=data, description=words))
    finally:
        step_in(here, out)


def artifact(value: Any, key: str | None = None, description: str | None = None) -> int:
    """Keep how an object shows itself in a notebook: a figure, a data frame, anything.

    Kept are its plain text, HTML, Markdown, PNG, JPEG and SVG, as far as it has them; the object itself is not.
    """
    return _make("object", artifact_data.bundle_of(value), key, description)


def mimebundle(made: ArtifactMade) -> dict[str, str]:
    """How an artifact that was kept is shown, by MIME type; there is always ``text/plain``."""
    return artifact_data.shown(made.kind, json.loads(made.data))


class _Artifacts:
    """The artifacts of one flow run, as far as they can change, and the next number."""

    def __init__(self, run: FlowRun) -> None:
        known: list[ArtifactMade] = []
        with suppress(StoreError):  # a run that goes on in another process has some already
            known = run.engine.store.artifacts(run.number)
        self.numbers = count(known[-1].number + 1 if known else 1)
        self.progress = {made.number: made for made in known if made.kind == "progress"}


_lock = threading.Lock()
_of_runs: WeakKeyDictionary[FlowRun, _Artifacts] = WeakKeyDictionary()


def _artifacts_of(run: FlowRun) -> _Artifacts:
    with _lock:
        found = _of_runs.get(run)
        if found is None:
            found = _of_runs[run] = _Artifacts(run)
    return found


def _make(kind: str, data: Any, key: str | None, description: str | None) -> int:
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise InvalidName(f"{key!r:.60} cannot be the key of an artifact: write lower case letters, digits and dashes.")
    if sketching.get() is not None:
        return 0
    here = _inside()
    encoded = _encoded(data)
    out = step_out(here)
    try:
        run, task_run = here.flow_run, here.task_run
        number = next(_artifacts_of(run).numbers)
        above = 0 if task_run is None else task_run.number
        _publish(here, ArtifactMade(run.number, run.now(), above, number, kind, encoded, key, description))
    finally:
        step_in(here, out)
    return number


def _publish(here: Frame, made: ArtifactMade) -> None:
    if made.kind == "progress":
        _artifacts_of(here.flow_run).progress[made.number] = made
    here.flow_run.engine.note(made)


def _inside() -> Frame:
    here = frame.get()
    if here is None:
        raise MissingContext("An artifact is kept with a run, and none is active here. Make it in a flow or a task.")
    return here


def _encoded(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode("utf-8", "backslashreplace"))
    if size > LARGEST:
        raise InvalidOption(
            f"An artifact is {LARGEST // 1_000_000} MB at most, and this one {size / 1e6:.1f} MB. "
            "Show a part of it, or return the whole as a result."
        )
    return text


def _progress(given: Any) -> dict[str, Any]:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 100:
        raise InvalidOption(f"Progress is a number from 0 to 100, not {given!r:.60}.")
    return {"progress": float(given)}
