"""Results of other runs that a task run takes over instead of running."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import MissingResult
from .model.record import record
from .model.states import Cached, State
from .model.views import FlowRow, TaskRow
from .saving import context_of

if TYPE_CHECKING:
    from .run.task_run import TaskRun


@record
class Hit:
    """What there is for a run."""

    state: State
    blob: bytes
    """The result as it is to be kept with the run that gets it."""


def hit(run: TaskRun, place: tuple[int, int], blob: bytes, extra: Mapping[str, Any]) -> Hit:
    """The result that is kept with the run at `place`, for another one; `extra` is for its state.

    Each is loaded anew, so what a caller does to a list that it was given changes nothing for the next one.  Raises
    `RunError` or `StoreError` if it is not to be had.
    """
    keeper = run.flow_run.of(run.task).saving.keeper
    there, here = context_of(*place), context_of(run.flow_run.number, run.number)
    value = keeper.load(blob, there)
    return Hit(Cached(value, extra=extra, at=run.now()), keeper.moved(blob, there, here))


def hit_of(run: TaskRun, row: TaskRow | FlowRow | None) -> Hit:
    """The result of a run of the record, for another one.  Raises as `hit`."""
    if row is None or row.result is None:
        raise MissingResult("Its result was not saved.")
    place = (row.flow_run, row.number) if isinstance(row, TaskRow) else (row.number, 0)
    return hit(run, place, row.result, {})
