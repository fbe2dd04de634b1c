"""Pause, resume, suspend and cancel from another process: requests that go through the store.

Anybody who can write the store puts a request there.  The process that runs the flow run looks for requests as long as
it has one that is live, carries out what concerns it, and writes down what came of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from .engine import Engine
from .errors import NotRunning, TidegateError
from .model.events import FlowState
from .model.requests import Request, Verb
from .ports import EventStore
from .rules.outcome import describe

if TYPE_CHECKING:
    from .run.flow_run import FlowRun

LOOK = 0.25
"""Seconds between two looks of a process that has live flow runs."""

GLANCE = 0.05
"""Seconds between two looks for the answer."""

PATIENCE = 5.0
"""Seconds that whoever asks waits for an answer."""


# The process that runs it ---------------------------------------------------------------------------------------------

_attended: set[Engine] = set()
_lock = Lock()


def attend(engine: Engine) -> None:
    """Carry out requests from now on, until no flow run of the engine is live; call it when a root run begins."""
    with _lock:
        if engine in _attended:
            return
        _attended.add(engine)
    engine.portal.after(LOOK, partial(_look, engine))


def _look(engine: Engine) -> None:
    with _lock:  # a run that begins now either is live already, or finds that nobody looks
        if not engine.live:
            _attended.discard(engine)
            return
    with suppress(Exception):  # nobody is there to be told, and the next look may be luckier
        for number in engine.store.taken_over():
            _give_up(engine, number)
        for request in engine.store.open_requests(engine.now()):
            _serve(engine, request)
    engine.portal.after(LOOK, partial(_look, engine))


def _give_up(engine: Engine, flow_run: int) -> None:
    """Another process goes on with the run: here nothing more is to come of it."""
    run = engine.live.get(flow_run)
    if run is not None:
        with suppress(NotRunning):
            run.cancel("another process, which goes on with it")


def _serve(engine: Engine, request: Request) -> None:
    run = engine.live.get(request.flow_run)
    if run is not None and engine.store.claim_request(request.number):
        engine.store.answer_request(request.number, _carry_out(run, request))


def _carry_out(run: FlowRun, request: Request) -> str:
    """Nothing, or why it could not be done."""
    try:
        if request.verb == "pause":
            run.pause(request.by)
        elif request.verb == "cancel":
            run.cancel(request.by)
        elif request.verb == "suspend":
            run.suspend(request.by)
        else:
            detail: dict[str, Any] = json.loads(request.detail)
            given = {"run_input": detail["input"]} if "input" in detail else {}
            run.resume(request.by, **given)
    except TidegateError as error:
        return str(error)
    except Exception as error:
        return describe(error)
    return ""


# The process that asks ------------------------------------------------------------------------------------------------


class Unanswered(NotRunning):
    """No process has answered, and none will carry it out later."""


def ask(
    store: EventStore,
    flow_run: int,
    verb: Verb,
    *,
    by: str = "you",
    detail: Mapping[str, Any] | None = None,
    patience: float = PATIENCE,
) -> None:
    """Have the process that runs a flow run pause, resume, suspend or cancel it; return once it has.

    ``detail={"input": ...}`` goes with a resume, and must be JSON.  Raises `NotRunning` if there is no such run, if it
    has ended, if it could not be done, or if nobody answers within `patience` seconds: then nothing will happen later
    either.  Raises `StoreError`.
    """
    row = store.flow_run(flow_run)
    if row is None:
        raise NotRunning(f"There is no flow run {flow_run} in this store.")
    if row.state.is_at_rest():
        has = "has no process" if row.state.is_suspended() else "has ended"
        raise NotRunning(f"The flow run {flow_run} ({row.name}) {has}: it is {row.state.name}.")
    now = time.time()
    asked = Request(0, flow_run, verb, by, now, now + patience, json.dumps(dict(detail or {})))
    number = store.put_request(asked)
    answer = _await_answer(store, number, flow_run, patience)
    if answer is None and not store.claim_request(number):
        answer = _await_answer(store, number, flow_run, patience)  # taken at the last moment
        if answer is None and _was_done(store, asked):
            return
    if answer is None:
        raise Unanswered(_unanswered(store, flow_run))
    if answer:
        raise NotRunning(answer)


def _await_answer(store: EventStore, number: int, flow_run: int, patience: float) -> str | None:
    """The answer; null if none comes in time, or before the run has ended."""
    end = time.monotonic() + patience
    while (answer := store.answer_to(number)) is None and time.monotonic() < end:
        row = store.flow_run(flow_run)
        if row is not None and row.state.is_at_rest():
            return store.answer_to(number)
        time.sleep(GLANCE)
    return answer


def _was_done(store: EventStore, asked: Request) -> bool:
    """Whether the record says that it was carried out: a process that this ends may be gone before it can answer."""
    states = (event for _, event in store.events(asked.flow_run) if isinstance(event, FlowState))
    return any(each.by == asked.by and each.at >= asked.at for each in states)


def _unanswered(store: EventStore, flow_run: int) -> str:
    row = store.flow_run(flow_run)
    assert row is not None
    if row.state.is_final():
        return f"The flow run {flow_run} ({row.name}) has ended meanwhile: it is {row.state.name}."
    why = "its process does not answer; it may be gone" if row.started else "no process answers; it may not have begun"
    return f"Nothing was done: the flow run {flow_run} ({row.name}) is {row.state.name}, and {why}."
