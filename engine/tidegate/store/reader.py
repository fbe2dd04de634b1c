"""Reading a store: each look on a connection of its own, which cannot write.

A row that is not what was written (see `checksums`) is not believed.  A task run or a flow run stands in a list as
Damaged, with nothing but its number, so that a resume counts it as not saved; an event is left out, with a warning.
"""

from __future__ import annotations

import heapq
import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import StoreError
from ..model.events import CacheEntry, Event, FlowCreated, FlowState, InputAsked, InputGiven, TaskCreated, TaskState
from ..model.states import Crashed, Running, StateType
from ..model.views import FlowRow, TaskRow
from ..ports import CacheHit
from . import checksums, codec, schema

_log = logging.getLogger(__name__)

_FLOW_RUNS = f"SELECT {checksums.TABLES['flow_run']}, crc FROM flow_run"
_TASK_RUNS = f"SELECT {schema.TASK_COLUMNS} FROM task_run"
_CHECK = "`tidegate store check` says what else is."
_LOST = "Its row in the store is damaged, and counts as not saved."


def connect(path: Path) -> sqlite3.Connection:
    """A connection for looking."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
    connection.row_factory = sqlite3.Row
    # A text that is damaged is to cost its row, and not all that are read with it.
    connection.text_factory = lambda data: data.decode(errors="surrogateescape")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def flow_runs(connection: sqlite3.Connection, limit: int) -> list[FlowRow]:
    """The newest first."""
    rows = connection.execute(f"{_FLOW_RUNS} ORDER BY number DESC LIMIT ?", (limit,))
    return [_flow_row(row) for row in rows]


def flow_run(connection: sqlite3.Connection, number: int) -> FlowRow | None:
    """One flow run, if it is there.  Raises `StoreError` if it is damaged."""
    row = connection.execute(f"{_FLOW_RUNS} WHERE number = ?", (number,)).fetchone()
    if row is None:
        return None
    if not checksums.fits(row):
        raise StoreError(f"Flow run {number} cannot be read: its row in the store is damaged. {_CHECK}")
    return _flow_row(row)


def subflow_runs(connection: sqlite3.Connection, flow_run: int, task_run: int) -> list[FlowRow]:
    """Those that a task run stood for, the newest first."""
    sql = f"{_FLOW_RUNS} WHERE parent_flow_run = ? AND parent_task_run = ? ORDER BY number DESC"
    return [_flow_row(row) for row in connection.execute(sql, (flow_run, task_run))]


def task_runs(connection: sqlite3.Connection, number: int) -> list[TaskRow]:
    """By number."""
    rows = connection.execute(f"{_TASK_RUNS} WHERE {schema.TASK_OF} ORDER BY id", (number,))
    return [_task_row(row) for row in rows]


def task_run(connection: sqlite3.Connection, flow_run: int, number: int) -> TaskRow | None:
    """One of them, if it is there."""
    row = _one_task_run(connection, flow_run, number)
    return None if row is None else _task_row(row)


def _one_task_run(connection: sqlite3.Connection, flow_run: int, number: int) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute(
        f"{_TASK_RUNS} WHERE id = ?", (schema.task_id(flow_run, number),)
    ).fetchone()
    return found


def events(connection: sqlite3.Connection, number: int, after: int) -> list[tuple[int, Event]]:
    """The events of a flow run in order, beyond sequence number `after`; those written as one row share a number."""
    # As of one moment: whoever asks for what came later would never get what was written between two of these queries.
    connection.execute("BEGIN")
    flow = flow_run(connection, number)
    if flow is None:
        return []
    found = heapq.merge(
        _logged(connection, number, after), _whole(connection, number, after), key=lambda each: each.seq
    )
    return [(entry.seq, event) for entry in found for event in _events(entry, flow)]


class _Entry(NamedTuple):
    """A row of the log, with the row of the task run that it is about where that has the rest."""

    seq: int
    task_run: int
    kind: int
    at: float
    detail: str | None
    row: sqlite3.Row | None


def _logged(connection: sqlite3.Connection, number: int, after: int) -> Iterator[_Entry]:
    """The entries of the log itself."""
    sql = f"SELECT {schema.EVENT_COLUMNS} FROM event WHERE flow_run = ? AND seq > ? ORDER BY seq"
    return _sound(connection, sql, number, after)


def _sound(connection: sqlite3.Connection, sql: str, number: int, *values: int) -> Iterator[_Entry]:
    """The entries of the log of a flow run that a query finds, without those that are damaged."""
    for entry in connection.execute(sql, (number, *values)):
        row = _one_task_run(connection, number, entry["task_run"]) if _needs_row(entry["kind"]) else None
        if not checksums.fits(entry) or (row is not None and not checksums.fits(row)):
            _log.warning("An event of flow run %d is damaged and left out. %s", number, _CHECK)
        else:
            yield _Entry(entry["seq"], entry["task_run"], entry["kind"], entry["at"], entry["detail"], row)


def _needs_row(kind: int) -> bool:
    return kind in (codec.TASK_CREATED, codec.BEGUN, codec.RAN, codec.WHOLE)


def _whole(connection: sqlite3.Connection, number: int, after: int) -> Iterator[_Entry]:
    """The task runs whose whole story stands in their own row."""
    sql = f"SELECT number, seq FROM task_run WHERE {schema.TASK_OF} AND seq > ?2 ORDER BY seq"
    for task_run, seq in connection.execute(sql, (number, after)):
        row = _one_task_run(connection, number, task_run)  # one by one: sorted with their results they take much room
        if row is None or row["seq"] != seq or not checksums.fits(row):  # it may be another's number that is damaged
            _log.warning("Task run %d of flow run %d is damaged; its events are left out. %s", task_run, number, _CHECK)
        else:
            yield _Entry(seq, task_run, codec.WHOLE, row["ended"], None, row)


def flow_events(connection: sqlite3.Connection, number: int) -> list[Event]:
    """Those of the flow run itself, in order."""
    flow = flow_run(connection, number)
    if flow is None:
        return []
    sql = f"SELECT {schema.EVENT_COLUMNS} FROM event WHERE flow_run = ? AND task_run = 0 ORDER BY seq"
    return [event for entry in _sound(connection, sql, number) for event in _events(entry, flow)]


def cached(connection: sqlite3.Connection, key: str, now: float) -> CacheHit | None:
    """The newest live entry whose result is there."""
    # By attempt and state: a run that was begun again has the result of another key since, or none, or what it raised.
    found = connection.execute(
        f"SELECT {', '.join('c.' + each for each in schema.CACHE_COLUMNS.split(', '))} FROM cache c "
        "JOIN task_run t ON t.id = c.flow_run << 32 | c.task_run "
        "WHERE t.attempts = c.attempt AND t.state = ? AND t.result IS NOT NULL "
        "AND c.key = ? AND (c.expires IS NULL OR c.expires > ?) "
        "ORDER BY c.at DESC, c.flow_run DESC, c.task_run DESC",
        (codec.CODES[StateType.COMPLETED], key, now),
    )
    for entry in found:
        _, _, flow_run, task_run, _, task, expires, parts, _ = entry
        row = connection.execute(f"{_TASK_RUNS} WHERE id = ?", (schema.task_id(flow_run, task_run),)).fetchone()
        if row is not None and checksums.fits(entry) and checksums.fits(row):
            return CacheHit(flow_run, task_run, row[-2], CacheEntry(key, task, expires, _parts(parts)))
    return None


def latest_cached(connection: sqlite3.Connection, task: str) -> Mapping[str, str] | None:
    """What the newest key of a task was made of."""
    row = connection.execute("SELECT parts FROM cache WHERE task = ? ORDER BY at DESC LIMIT 1", (task,)).fetchone()
    return None if row is None else _parts(row[0])


def _parts(text: str) -> Mapping[str, str]:
    """What a key was made of; nothing if that is damaged, for it only words a reason."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(part) for name, part in found.items()} if isinstance(found, dict) else {}


