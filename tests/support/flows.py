"""What the engine's tests share: decorators without types, a feed that remembers, deadlines, seeds, edges."""

from __future__ import annotations

import dataclasses
import faulthandler
import os
import random
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

import pytest

import tidegate
from tidegate import CancelledRun
from tidegate.engine import Engine, using
from tidegate.model.events import Event, FlowState, SavingChanged, TaskCreated, TaskState
from tidegate.model.states import TERMINAL, StateType
from tidegate.ports import EventStore
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore

T = TypeVar("T")

SOON = 10.0
"""Seconds after which something that should take milliseconds counts as hung."""


@overload
def task(fn: Callable[..., Any], /, **options: Any) -> Any: ...
@overload
def task(**options: Any) -> Callable[[Callable[..., Any]], Any]: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """`tidegate.task`, untyped: the tests also call it as its types forbid."""
    return tidegate.task(**options) if fn is None else tidegate.Task(fn, **options)


@overload
def flow(fn: Callable[..., Any], /, **options: Any) -> Any: ...
@overload
def flow(**options: Any) -> Callable[[Callable[..., Any]], Any]: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """`tidegate.flow`, untyped."""
    return tidegate.flow(**options) if fn is None else tidegate.Flow(fn, **options)


def seeded(name: str) -> random.Random:
    """Chance for one test; prints its seed, and takes it from TIDEGATE_SEED to repeat a failure."""
    seed = int(os.environ.get("TIDEGATE_SEED", zlib.crc32(name.encode())))
    print(f"{name}: TIDEGATE_SEED={seed}")
    return random.Random(seed)


def in_time(call: Callable[[], T], seconds: float = SOON) -> T:
    """What `call` returns or raises, on a thread of its own; fails if it takes longer, as a hang does."""
    result: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            result.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="in_time", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        faulthandler.dump_traceback(file=2)
        raise AssertionError(f"hangs: not done after {seconds:g} s")
    if errors:
        raise errors[0]
    return result[0]


def threads_end(name: str, seconds: float = SOON) -> None:
    """Wait until no thread of that name is left."""
    for each in threading.enumerate():
        if each.name == name:
            each.join(seconds)
            assert not each.is_alive(), f"{name} goes on after {seconds:g} s"


def engine_over(store: EventStore, **options: Any) -> AbstractContextManager[Engine]:
    """An engine in use."""
    return using(Engine(store=store, **options))


def opened(event: threading.Event, what: str = "the awaited moment") -> None:
    """Wait for a moment that must come."""
    assert event.wait(SOON), f"{what} did not come within {SOON:g} s"


