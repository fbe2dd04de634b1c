"""A failed task run, opened in the notebook: its inputs by the names of its parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from IPython.core.error import UsageError

from tidegate.engine import engine
from tidegate.errors import TidegateError
from tidegate.failed_inputs import FailedInputs, LeftOut, kept_with
from tidegate.lineage import named
from tidegate.model.views import FlowRow, TaskRow
from tidegate.results.policy import estimate
from tidegate.saving import context_of

from .records import title, told


@dataclass
class Failure:
    """What is to be had of the inputs of a task run that failed."""

    flow_run: FlowRow
    row: TaskRow
    inputs: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    """The task runs whose saved results stand in for inputs that were not kept."""
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    problem: str = ""
    """Why nothing is to be had."""

    @classmethod
    def of(cls, flow_run: FlowRow, task: str | None, held: FailedInputs) -> Failure:
        """The first failed task run, of that task or name if one is given; `held` is what this kernel still has.

        Raises `UsageError` if there is none.
        """
        rows = told(lambda: engine().store.task_runs(flow_run.number))
        wanted = {row.number for row in rows}
        if task is not None:
            name: str | int = int(task) if task.isdecimal() else task
            wanted = told(lambda: named(rows, name))
        failed = [row for row in rows if row.number in wanted and row.state.is_failed() and not row.subflow]
        if not failed:
            which = "no task run that failed" if task is None else f"no failed task run {task}"
            raise UsageError(f"{title(flow_run)} has {which}: inputs are kept of those alone.")
        made = cls(flow_run, failed[0])
        inputs = held.get(made.row.number)
        if inputs is not None:
            made.inputs = dict(inputs)
        else:
            made._load()
            made._stand_in(rows)
        return made

    def _load(self) -> None:
        """What the record has."""
        place = (self.flow_run.number, self.row.number)
        if self.row.result is None:
            self.problem = "nothing was saved with it"
            return
        try:
            error = engine().saving.keeper.load(self.row.result, context_of(*place))
        except TidegateError as missing:
            self.problem = str(missing).rstrip(".")
            return
        kept = kept_with(error, place)
        if kept is None:
            self.problem = "its exception takes no inputs along"
            return
        self.inputs, self.left_out = kept.load()

    def _stand_in(self, rows: list[TaskRow]) -> None:
        """For what was not kept, the saved result of the task run that it came from, if that has its kind and size.

        A link does not tell whether the input is the whole result or a member of it.
        """
        known = {row.number: row for row in rows}
        for name, missing in list(self.left_out.items()):
            links = self.row.links.get(name, ())
            if len(links) != 1 or links[0][1] != links[0][2] or links[0][0] not in ("future", "value"):
                continue
            source = known.get(links[0][1])
            value = None if source is None else _result(source)
            if source is not None and type(value).__qualname__ == missing.kind and estimate(value) == missing.size:
                self.inputs[name] = value
                self.origins[name] = source.name
                del self.left_out[name]

    def lines(self, names: dict[str, Any]) -> list[str]:
        """What to say once the inputs are put among those names, or under one name of them."""
        message = self.row.state.message
        lines = [f"{self.row.name} of flow run {self.flow_run.number} ({self.flow_run.name}) failed. {message}".strip()]
        if self.problem:
            lines.append(f"Its inputs are not to be had: {self.problem}.")
        if self.inputs:
            lines.append(f"In the notebook: {', '.join(self._told(name, names) for name in self.inputs)}.")
        if self.left_out:
            left = (f"{name} ({missing.reason})" for name, missing in self.left_out.items())
            lines.append(f"Not kept: {', '.join(left)}.")
        if not (self.problem or self.inputs or self.left_out):
            lines.append("It takes no inputs.")
        return lines

    def _told(self, name: str, names: dict[str, Any]) -> str:
        notes = [f"the result of {self.origins[name]}"] if name in self.origins else []
        if name in names and names[name] is not self.inputs[name]:
            notes.append("in place of what was there")
        return f"{name} ({', '.join(notes)})" if notes else name


def _result(row: TaskRow) -> Any:
    """The saved result of a task run; null if there is none."""
    if row.result is None or not row.state.is_completed():
        return None
    try:
        return engine().saving.keeper.load(row.result, context_of(row.flow_run, row.number))
    except TidegateError:
        return None
