"""What earlier attempts of a flow run did, so that another one runs only what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from ..model.views import TaskRow
from .identity import Identity
from .recorded import RecordedRun

if TYPE_CHECKING:
    from .flow_run import FlowRun
    from .task_run import TaskRun


class Recall:
    """The task runs of earlier attempts by their identity.  Safe from any thread.

    A retry that takes another branch, or whose tasks begin in another order, never gets a result that belongs to
    something else; what has no identity, because its inputs cannot be told, runs again.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._earlier: dict[Identity, TaskRun | RecordedRun] = {}
        self._sites: dict[int, int] = {}
        self._present: dict[Identity, TaskRun] = {}

    @classmethod
    def of_record(cls, flow_run: FlowRun, rows: Iterable[TaskRow]) -> Recall:
        """What the record has of a flow run."""
        made = cls()
        for row in rows:
            made._earlier[Identity(row.key, row.nth)] = RecordedRun(flow_run, row)
            made._sites[row.number] = row.site
        return made

    def site(self, task_run: int) -> int:
        """The call site of a task run as an earlier process numbered it; 0 if none did."""
        return self._sites.get(task_run, 0)

    def begin_again(self) -> None:
        """A new attempt begins: what is known so far is earlier from now on."""
        with self._lock:
            self._earlier.update(self._present)
            self._present.clear()

    def find(self, identity: Identity) -> TaskRun | RecordedRun | None:
        """The task run of an earlier attempt that a call is once more."""
        return self._earlier.get(identity) if identity.key else None

    def note(self, run: TaskRun) -> None:
        """Remember a task run of the present attempt."""
        with self._lock:
            self._present[run.identity] = run
