"""What keeps a process from writing to a flow run that another one has taken over: stopped, it may not know yet.

Whoever takes a run over puts its own name in the row, under the lock of the store, and counts that up beside it (see
`WriteLock.claims`).  Under that lock everybody looks, before it writes, whether a run was claimed since the last look;
if so, it looks whose its runs are.
"""

from __future__ import annotations

import sqlite3

TAKEN = "Another process has taken the flow run over; what this one does with it is not saved."


class TakenOver(Exception):
    """Some of the events that were to be written are of a run that now belongs to another process."""


class Fence:
    """The flow runs of this process.  To be used under the lock of the store's threads."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        """The root runs that were taken over."""
        self._owners: dict[int, str] = {}
        """The root runs at work here, each with the name of this process as its row has it."""
        self._roots: dict[int, int] = {}
        """The root run of each subflow at work here."""
        self.known = b""
        """What the lock said of claims at the last look: as long as it says the same, no run was claimed."""

    def own(self, flow_run: int, owner: str, parent: int = 0) -> None:
        """The run is this process's from now on; `parent` is the run that called it, if it is a subflow.

        One whose caller is another process's, which has had it run by its deployment, is by itself.
        """
        if parent and (parent in self._owners or parent in self._roots or parent in self.taken):
            self._roots[flow_run] = self._root(parent)
        else:
            self._owners[flow_run] = owner
            self.taken.discard(flow_run)

    def forget(self, flow_run: int) -> None:
        """The run is at rest: whoever resumes it takes it from nobody."""
        self._owners.pop(flow_run, None)
        self._roots.pop(flow_run, None)

    def refuses(self, flow_run: int) -> bool:
        """True if nothing more is to be written to the run."""
        return bool(self.taken) and self._root(flow_run) in self.taken

    def look(self, connection: sqlite3.Connection, claims: bytes) -> bool:
        """True if a run is found to have been taken over since the last look; `claims` is what the lock says, for who
        holds it."""
        lost = self.find(connection)
        self.known = claims
        return lost

    def find(self, connection: sqlite3.Connection) -> bool:
        """As `look`, for who does not hold the lock."""
        lost = []
        for flow_run, owner in self._owners.items():
            row = connection.execute("SELECT owner FROM flow_run WHERE number = ?", (flow_run,)).fetchone()
            if row is not None and row[0] != owner:
                lost.append(flow_run)
        for flow_run in lost:
            del self._owners[flow_run]
        self.taken.update(lost)
        return bool(lost)

    def _root(self, flow_run: int) -> int:
        return self._roots.get(flow_run, flow_run)
