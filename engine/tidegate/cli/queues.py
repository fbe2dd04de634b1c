"""``tidegate queue``: work queues, from which agents take runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..model.deployments import WorkQueue
from . import tables
from .stores import opened

if TYPE_CHECKING:
    from ..store.sqlite import SQLiteStore


@click.group()
def queue() -> None:
    """List, pause and limit work queues.

    There is a queue of any name; a limit and a pause hold for all its agents.
    """


@queue.command("ls")
def list_queues() -> None:
    """List the queues that deployments name, or that were changed."""
    with opened() as store:
        found = store.deployments.queues()
    if not found:
        click.echo("No deployment names a queue. `tidegate deploy FILE:FLOW --name NAME` makes one.")
        return
    lines = [(each.name, "" if each.limit is None else str(each.limit), "yes" if each.paused else "") for each in found]
    click.echo(tables.table(("queue", "limit", "paused"), lines))


@queue.command()
@click.argument("name")
def pause(name: str) -> None:
    """Start none of its runs; those at work go on."""
    with opened(make=True) as store:
        _change(store, name, paused=True)
    click.echo(f"The queue {name} is paused. `tidegate queue resume {name}` lets it go on.")


@queue.command()
@click.argument("name")
def resume(name: str) -> None:
    """Go on with a paused queue."""
    with opened(make=True) as store:
        _change(store, name, paused=False)
    click.echo(f"The queue {name} goes on.")


@queue.command()
@click.argument("name")
@click.argument("number", type=click.IntRange(0), required=False)
def limit(name: str, number: int | None) -> None:
    """Have at most NUMBER of its runs at work.

    Without it any number may be.
    """
    with opened(make=True) as store:
        _change(store, name, limit=number)
    many = "Any number" if number is None else f"At most {number}"
    click.echo(f"{many} of the runs of the queue {name} may be at work.")


def _change(store: SQLiteStore, name: str, **changes: Any) -> None:
    known = {each.name: each for each in store.deployments.queues()}
    store.deployments.put_queue(replace(known.get(name, WorkQueue(name)), **changes))
