"""What is read of a store in one SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..errors import StoreError
from ..model.events import ArtifactMade, Event, LogLine
from ..model.views import FlowRow, TaskRow
from . import artifact_table, log_table, reader
from .sql_errors import SQL_ERRORS, told
from .write_connection import WriteConnection


class Looks:
    """Looks at the file at `path`.  Each raises `StoreError` if it cannot be read."""

    path: Path
    _file: WriteConnection

    def flow_runs(self, limit: int = 100) -> list[FlowRow]:
        """The newest flow runs first."""
        with self._reading() as connection:
            return reader.flow_runs(connection, limit)

    def flow_run(self, number: int) -> FlowRow | None:
        """One flow run."""
        with self._reading() as connection:
            return reader.flow_run(connection, number)

    def task_runs(self, flow_run: int) -> list[TaskRow]:
        """The task runs of a flow run by number."""
        with self._reading() as connection:
            return reader.task_runs(connection, flow_run)

    def subflow_runs(self, flow_run: int, task_run: int) -> list[FlowRow]:
        """The flow runs that a task run stood for, the newest first."""
        with self._reading() as connection:
            return reader.subflow_runs(connection, flow_run, task_run)

    def task_run(self, flow_run: int, number: int) -> TaskRow | None:
        """One task run of a flow run."""
        with self._reading() as connection:
            return reader.task_run(connection, flow_run, number)

    def events(self, flow_run: int, after: int = 0) -> list[tuple[int, Event]]:
        """The kept events of a flow run in order."""
        with self._reading() as connection:
            return reader.events(connection, flow_run, after)

    def flow_events(self, flow_run: int) -> list[Event]:
        """The kept events of the flow run itself, in order."""
        with self._reading() as connection:
            return reader.flow_events(connection, flow_run)

    def logs(
        self, flow_run: int, *, task_run: int | None = None, level: int = 0, after: int = 0, limit: int = 1000
    ) -> list[tuple[int, LogLine]]:
        """The lines of a flow run in order."""
        with self._reading() as connection:
            return log_table.read(connection, flow_run, task_run, level, after, limit)

    def artifacts(self, flow_run: int) -> list[ArtifactMade]:
        """The artifacts of a flow run by number."""
        with self._reading() as connection:
            return artifact_table.read(connection, flow_run)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, so that a long look never holds up a commit."""
        try:
            with contextlib.closing(self._file.reader()) as connection:
                yield connection
        except SQL_ERRORS as error:
            raise StoreError(f"The store {self.path} cannot be read: {told(error)}.") from error
