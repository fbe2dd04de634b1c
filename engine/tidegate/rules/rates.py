"""Decide when the next of many may start, so that a rate holds.

This is the generic cell rate algorithm: all that is to be remembered is `due`, the moment from which the next start is
allowed.  Pure functions of that moment, of the time and of the seconds between two starts.
"""

from __future__ import annotations

import re

SLACK = 0.05
"""Seconds by which a start that was waited for may come late without putting off those behind it: timers are late by
some milliseconds each, and a fast rate would end up at half of itself."""

AT_ONCE = float("-inf")
"""Due when nothing has started yet."""

_UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3_600.0),
    **dict.fromkeys(("d", "day"), 86_400.0),
}
_RATE = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*/\s*([a-z]+)\s*")


def interval_of(rate: object) -> float | None:
    """Seconds between two starts: of ``"900/min"``, ``"10/s"``, ``"5000/h"``, or a number of starts per second.

    Null for what is no rate; a rate is more than 0 and finite.
    """
    if isinstance(rate, str):
        found = _RATE.fullmatch(rate)
        seconds = None if found is None else _UNITS.get(found[2])
        if found is None or seconds is None:
            return None
        per_second = float(found[1].replace(",", "").replace("_", "")) / seconds
    elif isinstance(rate, (int, float)) and not isinstance(rate, bool):
        per_second = float(rate)
    else:
        return None
    return 1 / per_second if 1e-9 < per_second < float("inf") else None


def seconds_left(due: float, now: float) -> float:
    """Seconds until the next start is allowed; 0 if it is allowed now."""
    return max(0.0, due - now)


def due_after(due: float, now: float, interval: float, *, waited: bool) -> float:
    """When the next start is allowed, after one now that was allowed from `due` on; `waited` if it waited for that.

    However starts come, so many seconds see at most ``1 + (seconds + SLACK) / interval`` of them; and while each waits,
    and none is later than `SLACK`, they lose nothing.
    """
    late = now - due
    return (due if waited and late <= SLACK else max(due, now)) + interval


def due_changed(due: float, before: float, interval: float) -> float:
    """When the next start is allowed once the rate is another one: as if the last start had been at the new rate."""
    return due - before + interval
