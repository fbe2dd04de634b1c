"""A task run as the record has it, which a flow run that is resumed may take over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MissingResult, NondeterminismError, RunError
from ..model.states import UNSUCCESSFUL, Pending, State, StateType
from ..model.views import PENDING_STATE, FlowRow, TaskRow
from .doubts import IN_DOUBT, is_doubtful, left_crashed
from .task_run import TaskRun

if TYPE_CHECKING:
    from .called import Called
    from .flow_run import FlowRun
    from .terms import Terms


class RecordedRun:
    """A task run that an earlier process began."""

    __slots__ = ("_flow_run", "_terms", "row")

    def __init__(self, flow_run: FlowRun, row: TaskRow, terms: Terms) -> None:
        self._flow_run = flow_run
        self._terms = terms
        self.row = row

    def again(self, task: Called) -> TaskRun:
        """The same task run in this process: it has ended if it completed, and its code and its result are there.

        Raises `NondeterminismError` if its code has changed and that is not to be.
        """
        row = self.row
        run = TaskRun(self._flow_run, row.number, row.index, task)
        known = Pending(at=row.created) if row.state is PENDING_STATE else row.state  # which says that nobody knows it
        run.given_name, run.earlier, run.state = row.given_name, row.attempts, known
        run.seconds = row.ran if row.attempts else None
        if row.state.type is not StateType.COMPLETED:
            if is_doubtful(row, task) and not self._terms.why_again(row.number):
                if task.rerun == "ask":
                    run.reopened = IN_DOUBT
                else:
                    run.state = left_crashed(row.state, row.flow_run, row.name)
                return run
            run.reopened = "Retrying" if row.state.type in UNSUCCESSFUL else ""
            if row.state.is_suspended():
                run.reopened = "Resuming"
            return run
        run.before = row.result
        run.why_missed = self._why_again(task)
        if not run.why_missed:
            try:
                run.state = self._with_result(task)
            except RunError as error:
                run.why_missed = f"{error}"
        if run.why_missed:
            run.reopened = "Rerunning"
        return run

    def _why_again(self, task: Called) -> str:
        row, terms = self.row, self._terms
        asked = terms.why_again(row.number)
        if asked:
            return asked
        if terms.on_change == "reuse" or row.source == self._flow_run.of(task).source:
            return ""
        if terms.on_change == "error":
            raise NondeterminismError(f"The code of {row.name} has changed since it completed.")
        return "Its code has changed."

    def _with_result(self, task: Called) -> State:
        """The recorded state with its result, loaded now: later it would be too late to run again."""
        flow_run, row = self._flow_run, self.row
        kept: TaskRow | FlowRow = row
        if row.subflow:
            runs = flow_run.engine.store.subflow_runs(row.flow_run, row.number)
            if not runs:
                raise MissingResult("Its flow run is not in the record.")
            kept = runs[0]
        value = flow_run.of(task).saving.recorded(kept).result()
        return row.state.with_data(value).of_run(row.flow_run, row.number)
