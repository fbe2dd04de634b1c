"""Who waits for what, in words."""

from __future__ import annotations

from typing import Any

from tidegate.latch import AnyOf
from tidegate.run.task_run import TaskRun

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


def _of(thread: Any) -> str:
    return "" if thread.process is None else f" of {thread.process.name}"


def _named(latch: Any) -> str:
    if isinstance(latch, TaskRun):
        return f"the end of {latch.name}"
    return "one of several things" if isinstance(latch, AnyOf) else type(latch).__name__
