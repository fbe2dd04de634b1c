"""What earlier attempts of a flow run did, so that another one runs only what is missing."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .identity import Identity
    from .task_run import TaskRun


class Recall:
    """The task runs of earlier attempts by their identity.  Safe from any thread.

    A retry that takes another branch, or whose tasks begin in another order, never gets a result that belongs to
    something else; what has no identity, because its inputs cannot be told, runs again.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._earlier: dict[Identity, TaskRun] = {}
        self._present: dict[Identity, TaskRun] = {}

    def begin_again(self) -> None:
        """A new attempt begins: what is known so far is earlier from now on."""
        with self._lock:
            self._earlier.update(self._present)
            self._present.clear()

    def find(self, identity: Identity) -> TaskRun | None:
        """The task run of an earlier attempt that a call is once more."""
        return self._earlier.get(identity) if identity.key else None

    def note(self, run: TaskRun) -> None:
        """Remember a task run of the present attempt."""
        with self._lock:
            self._present[run.identity] = run
