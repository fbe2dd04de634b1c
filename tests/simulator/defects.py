"""Defects that are put into the engine on purpose: the simulator must find each of them, or it is worth nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tidegate import dead_runs, requests
from tidegate.concurrency import ConcurrencyLimit
from tidegate.engine import Engine
from tidegate.errors import StoreError
from tidegate.latch import AnyOf
from tidegate.model.events import Event, TaskState
from tidegate.model.states import Pending
from tidegate.run import lifecycles
from tidegate.run.flow_run import FlowRun
from tidegate.run.identity import Identity
from tidegate.run.pauses import Pauses
from tidegate.run.recall import Recall
from tidegate.run.task_run import TaskRun

from .disk import Disk


@dataclass(frozen=True)
class Defect:
    """How the engine is broken, and what the simulator must say of it before so many seeds are tried."""

    put_in: Callable[[pytest.MonkeyPatch], None]
    told: tuple[str, ...]
    within: int


def _told_too_early(patch: pytest.MonkeyPatch) -> None:
    """An end is shown, and then it is saved."""

    def commit_soon(self: Engine, event: Event, done: Callable[[], None]) -> None:
        self._publish(event)
        done()
        self.store.append(event)

    patch.setattr(Engine, "commit_soon", commit_soon)


def _result_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Now and then an end is saved without the result."""
    keep = TaskRun.keep

    def forgetful(self: TaskRun, state: Any) -> tuple[Any, TaskState]:
        state, event = keep(self, state)
        return state, replace(event, result=None) if self.number % 3 == 0 else event

    patch.setattr(TaskRun, "keep", forgetful)


def _wake_up_lost(patch: pytest.MonkeyPatch) -> None:
    """Whoever gives the last place back tells nobody."""
    give = ConcurrencyLimit.give

    def silent(self: ConcurrencyLimit) -> None:
        if len(self._queue) == 1:
            self._queue.clear()
        give(self)

    patch.setattr(ConcurrencyLimit, "give", silent)


def _deaf(patch: pytest.MonkeyPatch) -> None:
    """Whoever waits for one of several things hears of the first alone."""

    def only_first(self: AnyOf, *waitables: Any) -> None:
        super(AnyOf, self).__init__()
        waitables[0].on_done(self.set)

    patch.setattr(AnyOf, "__init__", only_first)


def _two_owners(patch: pytest.MonkeyPatch) -> None:
    """Whoever claims a run has it."""

    def claim(self: Disk, row: Any, process: str, now: float) -> bool:
        found = self._flows[row.number]
        found.owner, found.state = process, Pending(at=now)
        return True

    patch.setattr(Disk, "claim", claim)


def _buried_alive(patch: pytest.MonkeyPatch) -> None:
    """Who found a run dead says so, whatever has become of it since."""

    def bury(here: Engine, row: Any) -> bool:
        store: Any = here.store
        owner = row.owner
        store.claim_flow_run = lambda row: True
        try:
            return dead_runs.bury(here, row)
        finally:
            del store.claim_flow_run
            row.owner = owner

    patch.setattr("simulator.trial.bury", bury)


def _begin_lost(patch: pytest.MonkeyPatch) -> None:
    """That a task has begun which is not to run twice is saved when there is time."""
    patch.setattr(Engine, "keep_noted", lambda self: None)


def _nothing_recalled(patch: pytest.MonkeyPatch) -> None:
    """Now and then a call is not known again."""
    find = Recall.find

    def some(self: Recall, identity: Identity, task: str) -> Any:
        return None if identity.key < "4" else find(self, identity, task)

    patch.setattr(Recall, "find", some)


def _clock_believed(patch: pytest.MonkeyPatch) -> None:
    """A delay is over when the clock on the wall says so."""
    patch.setattr(Engine, "run_clock", lambda self: self.now)
    patch.setattr(lifecycles, "_waited_for", lambda state: state)


def _pause_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What was passed in another process is passed again."""
    patch.setattr(Pauses, "recall", lambda self, events: None)


def _problem_hidden(patch: pytest.MonkeyPatch) -> None:
    """A commit that fails is taken for one that succeeded."""

    def commit(self: Engine, event: Event) -> None:
        with suppress(StoreError):
            self.store.commit(event)
        self._kept(event, "")

    patch.setattr(Engine, "commit", commit)


def _request_lost(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks from another process is told that it was done, and nothing was."""
    patch.setattr(requests, "_carry_out", lambda run, request: "")


def _cancel_lost(patch: pytest.MonkeyPatch) -> None:
    """The same in the process."""
    patch.setattr(FlowRun, "cancel", lambda self, by="you": None)


HANGS = ("nothing can happen any more",)
OWNERS = ("G6", "runs although its flow run", "after", "G1", "runs again")
"""Where two are at work, each sees the other's doings."""

DEFECTS: dict[str, Defect] = {
    "an end is told before it is kept": Defect(_told_too_early, ("G1",), 20),
    "a failed commit is hidden": Defect(_problem_hidden, ("G1",), 100),
    "a result is forgotten": Defect(_result_forgotten, ("G1",), 20),
    "a wake-up of a concurrency limit is lost": Defect(_wake_up_lost, HANGS, 300),
    "who waits for several things hears of one": Defect(_deaf, HANGS, 100),
    "two processes have a run": Defect(_two_owners, OWNERS, 100),
    "a run that is alive is buried": Defect(_buried_alive, OWNERS, 500),
    "the begin of a task that is not to run twice is lost": Defect(_begin_lost, ("not to run twice",), 500),
    "a call is not recalled": Defect(_nothing_recalled, ("G4",), 50),
    "a clock that was set back is believed": Defect(_clock_believed, ("has not ended",), 500),
    "a request is lost": Defect(_request_lost, ("is said to be done",), 50),
    "a cancel is lost": Defect(_cancel_lost, ("told that it would be cancelled", "is said to be done"), 50),
    "a pause is forgotten": Defect(_pause_forgotten, ("which it had passed",), 50),
}
