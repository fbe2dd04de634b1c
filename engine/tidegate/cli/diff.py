"""``tidegate diff``: two runs side by side."""

from __future__ import annotations

import click

from . import tables
from .stores import RUN, find, opened


@click.command()
@click.argument("run", type=RUN)
@click.argument("other", type=RUN)
def diff(run: int, other: int) -> None:
    """Set two flow runs side by side.

    By parameters, code, states, timings and results, as a whole and task by task. No result is loaded.
    """
    from ..comparison import compare, head

    with opened() as store:
        rows = find(store, run), find(store, other)
        click.echo(tables.table(head(*rows), compare(store, *rows)))
