"""What the code of a simulated program can do: call, submit, map, wait, pause.

Each does what the public call of that name does with the same objects of the engine; only that it waits by yielding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidegate import control, unmapped
from tidegate.context import Frame
from tidegate.engine import using
from tidegate.flow_runs import new_flow_run
from tidegate.futures import TaskFuture
from tidegate.inputs import scan
from tidegate.mapping import columns
from tidegate.run.flow_run import FlowRun
from tidegate.run.lifecycles import flow_life, task_life
from tidegate.run.task_run import TaskRun

from .drivers import Outside, breathe, drive, start_on_worker, wait
from .machine import Turns
from .process import Process
from .programs import FOREVER, Node, Op, value_of
from .stage import FLOWS, TASKS

if TYPE_CHECKING:
    from .witness import Witness

CODE = breathe.__code__
"""Stands for the code that calls; the line is the number of the node."""


class Boom(Exception):
    """What the simulated code raises."""


class Body:
    """The code of one run of a node."""

    def __init__(self, process: Process, witness: Witness, here: Frame, node: Node, inputs: Sequence[Any]) -> None:
        self._process = process
        self._witness = witness
        self._here = here
        self._node = node
        self._inputs = inputs
        self._slots: list[Any] = []
        """Values, and the futures of those that nobody has waited for."""

    def turns(self) -> Turns:
        """From the first line to the last."""
        here, node = self._here, self._node
        self._witness.begins(self._process, here, node, self._inputs)
        yield from breathe(here)
        for op in node.ops:
            yield from self._do(op)
        if self._witness.is_to_fail(node, self._inputs):
            raise Boom(node.name)
        wanted = [at for at in range(len(self._slots)) if at not in node.dropped]
        for at in wanted:
            yield from self._value(at)
        members = [self._slots[at] for at in wanted]
        yield from breathe(here)
        value = value_of(node.name, self._inputs, members)
        self._witness.ends(self._process, here, value)
        return value

    def _do(self, op: Op) -> Turns:
        if op.verb == "breathe":
            yield from breathe(self._here)
        elif op.verb == "wait":
            yield from self._value(op.given[0])
        elif op.verb == "pause":
            yield from self._pause()
        elif op.verb == "suspend":
            self._suspend()
        else:
            assert op.node is not None
            given = [self._slots[at] for at in op.given]
            if op.verb == "map":
                self._map(op.node, given, op.times)
            for _ in range(op.times if op.verb != "map" else 0):
                yield from self._call(op.verb, op.node, given)
                yield from breathe(self._here)

    def _call(self, verb: str, node: Node, given: list[Any]) -> Turns:
        if verb == "submit":
            self._slots.append(self._submit(node, given))
            return
        try:
            value = yield from (self._flow(node, given) if verb == "flow" else self._direct(node, given))
        except Boom:
            if node.fails != FOREVER:
                raise
            value = "failed"
        self._slots.append(value)

    def _value(self, slot: int) -> Turns:
        """As `TaskFuture.result`."""
        found = self._slots[slot]
        if isinstance(found, TaskFuture):
            yield from wait(self._process, self._here, found.latch)
            found = self._slots[slot] = found._run.value()
        return found

    # The calls of the engine ------------------------------------------------------------------------------------------

    def _new_run(self, node: Node, args: tuple[Any, ...], links: Any = None) -> TaskRun:
        run: TaskRun = TASKS[node.kind]._new_run(self._here, (CODE, node.number), args, {}, links)
        self._witness.announced(self._process, run, node, self._here.task_run)
        return run

    def _direct(self, node: Node, given: list[Any]) -> Turns:
        """As `Task.__call__`."""
        here = self._here
        with Outside(here):
            run = self._new_run(node, (node.name, *given))
            if here.task_run is not None:
                run.called_by(here.task_run)
            yield from drive(self._process, task_life(run), here)
            return run.value()

    def _submit(self, node: Node, given: list[Any]) -> TaskFuture[Any]:
        """As `Task.submit`."""
        with Outside(self._here):
            run = self._new_run(node, (node.name, *given))
            start_on_worker(self._process, run)
            return TaskFuture(run)

    def _map(self, node: Node, given: list[Any], times: int) -> None:
        """As `Task.map`."""
        with Outside(self._here):
            args = (node.name, list(range(times)), *map(unmapped, given))
            made: list[TaskRun] = []
            try:
                for row, _, links in columns(TASKS[node.kind], args, {}, self._here.flow_run):
                    made.append(self._new_run(node, row, links))  # a cancel may come half way
            finally:
                for run in made:
                    start_on_worker(self._process, run)
            self._slots.extend(TaskFuture(run) for run in made)

    def _flow(self, node: Node, given: list[Any]) -> Turns:
        """As `Flow.__call__` in a flow."""
        here, flow, parent = self._here, FLOWS[node.kind], self._here.flow_run
        with Outside(here):
            args = (node.name, given)
            inputs = list(flow.bind(args, {}))
            tracking = parent.new_task_run(flow, inputs, here.task_run)
            tracking.args, tracking.inputs = args, scan(inputs, parent.links, parent.number)
            tracking.fn = lambda *args: self._tracked(tracking, flow, node, args)
            parent.announce(tracking, (CODE, node.number), here.task_run, tracking.inputs.links)
            self._witness.announced(self._process, tracking, node, here.task_run)
            yield from drive(self._process, task_life(tracking), here)
            return tracking.state.result()

    def _tracked(self, tracking: TaskRun, flow: Any, node: Node, args: tuple[Any, ...]) -> Turns:
        """As `Flow._run_tracked`."""
        self._witness.runs(self._process, tracking, node)
        run = new_flow_run(flow, args, {}, tracking)
        self._witness.listen(self._process, run)
        yield from drive(self._process, flow_life(run), tracking.frame)
        tracking.flow_run.subflows.discard(run)
        return run.state

    def _pause(self) -> Turns:
        """As `pause_flow_run`."""
        run: FlowRun = self._here.flow_run
        name = run.pauses.next_key()
        if run.pauses.has_passed(name, None):
            return
        run.go_no_further()
        self._witness.pauses(self._process, run, name)
        with Outside(self._here):
            control._pause(run, name, None)
            yield from wait(self._process, self._here, run.moved)
        run.go_no_further()

    def _suspend(self) -> None:
        """As `suspend_flow_run`."""
        run: FlowRun = self._here.flow_run
        name = run.pauses.next_key()
        if not run.pauses.has_passed(name, None):
            self._witness.pauses(self._process, run, name)
            run.leave(name)


def begin(process: Process, witness: Witness, node: Node) -> FlowRun:
    """A new run of a program in a process."""
    with using(process.engine):
        run = new_flow_run(FLOWS[node.kind], (node.name, []), {})
    witness.listen(process, run)
    return run
