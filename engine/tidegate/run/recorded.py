"""A task run as the record has it, which a flow run that is resumed may take over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import RunError
from ..model.states import UNSUCCESSFUL, State, StateType
from ..model.views import FlowRow, TaskRow
from .task_run import TaskRun

if TYPE_CHECKING:
    from .flow_run import FlowRun
    from .task_run import Called


class RecordedRun:
    """A task run that an earlier process began."""

    __slots__ = ("_flow_run", "row")

    def __init__(self, flow_run: FlowRun, row: TaskRow) -> None:
        self._flow_run = flow_run
        self.row = row

    def again(self, task: Called) -> TaskRun:
        """The same task run in this process: it has ended if it completed, and its code and its result are there."""
        row = self.row
        run = TaskRun(self._flow_run, row.number, row.index, task)
        run.given_name, run.earlier, run.state = row.given_name, row.attempts, row.state
        if row.state.type is not StateType.COMPLETED:
            run.reopened = "Retrying" if row.state.type in UNSUCCESSFUL else ""
            if row.state.is_suspended():
                run.reopened = "Resuming"
            return run
        if row.source != self._flow_run.of(task).source:
            run.reopened, run.why_missed = "Rerunning", "Its code has changed."
            return run
        try:
            run.state = self._with_result(task)
        except RunError as error:
            run.reopened, run.why_missed = "Rerunning", f"{error}"
        return run

    def _with_result(self, task: Called) -> State:
        """The recorded state with its result, loaded now: later it would be too late to run again."""
        flow_run, row = self._flow_run, self.row
        kept: TaskRow | FlowRow = row
        if row.subflow:
            kept = flow_run.engine.store.subflow_runs(row.flow_run, row.number)[0]
        value = flow_run.of(task).saving.recorded(kept).result()
        return row.state.with_data(value).of_run(row.flow_run, row.number)
