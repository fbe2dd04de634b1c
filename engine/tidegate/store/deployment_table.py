"""The tables of deployments, of their runs, and of the work queues that were changed.

A run that was made for a deployment belongs to nobody until its process claims it.  Until then, and where that process
does not answer, others move it from state to state: each in one transaction, which looks first whether the run is
still as it was seen.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any

from ..errors import StoreError
from ..model.deployments import Deployment, Dispatch, Place, Schedule, WorkQueue
from ..model.events import FlowCreated, FlowState
from ..model.states import Cancelled, State, StateType
from ..model.views import FlowRow
from . import checksums, codec, reader, rows
from .fence import TAKEN
from .write_connection import WriteConnection

_DEPLOYMENT = checksums.TABLES["deployment"]
_DISPATCH = checksums.TABLES["dispatch"]
# CROSS keeps SQLite from looking through all that was ever dispatched, of which a few are not at rest.
_RUNS = "flow_run f CROSS JOIN dispatch d ON d.flow_run = f.number"
_OPEN = "state < 5"
"""As the index of what is not at rest has it; see `codec.TYPES`."""
_SUSPENDED = f"state = {codec.CODES[StateType.PAUSED]} AND state_name = 'Suspended'"

Access = Callable[[], AbstractContextManager[sqlite3.Connection]]

_log = logging.getLogger(__name__)


class DeploymentTable:
    """A `DeploymentStore` in the file of a store; `reading` and `writing` are its connections, the latter in a
    transaction of `file`."""

    def __init__(self, reading: Access, writing: Access, file: WriteConnection) -> None:
        self._reading = reading
        self._writing = writing
        self._file = file
        self._told: set[str] = set()
        """The damaged deployments of which this process has said so: agents ask again and again."""

    # Deployments ------------------------------------------------------------------------------------------------------

    def put(self, deployment: Deployment) -> None:
        """Make it, or change it."""
        with self._writing() as connection:
            before = _one(connection, deployment.full_name)
            if before is None or replace(before, created=0.0) != replace(deployment, created=0.0):
                self._call_off(connection, deployment.full_name, "Its deployment was changed.", deployment.created)
            values = checksums.sealed(_values(deployment))
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT OR REPLACE INTO deployment({_DEPLOYMENT}, crc) VALUES ({marks})", values)

    def all(self) -> list[Deployment]:
        """By name; a damaged one is left out with a warning."""
        with self._reading() as connection:
            there = connection.execute(f"SELECT {_DEPLOYMENT}, crc FROM deployment ORDER BY name").fetchall()
        damaged = [row["name"] for row in there if not checksums.fits(row)]
        for name in set(damaged) - self._told:
            _log.warning("The deployment %.80s is damaged and left out. Delete it, and deploy it again.", name)
        self._told.update(damaged)
        return [_deployment(row) for row in there if row["name"] not in damaged]

    def get(self, name: str) -> Deployment | None:
        """The deployment of that whole name."""
        with self._reading() as connection:
            return _one(connection, name)

    def pause(self, name: str, paused: bool, now: float) -> bool:
        """Pause or resume it; one that is paused loses the runs that its schedules have made and nobody began."""
        with self._writing() as connection:
            found = _one(connection, name)
            if found is None:
                return False
            if paused:
                self._call_off(connection, name, "Its deployment was paused.", now)
            connection.execute("UPDATE deployment SET paused = ? WHERE name = ?", (int(paused), name))
            connection.execute(f"UPDATE deployment SET crc = row_crc({_DEPLOYMENT}) WHERE name = ?", (name,))
        return True

    def delete(self, name: str, now: float) -> bool:
        """Drop it, with the runs that its schedules have made and nobody began."""
        with self._writing() as connection:
            self._call_off(connection, name, "Its deployment was deleted.", now)
            return connection.execute("DELETE FROM deployment WHERE name = ?", (name,)).rowcount > 0

    def _call_off(self, connection: sqlite3.Connection, name: str, why: str, now: float) -> None:
        """Cancel the planned runs that nobody has begun; the same moments may be planned anew."""
        sql = f"""SELECT f.number FROM {_RUNS}
            WHERE f.{_OPEN} AND f.state = ? AND f.started IS NULL AND d.deployment = ? AND d.planned = 1"""
        numbers = connection.execute(sql, (codec.CODES[StateType.SCHEDULED], name)).fetchall()
        for (number,) in numbers:
            self._write(FlowState(number, now, Cancelled(why, at=now)))
            connection.execute("UPDATE dispatch SET key = NULL, planned = 0 WHERE flow_run = ?", (number,))
            checksums.seal_dispatch(connection, number)

    # Runs -------------------------------------------------------------------------------------------------------------

    def create_run(
        self, created: FlowCreated, dispatch: Dispatch, state: State, of: Deployment | None = None
    ) -> tuple[int, bool]:
        """Make a run, unless there is one of that key; its number, and whether it is new."""
        with self._writing() as connection:
            if of is not None and _one(connection, of.full_name) != of:
                return 0, False
            if dispatch.key is not None:
                sql = "SELECT flow_run FROM dispatch WHERE deployment = ? AND key = ?"
                known = connection.execute(sql, (dispatch.deployment, codec.clean(dispatch.key))).fetchone()
                if known is not None:
                    return int(known[0]), False
            if self._file.fence.refuses((created.parent or (0,))[0]):
                raise StoreError(TAKEN)
            number = rows.insert_flow(connection, created)
            values = checksums.sealed(_dispatch_values(replace(dispatch, flow_run=number)))
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO dispatch({_DISPATCH}, crc) VALUES ({marks})", values)
            self._file.write([replace(created, flow_run=number), FlowState(number, state.timestamp, state)])
            self._file.disown(number)
        return number, True

    def dispatch(self, flow_run: int) -> Dispatch | None:
        """What there is to know of a run; null for one that came from no deployment, or whose row is damaged."""
        with self._reading() as connection:
            return _dispatch_of(connection, flow_run)

    def open_runs(self, queues: Collection[str]) -> list[tuple[FlowRow, Dispatch]]:
        """The runs of these queues that are not at rest, in the order in which they are due."""
        marks = ", ".join("?" * len(queues))
        sql = f"""SELECT f.number FROM {_RUNS}
            WHERE f.{_OPEN} AND d.queue IN ({marks}) ORDER BY d.due, f.number"""
        found = []
        with self._reading() as connection:
            for (number,) in connection.execute(sql, tuple(queues)).fetchall():
                dispatch = _dispatch_of(connection, number)
                try:
                    row = reader.flow_run(connection, number)
                except StoreError:  # it is damaged; `runs` shows it so
                    continue
                if row is not None and dispatch is not None and not row.state.is_at_rest():
                    found.append((row, dispatch))
        return found

    def planned(self, now: float) -> dict[str, set[float]]:
        """The moments after `now` for which schedules have made a run, by deployment."""
        found: dict[str, set[float]] = {}
        with self._reading() as connection:
            for name, due in connection.execute(
                "SELECT deployment, due FROM dispatch WHERE planned = 1 AND due > ?", (now,)
            ):
                found.setdefault(name, set()).add(due)
        return found

    def move(self, row: FlowRow, state: State, by: str = "") -> bool:
        """Put a run into another state, with no owner; false if it is no longer as `row`."""
        with self._writing() as connection:
            return self._move(connection, row, state, by)

    def _move(self, connection: sqlite3.Connection, row: FlowRow, state: State, by: str) -> bool:
        present = (row.number, codec.CODES[row.state.type], row.state.timestamp, row.owner)
        sql = "SELECT 1 FROM flow_run WHERE number = ? AND state = ? AND at = ? AND COALESCE(owner, '') = ?"
        if connection.execute(sql, present).fetchone() is None:
            return False
        if row.owner:
            connection.execute("UPDATE flow_run SET owner = NULL WHERE number = ?", (row.number,))
            self._file.note_claim()  # a process that still has it writes no more to it
        self._write(FlowState(row.number, state.timestamp, state, by, row.attempts))
        return True

    def _write(self, event: FlowState) -> None:
        """A state of a run that is not this process's: others may have numbered events of it, and will."""
        self._file.disown(event.flow_run)
        self._file.write([event])
        self._file.disown(event.flow_run)

    def claim(self, row: FlowRow, state: State, agent: str) -> bool:
        """Put a run that is due into a state in which this agent starts it; false if it is no longer as `row`, or if
        its queue has no room or is paused."""
        with self._writing() as connection:
            queue = _queue_of(connection, row.number)
            if queue.paused or (queue.limit is not None and _at_work(connection, queue.name) >= queue.limit):
                return False
            return self._move(connection, row, state, "") and _give(connection, row.number, agent)

    def adopt(self, dispatch: Dispatch, agent: str) -> bool:
        """See to a run from now on; false if the agent that saw to it is no longer the one that `dispatch` names."""
        with self._writing() as connection:
            sql = "SELECT 1 FROM dispatch WHERE flow_run = ? AND COALESCE(agent, '') = ?"
            known = connection.execute(sql, (dispatch.flow_run, dispatch.agent)).fetchone()
            return known is not None and _give(connection, dispatch.flow_run, agent, anew=False)

    def put_place(self, flow_run: int, place: Place) -> None:
        """Record the process of a run."""
        with self._writing() as connection:
            sql = "UPDATE dispatch SET host = ?, pid = ?, began = ? WHERE flow_run = ?"
            connection.execute(sql, (place.host, place.pid, place.began, flow_run))
            checksums.seal_dispatch(connection, flow_run)

    # Queues -----------------------------------------------------------------------------------------------------------

    def put_queue(self, queue: WorkQueue) -> None:
        """Change a queue."""
        with self._writing() as connection:
            values = (codec.clean(queue.name), queue.limit, int(queue.paused))
            connection.execute("INSERT OR REPLACE INTO work_queue VALUES (?, ?, ?)", values)

    def queues(self) -> list[WorkQueue]:
        """Those that were changed or that a deployment names, by name."""
        with self._reading() as connection:
            changed = connection.execute("SELECT name, places, paused FROM work_queue").fetchall()
            named = [name for (name,) in connection.execute("SELECT DISTINCT queue FROM deployment").fetchall()]
        found = {name: WorkQueue(name) for name in named}
        found |= {name: WorkQueue(name, places, bool(paused)) for name, places, paused in changed}
        return [found[name] for name in sorted(found)]


