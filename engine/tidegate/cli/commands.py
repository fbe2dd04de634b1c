"""The command ``tidegate``: its global options, its groups of commands, and how its errors are told."""

from __future__ import annotations

from typing import Any

import click

from ..errors import TidegateError, UsageError
from ..settings import temporary_settings, use_profile
from .agent import agent
from .control import cancel, pause, resume, suspend
from .deployments import deploy, deployment
from .diff import diff
from .graph import graph
from .logs import logs
from .profiles import profile
from .queues import queue
from .record import record
from .run import run
from .runs import runs, show
from .settings import settings
from .store import store

USAGE, INTERRUPTED = 2, 130
"""Exit codes, beside 1 for all other errors; those of runs are in `run`."""


class Commands(click.Group):
    """A group that tells what Tidegate raises in the text of the error, without a traceback."""

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order in which they were added."""
        return list(self.commands)

    def invoke(self, context: click.Context) -> Any:
        """Invoke the command that was named."""
        try:
            return super().invoke(context)
        except TidegateError as error:
            click.echo(f"tidegate: {error}", err=True)
            context.exit(USAGE if isinstance(error, UsageError) else 1)
        except KeyboardInterrupt:
            context.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", "profile_name", metavar="NAME", help="Use the settings of this profile, before all else.")
@click.option("--home", metavar="DIR", help="Use the store in this folder; .tidegate by default.")
@click.version_option(package_name="tidegate", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, profile_name: str | None, home: str | None) -> None:
    """Run flows, look at their runs, pause, resume, suspend and cancel them.

    A run is named by its number: `tidegate runs` lists them.
    """
    if profile_name is not None:
        context.with_resource(use_profile(profile_name))
    if home is not None:
        context.with_resource(temporary_settings({"home": home}))


for each in (
    *(run, record, runs, show, graph, diff, logs, pause, resume, suspend, cancel),
    *(deploy, deployment, queue, agent, store, settings, profile),
):
    main.add_command(each)
