"""A flow run of any process, as the store tells of it: what has come since the last look."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from functools import partial

from tidegate.model.events import (
    ArtifactMade,
    Event,
    FlowCreated,
    FlowState,
    InputAsked,
    InputGiven,
    TaskCreated,
    TaskState,
)
from tidegate.ports import EventStore

_TOLD_ABOVE = (FlowCreated, FlowState, InputAsked, InputGiven, ArtifactMade)
"""What a subflow has to say to whoever looks at a run above it."""


class StoredRun:
    """Reads the events of a flow run in order, each once, and of the flow runs below it what concerns a person.

    A look costs what is new: subflows that have ended are not looked at again.
    """

    def __init__(self, store: EventStore, number: int, opened: set[int] | None = None) -> None:
        self._opened = set[int]() if opened is None else opened
        """The subflows whose task runs are told of, too."""
        self._store = store
        self._number = number
        self._after = 0
        self._artifacts: dict[int, ArtifactMade] = {}
        self._at_work: dict[int, bool] = {}
        """The task runs that stand for subflows; false for those whose subflow has no more to say."""
        self._subflows: dict[int, StoredRun] = {}

    def also(self, subflow: int) -> Callable[[], None]:
        """Tell of the task runs of a subflow too, until what this returns is called."""
        self._opened.add(subflow)
        return partial(self._opened.discard, subflow)

    def news(self, artifacts: bool = True) -> list[Event]:
        """What has come since the last call; `artifacts`, which are read as a whole, only where that is wanted.

        Raises `StoreError`.
        """
        # Before the events: those who have made them are known then.
        made = list(self._new_artifacts()) if artifacts else []
        own: list[Event] = []
        ended = set[int]()
        for seq, event in self._store.events(self._number, self._after):
            self._after = seq
            own.append(event)
            if isinstance(event, TaskCreated) and event.subflow:
                self._at_work[event.task_run] = True
            elif isinstance(event, TaskState) and event.task_run in self._at_work:
                self._at_work[event.task_run] = True
                (ended.add if event.state.is_final() else ended.discard)(event.task_run)
        below = list[list[Event]]()
        # After the events: what a subflow says last is kept before the end of the task run that stands for it.
        for task_run in [each for each, works in self._at_work.items() if works]:
            below += self._of_subflows(task_run, artifacts or task_run in ended)
            self._at_work[task_run] = task_run not in ended
        # By time, which is that of one clock: an answer that came before the end is not to be heard of after it.
        return [*heapq.merge(own, *below, key=lambda event: event.at), *made]

    def _new_artifacts(self) -> Iterator[Event]:
        for each in self._store.artifacts(self._number):
            if self._artifacts.get(each.number) != each:
                self._artifacts[each.number] = each
                yield each

    def _of_subflows(self, task_run: int, artifacts: bool) -> Iterator[list[Event]]:
        for row in self._store.subflow_runs(self._number, task_run):
            subflow = self._subflows.setdefault(row.number, StoredRun(self._store, row.number, self._opened))
            below = subflow.news(artifacts)
            yield [each for each in below if isinstance(each, _TOLD_ABOVE) or each.flow_run in self._opened]
