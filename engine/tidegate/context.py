"""Where the current code runs: in which flow run, in which task run."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run.flow_run import FlowRun
    from .run.task_run import TaskRun


@dataclass(frozen=True, slots=True)
class Frame:
    """The innermost run around the current code."""

    flow_run: FlowRun
    task_run: TaskRun | None = None


frame: ContextVar[Frame | None] = ContextVar("tidegate_frame", default=None)
"""Null outside of any flow run.  Threads that user code starts by itself begin outside."""
