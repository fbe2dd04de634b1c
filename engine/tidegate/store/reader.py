"""Reading a store: each look on a connection of its own, which cannot write."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..model.events import CacheEntry, Event, FlowCreated, FlowState, InputAsked, InputGiven, TaskCreated, TaskState
from ..model.states import Running, StateType
from ..model.views import FlowRow, TaskRow
from ..ports import CacheHit
from . import codec


def connect(path: Path) -> sqlite3.Connection:
    """A connection for looking."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5.0)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = ON")
    return connection


def flow_runs(connection: sqlite3.Connection, limit: int) -> list[FlowRow]:
    """The newest first."""
    rows = connection.execute("SELECT * FROM flow_run ORDER BY number DESC LIMIT ?", (limit,))
    return [_flow_row(row) for row in rows]


def flow_run(connection: sqlite3.Connection, number: int) -> FlowRow | None:
    """One flow run, if it is there."""
    row = connection.execute("SELECT * FROM flow_run WHERE number = ?", (number,)).fetchone()
    return None if row is None else _flow_row(row)


def subflow_runs(connection: sqlite3.Connection, flow_run: int, task_run: int) -> list[FlowRow]:
    """Those that a task run stood for, the newest first."""
    sql = "SELECT * FROM flow_run WHERE parent_flow_run = ? AND parent_task_run = ? ORDER BY number DESC"
    return [_flow_row(row) for row in connection.execute(sql, (flow_run, task_run))]


def task_runs(connection: sqlite3.Connection, number: int) -> list[TaskRow]:
    """By number."""
    rows = connection.execute("SELECT * FROM task_run WHERE flow_run = ? ORDER BY number", (number,))
    return [_task_row(row) for row in rows]


def task_run(connection: sqlite3.Connection, flow_run: int, number: int) -> TaskRow | None:
    """One of them, if it is there."""
    sql = "SELECT * FROM task_run WHERE flow_run = ? AND number = ?"
    row = connection.execute(sql, (flow_run, number)).fetchone()
    return None if row is None else _task_row(row)


def events(connection: sqlite3.Connection, number: int, after: int) -> list[tuple[int, Event]]:
    """The events of a flow run in order, beyond sequence number `after`; those written as one row share a number."""
    flow = flow_run(connection, number)
    if flow is None:
        return []
    rows = connection.execute(
        "SELECT e.seq, e.task_run, e.kind, e.at, e.detail, t.task, t.site, t.place, t.links, t.parent, t.subflow, "
        "t.created, t.started, t.tags, t.key, t.nth, t.source, t.version "
        "FROM event e LEFT JOIN task_run t ON e.kind <= ? AND t.flow_run = e.flow_run AND t.number = e.task_run "
        "WHERE e.flow_run = ? AND e.seq > ? "
        "UNION ALL "
        "SELECT seq, number, ?, ended, NULL, task, site, place, links, parent, subflow, "
        "created, started, tags, key, nth, source, version "
        "FROM task_run WHERE flow_run = ? AND seq > ? ORDER BY 1",
        (codec.WHOLE, number, after, codec.WHOLE, number, after),
    )
    return [(row["seq"], event) for row in rows for event in _events(row, flow)]


def cached(connection: sqlite3.Connection, key: str, now: float) -> CacheHit | None:
    """The newest live entry whose result is there."""
    # By attempt and state: a run that was begun again has the result of another key since, or none, or what it raised.
    row = connection.execute(
        "SELECT c.flow_run, c.task_run, c.task, c.expires, c.parts, t.result FROM cache c "
        "JOIN task_run t ON t.flow_run = c.flow_run AND t.number = c.task_run "
        "WHERE t.attempts = c.attempt AND t.state = ? AND t.result IS NOT NULL "
        "AND c.key = ? AND (c.expires IS NULL OR c.expires > ?) "
        "ORDER BY c.at DESC, c.flow_run DESC, c.task_run DESC LIMIT 1",
        (codec.CODES[StateType.COMPLETED], key, now),
    ).fetchone()
    if row is None:
        return None
    return CacheHit(row[0], row[1], row[5], CacheEntry(key, row[2], row[3], _parts(row[4])))


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
    )


def _task_row(row: sqlite3.Row) -> TaskRow:
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


def _events(row: sqlite3.Row, flow: FlowRow) -> Iterator[Event]:
    """The events that a row of the log stands for."""
    kind, at, number = row["kind"], row["at"], row["task_run"]
    if kind == codec.FLOW_CREATED:
        created = (flow.uuid, flow.flow, flow.name, flow.parameters, flow.parent, flow.source, flow.tags)
        yield FlowCreated(flow.number, at, *created, flow.target, flow.owner, flow.body, flow.durability)
    if kind in (codec.TASK_CREATED, codec.BEGUN, codec.WHOLE):
        place = (row["task"], row["site"], row["place"], codec.decode_links(row["links"]))
        above = (row["parent"], bool(row["subflow"]), codec.decode_tags(row["tags"]))
        which = (row["key"] or "", row["nth"] or 0, row["source"] or "")
        yield TaskCreated(flow.number, row["created"], number, *place, *above, *which, row["version"])
    if kind in (codec.BEGUN, codec.RAN, codec.WHOLE):
        yield TaskState(flow.number, row["started"], number, Running(at=row["started"]), 1)
    if kind in (codec.RAN, codec.WHOLE):
        done = codec.decode_state(codec.CODES[StateType.COMPLETED], at, None, None)
        yield TaskState(flow.number, at, number, done, 1)
    if kind == codec.INPUT_ASKED:
        yield InputAsked(flow.number, at, **json.loads(row["detail"]))
    if kind == codec.INPUT_GIVEN:
        yield InputGiven(flow.number, at, **json.loads(row["detail"]))
    if kind >= codec.STATE:
        yield _state_event(row, flow)


def _state_event(row: sqlite3.Row, flow: FlowRow) -> Event:
    kind, at, number = row["kind"], row["at"], row["task_run"]
    detail: dict[str, Any] = json.loads(row["detail"]) if row["detail"] else {}
    code = kind - codec.STATE
    state = codec.decode_state(code, at, detail.get("name"), detail.get("message"), detail.get("scheduled"))
    attempt = detail.get("attempt", codec.usual_attempt(codec.TYPES[code]))
    if number:
        return TaskState(flow.number, at, number, state, attempt)
    return FlowState(flow.number, at, state, detail.get("by", ""), attempt)
