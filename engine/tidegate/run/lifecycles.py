"""The life of a task run and of a flow run, each written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import inputs
from ..latch import AllOf, AnyOf
from ..model.states import NotReady, Running, State, StateType
from ..rules import decide as rules
from ..rules.decide import Abort, Accept, Reject
from ..rules.outcome import of_error
from .effects import Attempt, Lifecycle, Part, Save, Wait

if TYPE_CHECKING:
    from .flow_run import FlowRun
    from .task_run import TaskRun

CANCEL_GRACE = 10.0
"""Seconds that a cancelled flow run waits for the bodies of its tasks."""

INTERRUPT_GRACE = 0.5
"""The same after an interrupt: somebody sits there and waits for the prompt."""


def task_life(run: TaskRun) -> Lifecycle:
    """Wait for the inputs, enter RUNNING, attempt until it is final, save the end, tell."""
    try:
        final = yield from _ready(run)
        while final is None:
            final = yield from _attempt(run)
    except BaseException as error:
        # Not the user's code: an interrupt of a wait, or a defect of ours.
        final = of_error(error, run.flow_run.gate is StateType.CANCELLING, run.now())
    if run.claim_end():
        yield Save(run.event(final))
        run.end(final)


def _ready(run: TaskRun) -> Part:
    """Wait for the inputs and put their values in place; a state if the run can never begin."""
    found = run.inputs
    if found is None or not found.rebuild:
        return None
    flow_run = run.flow_run
    pending = [future.latch for future, _ in found.futures if not future.done()]
    if pending:
        yield Wait(AnyOf(AllOf(pending), flow_run.stopped))
    if not flow_run.stopped.done():
        blocker = inputs.not_completed(found)
        if blocker:
            return NotReady(blocker, at=run.now())
        run.args, run.kwargs = inputs.resolve_all(run.args, run.kwargs)
    return None


def _attempt(run: TaskRun) -> Part:
    """One attempt; the final state, or null to try again."""
    flow_run, limit = run.flow_run, run.limit
    if limit is None:
        with flow_run.lock:  # no pause may come between the decision and the record of it
            decision = _enter_running(run)
    else:
        decision = _decide_running(run)  # whoever has to wait takes no place meanwhile
    if isinstance(decision, rules.Wait):
        if decision.seconds is None:
            yield Wait(flow_run.moved)
        else:
            yield Wait(flow_run.stopped, decision.seconds)
        return None
    if not isinstance(decision, Accept):
        return decision.state if isinstance(decision, Reject) else run.state
    if limit is not None:
        place = limit.take()
        if not place.done():
            try:
                yield Wait(place)
            except BaseException:
                place.on_done(limit.give)  # the place may still come, and somebody else can use it
                raise
    try:
        if limit is not None:
            with flow_run.lock:
                decision = _enter_running(run)
            if not isinstance(decision, Accept):
                return None  # paused or cancelled while it queued: look again
        proposed: State = yield Attempt(run)
    finally:
        if limit is not None:
            limit.give()
    draw = flow_run.engine.chance() if proposed.type is StateType.FAILED else 0.0
    outcome = rules.decide(run, proposed, run.policy, run.now(), draw)
    if isinstance(outcome, Reject):
        run.enter(outcome.state)
        return None
    return run.state if isinstance(outcome, Abort) else proposed


def _decide_running(run: TaskRun) -> rules.Decision:
    now = run.now()
    return rules.decide(run, Running(at=now), run.policy, now)


def _enter_running(run: TaskRun) -> rules.Decision:
    decision = _decide_running(run)
    if isinstance(decision, Accept):
        run.enter(decision.state)
    return decision


def flow_life(run: FlowRun) -> Lifecycle:
    """Run the body, wait for every task it submitted, judge, save the end, tell."""
    try:
        run.enter(Running(at=run.now()))
        proposed: State = yield Attempt(run)
    except BaseException as error:
        proposed = of_error(error, run.state.type is StateType.CANCELLING, run.now())
    if proposed.type is StateType.CRASHED or run.state.type is StateType.CANCELLING:
        run.stop()
    final = proposed
    try:
        yield from _children(run, final)
        final = run.judge_children(proposed)
    except BaseException as error:
        # A second interrupt leaves at once; so does the first one, if it came while we waited for the last tasks.
        final = of_error(error, run.state.type is StateType.CANCELLING, run.now())
        run.stop()
        if final.name == "Interrupted" and proposed.name != "Interrupted":
            yield from _settle(run)
    final = run.abandon_bodies(final)
    yield Save(run.event(final))
    run.end(final)


def _children(run: FlowRun, proposed: State) -> Lifecycle:
    if run.stopped.done():
        grace = INTERRUPT_GRACE if proposed.type is StateType.CRASHED else CANCEL_GRACE
        yield Wait(run.children_ended(), grace)
        return
    yield Wait(AnyOf(run.children_ended(), run.stopped))
    if run.stopped.done():  # cancelled while the last tasks ran
        yield Wait(run.children_ended(), CANCEL_GRACE)


def _settle(run: FlowRun) -> Lifecycle:
    """After an interrupt of the last wait: the grace that an interrupted body gets, once."""
    try:
        yield Wait(run.children_ended(), INTERRUPT_GRACE)
    except BaseException:  # the second interrupt: leave at once
        return
