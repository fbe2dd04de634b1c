"""The tables of the store, and how a file is recognised as one."""

from __future__ import annotations

from . import artifact_table, checksums, log_table, request_table, slot_table

APPLICATION_ID = 0x54494445
"""``TIDE``: tells a store from any other SQLite file before anything is written to it."""

_RUNS_AND_EVENTS = """
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

# Results stand last: a reader that does not ask for one does not touch the pages that a large one spills over to.
_RESULTS = """
ALTER TABLE flow_run ADD COLUMN scheduled REAL;
ALTER TABLE flow_run ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE flow_run ADD COLUMN ran REAL NOT NULL DEFAULT 0;
ALTER TABLE flow_run ADD COLUMN tags TEXT;
ALTER TABLE flow_run ADD COLUMN policy TEXT;
ALTER TABLE flow_run ADD COLUMN owner TEXT;
ALTER TABLE flow_run ADD COLUMN body TEXT;
ALTER TABLE flow_run ADD COLUMN result BLOB;
ALTER TABLE task_run ADD COLUMN ran REAL NOT NULL DEFAULT 0;
ALTER TABLE task_run ADD COLUMN name TEXT;
ALTER TABLE task_run ADD COLUMN tags TEXT;
ALTER TABLE task_run ADD COLUMN key TEXT;
ALTER TABLE task_run ADD COLUMN nth INTEGER;
ALTER TABLE task_run ADD COLUMN source TEXT;
ALTER TABLE task_run ADD COLUMN version TEXT;
ALTER TABLE task_run ADD COLUMN seq INTEGER;
ALTER TABLE task_run ADD COLUMN result BLOB;

