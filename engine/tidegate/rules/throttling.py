"""Tell from an exception whether a service asks to come later, and when.

Errors of HTTP clients are known by what they hold, whatever library they are of: a response with status 429, or that
status themselves, and a header ``Retry-After``.
"""

from __future__ import annotations

import math
from datetime import UTC
from typing import Any

from ..errors import Throttled
from ..model.record import record

TOO_MANY_REQUESTS = 429


@record
class Throttling:
    """A service asks to come later: in `seconds`, or, when that is null, it does not say when."""

    seconds: float | None


def throttling_of(error: Any, now: float) -> Throttling | None:
    """What an exception says of throttling; null if it is about something else.

    `now` is in seconds since the epoch, for a ``Retry-After`` that names a date.
    """
    if isinstance(error, Throttled):
        return Throttling(seconds_asked(error.retry_after, now))
    if not isinstance(error, Exception):
        return None
    try:
        response = getattr(error, "response", None)
        for each in (response, error):  # httpx, requests and others; aiohttp and urllib
            if _status(each) == TOO_MANY_REQUESTS:
                return Throttling(seconds_asked(_retry_after(each) or _retry_after(response), now))
    except Exception:  # a property of a foreign class may raise anything
        return None
    return None


def _status(holder: Any) -> Any:
    status = getattr(holder, "status_code", None)
    return getattr(holder, "status", None) if status is None else status


def _retry_after(holder: Any) -> Any:
    headers = getattr(holder, "headers", None)
    if headers is None:
        return None
    found = headers.get("Retry-After")
    return headers.get("retry-after") if found is None else found


def seconds_asked(given: Any, now: float) -> float | None:
    """The seconds that a ``Retry-After`` asks for: a number, the text of one, or a date; null if it cannot be read."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return _seconds(float(given))
    if not isinstance(given, str):
        return None
    try:
        return _seconds(float(given))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime  # 6 ms that only those pay whom a service gives a date

    try:
        date = parsedate_to_datetime(given)
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)


def _seconds(given: float) -> float | None:
    return max(0.0, given) if math.isfinite(given) else None
