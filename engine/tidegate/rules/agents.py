"""What an agent does with the runs that it sees in its queues: a pure function of what the store and the machine say.

An agent looks again and again, and remembers next to nothing: whatever it was about to do when it ended, the next look,
of it or of another one, says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..model.deployments import Dispatch, WorkQueue
from ..model.states import Pending, Scheduled, State, StateType
from ..model.views import FlowRow
from .decide import NEVER, Accept, decide

LATE = 5.0
"""Seconds after its time that a run which has not begun counts as late."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A run that is not at rest, as an agent sees it."""

    row: FlowRow
    dispatch: Dispatch
    mine: bool = False
    """True if this agent sees to it."""
    cared_for: bool = False
    """True if another agent that is alive sees to it."""
    owned: bool = False
    """True if a process that is alive has the run."""
    running: bool = False
    """True if the process that is recorded of it is on this machine, and there."""

    @property
    def state(self) -> State:
        """The state that it was seen in."""
        return self.row.state


@dataclass(slots=True)
class Recorded:
    """A run that no process has, for `decide`."""

    state: State
    attempts: int
    gate = StateType.RUNNING
    reopened = ""


@dataclass(frozen=True, slots=True)
class View:
    """What an agent sees in one look."""

    now: float
    host: str
    """The machine that it is on."""
    runs: tuple[Seen, ...]
    queues: Mapping[str, WorkQueue] = field(default_factory=dict)
    """Those that were changed, by name."""
    limit: int | None = None
    """How many runs it has at work at most; null for any number."""
    prefetch: float = 0.0
    """Seconds before its time that the process of a run is started, so that it has loaded its code by then."""


@dataclass(frozen=True, slots=True)
class Move:
    """Put the run into another state."""

    seen: Seen
    state: State


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process for the run; `state` is what to claim it with, null if an agent that is gone had claimed it."""

    seen: Seen
    state: State | None


@dataclass(frozen=True, slots=True)
class Adopt:
    """See to a run from now on whose agent is gone."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Finish:
    """No process has the run any more: record its end, as Cancelled if that was asked for, else as Crashed."""

    seen: Seen
    why: str = ""
    """What to say beside who asked for it."""


@dataclass(frozen=True, slots=True)
class End:
    """End the process of the run."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Refuse:
    """Its process cannot be ended from here: say so."""

    seen: Seen
    why: str


Action: TypeAlias = Move | Start | Adopt | Finish | End | Refuse


def decide_look(view: View) -> list[Action]:
    """What is to be done now, in this order; whatever fails because somebody was quicker is left to the next look."""
    actions: list[Action] = []
    mine = sum(each.mine and (each.running or each.state.is_pending()) for each in view.runs)
    room = None if view.limit is None else max(0, view.limit - mine)
    left = _left_in_queues(view)
    for seen in view.runs:
        if not _awaits_start(seen):
            actions += _look_after(seen, view)
            continue
        late = _late(seen, view.now)
        if late is not None:
            actions.append(Move(seen, late))
        start = _start(seen, view)
        queue = seen.dispatch.queue
        if start is not None and room != 0 and left.get(queue, 1) > 0:
            if late is None:  # else the next look starts it, as it is then
                actions.append(start)
            room = None if room is None else room - 1
            if queue in left:
                left[queue] -= 1
    return actions


def _left_in_queues(view: View) -> dict[str, int]:
    """How many runs of each queue that has a limit, or is paused, may be started.

    Whoever starts one looks once more, in a transaction: other agents may be at it.
    """
    left = {name: 0 if each.paused else each.limit for name, each in view.queues.items()}
    found = {name: limit for name, limit in left.items() if limit is not None}
    for seen in view.runs:
        if seen.dispatch.queue in found and not _awaits_start(seen):
            found[seen.dispatch.queue] -= 1
    return found


def _awaits_start(seen: Seen) -> bool:
    """True for a run that no process has, and that no agent which is alive is about to start."""
    state = seen.state
    if seen.row.owner:
        return False
    return state.is_scheduled() or (state.is_pending() and not (seen.cared_for or seen.running))


def _late(seen: Seen, now: float) -> State | None:
    """The state of a run that has not begun in time, once."""
    state, due = seen.state, seen.state.scheduled_time
    if state.name != "Scheduled" or due is None or now <= due + LATE:
        return None
    return Scheduled(due, name="Late", at=now)


def _start(seen: Seen, view: View) -> Start | None:
    due = seen.state.scheduled_time
    if due is not None and due > view.now + view.prefetch:
        return None
    if seen.state.is_pending():
        return Start(seen, None)
    decision = decide(Recorded(seen.state, seen.row.attempts), Pending(at=view.now), NEVER, view.now)
    return Start(seen, decision.state) if isinstance(decision, Accept) else None


def _look_after(seen: Seen, view: View) -> list[Action]:
    """What is to be done with a run that somebody has, or had."""
    if seen.cared_for:
        return []
    place = seen.dispatch.place
    elsewhere = place is not None and place.host != view.host
    if seen.state.is_cancelling():
        return _end(seen, view, elsewhere)
    if seen.row.owner and not seen.owned and not elsewhere:
        return [Finish(seen)]
    return [Adopt(seen)] if seen.running and not seen.mine else []


def _end(seen: Seen, view: View, elsewhere: bool) -> list[Action]:
    """What is to be done with a run that was cancelled and has not ended."""
    place = seen.dispatch.place
    if place is not None and elsewhere:
        why = f"its process {place.pid} is on {place.host}, and this agent on {view.host}: start an agent there"
        return [Refuse(seen, why)]
    if seen.running:
        return [*([] if seen.mine else [Adopt(seen)]), End(seen)]
    if seen.owned:  # by a process that no agent has started, or that has taken the run over: it ends it itself
        return []
    if place is None and not seen.row.owner:
        return [Finish(seen, "No process of it was recorded: that its code has ended cannot be guaranteed.")]
    return [Finish(seen)]
