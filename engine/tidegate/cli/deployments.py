"""``tidegate deploy`` and ``tidegate deployment``: flows that run by a schedule, or by their name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from ..model.deployments import DEFAULT_QUEUE
from ..moments import moment
from . import tables
from .run import CODES, parsed, report
from .stores import RUN, opened

if TYPE_CHECKING:
    from ..model.deployments import Deployment
    from ..store.sqlite import SQLiteStore


@click.command()
@click.argument("target", metavar="NOTEBOOK_OR_FILE[:FLOW]")
@click.option("--name", required=True, help="What it is called; its whole name is FLOW/NAME.")
@click.option("--cron", metavar="FIELDS", help='When it runs: "minute hour day month weekday", such as "0 3 * * *".')
@click.option("--timezone", metavar="ZONE", help="By whose clocks, such as Europe/Paris; UTC by default.")
@click.option("--interval", type=float, metavar="SECONDS", help="How often it runs, from now on.")
@click.option("-p", "--param", "given", multiple=True, metavar="KEY=VALUE", help="A parameter, as for run. Repeatable.")
@click.option("-q", "--queue", default=DEFAULT_QUEUE, help='The work queue of its runs; "default" by default.')
@click.option("--tag", "tags", multiple=True, help="A word on its runs. Repeatable.")
@click.option("--paused", is_flag=True, help="Make no runs until it is resumed.")
def deploy(
    target: str,
    name: str,
    cron: str | None,
    timezone: str | None,
    interval: float | None,
    given: tuple[str, ...],
    queue: str,
    tags: tuple[str, ...],
    paused: bool,
) -> None:
    """Have a flow run by a schedule, or by its name.

    The flow is named as for `tidegate run`. An agent (`tidegate agent`) runs it, each time in a process of its own, in
    the folder that this command is given in. A deployment of the same name is changed.
    """
    from ..deploy.deploying import deploy as make
    from ..engine import Engine

    parameters = parsed(given)
    with opened(make=True) as store:
        made = make(
            Engine(store),
            target,
            name,
            parameters=parameters,
            cron=cron,
            timezone=timezone,
            interval=interval,
            queue=queue,
            tags=tags,
            paused=paused,
        )
    click.echo(f"{made.full_name} is deployed{': ' + _schedule(made) if made.schedules else ''}.")
    click.echo(
        f"`tidegate agent --queue {made.queue}` runs it; `tidegate deployment run {made.full_name}` runs it now."
    )


@click.group()
def deployment() -> None:
    """List, run, pause and remove deployments.

    A deployment is named FLOW/NAME, or NAME where there is only one of it.
    """


@deployment.command("ls")
def list_deployments() -> None:
    """List the deployments, with the time of their next run."""
    from ..rules.schedules import next_times

    now = time.time()
    with opened() as store:
        found = store.deployments.all()
    if not found:
        click.echo("There are no deployments. `tidegate deploy FILE:FLOW --name NAME` makes one.")
        return
    lines = []
    for each in found:
        times = sorted(due for schedule in each.schedules for due in next_times(schedule, now, 1))
        due = "paused" if each.paused else moment(times[0]) if times else ""
        lines.append((each.full_name, _schedule(each), due, each.queue))
    click.echo(tables.table(("deployment", "schedule", "next run", "queue"), lines))


@deployment.command()
@click.argument("name")
def inspect(name: str) -> None:
    """Show all that there is to know of a deployment."""
    with opened() as store:
        found = named(store, name)
    facts = [
        ("deployment", found.full_name),
        ("target", found.target),
        ("folder", found.folder),
        ("schedule", _schedule(found) + (" (paused)" if found.paused else "")),
        ("parameters", "" if found.parameters == "{}" else found.parameters),
        ("tags", ", ".join(found.tags)),
        ("queue", found.queue),
        ("deployed", moment(found.created)),
    ]
    for label, text in facts:
        if text:
            click.echo(f"{label:<10} {text}")


@deployment.command()
@click.argument("name")
@click.option("-p", "--param", "given", multiple=True, metavar="KEY=VALUE", help="A parameter of this run. Repeatable.")
@click.option("--in", "seconds", type=click.FloatRange(0), metavar="SECONDS", help="When; at once by default.")
@click.option("--watch", is_flag=True, help="Wait for its end; the exit code is then that of `tidegate run`.")
@click.pass_context
def run(context: click.Context, name: str, given: tuple[str, ...], seconds: float | None, watch: bool) -> None:
    """Run a deployment now, by an agent."""
    from ..engine import Engine, using
    from ..run_deployments import DeploymentRun, run_deployment

    parameters = parsed(given)
    with opened() as store, using(Engine(store)):
        due = None if seconds is None else time.time() + seconds
        made: DeploymentRun = run_deployment(name, parameters, scheduled_time=due, timeout=0)
        queue = named(store, name).queue
        click.echo(f"Flow run {made.number} ({made.name}) waits for an agent of the queue {queue}.")
        if watch:
            made.wait()
            report(store, made.number, made.state)
            context.exit(CODES[made.state.type])


@deployment.command()
@click.argument("run", type=RUN)
def retry(run: int) -> None:
    """Have an agent go on with a run that did not complete.

    What completed in it is kept, as for `tidegate run --resume`.
    """
    from ..deployed_runs import try_again
    from ..engine import Engine

    with opened() as store:
        row = try_again(Engine(store), run)
    click.echo(f"Flow run {run} ({row.name}) waits for an agent.")


@deployment.command()
@click.argument("name")
def pause(name: str) -> None:
    """Make no more runs by its schedule.

    Those that it has made and nobody has begun are cancelled.
    """
    with opened() as store:
        found = named(store, name)
        store.deployments.pause(found.full_name, True, time.time())
    click.echo(f"{found.full_name} is paused. `tidegate deployment resume {name}` lets it go on.")


@deployment.command()
@click.argument("name")
def resume(name: str) -> None:
    """Go on with the schedule of a paused deployment."""
    with opened() as store:
        found = named(store, name)
        store.deployments.pause(found.full_name, False, time.time())
    click.echo(f"{found.full_name} goes on.")


@deployment.command("rm")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a deployment; its runs stay in the record."""
    with opened() as store:
        full_name = name if "/" in name else named(store, name).full_name  # even one whose row is damaged
        if not store.deployments.delete(full_name, time.time()):
            named(store, name)
    click.echo(f"{full_name} is gone.")


def named(store: SQLiteStore, name: str) -> Deployment:
    """The deployment of that name.  Raises `UsageError` if there is none, or several."""
    from ..deployed_runs import deployment_named

    return deployment_named(store, name)


def _schedule(found: Deployment) -> str:
    return ", ".join(map(str, found.schedules))
