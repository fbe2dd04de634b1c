"""``tidegate profile``: sets of settings with a name."""

from __future__ import annotations

from collections.abc import Iterable

import click

from ..errors import UsageError
from ..profiles import Profiles


@click.group()
def profile() -> None:
    """List, choose and change profiles.

    A profile is a set of settings with a name.
    """


@profile.command("ls")
def list_profiles() -> None:
    """List the profiles and what they set.

    A star marks the active one.
    """
    profiles = Profiles.load()
    for name in profiles.names:
        click.echo(f"{'*' if name == profiles.active else ' '} {name}")
        for setting, value in profiles.shown(name).items():
            click.echo(f"    {setting} = {value}")


@profile.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a profile the active one."""
    profiles = Profiles.load()
    profiles.activate(name)
    profiles.save()
    click.echo(f"The profile {name} is active.")


@profile.command()
@click.argument("name")
@click.argument("values", metavar="[SETTING=VALUE]...", nargs=-1)
def create(name: str, values: tuple[str, ...]) -> None:
    """Make a new profile."""
    profiles = Profiles.load()
    profiles.add(name, _settings(values))
    profiles.save()
    click.echo(f"There is a profile {name} now. `tidegate profile use {name}` makes it the active one.")


@profile.command("set")
@click.argument("name")
@click.argument("values", metavar="SETTING=VALUE...", nargs=-1, required=True)
def set_values(name: str, values: tuple[str, ...]) -> None:
    """Set settings of a profile."""
    profiles = Profiles.load()
    profiles.update(name, _settings(values))
    profiles.save()


@profile.command()
@click.argument("name")
@click.argument("settings", metavar="SETTING...", nargs=-1, required=True)
def unset(name: str, settings: tuple[str, ...]) -> None:
    """Take settings out of a profile."""
    profiles = Profiles.load()
    missing = [each for each in settings if each not in profiles[name]]
    if missing:
        raise UsageError(f"The profile {name!r} does not set {', '.join(missing)}.")
    profiles.update(name, dict.fromkeys(settings))
    profiles.save()


@profile.command("rm")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a profile."""
    profiles = Profiles.load()
    profiles.remove(name)
    profiles.save()
    click.echo(f"The profile {name} is gone.")


def _settings(values: Iterable[str]) -> dict[str, str]:
    found = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not equals:
            raise UsageError(f"{each!r} sets nothing. Write SETTING=VALUE, such as log_level=DEBUG.")
        found[name] = value
    return found
