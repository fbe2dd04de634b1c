"""Decide what becomes of a proposed state.

`decide` is a pure function of the run's present state, the proposed one, the run's policy and the time; it has no
I/O, loop or clock, so that every pair of states can be tested.  The table behind it is Prefect 2.7's orchestration
policy (retries, terminal guard, scheduled waits), applied in process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from ..model.record import record
from ..model.states import (
    CANCELLING,
    COMPLETED,
    PAUSED,
    PENDING,
    RUNNING,
    SCHEDULED,
    TERMINAL,
    AwaitingRetry,
    Cancelled,
    Running,
    State,
    StateType,
    Throttled,
)
from .outcome import may_be_tried_again
from .throttling import throttling_of


@record
class Accept:
    """The run enters the proposed state."""

    state: State


@record
class Reject:
    """The run enters another state instead."""

    state: State


@record
class Wait:
    """Nothing changes now; propose again in `seconds`, or, when that is null, once the run's gate opens."""

    seconds: float | None


@record
class Abort:
    """Nothing changes, ever: the proposal makes no sense for this run."""

    reason: str


Decision: TypeAlias = Accept | Reject | Wait | Abort


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, when and for which errors a run is tried again.

    `delays` are the seconds before retry 1, 2, ...; the last one holds for all later ones.  `jitter` of 0.5 draws each
    delay from 50 % to 150 % of itself.  `condition` may refuse a retry by looking at the exception.
    """

    retries: int = 0
    delays: tuple[float, ...] = (0.0,)
    jitter: float = 0.0
    condition: Callable[[BaseException], bool] | None = None

    def delay(self, retry: int, draw: float) -> float:
        """Seconds before retry number `retry` (from 1); `draw` is a random number in [0, 1)."""
        seconds = self.delays[min(retry, len(self.delays)) - 1]
        return max(0.0, seconds * (1 + self.jitter * (2 * draw - 1)))

    def allows(self, error: Any) -> bool:
        """True if the error may be retried."""
        return self.condition is None or not isinstance(error, BaseException) or self.condition(error)


NEVER = RetryPolicy()
"""No retries."""


class RunFacts(Protocol):
    """What a decision needs to know of a run."""

    state: State
    attempts: int
    """How often it has entered RUNNING, counted anew when its flow run is tried again."""

    @property
    def gate(self) -> StateType:
        """RUNNING while runs may start, PAUSED while they must wait, CANCELLING when none will start again."""
        ...

    @property
    def reopened(self) -> str:
        """Why a run that has ended may begin once more, as the name of the state that it then enters; or empty."""
        ...


def decide(
    run: RunFacts,
    proposed: State,
    policy: RetryPolicy,
    now: float,
    draw: float = 0.5,
    cached: State | None = None,
    *,
    deployed: bool = False,
) -> Decision:
    """What becomes of `proposed`, now.

    `now` is in seconds since the epoch; `draw` is a random number in [0, 1), used for jitter alone; `cached` is the
    state in which an earlier run with the same cache key ended; `deployed` is true for a flow run that came from a
    deployment, which may be tried again by hand however often it has ended.
    """
    current = run.state.type
    kind = proposed.type
    if kind is COMPLETED and current is RUNNING:
        return Accept(proposed)  # the usual end, of which no rule below says anything else
    if current in TERMINAL and (kind is not RUNNING or not run.reopened):
        if deployed and kind is SCHEDULED and proposed.awaits_retry():
            return Accept(proposed)
        return Abort(f"The run has ended: it is {run.state.name}.")
    if kind is RUNNING:
        if run.reopened and run.state.is_at_rest():
            proposed = replace(proposed, name=run.reopened)
        return _enter_running(run, proposed, now, cached)
    if current is RUNNING and kind is not COMPLETED and may_be_tried_again(proposed):
        return _fail(run, proposed, policy, now, draw)
    if kind is PAUSED and current is not RUNNING:
        return Abort(f"Only a running run can be paused; this one is {run.state.name}.")
    if kind is PENDING:
        return _become_pending(run.state, proposed)
    if kind is SCHEDULED and current is not PENDING:
        return Abort(f"A run that is {run.state.name} cannot be scheduled again.")
    return Accept(proposed)


def _become_pending(state: State, proposed: State) -> Decision:
    if state.type is SCHEDULED:
        due = state.scheduled_time if proposed.scheduled_time is None else proposed.scheduled_time
        return Accept(replace(proposed, scheduled_time=due))
    if state.type is PENDING and proposed.name != state.name:
        return Accept(proposed)
    return Abort(f"A run that is {state.name} cannot become pending again.")


def _enter_running(run: RunFacts, proposed: State, now: float, cached: State | None) -> Decision:
    gate = run.gate
    if gate is not RUNNING:
        if gate is PAUSED:
            return Wait(None)
        return Reject(Cancelled("The flow run was cancelled before this began.", at=now))
    state = run.state
    if state.type is RUNNING:
        return Abort("The run is running already.")
    if state.type is SCHEDULED or state.type is PENDING:
        due = state.scheduled_time or now
        if due > now:
            left = due - now
            if state.awaits_retry():  # a delay is no longer than it was, wherever the clock has been set since
                left = min(left, due - state.timestamp)
            return Wait(left)
    if cached is not None:
        return Reject(cached)
    if state.awaits_retry():
        return Accept(Running("Retrying", at=now))
    return Accept(proposed)


def _fail(run: RunFacts, proposed: State, policy: RetryPolicy, now: float, draw: float) -> Decision:
    if run.gate is CANCELLING or run.attempts > policy.retries or not policy.allows(proposed.data):
        return Accept(proposed)
    delay = policy.delay(run.attempts, draw)
    throttling = throttling_of(proposed.data, now)
    if throttling is None:
        return Reject(AwaitingRetry(now + delay, message=proposed.message, data=proposed.data, at=now))
    if throttling.seconds is not None:
        # Never earlier than asked, nor than its own delay: runs that were all told the same second come back in one
        # crowd, are told so again, and have no retries left before the service has served them.
        delay = max(delay, throttling.seconds * (1 + policy.jitter * draw))
    return Reject(Throttled(now + delay, message=proposed.message, data=proposed.data, at=now))
