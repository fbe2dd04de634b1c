"""A task run of another flow run, whose result a forked one takes over instead of running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RunError, StoreError
from ..hits import hit_of
from ..model.views import FlowRow, TaskRow
from .task_run import TaskRun

if TYPE_CHECKING:
    from .called import Called
    from .flow_run import FlowRun


class DonatedRun:
    """A completed task run of the flow run that was forked."""

    __slots__ = ("_flow_run", "row")

    def __init__(self, flow_run: FlowRun, row: TaskRow) -> None:
        self._flow_run = flow_run
        self.row = row

    def again(self, task: Called) -> TaskRun:
        """A new task run of the fork, which has the result if the code is the same and the result is there."""
        flow_run, row = self._flow_run, self.row
        run = TaskRun(flow_run, *flow_run.numbering.next(task.name), task)
        if row.source != flow_run.of(task).source:
            run.why_missed = "Its code has changed."
            return run
        kept: FlowRow | TaskRow | None = row
        if row.subflow:
            kept = next(iter(flow_run.engine.store.subflow_runs(row.flow_run, row.number)), None)
        try:
            run.cached = hit_of(run, kept)
        except (RunError, StoreError) as error:
            run.why_missed = f"{error}"
        return run
