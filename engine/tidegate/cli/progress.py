"""The progress of a flow run while it runs here: counts by task where there is a terminal, else a line for each state.

The engine's feed only puts events into a queue; they are folded by the thread that shows them.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ..model.events import Event, FlowState, TaskCreated, TaskState
from ..model.states import TERMINAL, State, StateType
from ..moments import duration

if TYPE_CHECKING:
    from ..engine import Engine
    from ..run.flow_run import FlowRun

PER_SECOND = 8
"""Drawings a second."""

BAR = 32
"""Width of a bar in characters."""

_FAILED = (StateType.FAILED, StateType.CRASHED)


class Follower:
    """Hears what happens in the first root flow run that begins."""

    def __init__(self) -> None:
        self.run: FlowRun | None = None
        self.queue: SimpleQueue[Sequence[Event] | None] = SimpleQueue()

    def began(self, run: FlowRun) -> None:
        """A root flow run begins."""
        if self.run is None:
            self.run = run
            run.engine.subscribe(run.number, self.queue.put)


class Tally:
    """Counts of task runs, by task and by state."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.tasks: dict[str, Counter[StateType]] = {}
        self._seen: dict[int, tuple[Counter[StateType], StateType]] = {}

    def take(self, events: Sequence[Event]) -> None:
        """Fold events in."""
        for event in events:
            if isinstance(event, FlowState):
                self.state = event.state
            elif isinstance(event, TaskCreated):
                counts = self.tasks.setdefault(event.task, Counter())
                self._move(event.task_run, counts, StateType.PENDING)
            elif isinstance(event, TaskState) and event.task_run in self._seen:
                counts, before = self._seen[event.task_run]
                counts[before] -= 1
                self._move(event.task_run, counts, event.state.type)

    def _move(self, task_run: int, counts: Counter[StateType], kind: StateType) -> None:
        counts[kind] += 1
        self._seen[task_run] = (counts, kind)


@contextmanager
def following(engine: Engine) -> Iterator[Follower]:
    """Show the progress of what runs inside, on the error stream."""
    follower = Follower()
    engine.observers.append(follower.began)
    try:
        with _bars(follower) if sys.stderr.isatty() else _lines(follower):
            yield follower
    finally:
        engine.observers.remove(follower.began)


# Without a terminal ---------------------------------------------------------------------------------------------------


@contextmanager
def _lines(follower: Follower) -> Iterator[None]:
    """A line for each state of the flow, written by a thread of its own: a pipe may be full."""
    thread = threading.Thread(target=_write, args=(follower, sys.stderr), name="tidegate-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        follower.queue.put(None)
        thread.join(1.0)


def _write(follower: Follower, stream: Any) -> None:
    while (events := follower.queue.get()) is not None:
        for event in events:
            if isinstance(event, FlowState):
                with suppress(OSError, ValueError):  # nobody reads it any more
                    print(f"{_title(follower)}: {_told(event.state)}", file=stream, flush=True)


def _title(follower: Follower) -> str:
    run = follower.run
    assert run is not None
    return f"Flow run {run.number} ({run.name}) of {run.flow.name}"


def _told(state: State) -> str:
    return f"{state.name}. {state.message}" if state.message else f"{state.name}."


# In a terminal --------------------------------------------------------------------------------------------------------


@contextmanager
def _bars(follower: Follower) -> Iterator[None]:
    """A bar for each task; what the code prints goes above them."""
    from rich.console import Console  # 40 ms that no other command needs
    from rich.live import Live

    tally, begun = Tally(), time.monotonic()

    def draw() -> Any:
        with suppress(Empty):
            while (events := follower.queue.get_nowait()) is not None:
                tally.take(events)
        return _drawing(follower, tally, time.monotonic() - begun)

    console = Console(stderr=True, highlight=False)
    piped = not sys.stdout.isatty()  # what is meant for a file stays out of the terminal
    with Live(
        console=console,
        get_renderable=draw,
        refresh_per_second=PER_SECOND,
        transient=True,
        redirect_stdout=not piped,
    ):
        yield


def _drawing(follower: Follower, tally: Tally, seconds: float) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    if follower.run is None:
        return Text("")
    state = tally.state
    head = f"{_title(follower)}: {'Pending' if state is None else state.name} {duration(seconds)}"
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, counts in tally.tasks.items():
        total, ended = counts.total(), sum(counts[kind] for kind in TERMINAL)
        failed = sum(counts[kind] for kind in _FAILED)
        running = counts[StateType.RUNNING]
        grid.add_row(
            Text(f"  {name}"),
            ProgressBar(total=total, completed=ended, width=BAR),
            Text(f"{ended:,}/{total:,}"),
            Text(f"{running:,} running" if running else "", style="blue"),
            Text(f"{failed:,} failed" if failed else "", style="red"),
        )
    return Group(Text(head, no_wrap=True, overflow="ellipsis"), grid)
