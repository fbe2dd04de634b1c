"""Flow runs that no process has: the dead, which whoever looks records as Crashed, and the suspended."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from .engine import Engine
from .errors import StoreError
from .model.events import FlowState, TaskState
from .model.states import Cancelled, Crashed, State
from .model.views import FlowRow, TaskRow

GONE = "Its process ended before it did."

TAKEN_OVER = "Another process took the flow run over."

TOO_OFTEN = 3
"""Deaths of its process after which a task run that was at work each time is not run again by itself."""


def bury(here: Engine, row: FlowRow, *, take_over: bool = False) -> bool:
    """Record that a flow run crashed whose process is gone; true if it had to be recorded.

    A task run that was at work at the third death in a row is suspected to be the cause: it is Crashed/Quarantined.
    With `take_over` the process may be alive: nothing that it sends of the run is kept from then on.  Raises
    `StoreError`, with the run as dead as before.
    """
    if row.state.is_final() or row.number in here.live or not row.owner:
        return False
    alive = here.store.is_alive(row.owner)
    if alive and not take_over:
        return False
    if not here.store.claim_flow_run(row):
        return False  # somebody else looked as well, and it may be at work again by now
    row.owner = here.store.process
    now = here.now()
    began = [each for each in here.store.task_runs(row.number) if each.attempts and not each.state.is_final()]
    for each in began:  # before the run itself, which is looked at again should this process die in between
        for subflow in here.store.subflow_runs(row.number, each.number) if each.subflow else ():
            bury(here, subflow, take_over=take_over)
    deaths = _deaths(here, row.number) if began and not alive else Counter[int]()
    gone = Crashed(message=TAKEN_OVER if alive else GONE, at=now)
    crashed = [
        TaskState(
            row.number, now, each.number, gone if alive else _end(each, deaths, now), each.attempts, each.given_name
        )
        for each in began
    ]
    here.commit_all([*crashed, FlowState(row.number, now, gone, attempt=row.attempts)])
    row.state = gone
    return True


def call_off(here: Engine, row: FlowRow, by: str) -> bool:
    """Cancel a suspended flow run; false if it is none, or somebody has resumed it just now.  Raises `StoreError`."""
    if not row.state.is_suspended() or not here.store.claim_flow_run(row):
        return False
    now = here.now()
    here.commit_all([FlowState(row.number, now, Cancelled(f"Cancelled by {by}.", at=now), by, row.attempts)])
    return True


def bury_all(here: Engine) -> list[int]:
    """Look at the newest runs, and record which of them crashed with their process; their numbers."""
    return [row.number for row in here.store.flow_runs(1000) if look(here, row)]


def look(here: Engine, row: FlowRow) -> bool:
    """`bury`, for whoever only looks: if it cannot be recorded now, the next one who looks will."""
    with suppress(StoreError):
        return bury(here, row)
    return False


def _deaths(here: Engine, flow_run: int) -> Counter[int]:
    """How often in a row each task run was at work when a process of the flow run died."""
    counts = Counter[int]()
    for _, event in here.store.events(flow_run):
        if isinstance(event, TaskState) and event.state.is_final():
            died = event.state.is_crashed() and event.state.message.startswith(GONE)
            counts[event.task_run] = counts[event.task_run] + 1 if died else 0
    return counts


def _end(row: TaskRow, deaths: Counter[int], now: float) -> State:
    times = deaths[row.number] + 1
    if times < TOO_OFTEN or row.subflow:  # which is at work whenever a task of its own is
        return Crashed(message=GONE, at=now)
    told = f"{GONE} That was so {times} times in a row."
    return Crashed(message=told, name="Quarantined", at=now)
