"""A sample of a flow run: the first members of each mapped call, and what they say of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from .model.record import record
from .model.views import TaskRow
from .moments import duration

SAMPLED = "A sample."
"""How the message of a run that rests behind its sample begins."""


@record
class Cut:
    """A mapped call of which only the first members were run."""

    task: str
    members: tuple[int, ...]
    """The numbers of their task runs."""
    total: int
    """How many there are in all."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, from the members that ran."""

    each: float
    """Of one member, on average."""
    least: float
    most: float
    rest: float
    """What is left takes, if as many run at a time as did in the sample."""
    margin: float
    """How far off that may be, nineteen times of twenty, where members differ by chance."""


def estimate(rows: Sequence[TaskRow], total: int) -> Estimate | None:
    """What the task runs of a sample say of a mapped call of so many; null if none of them has run."""
    ran = [row for row in rows if row.started is not None and row.ended is not None]
    if not ran:
        return None
    seconds = [row.ran for row in ran]
    each = sum(seconds) / len(seconds)
    wall = max(row.ended or 0.0 for row in ran) - min(row.started or 0.0 for row in ran)
    at_a_time = max(1.0, sum(seconds) / wall) if wall > 0 else 1.0
    variance = sum((one - each) ** 2 for one in seconds) / max(1, len(seconds) - 1)
    left = total - len(rows)
    rest = left * each / at_a_time
    return Estimate(each, min(seconds), max(seconds), rest, 2 * left * sqrt(variance / len(seconds)) / at_a_time)


def told(cuts: Iterable[Cut], rows: Iterable[TaskRow]) -> str:
    """What there is to say of a sample: a sentence for each mapped call that was cut."""
    known = {row.number: row for row in rows}
    return " ".join(_sentence(cut, [known[each] for each in cut.members if each in known]) for cut in cuts)


def _sentence(cut: Cut, rows: Sequence[TaskRow]) -> str:
    failed = sum(not row.state.is_completed() for row in rows)
    text = f"{cut.task}: {len(cut.members):,} of {cut.total:,}"
    if failed:
        text += f", {failed:,} of them did not complete"
    found = estimate(rows, cut.total)
    if found is None:
        return f"{text}."
    spread = f"{duration(found.each)} each ({duration(found.least)} to {duration(found.most)})"
    low, high = duration(max(0.0, found.rest - found.margin)), duration(found.rest + found.margin)
    between = "" if low == high else f" ({low} to {high})"
    return f"{text}, {spread}; the rest takes about {duration(found.rest)}{between}."
