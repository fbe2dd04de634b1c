"""What the inspector has done: a result loaded into the notebook, a task run again, a dial of a task turned.

Each takes a look at the store, and loading runs whatever the classes of the result run: never in a thread that serves
the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.engine import engine
from tidegate.errors import MissingResult, NotRunning, StoreError, UsageError
from tidegate.model.views import TaskRow
from tidegate.ports import EventStore
from tidegate.recovery import ResumePlan, resume_plan
from tidegate.results.blob import is_saved, why_unsaved
from tidegate.run.flow_run import FlowRun
from tidegate.saving import context_of

from .boxes import Boxes
from .dials import dials, turn
from .graph_model import GraphModel
from .members import label, member_state
from .node import Node
from .protocol import Action, Dial


class Actions:
    """What may be done with the task runs and the tasks of one flow run, and of its subflows that are open."""

    def __init__(self, boxes: Boxes, store: EventStore) -> None:
        self._boxes = boxes
        self._store = store
        self.run: FlowRun | None = None
        """The run in this process, whose dials can be turned; null for one of the record."""
        self.bind: Callable[[int, str, Any], str] | None = None
        """Binds the result of a task run to that name in the notebook, or one like it, and gives the name; null where
        there is no notebook."""
        self.rerun: Callable[[int], object] | None = None
        """Begins to run a task run again, or raises why it cannot be; null where nobody can."""

    def of(self, model: GraphModel, number: int, row: TaskRow | None) -> list[Action]:
        """What may be done with a task run of a model, ``rerun`` once its flow run is over; `row` is what the store has
        of it.  One of a subflow runs again with the flow run that called that."""
        node = model.node_of(number)
        if node is None:
            return []
        state = member_state(model, node, number)
        failed = state.is_failed() or state.is_crashed()
        if failed:
            return ["rerun"] if self.rerun is not None and not model.base else []
        kept = state.is_completed() and row is not None and is_saved(row.result)
        return ["load"] if kept and self.bind is not None else []

    def dials(self, model: GraphModel, node: Node) -> list[Dial]:
        """The dials of a node of a model, as they stand."""
        return dials(self._run_of(model), node)

    def _run_of(self, model: GraphModel) -> FlowRun | None:
        if not model.base or self.run is None or model.created is None:
            return self.run
        return self.run.engine.live.get(model.created.flow_run)

    def carry_out(self, action: Action, message: Mapping[str, Any]) -> str:
        """Do it; the line that says what was done.  Raises `TidegateError`, or whatever loading raises."""
        if action != "turn":
            return self._with_run(action, message.get("member"))
        number = message.get("node")
        model = self._boxes.model_of(number if isinstance(number, int) else 0)
        node = model.nodes.get(number - model.base) if isinstance(number, int) else None
        if node is None:
            raise UsageError("There is no such task.")
        return turn(self._run_of(model), node, message.get("dial"), message.get("value"))

    def _with_run(self, action: Action, member: object) -> str:
        root = self._boxes.root.created
        if action == "plan" and member == 0 and root is not None:
            return told(resume_plan(root.flow_run))
        model = self._boxes.model_of(member if isinstance(member, int) else 0)
        number = member - model.base if isinstance(member, int) else 0
        node, created = model.node_of(number), model.created
        if node is None or created is None:
            raise UsageError("There is no such task run.")
        name = label(node, node.members.index(number))
        if action == "load":
            if self.bind is None:
                raise UsageError("The run graph stands in no notebook.")
            value = self._result(created.flow_run, number)
            return f"In the notebook: {self.bind(number, _name(node, number), value)}"
        if model.base:
            raise UsageError("It is of a subflow: the flow run that called that runs it again.")
        if not model.state.is_at_rest():
            raise NotRunning("The run goes on: a task runs again once it has ended.")
        if action == "plan":
            return told(resume_plan(created.flow_run, number), name)
        if self.rerun is None:
            raise NotRunning("Nobody here can go on with the run.")
        self.rerun(number)
        return f"{name} runs again."

    def _result(self, flow_run: int, number: int) -> Any:
        row = self._store.task_run(flow_run, number)
        if row is None:
            raise StoreError("The store has no such task run.")
        if row.result is None or not row.state.is_completed():
            raise MissingResult("Nothing is kept of its result.")
        if reason := why_unsaved(row.result):
            raise MissingResult(f"Its result is not saved: {reason}.")
        return engine().saving.keeper.load(row.result, context_of(flow_run, number))


def _name(node: Node, number: int) -> str:
    """``parse_3817``; of the only one ``parse_result``, because its task is called ``parse``."""
    return f"{node.task}_{node.members.index(number) if len(node.members) > 1 else 'result'}"


def told(plan: ResumePlan, *first: str) -> str:
    """What a resume would do, or a rerun of that task run: ``Runs again: parse[3], 2 behind that. Kept: 9,997.``"""
    reasons = [f"{count:,} {why}" for why, count in plan.again.items() if why != "asked for"]
    again = ", ".join([*first, *reasons]) or "nothing that has ended"
    return f"Runs again: {again}. Kept: {plan.kept:,}."