class Feed:
    """Every event of the root flow runs that begin while it listens, as subscribers see them."""

    def __init__(self, engine: Engine) -> None:
        self.events: list[Event] = []
        self.runs: list[FlowRun] = []
        self._lock = threading.Condition()
        self._engine = engine
        engine.observers.append(self._began)

    def _began(self, run: FlowRun) -> None:
        self.runs.append(run)
        self._engine.subscribe(run.number, self._take)

    def _take(self, events: Sequence[Event]) -> None:
        with self._lock:
            self.events.extend(events)
            self._lock.notify_all()

    def await_flow(self, kind: StateType, name: str | None = None) -> FlowState:
        """The first flow state of this type (and name) that is shown; waits for it."""

        def found() -> FlowState | None:
            for event in self.events:
                if isinstance(event, FlowState) and event.state.type is kind and name in (None, event.state.name):
                    return event
            return None

        with self._lock:
            assert self._lock.wait_for(lambda: found() is not None, SOON), f"no {kind.name} in {self.names()}"
        event = found()
        assert event is not None
        return event

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until what was shown fulfils a condition."""
        with self._lock:
            assert self._lock.wait_for(condition, SOON), f"{what} did not come within {SOON:g} s: {self.names()[-9:]}"

    def await_task(self, number: int, name: str) -> None:
        """Wait until a task run is shown in the state of this name."""
        self.until(lambda: name in self.task_states(number), f"{name} of task run {number}")

    def begins(self, after: int) -> bool:
        """True if a flow was shown to begin, beyond so many events."""
        states = [event.state for event in self.events[after:] if isinstance(event, FlowState)]
        return any(state.type is StateType.RUNNING for state in states)

    def flow_states(self) -> list[str]:
        """Names of the flow states in the order in which they were shown."""
        return [event.state.name for event in self.events if isinstance(event, FlowState)]

    def task_states(self, number: int) -> list[str]:
        """Names of the states of one task run in the order in which they were shown."""
        return [e.state.name for e in self.events if isinstance(e, TaskState) and e.task_run == number]

    def saving(self) -> list[str]:
        """The problems of the store, in order; empty for healed."""
        return [event.problem for event in self.events if isinstance(event, SavingChanged)]

    def names(self) -> list[str]:
        """All of it, for messages."""
        return [getattr(getattr(event, "state", None), "name", type(event).__name__) for event in self.events]


def states_in_store(store: EventStore, flow_run: int, task_run: int = 0) -> list[str]:
    """Names of the kept states of a flow run, or of one of its task runs, in order."""
    events = [event for _, event in store.events(flow_run)]
    if task_run:
        return [e.state.name for e in events if isinstance(e, TaskState) and e.task_run == task_run]
    return [e.state.name for e in events if isinstance(e, FlowState)]


def edges(store: EventStore, flow_run: int = 1) -> set[tuple[int, int]]:
    """The kept edges of a flow run, as (upstream, downstream) task run numbers."""
    return {(up, down) for up, down, _, _ in edges_full(store, flow_run)}


def edges_full(store: EventStore, flow_run: int = 1) -> set[tuple[int, int, str, str]]:
    """The kept edges of a flow run: (upstream, downstream, kind, parameter)."""
    return {
        (up, row.number, kind, name)
        for row in store.task_runs(flow_run)
        for name, ranges in row.links.items()
        for kind, first, last in ranges
        for up in range(first, last + 1)
    }


def task_names(store: EventStore, flow_run: int = 1) -> list[str]:
    """The kept task runs by number."""
    return [row.name for row in store.task_runs(flow_run)]


def is_terminal(event: Event) -> bool:
    """True for an event that ends a run."""
    return isinstance(event, (TaskState, FlowState)) and event.state.type in TERMINAL


def created(events: Sequence[Event]) -> list[TaskCreated]:
    """The task runs that were made known."""
    return [event for event in events if isinstance(event, TaskCreated)]


@contextmanager
def python(script: str, *args: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Iterator[Any]:
    """A Python process with pipes, running `script`; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", script, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(SOON)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


class Started:
    """A flow on a thread of its own."""

    def __init__(self, feed: Feed, call: Callable[[], Any]) -> None:
        self.feed = feed
        self.value: Any = None
        self.error: BaseException | None = None
        before, shown = len(feed.runs), len(feed.events)
        self._thread = threading.Thread(target=self._go, args=(call,), daemon=True)
        self._thread.start()
        feed.until(lambda: len(feed.runs) > before and feed.begins(shown), "the run")
        self.run: FlowRun = feed.runs[before]

    def _go(self, call: Callable[[], Any]) -> None:
        try:
            self.value = call()
        except BaseException as error:
            self.error = error

    def ended(self, seconds: float = SOON) -> Any:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still at work after {seconds:g} s: {self.feed.names()[-5:]}"
        if self.error is not None:
            raise self.error
        return self.value


Start = Callable[[Callable[[], Any]], Started]


def cancelled(running: Started, within: float) -> None:
    """Cancel, and see that it ends in time, as cancelled, with the caller told."""
    begun = time.monotonic()
    running.run.cancel()
    with pytest.raises(CancelledRun):
        running.ended(within)
    assert time.monotonic() - begun < within
    assert running.run.state.is_cancelled()
    assert running.feed.flow_states()[-2:] == ["Cancelling", "Cancelled"]
    store = running.run.engine.store
    rows = store.task_runs(running.run.number)
    assert all(row.state.is_final() for row in rows), [str(row.state) for row in rows]
    assert {row.state.name for row in rows} <= {"Cancelled", "Completed"}
    flow_row = store.flow_run(running.run.number)
    assert flow_row is not None
    assert flow_row.state.is_cancelled()


@task
def make(value: Any) -> Any:
    """Calls what it gets: so that the value is made in the task."""
    return value()


@task
def take(value: Any = None, other: Any = None) -> None:
    """Something downstream."""


def run_links(body: Callable[[], Any]) -> MemoryStore:
    """Run a body as a flow over a store of its own."""
    store = Forgetful()
    with engine_over(store):
        flow(body, name="links")()
    return store


class Forgetful(MemoryStore):
    """Keeps what a record keeps: no results."""

    def append(self, event: Event) -> None:
        if isinstance(event, TaskState):
            event = dataclasses.replace(event, state=event.state.without_data())
        super().append(event)

    commit = append
