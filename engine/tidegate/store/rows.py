"""Rows of the store: how events fold into them, and the statements that write them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ..model.events import ArtifactMade, CacheEntry, Event, FlowState, LogLines, TaskCreated, TaskState
from ..model.states import TERMINAL, State, StateType
from . import artifact_table, codec, schema

_CHUNKS = (256, 64, 16, 8, 4, 3, 2, 1)
_PENDING = codec.CODES[StateType.PENDING]
_RUNNING = codec.CODES[StateType.RUNNING]

Row = list[Any]


class Rows(NamedTuple):
    """What a group of events comes to."""

    tasks: list[Row]
    """Rows of task runs."""
    log: list[Row]
    """Rows of the event log."""
    flows: list[FlowState]
    """States to fold into the rows of flow runs."""
    lines: list[LogLines]
    cache: list[Row]
    """Rows of the cache."""
    artifacts: dict[tuple[int, int], Row]
    """Rows of artifacts: only the newest version of each."""


def fold(events: Iterable[Event], numbers: Callable[[int], int]) -> Rows:
    """The rows of a group of events; ``numbers(flow_run)`` gives the next place in the log of a flow run."""
    tasks: dict[tuple[int, int], Row] = {}
    quiet: dict[tuple[int, int], Row] = {}
    log: list[Row] = []
    flows: list[FlowState] = []
    lines: list[LogLines] = []
    cache: list[Row] = []
    artifacts: dict[tuple[int, int], Row] = {}
    merged = codec.MERGED
    for event in events:
        if isinstance(event, FlowState):
            flows.append(event)
            quiet.clear()  # the log says on which side of a pause something happened
            log.append(codec.encode(event, numbers(event.flow_run)))
            continue
        if isinstance(event, TaskState):
            key = (event.flow_run, event.task_run)
            row = tasks.get(key)
            if row is None:
                # Only the right half counts: the row is there already and the upsert updates it, taking from `created`
                # when the last state ended.
                row = tasks[key] = [*key, "", 0, 0, 0, 0, *_UNKNOWN]
                row[12] = event.at
            _fold_task(row, event)
            if event.cache is not None:
                cache.append(_cache_row(event, event.cache))
        elif isinstance(event, TaskCreated):
            key = (event.flow_run, event.task_run)
            tasks[key] = _new_row(event)
        elif isinstance(event, LogLines):
            lines.append(event)
            continue
        elif isinstance(event, ArtifactMade):
            artifacts[event.flow_run, event.number] = artifact_table.row(event)
            continue
        else:
            log.append(codec.encode(event, numbers(event.flow_run)))
            continue
        entry = codec.encode(event, 0)
        before = quiet.get(key)
        if before is not None and entry[5] is None and (before[3], entry[3]) in merged:
            before[3], before[4] = merged[before[3], entry[3]], entry[4]
            continue
        entry[1] = numbers(key[0])
        log.append(entry)
        if entry[5] is None:
            quiet[key] = entry
        elif before is not None:
            del quiet[key]
    return Rows(list(tasks.values()), log, flows, lines, cache, artifacts)


_UNKNOWN = (None, 0, None, None, 0, 0.0, 0.0, None, None, None, 0.0, None, None, None, None)


def _new_row(event: TaskCreated) -> Row:
    links = codec.encode_links(event.links)
    head = [event.flow_run, event.task_run, codec.clean(event.task), event.site, event.index, event.parent]
    version = None if event.version is None else codec.clean(event.version)
    tail = [0.0, None, codec.encode_tags(event.tags), None, version]
    return [*head, int(event.subflow), links, _PENDING, None, None, 0, event.at, event.at, None, None, None, *tail]


def _fold_task(row: Row, event: TaskState) -> None:
    """The same fold as `TaskRow.apply`, on the columns of the row."""
    state = event.state
    kind = state.type
    if row[8] == _RUNNING:
        row[17] += event.at - row[13]
    row[8] = codec.CODES[kind]
    row[9], row[10] = _name_and_message(state)
    row[11] = event.attempt
    row[13] = event.at
    if kind is StateType.RUNNING and row[14] is None:
        row[14] = event.at
    row[15] = event.at if kind in TERMINAL else None
    row[16] = state.scheduled_time
    if event.name:
        row[18] = codec.clean(event.name)
    row[20] = event.result


def _cache_row(event: TaskState, entry: CacheEntry) -> Row:
    parts = json.dumps(dict(entry.parts))
    return [entry.key, event.at, event.flow_run, event.task_run, entry.task, entry.expires, parts]


def _name_and_message(state: State) -> tuple[str | None, str | None]:
    name = None if state.name == codec.NAMES[state.type] else codec.clean(state.name)
    return name, codec.clean(state.message) if state.message else None


def update_flow(connection: sqlite3.Connection, event: FlowState) -> None:
    """Fold a state into the row of its flow run."""
    state = event.state
    started = event.at if state.type is StateType.RUNNING else None
    ended = event.at if state.type in TERMINAL else None
    head = (codec.CODES[state.type], *_name_and_message(state), event.at, started, ended, state.scheduled_time)
    connection.execute(schema.FLOW_UPDATE, (*head, event.attempt, event.at, event.result, event.flow_run))


def insert(
    connection: sqlite3.Connection, table: str, columns: str, width: int, rows: Sequence[Sequence[Any]], tail: str = ""
) -> None:
    """Insert rows, many to a statement: `executemany` hands the interpreter over once a row, and starves."""
    at, left = 0, len(rows)
    if left in _CHUNKS:  # one statement, as for the end of a single task run
        values = [value for row in rows for value in row]
        connection.execute(_insert_sql(table, columns, width, left, tail), values)
        return
    for size in _CHUNKS:
        while left >= size:
            values = [value for row in rows[at : at + size] for value in row]
            connection.execute(_insert_sql(table, columns, width, size, tail), values)
            at, left = at + size, left - size


@lru_cache(maxsize=64)
def _insert_sql(table: str, columns: str, width: int, size: int, tail: str) -> str:
    one = "(" + ",".join("?" * width) + ")"
    return f"INSERT INTO {table}({columns}) VALUES {','.join([one] * size)}{tail}"
