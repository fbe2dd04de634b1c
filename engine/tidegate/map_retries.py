"""What `MapResult.retry` does: task runs that did not complete begin once more, in their flow run or in a rerun."""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Sequence
from contextvars import copy_context
from typing import Any

from .context import Frame, frame
from .ended_run import EndedRun
from .errors import UsageError
from .futures import AsyncTaskFuture, TaskFuture
from .inputs import scan
from .recovery import rerun_here
from .run.bodies import step_in, step_out
from .run.flow_run import FlowRun
from .run.recall import Recall
from .run.task_run import TaskRun
from .task import start

_one_at_a_time = threading.Lock()
"""Or two threads could have the same task run begin twice."""


def retry(futures: Sequence[TaskFuture[Any]]) -> Coroutine[Any, Any, None] | None:
    """Have the task runs of these futures, which have ended and did not complete, begin once more.

    Null once they have begun, or, where their flow run was taken up, have ended; of an async flow to be awaited.
    """
    first: TaskRun | EndedRun = futures[0].task_run
    flow_run = futures[0].task_run.flow_run
    if isinstance(first, EndedRun):
        raise UsageError(
            "These futures were pickled: they hold ends alone. Retry where the flow ran, or resume its run."
        )
    if flow_run.finished.done():
        return _taken_up(flow_run, futures)
    here = frame.get()
    if here is None:
        _begin(flow_run, futures, None)
        return None
    out = step_out(here)
    try:
        _begin(flow_run, futures, here)
    finally:
        step_in(here, out)
    return None


def _begin(flow_run: FlowRun, futures: Sequence[TaskFuture[Any]], here: Frame | None) -> None:
    begun: list[tuple[TaskRun, bool]] = []
    try:
        with _one_at_a_time:
            for future in futures:
                ended = future.task_run
                if not ended.done() or ended.state.is_completed():
                    continue
                given = ended.task.bind(ended.args, ended.kwargs)
                run = flow_run.once_more(ended, scan(given, flow_run.links, flow_run.number))
                future.stand_for(run)
                begun.append((run, isinstance(future, AsyncTaskFuture)))
    finally:
        # Also when the flow was cancelled or suspended half way: those that are open again then end at once.
        context = copy_context()
        for run, awaited in begun:
            start(run, awaited and here is not None and here.is_async, context)


def _taken_up(flow_run: FlowRun, futures: Sequence[TaskFuture[Any]]) -> Coroutine[Any, Any, None] | None:
    known: list[Recall] = []

    def began(run: FlowRun) -> None:
        if run.recall is not None:
            known.append(run.recall)

    ended = rerun_here(flow_run, [each.number for each in futures], began)
    if isinstance(ended, Coroutine):
        return _awaited(ended, known, futures)
    _stand_for(known, futures)
    return None


async def _awaited(
    ended: Coroutine[Any, Any, Any], known: Sequence[Recall], futures: Sequence[TaskFuture[Any]]
) -> None:
    await ended
    _stand_for(known, futures)


def _stand_for(known: Sequence[Recall], futures: Sequence[TaskFuture[Any]]) -> None:
    """One that the flow did not come to this time stays as it was."""
    for recall in known:
        for future in futures:
            run = recall.present(future.identity) if future.identity.key else None
            if run is not None and run.done():
                future.stand_for(run)
