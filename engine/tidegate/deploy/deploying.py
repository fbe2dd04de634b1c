"""Making a deployment: what is wrong with it is said at once, and not in the middle of the night."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..errors import InvalidName, TidegateError, UsageError
from ..flow import Flow
from ..model.deployments import DEFAULT_QUEUE, Deployment, Schedule
from ..parameters import check_names, validated
from ..rules import schedules
from ..rules.outcome import describe
from ..tags import tags_of
from .loading import FILE
from .targets import load_with

_BANNED = frozenset("/%&><")


def schedules_of(cron: str | None, timezone: str | None, interval: float | None, now: float) -> tuple[Schedule, ...]:
    """The schedules that somebody asks for.  Raises `UsageError`, in one line, for what makes no sense."""
    if timezone is not None and cron is None:
        raise UsageError("A time zone goes with a cron expression: an interval needs none.")
    made = [] if cron is None else [Schedule(cron.strip() or " ", timezone or "UTC")]
    made += [] if interval is None else [Schedule(interval=float(interval), anchor=now)]
    for each in made:
        schedules.check(each)
    return tuple(made)


def deploy(
    here: Engine,
    target: str,
    name: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    cron: str | None = None,
    timezone: str | None = None,
    interval: float | None = None,
    queue: str = DEFAULT_QUEUE,
    tags: Iterable[str] | None = None,
    paused: bool = False,
) -> Deployment:
    """Make a deployment of the flow that `target` names, or change the one of that name, and return it.

    The flow is loaded, and its parameters are checked as for a run; they may be left out where it has no schedule and
    every run is given its own.  Its runs have this working folder.  Raises `InvalidName`, `UsageError` and what
    `load_flow` raises, with nothing changed.
    """
    for what, text in (("deployment", name), ("work queue", queue)):
        if not text.strip() or _BANNED & set(text):
            raise InvalidName(f"{text!r} cannot name a {what}: it must be a text without any of / % & > <.")
    now = here.now()
    when = schedules_of(cron, timezone, interval, now)
    labels = tags_of(tags, f"the deployment {name!r}")
    given = dict(parameters or {})
    flow, arguments = load_with(target, given)
    _check(flow, arguments, bool(when))
    try:
        recorded = json.dumps(given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The parameters of a deployment must be JSON: {error}.") from None
    made = Deployment(
        name,
        flow.name,
        _whole(target, flow),
        str(Path.cwd()),
        recorded,
        when,
        tuple(sorted(labels)),
        queue,
        paused,
        now,
    )
    here.store.deployments.put(made)
    return made


def _check(flow: Flow[..., Any], arguments: Mapping[str, Any], whole: bool) -> None:
    """Raise for parameters that a run could not be given; those that are missing matter if it is to be run as it is."""
    takes = flow.signature.parameters
    absent = {} if whole else {name: None for name, each in takes.items() if each.default is each.empty}
    check_names(flow, {**absent, **arguments})
    if not flow.validate_parameters:
        return
    try:
        validated(flow, {name: value for name, value in arguments.items() if name in takes})
    except TidegateError:
        raise
    except Exception as error:  # of a validator of the user's
        raise UsageError(f"The parameters of {flow.name!r} cannot be used. {describe(error)}") from error


def _whole(target: str, flow: Flow[..., Any]) -> str:
    """The target as it is found from any folder, and whatever flows are put beside this one later."""
    file = FILE.fullmatch(target)
    if file is None:
        module, _, name = target.partition(":")
        return f"{module}:{name or flow.name}"
    return f"{Path(file['path']).expanduser().absolute()}:{file['name'] or flow.name}"
