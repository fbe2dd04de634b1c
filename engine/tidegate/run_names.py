"""Names of runs: a template of the parameters, or a function."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from .errors import UsageError

RunName: TypeAlias = str | Callable[[], str]
"""``"locate {airport[iata]}"``, filled in with the parameters, or a function without arguments."""

LONGEST = 200
"""Characters of a name; what is longer is cut."""


def check_run_name(given: Any, option: str, what: str, parameters: Collection[str], open_ended: bool) -> None:
    """Raise `UsageError` for a template that cannot be filled in; `open_ended` if there are ``**kwargs``."""
    if inspect.iscoroutinefunction(given):
        raise UsageError(f"{option} of {what!r} must be a function that is not async.")
    if given is None or callable(given):
        return
    if not isinstance(given, str):
        raise UsageError(f"{option} of {what!r} must be a text or a function, not {given!r:.60}.")
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(given) if field is not None]
    except ValueError as error:
        raise UsageError(f"{option} of {what!r} is no template: {error}. Write {{{{ and }}}} for braces.") from None
    for field in fields:
        name = field.partition(".")[0].partition("[")[0]
        if name not in parameters and not open_ended:
            known = ", ".join(parameters) or "none"
            raise UsageError(f"{option} of {what!r} asks for {name!r}, which is no parameter. There are: {known}.")


def fill_in(given: RunName, parameters: Mapping[str, Any]) -> str:
    """The name of one run.  Raises what the user's function or the formatting raises."""
    name = given() if callable(given) else given.format_map(parameters)
    return " ".join(str(name).split())[:LONGEST]
