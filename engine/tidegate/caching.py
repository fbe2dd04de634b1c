"""Caching: a task hands back what an earlier run with the same cache key returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .cache_policies import CacheContext, CacheKey, CacheKeyFnPolicy, CachePolicy, why_missed
from .errors import MissingResult, RunError, UsageError
from .model.events import CacheEntry
from .model.states import Cached, State
from .retries import is_seconds, senseless
from .saving import context_of

if TYPE_CHECKING:
    from .run.task_run import TaskRun

CacheKeyFn = Callable[[CacheContext, dict[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class Caching:
    """Which results of a task may be used again, and for how long."""

    policy: CachePolicy
    expiration: float | None
    """Seconds; null for ever."""
    refresh: bool
    """True to run whatever is there, and keep the new result in its place."""

    def key(self, run: TaskRun) -> CacheKey | None:
        """The cache key of a run whose inputs are in place; null for none.  Raises what the user's function raises."""
        task, flow_run = run.task, run.flow_run
        arguments = task.arguments(run.args, run.kwargs)
        context = CacheContext(task.key, task.fn, arguments, flow_run.number, flow_run.parameters, run, task)
        return self.policy.key(context)

    def look_up(self, run: TaskRun, key: CacheKey) -> tuple[State | None, str]:
        """The state of an earlier run with the key, else why there is none."""
        if self.refresh:
            return None, "the cache is refreshed"
        now = run.now()
        store = run.flow_run.engine.store
        hit = store.cached(key.text, now)
        if hit is None:
            return None, why_missed(key.parts, store.latest_cached(run.task.key))
        saving = run.flow_run.of(run.task).saving
        try:
            value = saving.keeper.load(hit.blob, context_of(hit.flow_run, hit.task_run))
        except (MissingResult, RunError) as error:
            return None, f"the result of run {hit.flow_run} cannot be used: {error}"
        extra = {"cache_key": key.text, "cache_expiration": hit.entry.expires}
        return Cached(value, extra=extra, at=now), ""

    def entry(self, run: TaskRun, key: CacheKey, now: float) -> CacheEntry:
        """What the store is to keep with a completed run."""
        expires = None if self.expiration is None else now + self.expiration
        return CacheEntry(key.text, run.task.key, expires, key.parts)


def caching_of(what: str, options: Mapping[str, Any]) -> Caching | None:
    """The caching that options describe; null for none.  Raises `UsageError` for one that makes no sense."""
    policy, function = options["cache_policy"], options["cache_key_fn"]
    if policy is not None and function is not None:
        raise UsageError(f"{what!r} has both a cache_policy and a cache_key_fn. Give one of them.")
    if policy is not None and not isinstance(policy, CachePolicy):
        raise senseless("cache_policy", what, "a cache policy such as INPUTS", policy)
    if function is not None and not callable(function):
        raise senseless("cache_key_fn", what, "a function of (context, arguments)", function)
    expiration = options["cache_expiration"]
    if isinstance(expiration, timedelta):
        expiration = expiration.total_seconds()
    elif expiration is not None and not is_seconds(expiration):
        raise senseless("cache_expiration", what, "a timedelta, or seconds", expiration)
    if policy is None and function is None:
        return None
    return Caching(policy or CacheKeyFnPolicy(function), expiration, bool(options["refresh_cache"]))
