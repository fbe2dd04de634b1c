"""``tidegate logs``: what a run logged."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import click

from ..model.events import LogLine
from ..setting_kinds import LEVELS
from .stores import RUN, find, opened

if TYPE_CHECKING:
    from ..store.sqlite import SQLiteStore

LOOK = 0.2
"""Seconds between two looks for more lines."""


@click.command()
@click.argument("run", type=RUN)
@click.option("--task", "task_run", type=click.IntRange(0), metavar="N", help="Only task run N; 0 for the flow itself.")
@click.option(
    "--level", type=click.Choice(LEVELS, case_sensitive=False), default="DEBUG", help="Lines from this level on."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the run has ended.")
def logs(run: int, task_run: int | None, level: str, follow: bool) -> None:
    """Show what a flow run and its task runs logged."""
    with opened() as store:
        find(store, run)
        reader = Reader(store, run, task_run, logging.getLevelNamesMapping()[level.upper()])
        over = not follow
        while not over:
            over = find(store, run).state.is_at_rest()  # before the lines: what is logged last is kept before the end
            reader.show()
            if not over:
                time.sleep(LOOK)
        reader.show()


class Reader:
    """Shows the lines of a run, each once."""

    def __init__(self, store: SQLiteStore, run: int, task_run: int | None, level: int) -> None:
        self._store = store
        self._run = run
        self._task_run = task_run
        self._level = level
        self._after = 0
        self._names: dict[int, str] = {0: find(store, run).name}

    def show(self) -> None:
        """Print the lines that have come since the last call."""
        while True:
            lines = self._store.logs(self._run, task_run=self._task_run, level=self._level, after=self._after)
            if not lines:
                return
            for number, line in lines:
                click.echo(self._text(line))
                self._after = number

    def _text(self, line: LogLine) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(line.at))
        return f"{at} {logging.getLevelName(line.level):<7} {self._name(line.task_run)}: {line.text}"

    def _name(self, task_run: int) -> str:
        name = self._names.get(task_run)
        if name is None:
            row = self._store.task_run(self._run, task_run)
            if row is None:  # it will be there in a moment
                return f"task run {task_run}"
            name = self._names[task_run] = row.name
        return name
