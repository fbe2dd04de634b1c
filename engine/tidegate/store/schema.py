"""The tables of the store, and how a file is recognised as one."""

from __future__ import annotations

from . import log_table

APPLICATION_ID = 0x54494445
"""``TIDE``: tells a store from any other SQLite file before anything is written to it."""

VERSION = 1
"""Of the schema, kept in ``PRAGMA user_version``."""

TABLES = """
CREATE TABLE flow_run(
    number INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    flow TEXT NOT NULL,
    name TEXT NOT NULL,
    parameters TEXT NOT NULL,
    source TEXT NOT NULL,
    parent_flow_run INTEGER,
    parent_task_run INTEGER,
    state INTEGER NOT NULL,
    state_name TEXT,
    message TEXT,
    created REAL NOT NULL,
    at REAL NOT NULL,
    started REAL,
    ended REAL
) STRICT;

CREATE TABLE task_run(
    flow_run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    task TEXT NOT NULL,
    site INTEGER NOT NULL,
    place INTEGER NOT NULL,
    parent INTEGER NOT NULL,
    subflow INTEGER NOT NULL,
    links TEXT,
    state INTEGER NOT NULL,
    state_name TEXT,
    message TEXT,
    attempts INTEGER NOT NULL,
    created REAL NOT NULL,
    at REAL NOT NULL,
    started REAL,
    ended REAL,
    scheduled REAL,
    PRIMARY KEY (flow_run, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE event(
    flow_run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    task_run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    at REAL NOT NULL,
    detail TEXT,
    PRIMARY KEY (flow_run, seq)
) STRICT, WITHOUT ROWID;
"""

TABLES += log_table.TABLE

TASK_COLUMNS = (
    "flow_run, number, task, site, place, parent, subflow, links, "
    "state, state_name, message, attempts, created, at, started, ended, scheduled"
)
TASK_UPSERT = (
    " ON CONFLICT(flow_run, number) DO UPDATE SET state = excluded.state, state_name = excluded.state_name, "
    "message = excluded.message, attempts = excluded.attempts, at = excluded.at, "
    "started = COALESCE(started, excluded.started), ended = excluded.ended, scheduled = excluded.scheduled"
)
EVENT_COLUMNS = "flow_run, seq, task_run, kind, at, detail"
FLOW_UPDATE = (
    "UPDATE flow_run SET state = ?, state_name = ?, message = ?, at = ?, started = COALESCE(started, ?), ended = ? "
    "WHERE number = ?"
)
