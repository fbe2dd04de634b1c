"""Which transactions wait for the disk, and which events nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.events import Event, FlowCreated, FlowState
from ..model.states import TERMINAL, StateType

_SAID = TERMINAL | {StateType.PAUSED, StateType.CANCELLING, StateType.SCHEDULED}
"""States of a flow run that a power cut never takes back."""


class Levels:
    """How durable the flow runs are that this process writes (see `Durability`).  Safe from any thread."""

    def __init__(self) -> None:
        self._power: set[int] = set()
        self.memory: set[int] = set()
        """The flow runs whose task runs nobody waits for; for a look that costs nothing, as there are mostly none."""
        self._subflows: set[int] = set()

    def learn(self, flow_run: int, level: str, *, subflow: bool = False) -> None:
        """A flow run is begun, or gone on with, in this process."""
        if level == "power":
            self._power.add(flow_run)
        elif level == "memory":
            self.memory.add(flow_run)
        if subflow:
            self._subflows.add(flow_run)

    def created(self, event: FlowCreated, flow_run: int) -> None:
        """As `learn`, for a new one."""
        self.learn(flow_run, event.durability, subflow=event.parent is not None)

    def forget(self, flow_run: int) -> None:
        """It has ended."""
        for each in (self._power, self.memory, self._subflows):
            each.discard(flow_run)

    def to_sync(self, events: Sequence[Event]) -> bool:
        """True if the transaction of these events is to be on the disk before anybody hears of it.

        The end of a subflow is to the run that called it what the end of a task run is.
        """
        if FlowState in map(type, events):  # not a loop of ours: this is asked for each task run
            for event in events:
                if isinstance(event, FlowState) and event.state.type in _SAID and event.flow_run not in self._subflows:
                    return True
        power = self._power
        return bool(power) and any(event.flow_run in power for event in events)

    def nobody_waits(self, events: Sequence[Event]) -> bool:
        """True if these events may stay in memory for a moment although somebody asks for a commit."""
        memory = self.memory
        if not memory or not events:
            return False
        return all(each.flow_run in memory and not isinstance(each, FlowState) for each in events)