CREATE TABLE cache(
    key TEXT NOT NULL,
    at REAL NOT NULL,
    flow_run INTEGER NOT NULL,
    task_run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    task TEXT NOT NULL,
    expires REAL,
    parts TEXT NOT NULL,
    PRIMARY KEY (key, at, flow_run, task_run)
) STRICT, WITHOUT ROWID;
CREATE INDEX cache_of_task ON cache(task, at);
"""

_TARGETS = "ALTER TABLE flow_run ADD COLUMN target TEXT;\n"

_DURABILITY = "ALTER TABLE flow_run ADD COLUMN durability TEXT;\nALTER TABLE flow_run ADD COLUMN forked_from INTEGER;\n"

# What is not at rest is found without a look at all that ever ran: an agent asks each second.
_DEPLOYMENTS = """
CREATE TABLE deployment(
    name TEXT NOT NULL PRIMARY KEY,
    flow TEXT NOT NULL,
    target TEXT NOT NULL,
    folder TEXT NOT NULL,
    parameters TEXT NOT NULL,
    schedules TEXT NOT NULL,
    tags TEXT,
    queue TEXT NOT NULL,
    paused INTEGER NOT NULL,
    created REAL NOT NULL,
    crc INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE dispatch(
    flow_run INTEGER PRIMARY KEY,
    deployment TEXT NOT NULL,
    queue TEXT NOT NULL,
    due REAL NOT NULL,
    folder TEXT NOT NULL,
    planned INTEGER NOT NULL,
    key TEXT,
    agent TEXT,
    host TEXT,
    pid INTEGER,
    began TEXT,
    crc INTEGER
) STRICT;
CREATE UNIQUE INDEX dispatch_key ON dispatch(deployment, key) WHERE key IS NOT NULL;
CREATE INDEX dispatch_planned ON dispatch(due) WHERE planned = 1;
CREATE INDEX flow_run_open ON flow_run(number) WHERE state < 5;

CREATE TABLE work_queue(
    name TEXT NOT NULL PRIMARY KEY,
    places INTEGER,
    paused INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

# A row that is added at the end of a table WITHOUT ROWID splits the last page in halves, each few task runs, and writes
# its neighbours anew; one with the highest rowid goes on to a new page.  So the two numbers are one here.  The check is
# for a process of an older version that has the store open meanwhile: what it cannot keep right it is not to keep.
_TASK_RUNS_IN_ORDER = """
CREATE TABLE task_run_in_order(
    id INTEGER PRIMARY KEY,
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
    ran REAL NOT NULL,
    name TEXT,
    tags TEXT,
    key TEXT,
    nth INTEGER,
    source TEXT,
    version TEXT,
    seq INTEGER,
    result BLOB,
    crc INTEGER,
    CHECK (id = flow_run << 32 | number)
) STRICT;
INSERT INTO task_run_in_order
    SELECT flow_run << 32 | number, flow_run, number, task, site, place, parent, subflow, links, state, state_name,
        message, attempts, created, at, started, ended, scheduled, ran, name, tags, key, nth, source, version, seq,
        result, crc
    FROM task_run ORDER BY flow_run, number;
DROP TABLE task_run;
ALTER TABLE task_run_in_order RENAME TO task_run;
"""

STEPS = (
    _RUNS_AND_EVENTS,
    _RESULTS + log_table.TABLE + _TARGETS + request_table.TABLE + slot_table.TABLES + artifact_table.TABLE,
    _DURABILITY + checksums.COLUMNS,
    _DEPLOYMENTS,
    _TASK_RUNS_IN_ORDER,
)
"""What makes a store of version n one of version n + 1; a new file takes all of them.  Only ever append."""

VERSION = len(STEPS)
"""Of the schema, kept in ``PRAGMA user_version``."""

TASK_COLUMNS = checksums.TABLES["task_run"] + ", crc"
TASK_WIDTH = TASK_COLUMNS.count(",") + 1
TASK_ROW = f"id, {TASK_COLUMNS}"
"""What is inserted; `id` is made of the numbers of the flow run and the task run, see `task_id`."""
TASK_OF = "id BETWEEN ?1 << 32 AND ?1 << 32 | 0xffffffff"
"""The condition for the task runs of a flow run, which is the first parameter; by `flow_run` all would be looked at."""
TASK_INSERT = f"INSERT INTO task_run({TASK_ROW}) VALUES (?,{','.join('?' * TASK_WIDTH)})"


def task_id(flow_run: int, number: int) -> int:
    """Where the row of a task run stands in the table."""
    return flow_run << 32 | number


def _without(*nulls: str) -> tuple[str, tuple[bool, ...]]:
    """The statement, and which columns it has values for."""
    said = tuple([each not in nulls for each in TASK_ROW.split(", ")])
    values = ",".join(["?" if each else "NULL" for each in said])
    return f"INSERT INTO task_run({TASK_ROW}) VALUES ({values})", said


NULLS = ("state_name", "message", "scheduled", "name", "tags", "version")
"""Columns of which most task runs that completed have nothing to say."""

TASK_INSERT_FEW = (_without(*NULLS), _without(*NULLS, "links"))
"""For a task run of which only these are null, and for one that has no links either.

Python asks each value that is not exactly a number or a text, null above all, what it would rather be: that takes
several times as long as to hand it over.  So what is null is left out.
"""
_CHANGES = {
    "state": "excluded.state",
    "state_name": "excluded.state_name",
    "message": "excluded.message",
    "attempts": "excluded.attempts",
    "at": "excluded.at",
    "started": "COALESCE(started, excluded.started)",
    "ended": "excluded.ended",
    "scheduled": "excluded.scheduled",
    "ran": "ran + excluded.ran + CASE state WHEN 2 THEN MAX(0, excluded.created - at) ELSE 0 END",
    "name": "COALESCE(excluded.name, name)",
    "source": "COALESCE(excluded.source, source)",
    "seq": "excluded.seq",
    "result": "excluded.result",
}
"""What becomes of a task run that goes on; the right sides see the row as it was, 2 is RUNNING and `at` its begin.

A run that is found dead ends by the clock of another process, which may be behind."""

TASK_UPSERT = (
    " ON CONFLICT(id) DO UPDATE SET "
    + ", ".join(f"{column} = {value}" for column, value in _CHANGES.items())
    + f", crc = row_crc({', '.join(_CHANGES.get(each, each) for each in checksums.TABLES['task_run'].split(', '))})"
)
TASK_TO_LOG = (
    "INSERT INTO event SELECT flow_run, seq, number, ?1, ended, NULL, row_crc(flow_run, seq, number, ?1, ended, NULL) "
    "FROM task_run WHERE id = ?2 AND seq IS NOT NULL"
)
"""Give a task run whose whole story stands in its own row a row in the log, before that row changes."""
CACHE_COLUMNS = checksums.TABLES["cache"] + ", crc"
CACHE_UPSERT = (  # for a clock that stands still
    " ON CONFLICT(key, at, flow_run, task_run) DO UPDATE SET attempt = excluded.attempt, task = excluded.task, "
    "expires = excluded.expires, parts = excluded.parts, crc = excluded.crc"
)
EVENT_COLUMNS = checksums.TABLES["event"] + ", crc"
FLOW_UPDATE = (
    # The right sides see the row as it was: 2 is RUNNING, and `at` when it began.
    "UPDATE flow_run SET state = ?, state_name = ?, message = ?, at = ?, started = COALESCE(started, ?), ended = ?, "
    "scheduled = ?, attempts = ?, ran = ran + CASE state WHEN 2 THEN MAX(0, ? - at) ELSE 0 END, result = ?, "
    "owner = CASE WHEN ? THEN NULL ELSE owner END WHERE number = ?"
)
