"""A cassette of a flow run that the store has: of each task run the last end, as far as its result was saved, and the
answers that were given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from .cassette import Answer, Call, Cassette, end_of
from .engine import Engine
from .errors import UsageError
from .model.events import FlowState, InputAsked, InputGiven
from .model.states import StateType
from .model.views import FlowRow
from .replay import name_of_root, name_of_subflow

_ODD = re.compile(r"[^\w.-]+")


def default_path(flow: str) -> Path:
    """Where the cassette of a flow is by default."""
    return Path("cassettes") / f"{_ODD.sub('-', flow)}.json"


def cassette_of(engine: Engine, row: FlowRow, path: Path, *, allow_pickle: bool = False) -> Cassette:
    """What the task runs of a flow run, and of its subflows, returned or raised; not written yet.

    What they were called with is not in the store: calls are known by its digest alone.  Results are loaded, as far as
    they are yours.  Raises `UsageError` for a subflow, and for a run of which nothing was recorded.
    """
    if row.parent is not None:
        told = f"Flow run {row.number} ({row.name}) is a subflow."
        raise UsageError(f"{told} Record flow run {row.parent[0]}, which called it.")
    made = Cassette(path)
    _add(made, engine, row, name_of_root(row.flow, 1), allow_pickle)
    if made.is_empty():
        raise UsageError(f"Flow run {row.number} ({row.name}) has no task runs that have ended: nothing to record.")
    return made


def _add(made: Cassette, engine: Engine, row: FlowRow, name: str, allow_pickle: bool) -> None:
    _add_answers(made, engine, row.number, name)
    for each in engine.store.task_runs(row.number):
        if each.parent:
            continue
        if each.subflow:
            for below in engine.store.subflow_runs(row.number, each.number)[:1]:
                _add(made, engine, below, name_of_subflow(name, below.flow, each.key, each.nth), allow_pickle)
            continue
        end: Mapping[str, object] | None = None
        if each.result is None and each.state.type is StateType.COMPLETED:
            end = {"missing": "its result was not saved"}
        else:
            end = end_of(engine.saving.recorded(each), each.attempts, allow_pickle)
        if end is not None:
            made.call(name, Call(each.task, None, each.key, each.nth, [end], each.number))


def _add_answers(made: Cassette, engine: Engine, number: int, name: str) -> None:
    titles: dict[str, str] = {}
    given: dict[str, InputGiven] = {}
    for _, event in engine.store.events(number):
        match event:
            case InputAsked():
                titles[event.key] = event.title
            case InputGiven():
                given[event.key] = event
            case FlowState(pause=key) if key in given:
                made.answer(name, Answer.of(key, titles[key], given[key].answer, given[key].whole))
            case FlowState(pause=key) if key:
                made.answer(name, Answer(key, ""))
