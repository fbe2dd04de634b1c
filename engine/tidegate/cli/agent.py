"""``tidegate agent``: runs what deployments have due, until it is stopped."""

from __future__ import annotations

import signal
import time

import click

from ..model.deployments import DEFAULT_QUEUE
from .stores import opened


@click.command()
@click.option(
    "-q", "--queue", "queues", multiple=True, help='A work queue that it works for; "default" by default. Repeatable.'
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="How many runs it has at work at most; any number by default."
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30.0,
    metavar="SECONDS",
    help="How long a cancelled run has to end before its process is killed; 30 by default.",
)
@click.option(
    "--prefetch",
    type=click.FloatRange(0),
    default=10.0,
    metavar="SECONDS",
    help="How long before its time a run gets its process; 10 by default.",
)
def agent(queues: tuple[str, ...], limit: int | None, grace: float, prefetch: float) -> None:
    """Run the flows of deployments when they are due.

    It stays in the foreground until Ctrl-C or SIGTERM. What it has started goes on then, and the next agent sees to it.
    Each run has a process of its own; what that prints is in the folder `output` beside the store.
    """
    from ..deploy.agent import Agent
    from ..engine import Engine
    from ..housekeeping import look_after
    from ..settings import settings

    with opened(make=True) as store:
        here = Engine(store)
        look_after(store, settings())
        made = Agent(
            here, store.path.parent, queues or (DEFAULT_QUEUE,), limit=limit, grace=grace, prefetch=prefetch, say=_say
        )
        before = {each: signal.signal(each, lambda *_: made.stop()) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            made.run()
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}")