def _flow_row(row: sqlite3.Row) -> FlowRow:
    if not checksums.fits(row):
        return FlowRow(row["number"], "", "damaged", "damaged", 0.0, Crashed(message=_LOST, name="Damaged"))
    parent = None
    if row["parent_flow_run"] is not None:
        parent = (row["parent_flow_run"], row["parent_task_run"])
    state = codec.decode_state(row["state"], row["at"], row["state_name"], row["message"], row["scheduled"])
    return FlowRow(
        row["number"],
        row["uuid"],
        row["flow"],
        row["name"],
        row["created"],
        state,
        row["parameters"],
        parent,
        row["started"],
        row["ended"],
        row["source"],
        codec.decode_tags(row["tags"]),
        row["attempts"],
        row["ran"],
        row["result"],
        codec.decode_policy(row["policy"]),
        row["target"] or "",
        row["owner"] or "",
        row["body"] or "",
        row["durability"] or "",
        row["forked_from"] or 0,
    )


def _task_row(row: sqlite3.Row) -> TaskRow:
    if not checksums.fits(row):
        number = row["number"]
        return TaskRow(row["flow_run"], number, "damaged", 0, number, 0.0, Crashed(message=_LOST, name="Damaged"))
    return TaskRow(
        row["flow_run"],
        row["number"],
        row["task"],
        row["site"],
        row["place"],
        row["created"],
        codec.decode_state(row["state"], row["at"], row["state_name"], row["message"], row["scheduled"]),
        codec.decode_links(row["links"]),
        row["parent"],
        bool(row["subflow"]),
        row["attempts"],
        row["started"],
        row["ended"],
        row["ran"],
        row["name"] or "",
        codec.decode_tags(row["tags"]),
        row["key"] or "",
        row["nth"] or 0,
        row["source"] or "",
        row["result"],
        row["version"],
    )


