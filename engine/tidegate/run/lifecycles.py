"""The life of a task run and of a flow run, each written once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import inputs, run_logs
from ..latch import AllOf, AnyOf
from ..model.states import (
    CANCELLING,
    COMPLETED,
    CRASHED,
    FAILED,
    RUNNING,
    Cancelled,
    NotReady,
    State,
)
from ..model.tag_limits import Holder
from ..rules import decide as rules
from ..rules.decide import NEVER, Abort, Accept, Reject
from ..rules.outcome import may_be_tried_again, of_error
from ..rules.slots import Closed
from ..tags import NONE
from .doubts import IN_DOUBT, settle
from .effects import Attempt, Lifecycle, Part, Save, Tell, Wait
from .leftovers import abandon

if TYPE_CHECKING:
    from ..concurrency import ConcurrencyLimit
    from ..inputs import Inputs
    from ..model.events import Event
    from ..pace import Pace, Turn
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
        # Most task runs wait for nothing, and need no generator to find that out.
        found = run.inputs
        final = (yield from _ready(run, found)) if found is not None and found.rebuild else _prepared(run)
        if final is None and run.reopened == IN_DOUBT:
            yield from settle(run)
        while final is None:
            final = yield from _attempt(run)
    except BaseException as error:
        # Not the user's code: an interrupt of a wait, or a defect of ours.
        final = run.state if run.is_kept else of_error(error, run.cancelling, run.now(), ours=True)
    if not run.claim_end():
        return
    if final is run.state:  # it had ended in an earlier attempt of the flow, and is kept; or it is left for a later one
        run.end(final)
        return
    final, event = _kept(run, final.of_run(run.flow_run.number, run.number))
    try:
        yield Save(event)
        hooks = run.hooks(final.type) if run.task.hooks else None
        if hooks is not None:
            run.state = final  # it is kept, so hooks may see it
            yield Tell(hooks, (run.task, run, final))
    finally:
        run.end(final)


def _ready(run: TaskRun, found: Inputs) -> Part:
    """Wait for the inputs and put their values in place; a state if the run can never begin."""
    flow_run = run.flow_run
    pending = [future.latch for future, _ in found.futures if not future.done()]
    if pending:
        yield Wait(AnyOf(AllOf(pending), flow_run.stopped))
    if flow_run.stopped.done() or flow_run.suspending:
        return None
    blocker = inputs.not_completed(found)
    if blocker:
        return NotReady(blocker, at=run.now())
    kept = run.cached is not None or run.state.type is COMPLETED
    if kept and any(future.ran_anew for future, _ in found.futures):
        run.cached, run.why_missed = None, "An input was made anew."
        run.reopened = "Rerunning" if run.state.type is COMPLETED else ""
    return _prepared(run, found)


def _prepared(run: TaskRun, found: Inputs | None = None) -> State | None:
    """Put the values of the inputs in place where `found` has others; a state if that, or a function of the user's,
    fails."""
    try:
        if found is not None:
            run.args, run.kwargs = inputs.resolve_all(found, run.args, run.kwargs)
        run.prepare()
    except Exception as error:  # of the user's containers, template or key function, or for a saved input that is gone
        return of_error(error, False, run.now())
    return None


def _kept(run: TaskRun | FlowRun, final: State) -> tuple[State, Event]:
    """Save what the final state holds; what interrupts that is how the run ends."""
    try:
        return run.keep(final)
    except BaseException as error:  # no ordinary exception: those are reasons
        crashed = of_error(error, False, run.now(), ours=True)
        final = replace(crashed, origin=final.origin)
        return final, run.event(final)


def _attempt(run: TaskRun) -> Part:
    """One attempt; the final state, or null to try again."""
    here, pace = run.here, run.task.pace
    places = None if run.lifecycle is None else here.places  # which are for those that the runner carries
    tags = run.flow_run.engine.tag_slots.limited(run.tags) if run.tags and not run.task.is_flow else NONE
    queues = here.limit is not None or places is not None or pace is not None or bool(tags)
    decision = _decide_running(run) if queues else _enter_running(run)  # no place is taken by who has to wait anyway
    if not isinstance(decision, Accept):
        return (yield from _not_now(run, decision))
    if pace is not None:
        return (yield from _at_its_turn(run, pace, tags))
    return (yield from (_queued(run, tags) if queues else _body(run)))


def _at_its_turn(run: TaskRun, pace: Pace, tags: frozenset[str]) -> Part:
    """An attempt of a task that has a rate: it waits for its turn, holding nothing, and keeps it until it begins."""
    flow_run = run.flow_run
    turn = pace.ask(flow_run.engine.portal.after)
    try:
        if not turn.done():
            yield Wait(AnyOf(turn, flow_run.stopped))
            if not turn.done():
                return None
        return (yield from _queued(run, tags, turn))
    finally:
        turn.leave()


def _queued(run: TaskRun, tags: frozenset[str], turn: Turn | None = None) -> Part:
    """An attempt that needs places, or slots: first of its task, then of its tags, then of the cluster."""
    here, rest = run.here, _begin(run, turn)
    if here.places is not None and run.lifecycle is not None:
        rest = _in_place(here.places, rest)
    if tags:
        rest = _with_slots(run, tags, rest)
    if here.limit is not None:
        rest = _in_place(here.limit, rest)
    return (yield from rest)


def _in_place(limit: ConcurrencyLimit, rest: Part) -> Part:
    """The rest of an attempt, once there is a place for it."""
    place = limit.take()
    if not place.done():
        try:
            yield Wait(place)
        except BaseException:
            place.on_done(limit.give)  # the place may still come, and somebody else can use it
            raise
    try:
        return (yield from rest)
    finally:
        limit.give()


def _with_slots(run: TaskRun, tags: frozenset[str], rest: Part) -> Part:
    """The rest of an attempt of a run with tags that have a limit: it holds a slot of each, or waits holding none."""
    flow_run = run.flow_run
    slots = flow_run.engine.tag_slots
    ticket = run.ticket = slots.ask(Holder(flow_run.number, run.number), run.tags, tags)
    try:
        if not ticket.done():
            yield Wait(AnyOf(ticket, flow_run.stopped))
        answer = ticket.answer
        if answer is None:
            return None
        if isinstance(answer, Closed):
            return Cancelled(f"The concurrency limit of its tag {answer.tag!r} is 0.", at=run.now())
        return (yield from rest)
    finally:
        run.ticket = None
        slots.leave(ticket)


def _begin(run: TaskRun, turn: Turn | None) -> Part:
    """The rest of an attempt that had to queue; null if the flow run was paused or cancelled meanwhile."""
    decision = _enter_running(run)
    if not isinstance(decision, Accept):
        return None
    if turn is not None:
        turn.begin()
    return (yield from _body(run))


def _not_now(run: TaskRun, decision: rules.Decision) -> Part:
    """Wait, or end without running."""
    if isinstance(decision, rules.Wait):
        if run.flow_run.suspending:
            return run.state
        if decision.seconds is None:
            yield Wait(run.flow_run.moved)
        elif not (yield Wait(run.flow_run.stopped, decision.seconds)):
            run.state = _waited_for(run.state)
        return None
    return decision.state if isinstance(decision, Reject) else run.state


def _waited_for(state: State) -> State:
    """A delay that has passed is over: had somebody set the clock back meanwhile, it would begin again, for hours."""
    return replace(state, scheduled_time=None) if state.awaits_retry() else state


def _body(run: TaskRun) -> Part:
    """Call the function, and decide what becomes of its outcome."""
    if run.task.rerun != "always":
        run.flow_run.engine.keep_noted()  # or a death within the next moments would leave no trace that it had begun
    hooks = run.hooks(RUNNING) if run.task.hooks else None
    if hooks is not None:
        yield Tell(hooks, (run.task, run, run.state))
    proposed: State = yield Attempt(run)
    policy, draw = NEVER, 0.0
    if proposed.type is not COMPLETED and may_be_tried_again(proposed):
        policy, draw = run.policy, run.flow_run.engine.chance()  # which takes a look at the settings
    outcome = rules.decide(run, proposed, policy, proposed.timestamp, draw)
    if isinstance(outcome, Reject):
        run_logs.tried_again(run.frame, outcome.state)
        run.enter(outcome.state)
        return None
    return run.state if isinstance(outcome, Abort) else proposed


def _decide_running(run: TaskRun) -> rules.Decision:
    now = run.flow_run.now()
    cached = None if run.cached is None else run.cached.state
    return rules.decide(run, State(RUNNING, "Running", run.why_missed, now), NEVER, now, cached=cached)


def _enter_running(run: TaskRun) -> rules.Decision:
    """Pass the gate and record it; who closes the gate waits for those who are here (see `Controlled`)."""
    beginning = run.flow_run.beginning
    try:
        beginning.add(run)
        decision = _decide_running(run)
        if isinstance(decision, Accept):
            run.enter(decision.state)
    finally:
        beginning.discard(run)
    return decision


def flow_life(run: FlowRun) -> Lifecycle:
    """Attempt until it is final, save the end, tell."""
    final = run.refused
    while final is None:
        final = yield from _flow_attempt(run)
    final, event = _kept(run, final.of_run(run.number, 0))
    run_logs.ended(run, final)
    try:
        yield Save(event)
        hooks = run.flow.hooks.get(final.type)
        if hooks is not None:
            with run.lock:
                run.state = final  # it is kept, so hooks may see it; and none of them can cancel what has ended
            yield Tell(hooks, (run.flow, run, final))
    finally:
        run.end(final)


def _flow_attempt(run: FlowRun) -> Part:
    """Run the body, wait for every task it submitted, judge; the final state, or null to try again."""
    try:
        decision = run.enter_running()
        if isinstance(decision, rules.Wait) and not run.suspending:
            paused = decision.seconds is None
            if not (yield Wait(AnyOf(run.moved, run.stopped) if paused else run.stopped, decision.seconds)):
                with run.lock:  # or a cancel could come in between, and be lost
                    run.state = _waited_for(run.state)
            return None
        if isinstance(decision, Accept):
            hooks = run.flow.hooks.get(RUNNING)
            if hooks is not None:
                yield Tell(hooks, (run.flow, run, run.state))
            proposed: State = yield Attempt(run)
        elif isinstance(decision, rules.Wait):
            proposed = run.suspended()
        else:
            proposed = decision.state if isinstance(decision, Reject) else run.state
    except BaseException as error:
        proposed = of_error(error, run.state.type is CANCELLING, run.now())
    if proposed.type is CRASHED or run.told_to_end:
        run.stop()
    try:
        yield from _children(run, proposed)
        final = run.judge_children(proposed)
    except BaseException as error:
        # A second interrupt leaves at once; so does the first one, if it came while we waited for the last tasks.
        final = of_error(error, run.state.type is CANCELLING, run.now())
        run.stop()
        if final.name == "Interrupted" and proposed.name != "Interrupted":
            yield from _settle(run)
    final = run.time_is_up(final)
    final = abandon(run, final)
    draw = run.engine.chance() if final.type is FAILED else 0.0
    return run.decide_end(final, draw)


def _children(run: FlowRun, proposed: State) -> Lifecycle:
    ended = run.children.all_ended()
    while not (ended.done() or run.stopped.done()):  # a suspension wakes this up, and is no end
        yield Wait(AnyOf(ended, run.stopped))
    if run.stopped.done():  # perhaps only while the last tasks ran
        yield Wait(ended, _grace(run, proposed))


def _grace(run: FlowRun, proposed: State) -> float:
    if run.timed_out:
        return TIMEOUT_GRACE
    return INTERRUPT_GRACE if proposed.type is CRASHED else CANCEL_GRACE


def _settle(run: FlowRun) -> Lifecycle:
    """After an interrupt of the last wait: the grace that an interrupted body gets, once."""
    try:
        yield Wait(run.children.all_ended(), INTERRUPT_GRACE)
    except BaseException:  # the second interrupt: leave at once
        return
