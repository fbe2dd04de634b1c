"""What earlier attempts of a flow run did, so that a retry runs only what is missing.

A task run is the same as an earlier one if it is the same task with the same inputs, and as often called with them
before: never because it was the n-th call of the attempt.  A retry that takes another branch, or whose tasks begin in
another order, therefore never gets a result that belongs to something else.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..digests import digest
from ..futures import TaskFuture

if TYPE_CHECKING:
    from .task_run import Called, TaskRun


class Recall:
    """The task runs of a flow run by what they are, over its attempts.  Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._earlier: dict[tuple[str, str, int], TaskRun] = {}
        self._calls: defaultdict[tuple[str, str], list[TaskRun]] = defaultdict(list)

    def begin_again(self) -> None:
        """A new attempt begins: what is known so far is earlier from now on."""
        with self._lock:
            for (task, inputs), runs in self._calls.items():
                for place, run in enumerate(runs):
                    self._earlier[task, inputs, place] = run
            self._calls.clear()

    def task_run(
        self,
        task: Called,
        given: Iterable[tuple[str, Any]],
        parent: TaskRun | None,
        make: Callable[[Called], TaskRun],
    ) -> TaskRun:
        """The task run of a call: one of an earlier attempt once more, or a new one."""
        scope = f"{parent.number}/{task.key}" if parent is not None else task.key
        inputs = _inputs(list(given))
        with self._lock:
            calls = self._calls[scope, inputs]
            before = self._earlier.get((scope, inputs, len(calls)))
            run = make(task) if before is None else before.again(task)
            calls.append(run)
        return run


def _inputs(given: list[tuple[str, Any]]) -> str:
    """What tells calls apart.  An argument without a digest, such as a lock, counts by its type."""
    whole = digest(given, _token)
    if whole is not None:
        return whole
    each = [(name, digest(value, _token) or type(value).__qualname__) for name, value in given]
    return digest(each) or ""


def _token(value: Any) -> str | None:
    """A future stands for the task run that it is of; task runs keep their number over the attempts."""
    return f"task run {value.flow_run}/{value.number}" if isinstance(value, TaskFuture) else None
