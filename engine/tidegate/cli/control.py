"""``tidegate pause``, ``resume``, ``suspend``, ``cancel``: a run of another process on this machine, by the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..errors import NotRunning
from ..model.requests import Verb
from ..model.views import FlowRow
from .stores import RUN, find, opened

if TYPE_CHECKING:
    from ..ports import EventStore

BY = "the command line"
"""Who asks, as it stands in the record."""


@click.command()
@click.argument("run", type=RUN)
def pause(run: int) -> None:
    """Pause a flow run.

    What has started goes on; no new task run begins until somebody resumes it.
    """
    click.echo(f"{_asked(run, 'pause')} is paused. `tidegate resume {run}` lets it go on.")


@click.command()
@click.argument("run", type=RUN)
@click.option("--input", "given", metavar="JSON", help="The input that the run waits for.")
def resume(run: int, given: str | None) -> None:
    """Let a paused flow run go on."""
    detail = None
    if given is not None:
        try:
            detail = {"input": json.loads(given)}
        except ValueError as error:
            raise click.BadParameter(f"{given!r} is not JSON ({error}).", param_hint="--input") from None
    click.echo(f"{_asked(run, 'resume', detail)} goes on.")


@click.command()
@click.argument("run", type=RUN)
def suspend(run: int) -> None:
    """Suspend a flow run: its process lets go of it.

    What has started goes on to its end; the run goes on when somebody resumes it, in whatever process.
    """
    told = _asked(run, "suspend")
    click.echo(f"{told} is being suspended. `tidegate run FILE[:FLOW] --resume {run}` goes on with it.")


@click.command()
@click.argument("run", type=RUN)
def cancel(run: int) -> None:
    """Cancel a flow run.

    Nothing new begins, and what is at work is told to end. A run that is suspended, or has not begun, just ends. Where
    the process of a deployed run does not answer, an agent ends it.
    """
    from ..requests import Unanswered

    if _called_off(run):
        click.echo(f"Flow run {run} is cancelled.")
        return
    try:
        told = _asked(run, "cancel")
    except Unanswered:
        queue = _given_up(run)
        if not queue:
            raise
        told = f"The process of flow run {run} does not answer. An agent of the queue {queue!r} ends it: the run"
    click.echo(f"{told} is being cancelled.")


def _given_up(run: int) -> str:
    """Leave a deployed run to its agent; the queue of that, or nothing."""
    from ..dead_runs import give_up
    from ..engine import Engine

    with opened() as store:
        dispatch = store.deployments.dispatch(run)
        return dispatch.queue if dispatch is not None and give_up(Engine(store), find(store, run), BY) else ""


def _called_off(run: int) -> bool:
    from ..dead_runs import call_off
    from ..engine import Engine

    with opened() as store:
        return call_off(Engine(store), find(store, run), BY)


def _asked(run: int, verb: Verb, detail: Mapping[str, Any] | None = None) -> str:
    """Ask its process, and wait for the answer; what to call the run.  Raises `NotRunning`."""
    from .. import requests  # it brings the engine

    with opened() as store:
        row = find(store, run)
        if verb == "resume":
            _check_alive(store, row)
        requests.ask(store, run, verb, by=BY, detail=detail, patience=requests.PATIENCE)
    return f"Flow run {run} ({row.name})"


def _check_alive(store: EventStore, row: FlowRow) -> None:
    """Raise `NotRunning` for a run that did not complete and has no process any more, with what does resume it."""
    from ..dead_runs import look
    from ..engine import Engine

    look(Engine(store), row)
    if row.state.is_at_rest() and not row.state.is_completed():
        has = "has no process" if row.state.is_suspended() else "has ended"
        raise NotRunning(
            f"Flow run {row.number} ({row.name}) {has}: it is {row.state.name}. "
            f"`tidegate run FILE[:FLOW] --resume {row.number}` goes on where it was."
        )
