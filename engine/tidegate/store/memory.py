"""The store that keeps everything in memory: for tests, and for runs that nobody will ask about again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from ..errors import StoreError
from ..model.events import ArtifactMade, Event, FlowCreated, FlowState, LogLine, LogLines, TaskCreated, TaskState
from ..model.requests import Request
from ..model.states import TERMINAL
from ..model.views import FlowRow, TaskRow, new_flow_row, new_task_row
from ..ports import CacheHit, DeploymentStore, SlotStore
from ..rules.decide import RetryPolicy
from .memory_slots import MemorySlots

LOG_LINES = 200_000
"""Lines of logs that are kept, of all flow runs together; beyond that the oldest are lost."""


class MemoryStore:
    """An `EventStore` without a file.  What it keeps ends with the process."""

    results_folder: Path | None = None

    def __init__(self) -> None:
        self.slots: SlotStore = MemorySlots()
        self._lock = threading.Lock()
        self._log: list[Event] = []
        self._flows: dict[int, FlowRow] = {}
        self._tasks: dict[int, dict[int, TaskRow]] = {}
        self._lines: deque[tuple[int, int, LogLine]] = deque(maxlen=LOG_LINES)
        self._line_numbers = count(1)
        self._cache: dict[str, list[TaskState]] = {}
        self._latest: dict[str, Mapping[str, str]] = {}
        self._requests: dict[int, Request] = {}
        self._claimed: set[int] = set()
        self._answers: dict[int, str] = {}
        self._artifacts: dict[tuple[int, int], ArtifactMade] = {}

    @property
    def deployments(self) -> DeploymentStore:
        """Raises `StoreError`: what other processes are to run must be where they find it."""
        raise StoreError("Deployments need a store on the disk; this one is in memory, where no agent finds them.")

    def create_flow_run(self, created: FlowCreated) -> int:
        """Number the flow runs from 1."""
        with self._lock:
            number = len(self._flows) + 1
            self._flows[number] = new_flow_row(created, number)
            self._tasks[number] = {}
            self._log.append(replace(created, flow_run=number))
        return number

    def claim_flow_run(self, row: FlowRow) -> bool:
        """No other process knows the store."""
        return True

    def is_behind(self) -> bool:
        """Never."""
        return False

    def set_durability(self, flow_run: int, task_run: int, durability: str) -> None:
        """Nothing here outlives the process."""

    def taken_over(self) -> list[int]:
        """No other process knows the store."""
        return []

    def amend_flow_run(self, number: int, version: str, policy: RetryPolicy, durability: str) -> None:
        """Keep them in the row."""
        row = self._flows[number]
        row.source = version
        row.policy = row.policy or policy
        row.durability = row.durability or durability

    process = ""

    def is_alive(self, process: str) -> bool:
        """No process but this one knows the store."""
        return False

    def subflow_runs(self, flow_run: int, task_run: int) -> list[FlowRow]:
        """The flow runs that a task run stood for, the newest first."""
        found = [row for row in self._flows.values() if row.parent == (flow_run, task_run)]
        return found[::-1]

    def append(self, event: Event) -> None:
        """Keep the event at once."""
        with self._lock:
            if isinstance(event, TaskState):
                self._task_state(event)
            elif isinstance(event, TaskCreated):
                self._log.append(event)
                self._tasks[event.flow_run][event.task_run] = new_task_row(event)
            elif isinstance(event, FlowState):
                event = replace(event, state=event.state.without_data())
                self._log.append(event)
                self._flows[event.flow_run].apply(event)
            elif isinstance(event, LogLines):
                self._lines.extend((event.flow_run, next(self._line_numbers), line) for line in event.lines)
            elif isinstance(event, ArtifactMade):
                self._artifacts[event.flow_run, event.number] = event
            else:
                self._log.append(event)

    def _task_state(self, event: TaskState) -> None:
        if event.state.type in TERMINAL:
            # A record keeps no result alive.  Not `replace`, which takes ten times as long.
            kept = (event.state.without_data(), event.attempt, event.name, event.result, event.cache, event.source)
            event = TaskState(event.flow_run, event.at, event.task_run, *kept)
        self._log.append(event)
        self._tasks[event.flow_run][event.task_run].apply(event)
        if event.cache is not None:
            self._cache.setdefault(event.cache.key, []).append(event)
            self._latest[event.cache.task] = event.cache.parts

    commit = append

    def commit_all(self, events: Sequence[Event]) -> None:
        """Keep the events at once."""
        for event in events:
            self.append(event)

    def commit_soon(self, event: Event, done: Callable[[str], None]) -> None:
        """Keep the event at once."""
        self.append(event)
        done("")

    def relieve(self) -> None:
        """Nothing is ever queued."""

    def cached(self, key: str, now: float) -> CacheHit | None:
        """The newest task run with this cache key whose result was kept and has not expired."""
        with self._lock:
            for event in reversed(self._cache.get(key, ())):
                entry, blob = event.cache, event.result
                if entry is not None and blob is not None and (entry.expires is None or entry.expires > now):
                    return CacheHit(event.flow_run, event.task_run, blob, entry)
        return None

    def latest_cached(self, task: str) -> Mapping[str, str] | None:
        """What the cache key of the newest cached run of a task was made of; null if there is none."""
        return self._latest.get(task)

    def flow_runs(self, limit: int = 100) -> list[FlowRow]:
        """The newest flow runs first."""
        with self._lock:
            return list(self._flows.values())[: -limit - 1 : -1]

    def flow_run(self, number: int) -> FlowRow | None:
        """One flow run."""
        return self._flows.get(number)

    def task_runs(self, flow_run: int) -> list[TaskRow]:
        """The task runs of a flow run by number."""
        with self._lock:
            return [row for _, row in sorted(self._tasks.get(flow_run, {}).items())]

    def task_run(self, flow_run: int, number: int) -> TaskRow | None:
        """One task run of a flow run."""
        return self._tasks.get(flow_run, {}).get(number)

    def events(self, flow_run: int, after: int = 0) -> list[tuple[int, Event]]:
        """The events of a flow run, numbered by their place in the log."""
        with self._lock:
            numbered = enumerate(self._log[after:], start=after + 1)
            return [(seq, event) for seq, event in numbered if event.flow_run == flow_run]

    def flow_events(self, flow_run: int) -> list[Event]:
        """The events of the flow run itself, in order."""
        return [event for _, event in self.events(flow_run) if not isinstance(event, (TaskCreated, TaskState))]

    def logs(
        self, flow_run: int, *, task_run: int | None = None, level: int = 0, after: int = 0, limit: int = 1000
    ) -> list[tuple[int, LogLine]]:
        """The lines of a flow run in order, numbered across all flow runs."""
        with self._lock:
            found = (
                (seq, line)
                for run, seq, line in self._lines
                if run == flow_run and seq > after and line.level >= level and task_run in (None, line.task_run)
            )
            return list(islice(found, limit))

    def put_request(self, request: Request) -> int:
        """Number the requests from 1."""
        with self._lock:
            number = len(self._requests) + 1
            self._requests[number] = replace(request, number=number)
        return number

    def open_requests(self, now: float) -> list[Request]:
        """The requests that nobody has claimed and somebody waits for."""
        with self._lock:
            return [each for each in self._requests.values() if each.number not in self._claimed and each.expires > now]

    def claim_request(self, number: int) -> bool:
        """Take a request, unless somebody has."""
        with self._lock:
            free = number in self._requests and number not in self._claimed
            self._claimed.add(number)
        return free

    def answer_request(self, number: int, answer: str) -> None:
        """Say what came of a request."""
        self._answers[number] = answer

    def answer_to(self, number: int) -> str | None:
        """What came of a request."""
        return self._answers.get(number)

    def artifacts(self, flow_run: int) -> list[ArtifactMade]:
        """The artifacts of a flow run by number."""
        with self._lock:
            return [made for (run, _), made in sorted(self._artifacts.items()) if run == flow_run]

    def close(self) -> None:
        """Nothing to let go of."""
