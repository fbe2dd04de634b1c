"""Flow runs that no process has: the dead, which whoever looks records as Crashed, the suspended, and those to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from .engine import Engine
from .errors import StoreError
from .model.events import FlowState, TaskState
from .model.states import Cancelled, Cancelling, Crashed, State
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
    now = here.now()
    began = _at_work(here, row)
    _end_below(here, row, began, partial(bury, here, take_over=take_over))
    deaths = _deaths(here, row.number) if began and not alive else Counter[int]()
    gone = Crashed(message=TAKEN_OVER if alive else GONE, at=now)
    _record(here, row, gone, [(each, gone if alive else _end(each, deaths, now)) for each in began])
    return True


def put_to_rest(here: Engine, row: FlowRow, why: str = "") -> bool:
    """Record that a flow run was cancelled which is Cancelling, and whose process is gone; false if it has moved on.

    `why` says more than who asked for it.  Raises `StoreError`.
    """
    return _put_to_rest(here, Cancelled(f"{row.state.message} {why}".strip(), at=here.now()), row)


def _put_to_rest(here: Engine, end: State, row: FlowRow) -> bool:
    ended = row.state.is_final() or not (row.owner or row.state.is_cancelling())
    if ended or here.store.is_alive(row.owner) or not here.store.claim_flow_run(row):
        return False
    began = _at_work(here, row)
    _end_below(here, row, began, partial(_put_to_rest, here, end))
    _record(here, row, end, [(each, end) for each in began])
    return True


def _at_work(here: Engine, row: FlowRow) -> list[TaskRow]:
    """The task runs of a flow run that has just been claimed which have begun and not ended."""
    row.owner = here.store.process
    return [each for each in here.store.task_runs(row.number) if each.attempts and not each.state.is_final()]


def _end_below(here: Engine, row: FlowRow, began: list[TaskRow], end: Callable[[FlowRow], object]) -> None:
    """Before the run itself, which is looked at again should this process die in between."""
    for each in began:
        for subflow in here.store.subflow_runs(row.number, each.number) if each.subflow else ():
            end(subflow)


def _record(here: Engine, row: FlowRow, end: State, tasks: list[tuple[TaskRow, State]]) -> None:
    now = end.timestamp
    events = [TaskState(row.number, now, each.number, state, each.attempts, each.given_name) for each, state in tasks]
    here.commit_all([*events, FlowState(row.number, now, end, attempt=row.attempts)])
    row.state = end


def call_off(here: Engine, row: FlowRow, by: str) -> bool:
    """Cancel a flow run that no process has: a suspended one, or one that was created ahead and has not begun.

    False if it is none, or somebody has taken it just now.  Raises `StoreError`.
    """
    to_come = (row.state.is_scheduled() or row.state.is_pending()) and (row.started is None or not row.owner)
    waits = row.state.is_suspended() or (to_come and not here.store.is_alive(row.owner))
    if not waits or not here.store.claim_flow_run(row):
        return False
    now = here.now()
    here.commit_all([FlowState(row.number, now, Cancelled(f"Cancelled by {by}.", at=now), by, row.attempts)])
    return True


def give_up(here: Engine, row: FlowRow, by: str) -> bool:
    """Cancel a flow run that came from a deployment and whose process does not answer: it is Cancelling, nothing that
    the process still does with it is kept, and an agent ends the process.

    False for a run that came from none, that has not begun, or that has moved on.  Raises `StoreError`.
    """
    if row.state.is_at_rest() or not row.owner or here.store.deployments.dispatch(row.number) is None:
        return False
    return here.store.deployments.move(row, Cancelling(f"Cancelled by {by}.", at=here.now()), by)


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
