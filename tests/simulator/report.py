"""Who waits for what, in words."""

from __future__ import annotations

from typing import Any

from tidegate.latch import AnyOf
from tidegate.model.events import FlowState, TaskCreated, TaskState
from tidegate.run.task_run import TaskRun

from .disk import Disk
from .machine import Machine


def who_waits(machine: Machine) -> str:
    """A line for each thread and for each run that is open."""
    lines = [f"{each.name}{_of(each)} waits for {_named(each.waits)}" for each in machine.threads]
    for process in machine.processes:
        for number, run in sorted(process.engine.live.items()):
            gate = "" if run.gate is run.state.type else f", its gate is {run.gate.name}"
            lines.append(f"{process.name} has flow run {number}, which is {run.state.name}{gate}")
            lines += [f"  {each.name} is open: {each.state.name}" for each in run.children.open.values()]
    return "\n".join(lines) or "there is nobody"


def record(disk: Disk) -> list[str]:
    """A line for each event that is kept, by flow run."""
    return [f"{number}: {_told(event)}" for number in sorted(disk._flows) for event in disk.log(number)]


def _told(event: Any) -> str:
    if isinstance(event, FlowState):
        return f"{event.state.name} in attempt {event.attempt} {event.by and f'by {event.by}'} {event.state.message}"
    if isinstance(event, TaskState):
        return f"task run {event.task_run} {event.state.name} in attempt {event.attempt} {event.state.message}"
    if isinstance(event, TaskCreated):
        return f"task run {event.task_run} is {event.task}-{event.index} {event.key[:8]}/{event.nth} of {event.parent}"
    return type(event).__name__


def _of(thread: Any) -> str:
    return "" if thread.process is None else f" of {thread.process.name}"


def _named(latch: Any) -> str:
    if isinstance(latch, TaskRun):
        return f"the end of {latch.name}"
    return "one of several things" if isinstance(latch, AnyOf) else type(latch).__name__