def _queue_of(connection: sqlite3.Connection, flow_run: int) -> WorkQueue:
    (name,) = connection.execute("SELECT queue FROM dispatch WHERE flow_run = ?", (flow_run,)).fetchone()
    row = connection.execute("SELECT places, paused FROM work_queue WHERE name = ?", (name,)).fetchone()
    return WorkQueue(name) if row is None else WorkQueue(name, row[0], bool(row[1]))


def _at_work(connection: sqlite3.Connection, queue: str) -> int:
    """The runs of a queue that an agent or a process has."""
    sql = f"""SELECT count(*) FROM {_RUNS}
        WHERE f.{_OPEN} AND NOT ({_SUSPENDED}) AND (f.owner IS NOT NULL OR f.state IN (?, ?)) AND d.queue = ?"""
    codes = (codec.CODES[StateType.PENDING], codec.CODES[StateType.CANCELLING])
    (many,) = connection.execute(sql, (*codes, queue)).fetchone()
    return int(many)


def _give(connection: sqlite3.Connection, flow_run: int, agent: str, *, anew: bool = True) -> bool:
    """Have an agent see to a run; `anew` if no process is known of it."""
    forget = ", host = NULL, pid = NULL, began = NULL" if anew else ""
    connection.execute(f"UPDATE dispatch SET agent = ?{forget} WHERE flow_run = ?", (agent, flow_run))
    checksums.seal_dispatch(connection, flow_run)
    return True


