"""A disk that outlives the processes, and the store of each process above it.

What a process appends is in its memory until a write takes it to the disk, in order and in groups, each of which is
there as a whole or not at all.  A write may come late, and fail as long as the disk is broken: then whoever waits is
told, and what was to be written waits for better times, as in `SQLiteStore`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.errors import StoreError
from tidegate.latch import Latch
from tidegate.model.events import Event, FlowCreated, FlowState, TaskState
from tidegate.model.requests import Request
from tidegate.model.states import Pending
from tidegate.model.views import FlowRow, TaskRow
from tidegate.rules.decide import RetryPolicy
from tidegate.store.memory import MemoryStore

from .machine import Died

if TYPE_CHECKING:
    from .process import Process

BROKEN = "The simulated disk is broken."


class Disk(MemoryStore):
    """What is kept, whoever lives."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: set[str] = set()
        self.broken = False
        self.written: dict[int, Event] = {}
        """The events that were written, by identity, so that it can be told whether one was."""
        self.answered: list[int] = []
        """Requests that were answered just now."""

    def answer_request(self, number: int, answer: str) -> None:
        """Say what came of a request."""
        super().answer_request(number, answer)
        self.answered.append(number)

    def write(self, events: Sequence[Event]) -> None:
        """Keep a group.  Raises `StoreError` with nothing kept."""
        if self.broken:
            raise StoreError(BROKEN)
        for event in events:
            self.written[id(event)] = event
            if isinstance(event, (FlowState, TaskState)):
                event = replace(event, state=event.state.without_data())
            self.append(event)

    def log(self, flow_run: int) -> list[Event]:
        """What is kept of a flow run, in order."""
        return [event for _, event in self.events(flow_run)]

    def claim(self, row: FlowRow, process: str, now: float) -> bool:
        """One statement: of two processes one has it."""
        found = self._flows[row.number]
        if found.owner != row.owner or found.state.type is not row.state.type:
            return False
        found.owner, found.state = process, Pending(at=now)
        return True


class SimulatedStore:
    """The store of one process.  Reads what is on the disk, and nothing else."""

    results_folder: Path | None = None

    def __init__(self, disk: Disk, process: Process) -> None:
        self.disk = disk
        self.slots = disk.slots
        self.process = process.name
        self.queue: deque[tuple[Event, Callable[[str], None] | None]] = deque()
        self._process = process
        self._ended: dict[int, tuple[Event, str]] = {}
        """What became of the events that somebody waits for."""

    # Writing ------------------------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """True if its writer has something to do: with a broken disk, only to tell those who wait."""
        return bool(self.queue) and (not self.disk.broken or any(done is not None for _, done in self.queue))

    def write(self) -> None:
        """The writer has a turn: it writes what is queued, or the first part of it."""
        chance = self._process.machine.chance
        self._group(len(self.queue) if chance.random() < 0.5 else chance.randint(1, len(self.queue)))

    def drain(self) -> str:
        """Write all that is queued; what is wrong, or nothing."""
        return self._group(len(self.queue)) if self.queue else ""

    def _group(self, size: int) -> str:
        batch = [self.queue.popleft() for _ in range(size)]
        problem = ""
        self._process.touches_disk()
        try:
            self.disk.write([event for event, _ in batch])
        except StoreError as error:
            problem = str(error)
            self.queue.extendleft((event, None) for event, _ in reversed(batch))
        self._process.touched_disk()
        for _, done in batch:
            if done is not None:
                done(problem)
        return problem

    def begin(self, event: Event) -> Latch:
        """A commit that a thread waits for: the latch opens when it is over, and `commit` then says how it went."""
        ended = Latch()

        def done(problem: str) -> None:
            self._ended[id(event)] = (event, problem)
            ended.set()

        self.queue.append((event, done))
        return ended

    def append(self, event: Event) -> None:
        """Keep it in memory, for the next write."""
        self._check()
        self.queue.append((event, None))

    def commit(self, event: Event) -> None:
        """The end of what `begin` began."""
        self._check()
        _, problem = self._ended.pop(id(event))
        if problem:
            raise StoreError(problem)

    def commit_all(self, events: Sequence[Event]) -> None:
        """Write everything, now."""
        self._check()
        self.queue.extend((event, None) for event in events)
        problem = self.drain()
        if problem:
            raise StoreError(problem)

    def commit_soon(self, event: Event, done: Callable[[str], None]) -> None:
        """Leave it to the writer."""
        self._check()
        self.queue.append((event, done))

    def create_flow_run(self, created: FlowCreated) -> int:
        """A transaction of its own."""
        return int(self._alone(lambda: self.disk.create_flow_run(created)))

    def claim_flow_run(self, row: FlowRow) -> bool:
        """One for whoever is first."""
        return bool(self._alone(lambda: self.disk.claim(row, self.process, self._process.machine.clock.now())))

    def amend_flow_run(self, number: int, version: str, policy: RetryPolicy, durability: str) -> None:
        """Keep whose it is."""

        def amend() -> None:
            self.disk.amend_flow_run(number, version, policy, durability)
            self.disk._flows[number].owner = self.process

        self._alone(amend)

    def _alone(self, change: Callable[[], Any]) -> Any:
        self._process.touches_disk()
        if self.disk.broken:
            raise StoreError(BROKEN)
        made = change()
        self._process.touched_disk()
        return made

    def _check(self) -> None:
        if self._process.dead:
            raise Died

    def relieve(self) -> None:
        """The simulation decides when the writer has its turn."""

    def close(self) -> None:
        """Nothing to let go of."""

    # Reading ------------------------------------------------------------------------------------------------------

    def is_alive(self, process: str) -> bool:
        """True if nobody has killed it."""
        return process in self.disk.alive

    def flow_run(self, number: int) -> FlowRow | None:
        """A copy: the row of the disk is nobody's to change."""
        row = self.disk.flow_run(number)
        return None if row is None else replace(row)

    def flow_runs(self, limit: int = 100) -> list[FlowRow]:
        """The newest first."""
        return [replace(row) for row in self.disk.flow_runs(limit)]

    def subflow_runs(self, flow_run: int, task_run: int) -> list[FlowRow]:
        """The newest first."""
        return [replace(row) for row in self.disk.subflow_runs(flow_run, task_run)]

    def task_runs(self, flow_run: int) -> list[TaskRow]:
        """By number."""
        return [replace(row) for row in self.disk.task_runs(flow_run)]

    def open_requests(self, now: float) -> list[Request]:
        """What somebody waits for."""
        self._check()
        return self.disk.open_requests(now)

    def claim_request(self, number: int) -> bool:
        """Take it."""
        return bool(self._alone(lambda: self.disk.claim_request(number)))

    def answer_request(self, number: int, answer: str) -> None:
        """All that was sent before is written first."""
        self.drain()
        self._alone(lambda: self.disk.answer_request(number, answer))

    def __getattr__(self, name: str) -> Any:
        """What only reads is asked of the disk itself."""
        return getattr(self.disk, name)
