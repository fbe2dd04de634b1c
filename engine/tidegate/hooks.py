"""Hooks: the user's functions that are called when a run has entered a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .errors import UsageError
from .model.states import StateType

Hook: TypeAlias = Callable[..., Any]
"""A sync or async function of (flow or task, run, state)."""
Hooks: TypeAlias = tuple[Hook, ...]

NO_HOOKS: Mapping[StateType, Hooks] = {}

STATES = {
    "on_completion": StateType.COMPLETED,
    "on_failure": StateType.FAILED,
    "on_crashed": StateType.CRASHED,
    "on_cancellation": StateType.CANCELLED,
    "on_running": StateType.RUNNING,
}
"""The options, and the type of state that each is for."""


def hooks_of(options: Mapping[str, Any], what: str) -> Mapping[StateType, Hooks]:
    """The hooks that options name, each a function or several.  Raises `UsageError` for what cannot be called."""
    found: dict[StateType, Hooks] = {}
    for option, kind in STATES.items():
        given = options.get(option)
        if given is None:
            continue
        several = tuple(given) if isinstance(given, Iterable) and not callable(given) else (given,)
        for each in several:
            if not callable(each):
                raise UsageError(f"{option} of {what!r} must be a function, or a list of them, not {each!r:.60}.")
        if several:
            found[kind] = several
    return found or NO_HOOKS
