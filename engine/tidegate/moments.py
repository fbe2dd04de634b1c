"""Times as people read them."""

from __future__ import annotations

import time


def duration(seconds: float) -> str:
    """Seconds as ``43ms``, ``0.4s``, ``48s``, ``2m 46s`` or ``3h 05m``."""
    if seconds < 0.095:
        return f"{max(0, round(seconds * 1000))}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, second = divmod(round(seconds), 60)
    if not minutes:
        return f"{second}s"
    hours, minute = divmod(minutes, 60)
    return f"{hours}h {minute:02}m" if hours else f"{minute}m {second:02}s"


def took(started: float | None, ended: float | None) -> str:
    """The time from a begin to an end, or until now; empty for what has not begun."""
    return "" if started is None else duration((time.time() if ended is None else ended) - started)


def moment(at: float) -> str:
    """Seconds since the epoch as a day and a time of this place: ``2026-11-24 08:30:00``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
