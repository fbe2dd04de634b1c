"""Which transactions wait for the disk, and which events nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.events import Event, FlowCreated, FlowState, TaskState
from ..model.states import TERMINAL, StateType

_SAID = TERMINAL | {StateType.PAUSED, StateType.CANCELLING, StateType.SCHEDULED}
"""States of a flow run that a power cut never takes back."""


class Levels:
    """How durable the flow runs are that this process writes, and task runs that differ from theirs (see
    `Durability`).  Safe from any thread."""

    def __init__(self) -> None:
        self._power: set[int] = set()
        self._memory: set[int] = set()
        """The flow runs whose task runs nobody waits for."""
        self._tasks: dict[int, dict[int, str]] = {}
        """Task runs with a level of their own, by flow run."""
        self._subflows: set[int] = set()

    def learn(self, flow_run: int, level: str, *, subflow: bool = False) -> None:
        """A flow run is begun, or gone on with, in this process."""
        if level == "power":
            self._power.add(flow_run)
        elif level == "memory":
            self._memory.add(flow_run)
        if subflow:
            self._subflows.add(flow_run)

    def created(self, event: FlowCreated, flow_run: int) -> None:
        """As `learn`, for a new one."""
        self.learn(flow_run, event.durability, subflow=event.parent is not None)

    def learn_task(self, flow_run: int, task_run: int, level: str) -> None:
        """A task run is about to begin that has a level of its own."""
        self._tasks.setdefault(flow_run, {})[task_run] = level

    def forget(self, flow_run: int) -> None:
        """It has ended."""
        for each in (self._power, self._memory, self._subflows):
            each.discard(flow_run)
        self._tasks.pop(flow_run, None)

    def to_sync(self, events: Sequence[Event]) -> bool:
        """True if the transaction of these events is to be on the disk before anybody hears of it.

        The end of a subflow is to the run that called it what the end of a task run is.
        """
        if FlowState in map(type, events):  # not a loop of ours: this is asked for each task run
            for event in events:
                if isinstance(event, FlowState) and event.state.type in _SAID and event.flow_run not in self._subflows:
                    return True
        if not self._power and not self._tasks:
            return False
        return any(self._level(event) == "power" for event in events)

    def nobody_waits(self, events: Sequence[Event]) -> bool:
        """True if these events may stay in memory for a moment although somebody asks for a commit."""
        if not (self._memory or self._tasks) or not events:
            return False
        return all(self._level(each) == "memory" and not isinstance(each, FlowState) for each in events)

    def _level(self, event: Event) -> str:
        if self._tasks and isinstance(event, TaskState):
            own = self._tasks.get(event.flow_run, {}).get(event.task_run)
            if own is not None:
                return own
        return "power" if event.flow_run in self._power else "memory" if event.flow_run in self._memory else "process"
