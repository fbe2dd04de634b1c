"""What earlier attempts of a flow run did, so that another one runs only what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from ..errors import NondeterminismError
from ..model.views import TaskRow
from .donated import DonatedRun
from .identity import Identity
from .recorded import RecordedRun
from .terms import Terms

if TYPE_CHECKING:
    from .flow_run import FlowRun
    from .task_run import TaskRun


NAMED = 3
"""Task runs that an error names; the others are counted."""


class Recall:
    """The task runs of earlier attempts by their identity.  Safe from any thread.

    A retry that takes another branch, or whose tasks begin in another order, never gets a result that belongs to
    something else; what has no identity, because its inputs cannot be told, runs again.
    """

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._lock = Lock()
        self._earlier: dict[Identity, TaskRun | RecordedRun | DonatedRun] = {}
        self._sites: dict[int, int] = {}
        self._present: dict[Identity, TaskRun] = {}

    @classmethod
    def of_record(cls, flow_run: FlowRun, rows: Iterable[TaskRow], terms: Terms) -> Recall:
        """What the record has of a flow run."""
        made = cls(terms.strict)
        for row in rows:
            made._earlier[Identity(row.key, row.nth)] = RecordedRun(flow_run, row, terms)
            made._sites[row.number] = row.site
        return made

    @classmethod
    def of_donor(cls, flow_run: FlowRun, rows: Iterable[TaskRow]) -> Recall:
        """What a fork takes over: these task runs of another flow run."""
        made = cls()
        for row in rows:
            made._earlier[Identity(row.key, row.nth)] = DonatedRun(flow_run, row)
        return made

    def site(self, task_run: int) -> int:
        """The call site of a task run as an earlier process numbered it; 0 if none did."""
        return self._sites.get(task_run, 0)

    def present(self, identity: Identity) -> TaskRun | None:
        """The task run of this process that has that identity, in the last attempt that had one; null if none had."""
        with self._lock:
            found = self._present.get(identity) or self._earlier.get(identity)
        return None if isinstance(found, (RecordedRun, DonatedRun)) else found

    def begin_again(self) -> None:
        """A new attempt begins: what is known so far is earlier from now on."""
        with self._lock:
            self._earlier.update(self._present)
            self._present.clear()

    def find(self, identity: Identity, task: str) -> TaskRun | RecordedRun | DonatedRun | None:
        """The task run of an earlier attempt that a call of `task` is once more.

        Raises `NondeterminismError` for one that there is not, where that matters.
        """
        found = self._earlier.get(identity) if identity.key else None
        if found is None and self._strict:
            self._refuse(task)
        return found

    def _refuse(self, task: str) -> None:
        with self._lock:
            left = [
                each.row.name
                for identity, each in self._earlier.items()
                if isinstance(each, RecordedRun) and each.row.state.is_completed() and identity not in self._present
            ]
        if left:
            more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
            raise NondeterminismError(
                f"This call of {task!r} is not in the record, where these stand that nobody has asked for yet: "
                f"{', '.join(left[:NAMED])}{more}. Its inputs or the order of the flow have changed."
            )

    def note(self, run: TaskRun) -> None:
        """Remember a task run of the present attempt."""
        with self._lock:
            self._present[run.identity] = run
