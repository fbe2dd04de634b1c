"""What is still at work, or has not begun, when a flow run ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..model.states import Cancelled, State

if TYPE_CHECKING:
    from ..model.events import TaskState
    from .flow_run import FlowRun

NAMED = 3
"""Bodies still alive after a cancel that are named; the others are counted."""


def abandon(run: FlowRun, final: State) -> State:
    """Give up waiting: whatever is left ends here, and its late outcome will be refused.

    Gives the final state, which names the bodies that are still at work.
    """
    alive = still_alive(run)
    if alive:
        final = replace(final, message=f"{final.message} Still at work: {alive}.".strip())
    now = run.now()
    events: list[TaskState] = []
    left = []
    for each in list(run.children.open.values()):
        if each.claim_end():
            if each.is_kept:
                left.append((each, each.state))
                continue
            state = Cancelled(f"The flow run ended ({final.name}) before this did.", at=now)
            events.append(each.event(state))
            left.append((each, state))
    if events:
        run.engine.commit_all(events)
    for each, state in left:
        each.end(state)
    return final


def still_alive(run: FlowRun) -> str:
    """The bodies that go on although the run was told to end: ``locate-3, locate-7 and 2 more``."""
    names = [each.name for each in [*list(run.bodies.values()), *list(run.deserted.values())]]
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
