"""Rows of the store: how events fold into them, and the statements that write them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import compress
from typing import Any

from ..model.events import ArtifactMade, CacheEntry, Event, FlowCreated, FlowState, LogLines, TaskCreated, TaskState
from ..model.states import COMPLETED, PENDING, RUNNING, TERMINAL, State
from . import artifact_table, checksums, codec, schema

_CHUNKS = (256, 64, 16, 8, 4, 3, 2, 1)
_PENDING = codec.CODES[PENDING]
_RUNNING = codec.CODES[RUNNING]
_COMPLETED = codec.CODES[COMPLETED]

Row = list[Any]


class Rows:
    """What a group of events comes to; ``numbers(flow_run)`` gives the next place in the log of a flow run."""

    def __init__(self, events: Iterable[Event], numbers: Callable[[int], int]) -> None:
        self._numbers = numbers
        self._tasks: dict[tuple[int, int], Row] = {}
        self._quiet: dict[tuple[int, int], Row] = {}
        """The last entry in the log of each task run, where the next event may be merged with it."""
        self._needless: set[int] = set()
        """Entries of the log that say what the row of their task run says."""
        self._log: list[Row] = []
        self.flows: list[FlowState] = []
        """States to fold into the rows of flow runs."""
        self.lines: list[LogLines] = []
        self.cache: list[Row] = []
        self.artifacts: dict[tuple[int, int], Row] = {}
        """Only the newest version of each."""
        self.again: list[tuple[int, int]] = []
        """Task runs that go on although their row may have said all about them."""
        for event in events:
            if isinstance(event, TaskState):
                self._task_state(event)
            elif isinstance(event, TaskCreated):
                key = (event.flow_run, event.task_run)
                self._tasks[key] = _new_row(event)
                entry = [event.flow_run, numbers(event.flow_run), event.task_run, codec.TASK_CREATED, event.at, None]
                self._quiet[key] = entry
                self._log.append(entry)  # the rest is in the row of the run
            elif isinstance(event, LogLines):
                self.lines.append(event)
            elif isinstance(event, ArtifactMade):
                self.artifacts[event.flow_run, event.number] = artifact_table.row(event)
            else:
                if isinstance(event, FlowState):
                    self.flows.append(event)
                    self._quiet.clear()  # the log says on which side of a pause something happened
                self._log.append(codec.encode(event, numbers(event.flow_run)))

    def tasks(self) -> list[Row]:
        """Rows of task runs, each new or to be updated; to be asked once.

        New ones have their checksum; what becomes of the others is put together by SQLite.
        """
        sums = [row if len(row) == schema.TASK_WIDTH else checksums.sealed(row) for row in self._tasks.values()]
        return [[schema.task_id(row[0], row[1]), *row] for row in sums]

    def log(self) -> list[Row]:
        """Rows of the event log, with their checksums; to be asked once."""
        log = [entry for entry in self._log if id(entry) not in self._needless] if self._needless else self._log
        return list(map(checksums.sealed, log))

    def _task_state(self, event: TaskState) -> None:
        key = (event.flow_run, event.task_run)
        row = self._tasks.get(key)
        if row is None:
            # Only the right half counts: the row is there already and the upsert updates it, taking from `created`
            # when the last state ended.
            row = self._tasks[key] = [*key, "", 0, 0, 0, 0, *_UNKNOWN]
            row[12] = event.at
            if event.attempt > 1:
                self.again.append(key)
        if event.cache is not None:
            self.cache.append(_cache_row(event, event.cache))
        code, detail = _fold_task(row, event)
        before = self._quiet.get(key)
        if detail is None and before is not None and (before[3], code) in codec.MERGED:
            before[3], before[4] = codec.MERGED[before[3], code], event.at
            if before[3] == codec.WHOLE:
                row[_SEQ] = before[1]
                self._needless.add(id(before))
            return
        entry = [event.flow_run, self._numbers(event.flow_run), event.task_run, code, event.at, detail]
        self._log.append(entry)
        if detail is None:
            self._quiet[key] = entry
        elif before is not None:
            del self._quiet[key]


_UNKNOWN = (None, 0, None, None, 0, 0.0, 0.0, None, None, None, 0.0, *[None] * 9)
_NAME, _SEQ, _RESULT = 18, 24, 25
"""Their places in a row."""


def _new_row(event: TaskCreated) -> Row:
    links = codec.encode_links(event.links) if event.links else None
    tags = codec.encode_tags(event.tags) if event.tags else None
    version = event.version and codec.clean(event.version)
    # One list and not the sum of several: one is made for each task run.
    return [
        event.flow_run, event.task_run, codec.clean(event.task), event.site, event.index, event.parent,
        int(event.subflow), links, _PENDING, None, None, 0, event.at, event.at, None, None, None, 0.0, None, tags,
        event.key or None, event.nth, event.source or None, version, None, None,
    ]  # fmt: skip


def _fold_task(row: Row, event: TaskState) -> tuple[int, str | None]:
    """The same fold as `TaskRow.apply`, on the columns of the row; gives the kind and the detail for the log."""
    state = event.state
    kind = state.type
    if row[8] == _RUNNING:
        row[17] += max(0.0, event.at - row[13])
    code = row[8] = codec.CODES[kind]
    named = state.name != codec.NAMES[kind]
    row[9] = codec.clean(state.name) if named else None
    row[10] = codec.clean(state.message) if state.message else None
    row[11] = event.attempt
    row[13] = event.at
    if kind is RUNNING and row[14] is None:
        row[14] = event.at
    row[15] = event.at if kind in TERMINAL else None
    row[16] = None if state.scheduled_time is None else float(state.scheduled_time)
    if event.name:
        row[18] = codec.clean(event.name)
    if event.source:
        row[22] = event.source
    row[_RESULT] = event.result
    quiet = event.attempt == 1 and not (named or state.message)
    return codec.STATE + code, None if quiet else codec.state_detail(state, event.attempt)


def whole_story(events: Sequence[Event], numbers: Callable[[int], int]) -> tuple[str, Row] | None:
    """The statement that keeps a task run which was created, ran and completed quietly, and its values, if the events
    are just that; else null.

    What `Rows` would come to, at a third of the price: it is what every directly called task commits.
    """
    created, begun, done = events
    if type(created) is not TaskCreated or type(begun) is not TaskState or type(done) is not TaskState:
        return None
    flow_run, number = created.flow_run, created.task_run
    first, last = begun.state, done.state
    if (
        (begun.task_run != number or begun.flow_run != flow_run or done.task_run != number or done.flow_run != flow_run)
        or (first.type is not RUNNING or first.name != "Running" or first.message)
        or (last.type is not COMPLETED or last.name != "Completed" or last.message)
        or (done.attempt != 1 or done.cache is not None)
    ):
        return None
    row = _new_row(created)
    ended = done.at
    row[8:18] = _COMPLETED, None, None, 1, created.at, ended, begun.at, ended, None, ended - begun.at
    row[_SEQ:] = numbers(flow_run), done.result
    usual = not (done.name or created.tags or created.version)
    if done.name:
        row[_NAME] = codec.clean(done.name)
    checksums.sealed(row)
    row.insert(0, schema.task_id(flow_run, number))
    alone = not created.links
    if usual and row.count(None) == len(schema.NULLS) + alone:
        sql, said = schema.TASK_INSERT_FEW[alone]
        return sql, list(compress(row, said))
    return schema.TASK_INSERT, row


def _cache_row(event: TaskState, entry: CacheEntry) -> Row:
    expires = None if entry.expires is None else float(entry.expires)
    head = [codec.clean(entry.key), event.at, event.flow_run, event.task_run, event.attempt, codec.clean(entry.task)]
    return checksums.sealed([*head, expires, json.dumps(dict(entry.parts))])


def _name_and_message(state: State) -> tuple[str | None, str | None]:
    name = None if state.name == codec.NAMES[state.type] else codec.clean(state.name)
    return name, codec.clean(state.message) if state.message else None


def insert_flow(connection: sqlite3.Connection, created: FlowCreated) -> int:
    """Make the row of a new flow run, Pending, and let SQLite number it."""
    names = (codec.clean(each) for each in (created.uuid, created.flow, created.name, created.parameters))
    more = [codec.clean(each) or None for each in (created.target, created.owner, created.body)]
    parent = created.parent or (None, None)
    row = (*names, created.source, *parent, _PENDING, codec.encode_tags(created.tags), *more)
    cursor = connection.execute(
        "INSERT INTO flow_run(uuid, flow, name, parameters, source, parent_flow_run, "
        "parent_task_run, state, tags, target, owner, body, durability, forked_from, created, at) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (*row, created.durability or None, created.forked_from or None, created.at, created.at),
    )
    number = int(cursor.lastrowid or 0)
    checksums.seal_flow_run(connection, number)
    return number


def update_flow(connection: sqlite3.Connection, event: FlowState) -> None:
    """Fold a state into the row of its flow run."""
    state = event.state
    started = event.at if state.type is RUNNING else None
    ended = event.at if state.type in TERMINAL else None
    head = (codec.CODES[state.type], *_name_and_message(state), event.at, started, ended, state.scheduled_time)
    tail = (event.attempt, event.at, event.result, state.is_suspended(), event.flow_run)
    connection.execute(schema.FLOW_UPDATE, (*head, *tail))
    checksums.seal_flow_run(connection, event.flow_run)


def insert(
    connection: sqlite3.Connection, table: str, columns: str, rows: Sequence[Sequence[Any]], tail: str = ""
) -> None:
    """Insert rows, many to a statement: `executemany` hands the interpreter over once a row, and starves.

    A column that is null in all of them is so in the text, see `schema.TASK_INSERT_FEW`.
    """
    at, left = 0, len(rows)
    for size in _CHUNKS:
        while left >= size:
            chunk = rows[at : at + size]
            said = tuple([column.count(None) < size for column in zip(*chunk, strict=True)])
            values = [value for row in chunk for value in compress(row, said)]
            connection.execute(_insert_sql(table, columns, said, size, tail), values)
            at, left = at + size, left - size


@lru_cache(maxsize=256)
def _insert_sql(table: str, columns: str, said: Sequence[bool], size: int, tail: str) -> str:
    one = "(" + ",".join(["?" if each else "NULL" for each in said]) + ")"
    return f"INSERT INTO {table}({columns}) VALUES {','.join([one] * size)}{tail}"
