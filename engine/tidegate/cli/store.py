"""``tidegate store``: what is in the record, whether it is sound, a copy of it, and what is deleted from it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import setting_kinds
from ..moments import moment
from ..plurals import counted
from . import tables
from .stores import opened

if TYPE_CHECKING:
    from ..store.sqlite import SQLiteStore
    from ..store.upkeep import EndedRun

DAMAGED = 1
"""The exit code of a check that finds something."""


def size_in_bytes(text: str) -> int:
    """Bytes as people write them.  Raises `click.BadParameter` for anything else."""
    try:
        return setting_kinds.size_in_bytes(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no size, such as 500MB or 1.5GB.") from None


@click.group()
def store() -> None:
    """Look after the record: its size, copies, deletion.

    Others may use it meanwhile.
    """


@store.command()
def stats() -> None:
    """Show what is in the store, and how much room it takes."""
    from sqlite3 import sqlite_version

    from ..retention import sizes

    with opened() as held:
        found = held.upkeep.stats()
        files = sizes(held.results_folder)
    counts = found.counts
    states = ", ".join(f"{many:,} {name}" for name, many in found.states.items())
    facts = [
        ("store", f"{held.path} (schema {found.schema}, SQLite {sqlite_version})"),
        ("size", f"{told(found.size)}, of which {told(found.free)} are free; log {told(found.log_size)}"),
        ("results", f"{counted(len(files), 'file')}, {told(sum(files.values()))}"),
        ("flow runs", f"{counts['flow_run']:,}" + (f" ({states})" if states else "")),
        ("task runs", f"{counts['task_run']:,}"),
        ("events", f"{counts['event']:,}"),
        ("log lines", f"{counts['log']:,}"),
        ("artifacts", f"{counts['artifact']:,}"),
        ("cache", f"{counts['cache']:,}"),
        ("deployed", f"{counts['deployment']:,}"),
    ]
    for name, text in facts:
        click.echo(f"{name:<10} {text}")


@store.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Look whether everything is as it was written.

    Every row and every file of a result is read. Ends with 1 if something is damaged.
    """
    from ..retention import problems

    many, torn = 0, False
    with opened() as held:
        for line in problems(held):
            many += 1
            torn = torn or line.startswith("SQLite: ")
            click.echo(line)
        counts = held.upkeep.stats().counts
    if many:
        found = f"{counted(many, 'problem')} in {held.path}."
        click.echo(
            f"{found}{' `tidegate store salvage` makes a new store of what is sound.' if torn else ''}", err=True
        )
        context.exit(DAMAGED)
    click.echo(f"{held.path} is sound: {counts['flow_run']:,} flow runs, {counts['task_run']:,} task runs.")


@store.command()
def salvage() -> None:
    """Put what can be read of a damaged store in a new one.

    The damaged file is kept beside it. Nobody else may use the store meanwhile.
    """
    from ..store.opening import salvage_store

    with opened() as held:  # one that does not open any more is salvaged by this, with a warning
        path, damaged = held.path, next(held.upkeep.problems(), None)
    click.echo(salvage_store(path) if damaged else f"{path} is sound.")


@store.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Copy the store to a new FILE, as it is at one moment.

    Results above 64 KB are files of their own, in the folder `results`; copy that after it.
    """
    with opened() as held:
        held.upkeep.backup(file)
    click.echo(f"{held.path} is copied to {file} ({told(file.stat().st_size)}).")


@store.command()
@click.option("--days", type=click.FloatRange(0), help="Delete runs that ended longer ago; 30 if nothing is said.")
@click.option("--keep", type=click.IntRange(0), metavar="N", help="Delete all but the newest N runs.")
@click.option(
    "--size", type=size_in_bytes, metavar="SIZE", help="Delete the oldest until the rest takes no more, such as 500MB."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def prune(days: float | None, keep: int | None, size: int | None, dry_run: bool) -> None:
    """Delete old runs, with all that belongs to them.

    A run goes if any of the options says so. What has not ended stays, and so does the newest run. Files of results go
    once no run needs them, an hour after they were written at the earliest.
    """
    from .. import retention
    from ..dead_runs import bury_all
    from ..engine import Engine

    if days is None and keep is None and size is None:
        days = retention.DAYS
    now = time.time()
    with opened() as held:
        bury_all(Engine(held))
        runs = retention.plan(held, retention.Limits(days, keep, size), now)
        if dry_run:
            _tell(runs)
            return
        done = retention.prune(held, runs, now)
    click.echo(f"{counted(done.runs, 'run')} deleted, and {counted(done.files, 'file')} of {told(done.size)}.")


def _tell(runs: list[EndedRun]) -> None:
    if runs:
        head = ("run", "flow", "name", "ended", "about")
        rows = ((str(run.number), run.flow, run.name, moment(run.ended), told(run.size)) for run in runs)
        click.echo(tables.table(head, rows))
    click.echo(f"{counted(len(runs), 'run')} would be deleted.")


@store.command()
def vacuum() -> None:
    """Give the room of what was deleted back to the disk."""
    with opened() as held:
        before = _size(held)
        held.upkeep.vacuum()
        after = _size(held)
    click.echo(f"{held.path}: {told(before)} before, {told(after)} now.")


def _size(held: SQLiteStore) -> int:
    found = held.upkeep.stats()
    return found.size + found.log_size


def told(size: int) -> str:
    """Bytes for people: ``512 B``, ``1.2 MB``."""
    value, unit = float(size), "B"
    for unit in setting_kinds.UNITS:
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
