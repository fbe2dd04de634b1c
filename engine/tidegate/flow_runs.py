"""How flow runs come about: by a call of their flow, or ahead of time, to be run later, perhaps in another process."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from . import host, replay, requests, run_logs
from .engine import Engine, engine
from .errors import NotStartable, ParameterTypeError, UsageError
from .interrupts import guard
from .logs import setup_logging
from .model.events import FlowCreated, FlowState
from .model.states import Failed, Pending, Scheduled, State
from .model.views import FlowRow
from .parameters import as_json, check_names, validated
from .rules.outcome import describe
from .run.drivers import drive, drive_async
from .run.flow_run import FlowRun
from .run.lifecycles import flow_life
from .run.recall import Recall
from .run.terms import USUAL, Terms
from .run_names import fill_in
from .saving import saving_of
from .settings import settings
from .tags import NONE, current_tags, tags_of

if TYPE_CHECKING:
    from .flow import Flow
    from .run.task_run import TaskRun


def new_flow_run(
    flow: Flow[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tracking: TaskRun | None = None,
    *,
    forked_from: int = 0,
) -> FlowRun:
    """A run for a call of the flow: kept in the store, known to the engine, not begun.

    `tracking` is the task run that stands for it in the flow that called it; one that an earlier process had begun goes
    on.  Raises `StoreError`, with nothing left half done, if the store cannot be used.
    """
    if tracking is None:
        setup_logging()  # first, so that a setting that cannot be stops it before anything is recorded
        replay.look(engine())
    here = tracking.flow_run.engine if tracking is not None else engine()
    parent = None if tracking is None else tracking.flow_run
    saving = saving_of(flow, here.saving if parent is None else parent.saving)  # as early: it reads settings, too
    runner = flow.task_runner.start()  # which may refuse
    now = here.run_clock() if parent is None else parent.now
    parameters, refused = _validated(flow, flow.arguments(args, kwargs), now())
    name = ""
    if flow.run_name is not None and refused is None:
        try:
            name = fill_in(flow.run_name, parameters)
        except Exception as error:  # of the user's function, or of the formatting
            told = f"flow_run_name of {flow.name!r} gives no name. {describe(error)}"
            refused = Failed(error, message=told, at=now())
    before = None if tracking is None else _begun_before(flow, tracking)
    if before is None:
        created = FlowCreated(
            0,
            now(),
            uuid.uuid4().hex,
            flow.name,
            name or slug(),
            as_json(parameters),
            None if tracking is None else (tracking.flow_run.number, tracking.number),
            flow.version or "",
            tuple(sorted(current_tags() | flow.tags | (NONE if parent is None else parent.tags))),
            owner=here.store.process,
            body=flow.body_text,
            durability=flow.durability or (settings().durability if parent is None else parent.created.durability),
            forked_from=forked_from,
        )
        created = replace(created, flow_run=here.create(created))
    else:
        created = _claimed(here, flow, before)
    run = FlowRun(here, flow, created, runner, saving, now)
    if before is not None and tracking is not None:
        _remember(run, before, tracking.flow_run.terms.of_subflow(tracking.number))
    if forked_from:
        run.sample = None
    run.parameters.update(parameters)
    run.refused = refused
    run.args, run.kwargs = (args, kwargs) if refused else flow.call_with(parameters)
    if tracking is not None:
        tracking.given_name = name
    _begin(run, tracking)
    return run


def _begun_before(flow: Flow[..., Any], tracking: TaskRun) -> FlowRow | None:
    """The run of a subflow that a call in a resumed flow is once more."""
    parent = tracking.flow_run
    if not (parent.reopened and tracking.earlier):
        return None
    found = parent.engine.store.subflow_runs(parent.number, tracking.number)[:1]
    return next((row for row in found if row.flow == flow.name), None)


def _claimed(here: Engine, flow: Flow[..., Any], row: FlowRow, done: str = "resumed") -> FlowCreated:
    """A run of the record that goes on in this process.  Raises `NotStartable` if somebody else was first."""
    if not here.store.claim_flow_run(row):
        raise NotStartable(f"The flow run {row.number} ({row.name}) has just been {done} by somebody else.")
    level = row.durability or flow.durability or settings().durability
    here.amend(row.number, flow.version or "", flow.policy, level)
    what = (row.number, row.created, row.uuid, row.flow, row.name, row.parameters, row.parent)
    return FlowCreated(*what, flow.version or "", row.tags, durability=level)


def _remember(run: FlowRun, row: FlowRow, terms: Terms) -> None:
    """Know what earlier processes did of the run."""
    store = run.engine.store
    tasks = store.task_runs(row.number)
    run.state, run.reopened, run.attempts = row.state, "Resuming", row.attempts
    run.terms = terms
    run.sample = None  # the rest is what it goes on for
    run.recall = Recall.of_record(run, tasks, terms)
    run.numbering.go_on_after(tasks)
    run.pauses.recall(store.flow_events(row.number))


def carry_out(make: Callable[[], FlowRun]) -> State:
    """Make a root flow run of a sync flow, and run it on this thread; its final state."""
    __tracebackhide__ = True
    with guard.installed(), host.hosting(awaited=False):
        run = make()
        drive(flow_life(run), run.engine)
    return run.state


async def carry_out_async(make: Callable[[], FlowRun]) -> State:
    """Make a root flow run of an async flow, and run it on this loop; its final state."""
    __tracebackhide__ = True
    with guard.watching(), host.hosting(awaited=True):
        run = make()
        await drive_async(flow_life(run), run.engine)
    return run.state


def _begin(run: FlowRun, tracking: TaskRun | None) -> None:
    """Make a run known in this process."""
    run.engine.live[run.number] = run
    if run.engine.replay is not None:
        run.replay = run.engine.replay.of(run, tracking)
    run_logs.created(run)
    if tracking is not None:
        run.tracking = tracking
        tracking.flow_run.subflows.add(run)
    else:
        requests.attend(run.engine)
        for observer in run.engine.observers:
            observer(run)


def _validated(flow: Flow[..., Any], given: dict[str, Any], now: float) -> tuple[dict[str, Any], State | None]:
    """The parameters, validated; and the state of a run that is refused for them."""
    try:
        return validated(flow, given) if flow.validate_parameters else given, None
    except Exception as error:  # a validator of the user's may raise anything
        return given, _refusal(flow, error, now)


def _refusal(flow: Flow[..., Any], error: Exception, now: float) -> State:
    told = f"{type(error).__name__}: {error}"  # not cut: it lists all that is wrong
    if not isinstance(error, (ParameterTypeError, UsageError)):
        told = f"The parameters of {flow.name!r} cannot be used. {describe(error)}"
    return Failed(error, message=told, at=now)


def slug() -> str:
    """Two random words."""
    from coolname import generate_slug  # a word list of its own: not needed to import Tidegate

    return str(generate_slug(2))


# Ahead of time --------------------------------------------------------------------------------------------------------


def create_flow_run(
    flow: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    tags: Iterable[str] | None = None,
    scheduled_time: float | None = None,
    target: str | None = None,
) -> int:
    """Put a run of the flow of that name into the store, to be run by whoever is given its number; returns that.

    It is Pending, or with a `scheduled_time` (seconds since the epoch) Scheduled.  `target` says where the flow is, as
    `load_flow` takes it, for a process that knows no more than the number.  Raises `UsageError` for parameters that
    have no JSON form, and `StoreError`.
    """
    here = engine()
    now = here.now()
    try:
        recorded = json.dumps(dict(parameters or {}))
    except (TypeError, ValueError) as error:
        raise UsageError(f"The parameters of a run that is created ahead must be JSON: {error}.") from None
    labels = tuple(sorted(current_tags() | tags_of(tags, "a flow run")))
    created = FlowCreated(0, now, uuid.uuid4().hex, flow, name or slug(), recorded, None, "", labels, target or "")
    number = here.create(created)
    state = Pending(at=now) if scheduled_time is None else Scheduled(scheduled_time, at=now)
    here.commit(FlowState(number, now, state))
    return number


def run_created(flow: Flow[..., Any], row: FlowRow) -> State:
    """Run, here and now, a flow run that was created ahead of time; blocks until its end and returns the final state.

    Its parameters are validated as those of a call.  One that is to be tried again goes on where it was.  Raises
    `NotStartable` if it has begun or ended already.
    """
    check_startable(row)
    make = partial(of_record, flow, row, {}, resumed=USUAL if row.attempts else None)
    return asyncio.run(carry_out_async(make)) if flow.is_async else carry_out(make)


def check_startable(row: FlowRow) -> None:
    """Raise `NotStartable` for a flow run that has begun or ended already, or that somebody is about to begin."""
    state = row.state
    told = f"The flow run {row.number} ({row.name}) cannot be started: it is {state.name}"
    if not (state.is_pending() or state.is_scheduled()):
        raise NotStartable(f"{told}.")
    if row.owner and engine().store.is_alive(row.owner):
        raise NotStartable(f"{told}, and a process that is alive has it.")


def of_record(flow: Flow[..., Any], row: FlowRow, more: Mapping[str, Any], *, resumed: Terms | None = None) -> FlowRun:
    """A run of the record in this process, not begun; `more` takes the place of recorded parameters.

    One that is `resumed`, on these terms, knows what was done.  Raises `NotStartable` if somebody else was first.
    """
    setup_logging()
    here = engine()
    replay.look(here)
    now = here.run_clock()
    given = {**row.recorded_parameters(), **more}
    parameters, refused = _recorded_parameters(flow, given, now())
    runner = flow.task_runner.start()
    created = _claimed(here, flow, row, "resumed" if resumed else "begun")
    run = FlowRun(here, flow, created, runner, saving_of(flow, here.saving), now)
    run.state = row.state
    if resumed:
        _remember(run, row, resumed)
    run.scheduled = row.state.scheduled_time or row.created
    run.policy = row.policy or flow.policy
    run.parameters.update(parameters)
    run.refused = refused
    run.args, run.kwargs = ((), {}) if refused else flow.call_with(parameters)
    _begin(run, None)
    return run


def _recorded_parameters(
    flow: Flow[..., Any], given: dict[str, Any], now: float
) -> tuple[dict[str, Any], State | None]:
    try:
        check_names(flow, given)
        args, kwargs = flow.call_with(given)
        given = flow.arguments(args, kwargs)
    except UsageError as error:
        return given, _refusal(flow, error, now)
    return _validated(flow, given, now)


def fail_to_load(row: FlowRow, error: Exception) -> State:
    """Record that a flow run could not be begun, because its flow could not be loaded; returns that state."""
    here: Engine = engine()
    state = Failed(error, message=f"The flow could not be loaded. {describe(error)}", at=here.now())
    here.commit(FlowState(row.number, state.timestamp, state))
    return state
