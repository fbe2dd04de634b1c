"""``tidegate settings``: what holds here, and what set it."""

from __future__ import annotations

import os

import click

from .. import settings as held
from ..profiles import chosen


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
    environment = held.Settings.read_environment(os.environ)
    profile, strong = chosen(given["profile_name"])
    for name, value in here.shown().items():
        declared = here.declared()[name]
        from_profile = "the profile" if name in profile else ""
        from_environment = declared.environment if name in environment else ""
        source = (from_profile or from_environment) if strong else (from_environment or from_profile)
        if name == "home" and given["home"] is not None:
            source = "--home"
        click.echo(f"{name} = {value}".rstrip() + (f"    (from {source})" if source else ""))
        if about:
            click.echo(f"    {declared.doc}")
