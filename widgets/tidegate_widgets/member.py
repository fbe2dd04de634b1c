"""One task run as the inspector shows it: what the model knows, and what its record has.

Looking never loads a result: only what is text in the record is shown.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from tidegate.digests import source_digest
from tidegate.errors import MissingResult, StoreError
from tidegate.model.events import LogLine
from tidegate.model.views import TaskRow
from tidegate.moments import duration
from tidegate.ports import EventStore
from tidegate.registry import registered
from tidegate.results.blob import read_head, why_unsaved
from tidegate.results.keeper import reference_of

from .graph_model import GraphModel
from .members import label, member_state, steps
from .node import Node
from .protocol import Action, Fact, InputView, LogView, Member
from .same_errors import error_text
from .wording import state_view

LOG_LINES = 200
"""Lines of a log that are shown at most."""

LONGEST_LINE = 2_000
LONGEST_RESULT = 4_000
LONGEST_CODE = 16_000
"""Characters of a line of a log, of a result and of a function that are shown at most."""


class Record(NamedTuple):
    """What is kept of a task run beside its state."""

    row: TaskRow | None
    """Null for one that is not in the store."""
    lines: list[LogLine]
    """One more than are shown, if there are more."""
    code: str = ""
    code_note: str = ""


def look(store: EventStore, flow_run: int, number: int, kind: str, task: str) -> Record:
    """Read what the store has of a task run, and the code of its task as it is here.  May take some milliseconds."""
    try:
        row = store.task_run(flow_run, number)
        lines = store.logs(flow_run, task_run=number, limit=LOG_LINES + 1)
    except StoreError:
        row, lines = None, []
    return Record(row, [line for _, line in lines], *_code(kind, task, row))


def _code(kind: str, task: str, row: TaskRow | None) -> tuple[str, str]:
    face = registered(kind).get(task)
    if face is None:
        return "", f"There is no {kind} {task!r} in this kernel."
    try:
        code = _cut(inspect.getsource(inspect.unwrap(face.fn)), LONGEST_CODE)
    except (OSError, TypeError):
        return "", "Its source is not to be had."
    changed = row is not None and row.source and row.source != source_digest(face.fn)
    return code, "It has changed since this task run." if changed else ""


def told(model: GraphModel, number: int, record: Record, actions: Sequence[Action] = ()) -> Member | None:
    """What is to be known about a task run, of which `actions` may be done with it; null for a number that nobody has
    heard of."""
    node = model.node_of(number)
    if node is None:
        return None
    place = node.members.index(number)
    state, row = member_state(model, node, number), record.row
    if row is not None and row.state.type is state.type and not state.message:
        state = row.state
    failed = state.is_failed() or state.is_crashed()
    story = node.failure(number) if failed else None
    result, result_note = _result(row)
    return {
        "number": model.base + number,
        "node": model.base + node.site,
        "place": place,
        "label": label(node, place),
        "state": state_view(state),
        "steps": steps(model, node, place),
        "facts": _facts(model, node, number, row),
        "inputs": _inputs(model, row),
        "error": error_text(state) if failed else "",
        "traceback": ((story and story.traceback) or _traceback(record.lines)) if failed else "",
        "logs": [_line(line) for line in record.lines[:LOG_LINES]],
        "more": len(record.lines) > LOG_LINES,
        "result": result,
        "result_note": result_note,
        "code": record.code,
        "code_note": record.code_note,
        "actions": list(actions),
    }


def _facts(model: GraphModel, node: Node, number: int, row: TaskRow | None) -> list[Fact]:
    facts: list[Fact] = []
    if row is not None and row.given_name:
        facts.append({"label": "Name", "text": row.given_name})
    if (attempts := model.runs.attempts[number]) > 1:
        ran = f", {duration(row.ran)} in all" if row is not None and row.ran else ""
        facts.append({"label": "Attempts", "text": f"{attempts}{ran}"})
    if len(node.versions) > 1 and (version := model.version(number)):
        facts.append({"label": "Code", "text": f"version {version} of {len(node.versions)}"})
    span = model.runs.span(number)
    if span is not None and span[1] is not None:
        text = duration(span[1] - span[0])
        if node.ended > 1:
            text += f" · {duration(node.seconds / node.ended)} on average"
        facts.append({"label": "Duration", "text": text})
    if row is not None and row.tags:
        facts.append({"label": "Tags", "text": ", ".join(row.tags)})
    return facts


def _inputs(model: GraphModel, row: TaskRow | None) -> list[InputView]:
    inputs: list[InputView] = []
    for parameter, ranges in row.links.items() if row is not None else ():
        for _, first, last in ranges:
            source = model.node_of(first)
            if source is not None:
                one, many = first == last, f"{source.task} ({last - first + 1:,} runs)"
                name = label(source, source.members.index(first)) if one else many
                node, member = model.base + source.site, model.base + first if one else None
                inputs.append({"parameter": parameter, "label": name, "node": node, "member": member})
    return inputs


def _line(line: LogLine) -> LogView:
    at = time.strftime("%H:%M:%S", time.localtime(line.at)) + f".{int(line.at % 1 * 10)}"
    return {"clock": at, "level": logging.getLevelName(line.level), "text": _cut(line.text, LONGEST_LINE)}


def _traceback(lines: list[LogLine]) -> str:
    """The traceback that the engine has logged last."""
    texts = (line.text for line in reversed(lines) if line.level >= logging.ERROR)
    for text in texts:
        _, mark, trace = text.partition("Traceback (most recent call last):")
        if mark:
            return mark + trace
    return ""


def _result(row: TaskRow | None) -> tuple[str, str]:
    """The text of a kept result, and what there is to be said of it."""
    if row is None or row.result is None:
        return "", "Nothing is kept of its result."
    if reason := why_unsaved(row.result):
        return "", f"It is not saved: {reason}."
    if (reference := reference_of(row.result)) is not None:
        return "", f"It is saved in a file of {reference.size:,} bytes ({reference.serializer})."
    try:
        head = read_head(row.result)
    except MissingResult as damaged:
        return "", str(damaged)
    payload = row.result[head.end :]
    if head.serializer != "json":
        return "", f"It is saved ({head.serializer}, {len(payload):,} bytes). It is not loaded for a look."
    return _cut(payload.decode("utf-8", "replace"), LONGEST_RESULT), ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + " …"