# Rows -----------------------------------------------------------------------------------------------------------------


def _one(connection: sqlite3.Connection, name: str) -> Deployment | None:
    """Raises `StoreError` for one that is damaged."""
    row = connection.execute(f"SELECT {_DEPLOYMENT}, crc FROM deployment WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    if not checksums.fits(row):
        raise StoreError(f"The deployment {name} is damaged in the store. Delete it, and deploy it again.")
    return _deployment(row)


def _values(given: Deployment) -> list[Any]:
    schedules = json.dumps([asdict(each) for each in given.schedules])
    names = [codec.clean(each) for each in (given.full_name, given.flow, given.target, given.folder)]
    tags, queue = codec.encode_tags(given.tags), codec.clean(given.queue)
    return [*names, given.parameters, schedules, tags, queue, int(given.paused), float(given.created)]


def _deployment(row: Sequence[Any]) -> Deployment:
    full_name, flow, target, folder, parameters, schedules, tags, queue, paused, created, _ = row
    return Deployment(
        full_name.removeprefix(f"{flow}/"),
        flow,
        target,
        folder,
        parameters,
        tuple(Schedule(**each) for each in json.loads(schedules)),
        codec.decode_tags(tags),
        queue,
        bool(paused),
        created,
    )


def _dispatch_values(given: Dispatch) -> list[Any]:
    names = [codec.clean(each) for each in (given.deployment, given.queue)]
    head = [given.flow_run, *names, float(given.due), codec.clean(given.folder), int(given.planned)]
    place = given.place
    key = None if given.key is None else codec.clean(given.key)
    return [*head, key, given.agent or None, *((None,) * 3 if place is None else (place.host, place.pid, place.began))]


def _dispatch_of(connection: sqlite3.Connection, flow_run: int) -> Dispatch | None:
    row = connection.execute(f"SELECT {_DISPATCH}, crc FROM dispatch WHERE flow_run = ?", (flow_run,)).fetchone()
    if row is None or not checksums.fits(row):
        return None
    number, deployment, queue, due, folder, planned, key, agent, host, pid, began, _ = row
    place = None if host is None else Place(host, pid, began)
    return Dispatch(number, deployment, queue, due, folder, bool(planned), key, agent or "", place)
