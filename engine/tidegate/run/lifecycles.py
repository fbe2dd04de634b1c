"""The life of a task run and of a flow run, each written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import inputs
from ..latch import AllOf, AnyOf
from ..model.states import NotReady, Running, State, StateType
from ..rules import decide as rules
from ..rules.decide import Abort, Accept, Reject
from ..rules.outcome import of_error
from .effects import Attempt, Lifecycle, Part, Save, Tell, Wait

if TYPE_CHECKING:
    from .flow_run import FlowRun
    from .task_run import TaskRun

CANCEL_GRACE = 10.0
"""Seconds that a cancelled flow run waits for the bodies of its tasks."""

INTERRUPT_GRACE = 0.5
"""The same after an interrupt: somebody sits there and waits for the prompt."""

TIMEOUT_GRACE = 0.1
"""The same when its time is up: it ends on time."""


def task_life(run: TaskRun) -> Lifecycle:
    """Wait for the inputs, enter RUNNING, attempt until it is final, save the end, tell."""
    try:
        final = yield from _ready(run)
        while final is None:
            final = yield from _attempt(run)
    except BaseException as error:
        # Not the user's code: an interrupt of a wait, or a defect of ours.
        final = of_error(error, run.flow_run.gate is StateType.CANCELLING, run.now(), ours=True)
    if not run.claim_end():
        return
    if final is run.state:  # it had ended in an earlier attempt of the flow, and is kept
        run.end(final)
        return
    final = final.of_run(run.flow_run.number, run.number)
    try:
        yield Save(run.event(final, run.keep(final)))
        hooks = run.hooks(final.type)
        if hooks is not None:
            yield Tell(hooks, (run.task, run, final))
    finally:
        run.end(final)


def _ready(run: TaskRun) -> Part:
    """Wait for the inputs and put their values in place; a state if the run can never begin."""
    found = run.inputs
    flow_run = run.flow_run
    if found is not None and found.rebuild:
        pending = [future.latch for future, _ in found.futures if not future.done()]
        if pending:
            yield Wait(AnyOf(AllOf(pending), flow_run.stopped))
        if flow_run.stopped.done():
            return None
        blocker = inputs.not_completed(found)
        if blocker:
            return NotReady(blocker, at=run.now())
        run.args, run.kwargs = inputs.resolve_all(run.args, run.kwargs)
        if run.state.type is StateType.COMPLETED and any(future.ran_anew for future, _ in found.futures):
            run.reopened = "Rerunning"
    try:
        run.prepare()
    except Exception as error:  # of the user's template or key function
        return of_error(error, False, run.now())
    return None


def _attempt(run: TaskRun) -> Part:
    """One attempt; the final state, or null to try again."""
    limit = run.limit
    if limit is None:
        with run.flow_run.lock:  # no pause may come between the decision and the record of it
            decision = _enter_running(run)
    else:
        decision = _decide_running(run)  # whoever has to wait takes no place meanwhile
    if not isinstance(decision, Accept):
        return (yield from _not_now(run, decision))
    if limit is None:
        return (yield from _body(run))
    place = limit.take()
    if not place.done():
        try:
            yield Wait(place)
        except BaseException:
            place.on_done(limit.give)  # the place may still come, and somebody else can use it
            raise
    try:
        with run.flow_run.lock:
            decision = _enter_running(run)
        if not isinstance(decision, Accept):
            return None  # paused or cancelled while it queued: look again
        return (yield from _body(run))
    finally:
        limit.give()


def _not_now(run: TaskRun, decision: rules.Decision) -> Part:
    """Wait, or end without running."""
    if isinstance(decision, rules.Wait):
        if decision.seconds is None:
            yield Wait(run.flow_run.moved)
        else:
            yield Wait(run.flow_run.stopped, decision.seconds)
        return None
    return decision.state if isinstance(decision, Reject) else run.state


def _body(run: TaskRun) -> Part:
    """Call the function, and decide what becomes of its outcome."""
    hooks = run.hooks(StateType.RUNNING)
    if hooks is not None:
        yield Tell(hooks, (run.task, run, run.state))
    proposed: State = yield Attempt(run)
    draw = run.flow_run.engine.chance() if proposed.type is StateType.FAILED else 0.0
    outcome = rules.decide(run, proposed, run.policy, run.now(), draw)
    if isinstance(outcome, Reject):
        run.enter(outcome.state)
        return None
    return run.state if isinstance(outcome, Abort) else proposed


def _decide_running(run: TaskRun) -> rules.Decision:
    now = run.now()
    return rules.decide(run, Running(at=now), run.policy, now, cached=run.cached)


def _enter_running(run: TaskRun) -> rules.Decision:
    decision = _decide_running(run)
    if isinstance(decision, Accept):
        run.enter(decision.state)
    return decision


def flow_life(run: FlowRun) -> Lifecycle:
    """Attempt until it is final, save the end, tell."""
    final = run.refused
    while final is None:
        final = yield from _flow_attempt(run)
    final = final.of_run(run.number, 0)
    try:
        yield Save(run.event(final, result=run.keep(final)))
        hooks = run.flow.hooks.get(final.type)
        if hooks is not None:
            yield Tell(hooks, (run.flow, run, final))
    finally:
        run.end(final)


def _flow_attempt(run: FlowRun) -> Part:
    """Run the body, wait for every task it submitted, judge; the final state, or null to try again."""
    try:
        decision = run.enter_running()
        if isinstance(decision, rules.Wait):
            paused = decision.seconds is None
            yield Wait(AnyOf(run.moved, run.stopped) if paused else run.stopped, decision.seconds)
            return None
        if isinstance(decision, Accept):
            hooks = run.flow.hooks.get(StateType.RUNNING)
            if hooks is not None:
                yield Tell(hooks, (run.flow, run, run.state))
            proposed: State = yield Attempt(run)
        else:
            proposed = decision.state if isinstance(decision, Reject) else run.state
    except BaseException as error:
        proposed = of_error(error, run.state.type is StateType.CANCELLING, run.now())
    if proposed.type is StateType.CRASHED or run.told_to_end:
        run.stop()
    try:
        yield from _children(run, proposed)
        final = run.judge_children(proposed)
    except BaseException as error:
        # A second interrupt leaves at once; so does the first one, if it came while we waited for the last tasks.
        final = of_error(error, run.state.type is StateType.CANCELLING, run.now())
        run.stop()
        if final.name == "Interrupted" and proposed.name != "Interrupted":
            yield from _settle(run)
    final = run.time_is_up(final)
    final = run.abandon_bodies(final)
    draw = run.engine.chance() if final.type is StateType.FAILED else 0.0
    return run.decide_end(final, draw)


def _children(run: FlowRun, proposed: State) -> Lifecycle:
    if not run.stopped.done():
        yield Wait(AnyOf(run.children.all_ended(), run.stopped))
    if run.stopped.done():  # perhaps only while the last tasks ran
        yield Wait(run.children.all_ended(), _grace(run, proposed))


def _grace(run: FlowRun, proposed: State) -> float:
    if run.timed_out:
        return TIMEOUT_GRACE
    return INTERRUPT_GRACE if proposed.type is StateType.CRASHED else CANCEL_GRACE


def _settle(run: FlowRun) -> Lifecycle:
    """After an interrupt of the last wait: the grace that an interrupted body gets, once."""
    try:
        yield Wait(run.children.all_ended(), INTERRUPT_GRACE)
    except BaseException:  # the second interrupt: leave at once
        return
