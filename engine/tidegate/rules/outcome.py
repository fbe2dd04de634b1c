"""What state an attempt ends in: from what the user's code returned or raised.

The rules are those of Prefect 2.7: plain data completes; a state, or a container of nothing but states, is judged by
its members; an exception fails; what is no ordinary exception crashes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ..annotations import quote
from ..errors import RunSuspended, WorkerDied
from ..model.state_group import StateGroup
from ..model.states import Cancelled, Completed, Crashed, Failed, State, StateType

_CONTAINERS = frozenset({list, tuple, set})  # by identity: a class may be of a kind that calls itself equal to others


def of_return(value: Any, now: float, origin: tuple[int, int] | None = None) -> State:
    """The state that a returned value proposes; `origin` is the flow run and the task run that returned it."""
    kind = type(value)
    if kind is State:
        return _of_states([value], value, now)
    if kind in _CONTAINERS and value:
        states = list(_flat(value))
        if states and all(type(each) is State for each in states):
            return _of_states(states, value, now)
    if kind is quote:
        value = value.value
    return Completed(value, at=now, origin=origin)


def _flat(value: Any) -> Any:
    """Nested containers count as one: two maps in one list are judged together."""
    stack = [iter(value)]
    depth = 16
    while stack:
        for each in stack[-1]:
            if type(each) in _CONTAINERS and len(stack) < depth:
                stack.append(iter(each))
                break
            yield each
            if type(each) is not State:
                return
        else:
            stack.pop()


def _of_states(states: Sequence[State], value: Any, now: float) -> State:
    if len(states) > 1 or type(value) is not State:
        return aggregate(StateGroup.of(states), value, now)
    if not value.is_at_rest():
        return Failed(value, message="1/1 states are not final.", at=now)
    flow_run, task_run = value.origin or (0, 1)
    # Only the run that stands for a subflow ends in the state of a flow run.
    return value.fresh(now, None if task_run else {"child_flow_run": flow_run})


def aggregate(group: StateGroup, data: Any, now: float) -> State:
    """The state of many: all completed, else any cancelled, else failed."""
    total = group.total_count
    if group.all_completed():
        return Completed(data, message="All states completed.", at=now)
    if group.any_cancelled():
        message = f"{group.cancelled_count}/{total} states cancelled."
        return State(StateType.CANCELLED, "Cancelled", message, now, data)
    if group.any_failed():
        return Failed(data, message=f"{group.fail_count}/{total} states failed.", at=now)
    return Failed(data, message=f"{group.not_final_count}/{total} states are not final.", at=now)


def judge_by_children(proposed: State, tally: Mapping[StateType, int], failures: Sequence[State], now: float) -> State:
    """The state of a flow that returned nothing: it is judged by its task runs, counted by the type they ended in."""
    group = StateGroup(tally)
    return aggregate(group, failures or None, now) if group.total_count else proposed


def of_error(error: BaseException, cancelling: bool, now: float, *, ours: bool = False) -> State:
    """The state that a raised exception proposes; `cancelling` if somebody had asked for the end, `ours` if it was not
    raised by the user's code."""
    if isinstance(error, Exception) and ours:
        return Crashed(error, message=f"A defect of Tidegate: {describe(error)}", at=now)
    if isinstance(error, Exception):
        return Failed(error, message=describe(error), at=now)
    if isinstance(error, RunSuspended):
        return Cancelled("The flow run was suspended while it ran.", at=now)
    if cancelling and isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
        return Cancelled("Cancelled while it ran.", at=now)
    if isinstance(error, KeyboardInterrupt):
        return Crashed(error, message="Stopped by an interrupt.", name="Interrupted", at=now)
    if isinstance(error, asyncio.CancelledError):
        return Crashed(error, message="Cancelled by its surroundings.", at=now)
    if isinstance(error, SystemExit):
        return Crashed(error, message=f"Ended by SystemExit({error.code!r}).", at=now)
    return Crashed(error, message=f"Ended by {describe(error)}", at=now)


def of_death(state: State, death: WorkerDied | None) -> State:
    """The state that an attempt elsewhere proposes: Crashed if what it failed by is the death of its own process.

    Whoever is told of that later merely failed.
    """
    if death is None or state.data is not death:
        return state
    return Crashed(death, message=str(death), at=state.timestamp)


def may_be_tried_again(state: State) -> bool:
    """True for a proposed end that retries are for: a failure, and the death of the process that the code ran in.

    What is no ordinary exception was meant to end things.
    """
    return state.type is StateType.FAILED or (state.type is StateType.CRASHED and isinstance(state.data, WorkerDied))


def describe(error: BaseException) -> str:
    """Class and text on one line, at most 500 characters."""
    try:
        text = " ".join(str(error).split())
    except Exception as broken:
        text = f"(its text cannot be had: {type(broken).__name__})"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= 500 else line[:499] + "…"
