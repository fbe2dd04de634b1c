"""Where the current code runs: in which flow run, in which task run."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from .errors import MissingContext
from .model.record import record

if TYPE_CHECKING:
    from .run.flow_run import FlowRun
    from .run.task_run import TaskRun
    from .visualize import Sketch


@record
class Frame:
    """The innermost run around the current code."""

    flow_run: FlowRun
    task_run: TaskRun | None = None

    @property
    def is_async(self) -> bool:
        """True if the code is async: calls of async tasks and flows then give awaitables, else their values."""
        run = self.task_run
        return self.flow_run.flow.is_async if run is None else run.task.is_async

    @property
    def sample(self) -> int | None:
        """How many members of a mapped call are run here; null for all.

        Those of tasks and subflows are whole: a result of a part would be taken for one of the whole.
        """
        run = self.flow_run
        return run.sample if self.task_run is None and run.tracking is None else None

    @property
    def told_to_end(self) -> bool:
        """True once the code is to go no further: its run was cancelled, or its time is up."""
        run = self.task_run
        return self.flow_run.told_to_end or (run is not None and run.overdue)


frame: ContextVar[Frame | None] = ContextVar("tidegate_frame", default=None)
"""Null outside of any flow run.  Threads that user code starts by itself begin outside."""

blocked: ContextVar[bool] = ContextVar("tidegate_blocked", default=False)
"""True while code is loaded only to find its flows: calls of flows then do nothing."""

sketching: ContextVar[Sketch | None] = ContextVar("tidegate_sketching", default=None)
"""The graph that is being sketched: calls of tasks and flows then go into it, and nothing runs."""


def get_run_context() -> FlowRun | TaskRun:
    """The run of the current code: the task run that it is in, else the flow run.

    Raises `MissingContext` where no flow or task runs, also in threads that your code started by itself.
    """
    here = frame.get()
    if here is None:
        raise MissingContext("get_run_context() was called where no flow or task runs. Call it in one of them.")
    return here.task_run or here.flow_run
