"""When runs of deployments are due, and which are still to be made."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from ..errors import UsageError
from ..model.deployments import Deployment, Schedule

WINDOW = 3
"""Runs of each schedule that stand in the store before they are due."""

SHORTEST = 1.0
"""Seconds of an interval, at least."""


def check(schedule: Schedule) -> None:
    """Raise `UsageError`, in one line, for a schedule that cannot be."""
    if not schedule.cron:
        if not (math.isfinite(schedule.interval) and schedule.interval >= SHORTEST):
            raise UsageError(f"An interval takes {SHORTEST:g} s or more, not {schedule.interval:g}.")
        return
    from cronsim import CronSimError

    try:
        ZoneInfo(schedule.timezone)
    except (LookupError, ValueError, OSError):
        raise UsageError(f"There is no time zone {schedule.timezone!r}. Name one such as Europe/Paris.") from None
    try:
        found = next_times(schedule, 0.0, 1)
    except CronSimError as error:
        raise UsageError(
            f"{schedule.cron!r} is no cron expression: {str(error).lower()}. It has five fields, minute hour day month "
            'weekday: "0 3 * * *" is 3 o\'clock each day.'
        ) from None
    if not found:
        raise UsageError(f"The cron expression {schedule.cron!r} is never due.")


def next_times(schedule: Schedule, after: float, many: int) -> list[float]:
    """The next `many` moments after `after` at which it is due, fewer if there are no more; seconds since the epoch.

    Where clocks are set, a cron expression is due as Debian's cron has it: what stands in the hour that is left out is
    due right after it, and what stands in the hour that comes twice is due once, unless it is due in every hour.
    """
    return list(islice(_times(schedule, after), many))


def _times(schedule: Schedule, after: float) -> Iterator[float]:
    if schedule.cron:
        from cronsim import CronSim  # not before there is a deployment

        start = datetime.fromtimestamp(after, ZoneInfo(schedule.timezone))
        yield from (moment.timestamp() for moment in CronSim(schedule.cron, start))
        return
    step = math.floor((after - schedule.anchor) / schedule.interval)
    while True:
        step += 1
        due = schedule.anchor + step * schedule.interval
        if due > after:
            yield due


def owed(
    deployments: Iterable[Deployment], planned: Mapping[str, Collection[float]], now: float
) -> list[tuple[Deployment, float]]:
    """The runs that are to be made now, each with the moment at which it is due, the next ones first.

    `planned` are the moments still to come for which a run was made, by the whole name of the deployment; one that was
    cancelled since counts, too, and is not made again.
    """
    found = []
    for each in deployments:
        if not each.paused:
            known = planned.get(each.full_name, ())
            dues = {due for schedule in each.schedules for due in next_times(schedule, now, WINDOW)}
            found += [(each, due) for due in dues if due not in known]
    return sorted(found, key=lambda pair: (pair[1], pair[0].full_name))
