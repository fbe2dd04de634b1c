"""When a task or a flow is tried again, and how often a task starts: the options, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from .errors import UsageError
from .rules.decide import RetryPolicy
from .rules.rates import interval_of
from .settings import settings

RetryDelay: TypeAlias = float | Sequence[float] | Callable[[int], Sequence[float]]
"""Seconds before each retry: a number, a list whose last one holds on, or a function of the number of retries."""


def retry_policy(
    what: str,
    retries: int,
    delay: RetryDelay | None,
    jitter: float = 0.0,
    condition: Callable[..., bool] | None = None,
) -> RetryPolicy:
    """The policy that options describe.  Raises `UsageError` for one that makes no sense."""
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise senseless("retries", what, "a whole number from 0 on", retries)
    if not is_seconds(jitter):
        raise senseless("retry_jitter_factor", what, "a number from 0 on", jitter)
    if condition is not None and not callable(condition):
        raise senseless("retry_condition_fn", what, "a function of the exception", condition)
    delays = _delays(0.0 if delay is None else delay, retries)
    if delays is None:
        raise senseless("retry_delay_seconds", what, "seconds from 0 on, or a list of them", delay)
    return RetryPolicy(retries, delays, float(jitter), condition)


def default_policy() -> RetryPolicy:
    """The policy of tasks that say nothing about retries: what the settings say."""
    here = settings()
    return _default(here.task_default_retries, here.task_default_retry_delay_seconds)


@lru_cache(maxsize=8)
def _default(retries: int, delay: float) -> RetryPolicy:
    return RetryPolicy(retries, (delay,))


def check_concurrency(what: str, concurrency: int | None) -> None:
    """Raise `UsageError` for what is no limit of runs at work."""
    whole = isinstance(concurrency, int) and not isinstance(concurrency, bool)
    if concurrency is not None and not (whole and concurrency >= 1):
        raise senseless("concurrency", what, "a whole number from 1 on", concurrency)


def interval(what: str, rate: str | float) -> float:
    """Seconds between two starts at a rate.  Raises `UsageError` for what is none."""
    found = interval_of(rate)
    if found is None:
        raise senseless("rate", what, "such as '900/min', '10/s', '5000/h', or a number per second above 0", rate)
    return found


def senseless(option: str, what: str, wanted: str, got: Any) -> UsageError:
    """The error for an option that makes no sense."""
    return UsageError(f"{option} of {what!r} must be {wanted}, not {got!r:.60}.")


def is_seconds(value: Any) -> bool:
    """True for a length of time: a number from 0 on."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _delays(given: Any, retries: int) -> tuple[float, ...] | None:
    """The delays as numbers; null if they make no sense."""
    if callable(given):
        given = given(retries)
    delays = list(given) if isinstance(given, Iterable) else [given]
    return tuple(map(float, delays)) if delays and all(map(is_seconds, delays)) else None


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """For ``retry_delay_seconds=``: `backoff_factor` seconds, doubled with each retry (as in Prefect)."""

    def delays(retries: int) -> list[float]:
        return [backoff_factor * 2.0**retry for retry in range(max(1, retries))]

    return delays