def _events(entry: _Entry, flow: FlowRow) -> Iterator[Event]:
    """The events that an entry of the log stands for."""
    _, number, kind, at, detail, row = entry
    if kind == codec.FLOW_CREATED:
        created = (flow.uuid, flow.flow, flow.name, flow.parameters, flow.parent, flow.source, flow.tags)
        more = (flow.target, flow.owner, flow.body, flow.durability, flow.forked_from)
        yield FlowCreated(flow.number, at, *created, *more)
    if row is not None:
        if kind != codec.RAN:
            yield _creation(row, flow.number)
        if kind != codec.TASK_CREATED:
            yield TaskState(flow.number, row["started"], number, Running(at=row["started"]), 1)
    if kind in (codec.RAN, codec.WHOLE):
        done = codec.decode_state(codec.CODES[StateType.COMPLETED], at, None, None)
        yield TaskState(flow.number, at, number, done, 1)
    if kind == codec.INPUT_ASKED:
        yield InputAsked(flow.number, at, **json.loads(detail or ""))
    if kind == codec.INPUT_GIVEN:
        yield InputGiven(flow.number, at, **json.loads(detail or ""))
    if kind >= codec.STATE:
        yield _state_event(entry, flow.number)


def _creation(row: sqlite3.Row, flow_run: int) -> TaskCreated:
    place = (row["task"], row["site"], row["place"], codec.decode_links(row["links"]))
    above = (row["parent"], bool(row["subflow"]), codec.decode_tags(row["tags"]))
    which = (row["key"] or "", row["nth"] or 0, row["source"] or "")
    return TaskCreated(flow_run, row["created"], row["number"], *place, *above, *which, row["version"])


def _state_event(entry: _Entry, flow_run: int) -> Event:
    _, number, kind, at, text, _ = entry
    detail: dict[str, Any] = json.loads(text) if text else {}
    code = kind - codec.STATE
    state = codec.decode_state(code, at, detail.get("name"), detail.get("message"), detail.get("scheduled"))
    attempt = detail.get("attempt", codec.usual_attempt(codec.TYPES[code]))
    if number:
        return TaskState(flow_run, at, number, state, attempt)
    return FlowState(flow_run, at, state, detail.get("by", ""), attempt, pause=detail.get("pause", ""))
