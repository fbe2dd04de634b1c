"""The store in one SQLite file.

One connection writes, under one lock; whoever holds the lock writes all that is queued, in one transaction that holds
both the events and the rows they fold to.  A caller that commits with nobody else at it therefore pays one commit and
no thread switch; many callers at once share one.  A writer thread serves those that do not wait.

A gathering delay before a commit was tried elsewhere and costs serial flows a factor of 18: groups form by themselves
while the last commit runs.  `executemany` hands the GIL over once per row, which starves under a busy thread: rows go
in as multi-row VALUES.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from .. import forks
from ..errors import StoreError
from ..model.events import Event, FlowCreated
from ..model.requests import Request
from ..model.states import StateType
from ..model.views import FlowRow
from ..ports import CacheHit, DeploymentStore, SlotStore
from ..rules.decide import RetryPolicy
from . import checksums, codec, processes, reader, request_table, rows
from .deployment_table import DeploymentTable
from .fence import TAKEN
from .looks import Looks
from .slot_table import SlotTable
from .sql_errors import SQL_ERRORS, may_heal, told
from .upkeep import Upkeep
from .write_connection import WriteConnection

_log = logging.getLogger(__name__)

LINGER = 0.05
"""Seconds that an event that nobody waits for may stay in memory."""

GROUP = 500
"""Events in one transaction at most, and nearly so in the queue: a click on Pause waits for them, as everybody does."""

BACKLOG = 200_000
"""Events kept in memory while the store cannot be written; beyond that the oldest are lost."""

Done = Callable[[str], None]


class SQLiteStore(Looks):
    """An `EventStore` in the file at `path`, which is made, with its folder, if it is not there.

    Raises `StoreError` for a file that cannot be written, is no SQLite file, belongs to another program or was written
    by a newer Tidegate; the file is then left as it was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results_folder: Path | None = path.parent / "results"
        self._processes = path.parent / "processes"
        self.slots: SlotStore = SlotTable(self._processes, self._reading, self._alone)
        self._file = WriteConnection(path, self._stir)
        self._lock = self._file.lock
        self._levels, self._fence = self._file.levels, self._file.fence
        self.deployments: DeploymentStore = DeploymentTable(self._reading, partial(self._alone, True), self._file)
        self.upkeep = Upkeep(path, self._reading, self._alone, self._vacuum)
        self._no_requests: bytes | None = None
        """What the lock says of requests as long as none is open; null if that is not known."""
        self._queue: deque[Event] = deque()
        self._waiting: dict[int, Done] = {}
        """Whom to tell what became of an event of the queue, by its `id`."""
        self._wake = threading.Event()
        self._stirred = False
        """True while the writer is sure to look: to ask the event for that takes as long as the rest of `append`."""
        self._urgent = threading.Event()
        self._closed = False
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        processes.join(self._processes)
        forks.watch(self)

    # Writing ------------------------------------------------------------------------------------------------------

    def create_flow_run(self, created: FlowCreated) -> int:
        """Insert the flow run and let SQLite number it."""
        parent, _ = created.parent or (0, 0)
        with self._alone() as connection:
            if self._fence.refuses(parent):
                raise StoreError(TAKEN)
            number = rows.insert_flow(connection, created)
            if created.owner:
                self._file.own(number, created.owner, parent)
            self._levels.created(created, number)
            self._file.write([replace(created, flow_run=number)])
        return number

    def claim_flow_run(self, row: FlowRow) -> bool:
        """In one statement, so that of two processes one has it."""
        sql = """UPDATE flow_run SET owner = ?, state = ?, state_name = NULL, message = NULL
            WHERE number = ? AND COALESCE(owner, '') = ? AND state = ?"""
        pending, present = codec.CODES[StateType.PENDING], codec.CODES[row.state.type]
        with self._lock, self._own_errors(), self._file as connection:
            claimed = connection.execute(sql, (self.process, pending, row.number, row.owner, present)).rowcount > 0
            if claimed:
                checksums.seal_flow_run(connection, row.number)
                self._file.note_claim()
                self._file.own(row.number, self.process, (row.parent or (0,))[0])
            return claimed

    def set_durability(self, flow_run: int, task_run: int, durability: str) -> None:
        """Note it: the record needs it no more once the task run has ended."""
        self._levels.learn_task(flow_run, task_run, durability)

    def taken_over(self) -> list[int]:
        """The root runs of this process that it has no more."""
        with self._own_errors():
            # Asked several times a second on the engine's loop, which is not to wait for those that write.
            if not self._file.none_claimed():
                with self._lock:
                    self._fence.find(self._file.connection)
            return list(self._fence.taken)

    def amend_flow_run(self, number: int, version: str, policy: RetryPolicy, durability: str) -> None:
        """Keep the version of its flow, what it has none of its own of, and that this process has it."""
        sql = (
            "UPDATE flow_run SET source = ?, policy = COALESCE(policy, ?), owner = ?, "
            "durability = COALESCE(durability, ?) WHERE number = ? RETURNING durability"
        )
        with self._lock, self._own_errors(), self._file as connection:
            values = (version, codec.encode_policy(policy), self.process, durability, number)
            for (level,) in connection.execute(sql, values).fetchall():
                self._levels.learn(number, level)
            checksums.seal_flow_run(connection, number)

    @property
    def process(self) -> str:
        """The name of this process among those that use the store; empty if it cannot show that it lives."""
        try:
            return processes.own_name(self._processes)
        except OSError:
            return ""

    def is_alive(self, process: str) -> bool:
        """True if the process of that name has not ended."""
        return processes.is_alive(self._processes, process)

    def append(self, event: Event) -> None:
        """Queue the event; the next commit takes it along, or the writer within 50 ms."""
        self._queue.append(event)
        if not self._stirred:
            self._stir()

    def commit(self, event: Event) -> None:
        """Write everything queued and this event, now, in this thread."""
        self.commit_all((event,))

    def commit_all(self, events: Sequence[Event]) -> None:
        """Write everything queued and these events, now, in this thread."""
        self._queue.extend(events)
        if self._levels.nobody_waits(events):
            self._stir()
            return
        problem = self._drain()
        if not problem and self._fence.taken and any(self._fence.refuses(each.flow_run) for each in events):
            problem = TAKEN
        if problem:
            raise StoreError(problem)

    def commit_soon(self, event: Event, done: Done) -> None:
        """Queue the event and have the writer commit it without lingering."""
        if self._levels.nobody_waits((event,)):
            self.append(event)
            done("")
            return
        self._waiting[id(event)] = done  # before the event itself: whoever writes that looks for this
        self._queue.append(event)
        if not self._urgent.is_set():
            self._start_writer()
            self._urgent.set()
            self._wake.set()

    def relieve(self) -> None:
        """Write a group in this thread if the writer cannot keep up; it is slower than workers that only compute."""
        if len(self._queue) > GROUP:
            self._drain()

    def is_behind(self) -> bool:
        """True while something is queued, or is being written."""
        with self._lock:
            return bool(self._queue)

    def close(self) -> None:
        """Write what is queued, stop the writer, close the file."""
        open_until_now, self._closed = not self._closed, True
        self._urgent.set()
        self._wake.set()
        if self._writer is not None and self._writer is not threading.current_thread():
            self._writer.join(timeout=5)
        self._drain()
        with self._lock:
            self._file.close()
        if open_until_now:
            processes.leave(self._processes)

    def begin_anew(self) -> None:
        """In a forked child nothing is written or read any more; what is queued is its parent's."""
        self._closed = True
        self._queue.clear()
        self._waiting.clear()
        self._file.begin_anew()
        self._lock, self._starting = self._file.lock, threading.Lock()

    def _stir(self) -> None:
        """Have the writer look before long."""
        if not self._closed:
            self._stirred = True
            self._start_writer()
            self._wake.set()

    def _start_writer(self) -> None:
        if self._writer is None:
            with self._starting:
                if self._writer is None:
                    writer = threading.Thread(target=self._write_on, name="tidegate-writer", daemon=True)
                    with contextlib.suppress(RuntimeError):  # the interpreter ends: `close` writes what is queued
                        writer.start()
                        self._writer = writer

    def _write_on(self) -> None:
        while not self._closed:
            if not self._wake.wait(self._file.rest()):
                with self._lock:
                    self._file.keep_up()
                continue
            self._urgent.wait(LINGER)
            # Cleared before the queue is looked at, so that whatever comes later wakes this thread again.
            self._urgent.clear()
            self._wake.clear()
            self._stirred = False
            if self._drain() and not self._closed:
                self._urgent.wait(0.5)  # the store cannot be written now: try again, not at once unless somebody waits
                self._wake.set()

    def _drain(self) -> str:
        """Write all that is queued by now; what is wrong with the store, or nothing."""
        left = len(self._queue)
        problem = self._write_group()
        while left > GROUP and not problem:
            left -= GROUP
            problem = self._write_group()
        return problem

    def _write_group(self) -> str:
        """Write what is queued, `GROUP` events at most, in one transaction, and tell those who asked."""
        with self._lock:
            queue = self._queue
            batch = [queue.popleft() for _ in range(min(GROUP, len(queue)))]
            if not batch:
                return ""
            problem = ""
            try:
                self._file.keep(batch, self._levels.to_sync(batch))
            except Exception as error:
                if may_heal(error):
                    problem = self._problem(error)
                    # Nobody waits for these any more, but they are written as soon as it is possible again.
                    queue.extendleft(reversed(batch))
                    batch += [queue.popleft() for _ in range(len(queue) - BACKLOG)]
                else:  # what is wrong is in the events: trying again would be wrong again, and stop all that follows
                    why = f"{type(error).__name__}: {told(error)}"
                    problem = f"{len(batch)} events could not be written to {self.path}: {why}."
        if self._waiting:
            self._tell(batch, problem)
        return problem

    def _tell(self, events: Sequence[Event], problem: str) -> None:
        """Tell those who asked what became of the events."""
        for event in events:
            done = self._waiting.pop(id(event), None)
            if done is not None:
                try:
                    done(problem or (TAKEN if self._fence.refuses(event.flow_run) else ""))
                except Exception:  # the writer has to live on: it was ended so once, and every flow run waited for ever
                    _log.exception("What waited for the store to keep %s has failed.", type(event).__name__)

    @contextlib.contextmanager
    def _alone(self, synced: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction for what is no event; `synced` if it is to be on the disk at its end."""
        try:
            with self._lock, self._file.synced(synced) as connection:
                yield connection
        except SQL_ERRORS as error:
            raise StoreError(self._problem(error)) from error

    def _vacuum(self) -> None:
        try:
            with self._lock:
                self._file.vacuum()
        except SQL_ERRORS as error:
            raise StoreError(self._problem(error)) from error

    def _problem(self, error: Exception) -> str:
        return f"The store {self.path} cannot be written: {told(error)}."

    # Looks of the connection that writes, which cost no other one ---------------------------------------------------

    def cached(self, key: str, now: float) -> CacheHit | None:
        """The newest task run with this cache key whose result was kept and has not expired."""
        with self._lock, self._own_errors():
            return reader.cached(self._file.connection, key, now)

    def latest_cached(self, task: str) -> Mapping[str, str] | None:
        """What the cache key of the newest cached run of a task was made of; null if there is none."""
        with self._lock, self._own_errors():
            return reader.latest_cached(self._file.connection, task)

    # Requests -----------------------------------------------------------------------------------------------------

    def put_request(self, request: Request) -> int:
        """Insert the request and let SQLite number it."""
        with self._lock, self._own_errors():
            with self._file as connection:
                number = request_table.put(connection, request)
            self._file.note_request()
            return number

    def open_requests(self, now: float) -> list[Request]:
        """The requests that nobody has claimed and somebody waits for."""
        with self._own_errors():
            put = self._file.requests()
            if put == self._no_requests:
                return []
            with self._lock:
                found = request_table.open_ones(self._file.connection, now)
            self._no_requests = None if found else put
            return found

    def claim_request(self, number: int) -> bool:
        """Take a request, unless somebody has."""
        with self._lock, self._own_errors(), self._file as connection:
            return request_table.claim(connection, number)

    def answer_request(self, number: int, answer: str) -> None:
        """Say what came of a request, once all that is queued is written."""
        self._drain()
        with self._lock, self._own_errors(), self._file as connection:
            request_table.answer(connection, number, answer)

    def answer_to(self, number: int) -> str | None:
        """What came of a request."""
        with self._lock, self._own_errors():
            return request_table.answer_to(self._file.connection, number)

    @contextlib.contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except SQL_ERRORS as error:
            raise StoreError(f"The store {self.path} cannot be read: {told(error)}.") from error
