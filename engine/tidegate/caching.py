"""Caching: a task hands back what an earlier run with the same cache key returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from inspect import iscoroutinefunction
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from .cache_policies import CacheContext, CacheKey, CacheKeyFnPolicy, CachePolicy, why_missed
from .digests import digest
from .errors import RunError, StoreError, UsageError
from .hits import Hit, hit
from .model.events import CacheEntry
from .model.record import record
from .retries import is_seconds, senseless

if TYPE_CHECKING:
    from .run.called import Called
    from .run.task_run import TaskRun

CacheKeyFn = Callable[[CacheContext, dict[str, Any]], str | None]


@record
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
        identity = _identity(task)
        if identity is None and not isinstance(self.policy, CacheKeyFnPolicy):
            return None
        name = identity or _qualified(task)
        context = CacheContext(name, task.fn, arguments, flow_run.number, flow_run.parameters, run, task)
        return _checked(self.policy.key(context), task.name)

    def look_up(self, run: TaskRun, key: CacheKey) -> tuple[Hit | None, str]:
        """What the cache has for a run, else why it has nothing.  Never raises: a run without it is as good."""
        if self.refresh:
            return None, "the cache is refreshed"
        now, store = run.flow_run.engine.now(), run.flow_run.engine.store
        try:
            found = store.cached(key.text, now)
            if found is None:
                return None, why_missed(key.parts, store.latest_cached(_qualified(run.task)))
        except StoreError as error:
            return None, f"the cache cannot be read: {error}"
        extra = {"cache_key": key.text, "cache_expiration": found.entry.expires}
        try:
            return hit(run, (found.flow_run, found.task_run), found.blob, extra), ""
        except (RunError, StoreError) as error:
            return None, f"the result of run {found.flow_run} cannot be used: {error}"

    def entry(self, run: TaskRun, key: CacheKey, now: float) -> CacheEntry:
        """What the store is to keep with a completed run."""
        expires = None if self.expiration is None else now + self.expiration
        return CacheEntry(key.text, _qualified(run.task), expires, key.parts)


def _qualified(task: Called) -> str:
    return f"{getattr(task.fn, '__module__', None) or ''}.{task.key}"


def _identity(task: Called) -> str | None:
    """What tells a task from all others, in any process; null if it cannot be told."""
    if isinstance(task.fn, (FunctionType, BuiltinFunctionType)):
        return _qualified(task)
    # A method, a partial or a callable object: what it holds decides as much as its arguments do.
    held = digest(task.fn)
    return None if held is None else f"{_qualified(task)} {held}"


def _checked(key: Any, name: str) -> CacheKey | None:
    """The key that a policy gave.  Raises `UsageError` for one that the store could not keep."""
    if key is None:
        return None
    if isinstance(key, CacheKey) and _is_text(key.text):
        parts = key.parts
        if isinstance(parts, Mapping) and all(_is_text(part) and _is_text(parts[part]) for part in parts):
            return key
    raise UsageError(f"The cache key of {name!r} must be a text, with texts as its parts, not {key!r:.60}.")


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def caching_of(what: str, options: Mapping[str, Any]) -> Caching | None:
    """The caching that options describe; null for none.  Raises `UsageError` for one that makes no sense."""
    policy, function = options["cache_policy"], options["cache_key_fn"]
    if policy is not None and function is not None:
        raise UsageError(f"{what!r} has both a cache_policy and a cache_key_fn. Give one of them.")
    if policy is not None and not isinstance(policy, CachePolicy):
        raise senseless("cache_policy", what, "a cache policy such as INPUTS", policy)
    if function is not None and not callable(function):
        raise senseless("cache_key_fn", what, "a function of (context, arguments)", function)
    if function is not None and iscoroutinefunction(function):
        raise senseless("cache_key_fn", what, "a function that is not async", function)
    expiration = options["cache_expiration"]
    if isinstance(expiration, timedelta):
        expiration = expiration.total_seconds()
    elif expiration is not None and not is_seconds(expiration):
        raise senseless("cache_expiration", what, "a timedelta, or seconds", expiration)
    if policy is None and function is None:
        return None
    return Caching(policy or CacheKeyFnPolicy(function), expiration, bool(options["refresh_cache"]))
