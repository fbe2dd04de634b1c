"""``tidegate settings``: what holds here, and what set it."""

from __future__ import annotations

import click

from .. import settings as held
from ..profiles import origins


@click.group(invoke_without_command=True)
@click.pass_context
def settings(context: click.Context) -> None:
    """Show the settings that hold here."""
    if context.invoked_subcommand is None:
        context.invoke(show)


@settings.command()
@click.option("--about", is_flag=True, help="What each means, too.")
@click.pass_context
def show(context: click.Context, about: bool) -> None:
    """Show the settings that hold here, and where each comes from."""
    given = context.find_root().params
    here = held.settings()
    sources = origins(given["profile_name"])
    for name, value in here.shown().items():
        source = "--home" if name == "home" and given["home"] is not None else sources[name]
        click.echo(f"{name} = {value}".rstrip() + (f"    (from {source})" if source else ""))
        if about:
            click.echo(f"    {here.declared()[name].doc}")
