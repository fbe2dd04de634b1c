"""What really happened, noted outside of the simulated processes, and what must never happen.

- G1: who was told of an end, a pause, a resume or a cancel finds it on the disk, unless he was told that nothing is
  saved.
- G3: what the disk has is whole: each completed task run has the one result that it can have.
- G4: what completed and was saved does not run again, unless an input of it did.  A task that is not to run twice does
  not.
- G6: code of a run is at work in no process but the one that the record calls its owner.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from tidegate.context import Frame
from tidegate.model.events import Event, FlowState, SavingChanged, TaskState
from tidegate.model.states import State, StateType
from tidegate.model.views import TaskRow
from tidegate.results.blob import is_saved
from tidegate.run.flow_run import FlowRun
from tidegate.run.identity import Identity
from tidegate.run.task_run import TaskRun

from .disk import Disk
from .process import Process
from .programs import FOREVER, Node, calls

ASKED_FOR = {StateType.PAUSED, StateType.CANCELLING}


class Witness:
    """Takes notes; what is wrong is in `wrong`."""

    def __init__(self, disk: Disk, program: Node) -> None:
        self.wrong: list[str] = []
        self.bodies = 0
        """How often code of a program was begun."""
        self.told = 0
        """Ends and such that somebody was told of."""
        self._disk = disk
        self._calls = calls(program)
        self._failed: Counter[str] = Counter()
        self._ran: set[tuple[Process, int, int]] = set()
        self._never: dict[tuple[int, Identity], Process] = {}
        """For each call of a task that is not to run twice, the process that began it."""
        self._suspect: dict[tuple[int, Identity], str] = {}
        """Those that were at work when that process died, or whose end was lost with it."""
        self._cancelled: set[tuple[Process, int]] = set()
        self._problem: dict[tuple[Process, int], str] = {}
        self._nodes: dict[tuple[int, int], str] = {}
        self._runs: defaultdict[tuple[int, int], list[TaskRun]] = defaultdict(list)
        """The objects that a task run has been in all processes."""
        self._values: dict[str, tuple[Any]] = {}
        """What each call gave, by its key."""

    # What the code does -----------------------------------------------------------------------------------------------

    def begins(self, process: Process, here: Frame, node: Node, inputs: Sequence[Any]) -> None:
        """Code is about to run."""
        if process.dead:
            return
        self.bodies += 1
        run = here.task_run
        flow_run = here.flow_run.number
        row = self._disk.flow_run(flow_run)
        if row is None or row.owner != process.name:
            self._say(f"G6: {node.name} runs in {process.name}, and the owner is {row.owner if row else 'nobody'!r}")
        elif row.state.is_at_rest() and not self._problem.get((process, flow_run)):
            self._say(f"{node.name} runs although its flow run is {row.state.name}")
        if run is not None:
            self.runs(process, run, node)

    def runs(self, process: Process, run: TaskRun, node: Node) -> None:
        """A task run has begun, or one that stands for a subflow."""
        if process.dead:
            return
        self._check_again(process, run, node)
        self._check_never(process, run, node)
        self._ran.add((process, run.flow_run.number, run.number))

    def _check_again(self, process: Process, run: TaskRun, node: Node) -> None:
        flow_run = run.flow_run
        if flow_run.terms.why_again(run.number) or self._input_ran(process, run):
            return
        for row in self._disk.task_runs(flow_run.number):
            same = (row.key, row.nth) == run.identity and row.state.type is StateType.COMPLETED
            if same and (row.subflow or is_saved(row.result)):
                self._say(f"G4: {node.name} ({run.name}) runs again, and {row.name} had completed and was saved")

    def _input_ran(self, process: Process, run: TaskRun) -> bool:
        found = run.inputs
        futures = [] if found is None else [future for future, _ in found.futures]
        return any((process, each.flow_run, each.number) in self._ran for each in futures)

    def _check_never(self, process: Process, run: TaskRun, node: Node) -> None:
        if run.task.rerun != "never":
            return
        call = (run.flow_run.number, run.identity)
        before = self._suspect.pop(call, "")
        if before:
            self._say(f"{node.name} ({run.name}), which is not to run twice, was at work when {before} died")
        if not self._disk.broken:  # then nothing could tell that it has begun
            self._never[call] = process

    def died(self, process: Process) -> None:
        """A process is gone: what was at work in it may have done its work."""
        for (flow_run, identity), who in list(self._never.items()):
            if who is process:
                del self._never[flow_run, identity]
                rows = self._disk.task_runs(flow_run)
                over = [row for row in rows if (row.key, row.nth) == identity and row.state.is_final()]
                if not over:
                    self._suspect[flow_run, identity] = process.name

    def ends(self, process: Process, here: Frame, value: Any) -> None:
        """Code gives a value; it can be no other one than before."""
        if here.task_run is None or process.dead:
            return
        known = self._values.setdefault(here.task_run.identity.key, (value,))
        if known != (value,):
            self._say(f"{here.task_run.name} gives {value!r}, and gave {known[0]!r} before")

    def is_to_fail(self, node: Node, inputs: Sequence[Any]) -> bool:
        """True if this is one of the times that it fails; that is not up to the simulation."""
        if node.fails == FOREVER:
            return True
        call = f"{node.name}{inputs}"
        self._failed[call] += 1
        return self._failed[call] <= node.fails

    def pauses(self, process: Process, run: FlowRun, key: str) -> None:
        """The code makes a pause."""
        if process.dead:
            return
        passed = [e for e in self._disk.log(run.number) if isinstance(e, FlowState) and e.pause == key]
        if passed:
            self._say(f"flow run {run.number} makes {key!r} again, which it had passed")

    # What is told -----------------------------------------------------------------------------------------------------

    def listen(self, process: Process, run: FlowRun) -> None:
        """Hear all that is shown of a flow run."""
        process.engine.subscribe(run.number, partial(self._hear, process))
        run.finished.on_done(partial(self._finished, process, run))

    def announced(self, process: Process, run: TaskRun, node: Node, caller: TaskRun | None) -> None:
        """A task run is known."""
        self._nodes[run.flow_run.number, run.number] = node.name
        self._runs[run.flow_run.number, run.number].append(run)
        if run.flow_run.terms.why_again(run.number):
            self._suspect.pop((run.flow_run.number, run.identity), None)
        if run.identity.nth >= self._calls[node.name] and (caller is None or caller.attempts < 2):
            self._say(f"{node.name} is called for the {run.identity.nth + 1}th time, as if it were another call")
        run.on_done(partial(self._opened, process, run))

    def _hear(self, process: Process, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, SavingChanged):
                self._problem[process, event.flow_run] = event.problem
            elif isinstance(event, (TaskState, FlowState)) and _is_promise(event):
                self.told += 1
                if not process.dead and id(event) not in self._disk.written and not self._excused(process, event):
                    self._say(f"G1: {event.state.name} of {_who(event)} is shown, and is not on the disk")

    def _excused(self, process: Process, event: TaskState | FlowState) -> bool:
        return bool(self._problem.get((process, event.flow_run)))

    def _opened(self, process: Process, run: TaskRun) -> None:
        """Whoever waits for a task run goes on."""
        flow_run = run.flow_run.number
        state = run.state
        if process.dead or state.type is not StateType.COMPLETED or self._problem.get((process, flow_run)):
            return
        row = self._disk.task_run(flow_run, run.number)
        if row is None or row.state.type is not StateType.COMPLETED:
            self._say(f"G1: {run.name} is seen to have completed, and the disk says {row and row.state.name}")
        elif not row.subflow and run.task.options["persist_result"] is not False and not is_saved(row.result):
            self._say(f"G1: {run.name} is seen to have completed, and its result is not on the disk")

    def promised(self, process: Process, run: FlowRun, verb: str) -> None:
        """A client was told yes."""
        if verb == "cancel":
            self._cancelled.add((process, run.number))

    def _finished(self, process: Process, run: FlowRun) -> None:
        if process.dead or self._problem.get((process, run.number)):
            return
        if (process, run.number) in self._cancelled and run.state.name not in ("Cancelled", "Crashed"):
            self._say(f"flow run {run.number} ends {run.state.name}, and a client was told that it would be cancelled")
        kept = [each for each in self._disk.log(run.number) if isinstance(each, FlowState)]
        if not any(each.state.name == run.state.name and each.attempt == run.attempts for each in kept):
            self._say(f"G1: flow run {run.number} is seen {run.state.name}, which the disk does not have")

    def was_reopened(self, flow_run: int, number: int) -> bool:
        """True for a task run that was to run again although it had completed, or did not complete before."""
        return any(run.reopened for run in self._runs[flow_run, number])

    def misfit(self, row: TaskRow, state: State) -> str:
        """What is wrong with the result that the record has of a task run."""
        found = self._nodes.get((row.flow_run, row.number))
        wanted = self._values.get(row.key)
        if found is None:
            return f"nobody has ever called {row.name}"
        value = state.result()
        return "" if wanted is None or value == wanted[0] else f"the result of {row.name} is not what its code gave"

    def _say(self, wrong: str) -> None:
        self.wrong.append(wrong)


def _is_promise(event: TaskState | FlowState) -> bool:
    """True for what is shown only once it is kept."""
    state = event.state
    if state.is_final():
        return True
    if isinstance(event, TaskState):
        return False
    return state.type in ASKED_FOR or (state.name == "Resuming" and event.attempt > 1)


def _who(event: TaskState | FlowState) -> str:
    number = event.task_run if isinstance(event, TaskState) else 0
    return f"task run {event.flow_run}/{number}" if number else f"flow run {event.flow_run}"
