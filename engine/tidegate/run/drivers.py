"""Carry out what a lifecycle asks for: by blocking, by awaiting, or on a worker that never waits."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .. import forks, host
from ..context import frame
from ..futures import wait_async
from ..interrupts import MAIN, guard, on_main_thread
from ..latch import AnyOf, Latch
from ..model.states import PAUSED, State
from ..run_logs import printing, raised
from .bodies import sending
from .effects import Attempt, Body, Lifecycle, Save, Tell, Wait
from .lifecycles import task_life

if TYPE_CHECKING:
    from ..engine import Engine
    from ..model.events import Event
    from .task_run import TaskRun


log = logging.getLogger(__name__)


def drive(lifecycle: Lifecycle, engine: Engine) -> None:
    """Carry out a lifecycle on this thread, blocking where it waits."""
    try:
        effect = next(lifecycle)
        while True:
            kind = type(effect)
            try:
                if kind is Attempt:
                    answer: Any = attempt(effect.body)  # type: ignore[union-attr]  # told apart by `kind`
                elif kind is Save:
                    answer = None
                    engine.commit(effect.event)  # type: ignore[union-attr]
                elif kind is Tell:
                    answer = None
                    tell(effect, engine)  # type: ignore[arg-type]
                else:
                    answer = host.wait(effect.latch, effect.timeout)  # type: ignore[union-attr]
            except BaseException as error:
                effect = lifecycle.throw(error)
            else:
                effect = lifecycle.send(answer)
    except StopIteration:
        return


def attempt(body: Body, handle: Any = None) -> State:
    """Call sync user code on this thread; `handle` stands for it where it runs in another process."""
    __tracebackhide__ = True
    thread = threading.get_ident()
    guarded = thread == MAIN
    here = body.frame
    token = frame.set(here)
    value: Any = None
    failure: BaseException | None = None
    before = guard.is_open
    with printing(here):
        try:
            try:
                body.entered(thread if handle is None else handle)
                if guarded:
                    guard.open()
                value = body.call()
            finally:
                if guarded:
                    guard.is_open = before
        except BaseException as error:
            failure = error
            if guarded:  # the interrupt may have come before the line above
                guard.is_open = before
        if here.flow_run.orphaned:
            forks.leave((here.task_run or here.flow_run).name, failure)
        try:
            if not guarded:
                # Here and in no function, which might be interrupted before its first line.  From now on one interrupt
                # can come at most, that which was on its way.  Where a second one could, a task run lost its end.
                with sending:
                    if body.handle == thread:
                        body.handle = None
            body.left()
        except KeyboardInterrupt as late:
            failure = failure or late
            body.left()
    if failure is not None:
        raised(here, failure)
    frame.reset(token)
    return body.judge(value, failure)


def settled(body: Body, outcome: Callable[[], Any]) -> State:
    """The state that a call proposes which was made elsewhere and is over; `outcome` gives or raises what came of it.

    What it said is said within that, in the scope of the run.
    """
    here = body.frame
    token = frame.set(here)
    value: Any = None
    failure: BaseException | None = None
    with printing(here):
        try:
            value = outcome()
        except BaseException as error:
            failure = error
        body.left()
    if failure is not None:
        raised(here, failure)
    frame.reset(token)
    return body.judge(value, failure)


def advance(run: TaskRun, answer: Any = None) -> None:
    """Carry a submitted sync task run on, on a worker thread, until it has to wait; then let the worker go.

    What it waits for brings it back: so neither a retry's delay, nor a pause, nor a slow commit holds a worker.
    """
    if run.lifecycle is None:
        if run.done():
            return  # its flow run has ended without it, while it waited for this worker
        flow_run = run.flow_run
        if flow_run.gate is PAUSED and not flow_run.suspending:
            # Not into its lifecycle, which would come to the gate and wait there: of thousands that keeps the
            # interpreter busy while a click is to be shown.
            flow_run.moved.on_done(partial(flow_run.runner.submit, run))
            return
        run.lifecycle = task_life(run)
        run.context = run.context.copy()
        if run.task.limit_seconds is not None and not _is_elsewhere(run):  # a process is ended, and not left behind
            run.carry_on = partial(advance, run)
    # Handed over after the context is left: another worker may enter it at once, and two cannot be in one.
    effect = run.context.run(_turn, run, answer)
    engine = run.flow_run.engine
    if effect is None:
        return
    if isinstance(effect, Attempt):
        runner: Any = run.flow_run.runner
        runner.hand_over(run, partial(advance, run))
        return
    if isinstance(effect, Save):
        go_on = partial(advance, run)
        if run.task.hooks:  # the user's code, which is not for the thread that writes the store
            go_on = partial(run.flow_run.runner.submit, go_on)
        engine.commit_soon(effect.event, go_on)
        engine.store.relieve()
        return
    woken, latch = Latch(), effect.latch
    if effect.timeout is not None:
        engine.portal.after(effect.timeout, woken.set)
    latch.on_done(woken.set)
    woken.on_done(lambda: run.flow_run.runner.submit(lambda: advance(run, latch.done())))


def _turn(run: TaskRun, answer: Any) -> Save | Wait | Attempt | None:
    """The lifecycle up to where it has to wait, or an attempt is to be handed over; null at its end."""
    lifecycle = run.lifecycle
    assert lifecycle is not None
    try:
        effect = lifecycle.send(answer)
        while isinstance(effect, (Attempt, Tell)):
            if isinstance(effect, Tell):
                tell(effect, run.flow_run.engine)
                effect = next(lifecycle)
                continue
            runner: Any = run.flow_run.runner
            if hasattr(runner, "hand_over"):
                return effect
            state = runner.attempt(run) if hasattr(runner, "attempt") else attempt(effect.body)
            if run.carry_on is not None and run.flow_run.runner.is_deserted():
                return None  # its time was up: somebody else goes on with the run, and this outcome comes too late
            effect = lifecycle.send(state)
    except StopIteration:
        return None
    return effect


def _is_elsewhere(run: TaskRun) -> bool:
    """True if its runner has the code called in another process, false if it runs on the worker thread itself."""
    return hasattr(run.flow_run.runner, "attempt") or hasattr(run.flow_run.runner, "hand_over")


async def drive_async(lifecycle: Lifecycle, engine: Engine) -> None:
    """Carry out a lifecycle on the running loop, awaiting where it waits.

    A save is not to be cancelled: what was claimed as the end must be told.  Whoever tries gets his cancellation when
    the lifecycle has ended.
    """
    cancelled = False
    try:
        effect = next(lifecycle)
        while True:
            answer: Any = None
            try:
                if isinstance(effect, Attempt):
                    answer = await attempt_async(effect.body)
                elif isinstance(effect, Save):
                    cancelled |= await _commits().commit(effect.event, engine)
                elif isinstance(effect, Tell):
                    await tell_async(effect)
                else:
                    answer = await wait_async_any(effect)
            except BaseException as error:
                effect = lifecycle.throw(error)
            else:
                effect = lifecycle.send(answer)
    except StopIteration:
        if cancelled:
            raise asyncio.CancelledError from None


def tell(effect: Tell, engine: Engine) -> None:
    """Call hooks on this thread; those that are async run on the engine's loop meanwhile."""
    before = guard.is_open
    for hook in effect.hooks:
        try:
            if on_main_thread():
                guard.open()
            result = hook(*effect.arguments)
            if inspect.isawaitable(result):
                ended = Latch()
                engine.portal.start(partial(_await_hook, hook, result, ended), copy_context())
                outside = frame.set(None)  # a hook is told of an end, and not ended with it
                try:
                    host.wait(ended)
                finally:
                    frame.reset(outside)
        except BaseException as error:  # an exit on a worker would leave the run without an end
            if isinstance(error, KeyboardInterrupt) and on_main_thread():
                raise
            _hook_failed(hook)
        finally:
            if on_main_thread():
                guard.is_open = before


async def tell_async(effect: Tell) -> None:
    """Call hooks on the running loop."""
    for hook in effect.hooks:
        try:
            result = hook(*effect.arguments)
            if inspect.isawaitable(result):
                await result
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException:  # an exit would end the loop
            _hook_failed(hook)


async def _await_hook(hook: Any, result: Any, ended: Latch) -> None:
    try:
        await result
    except BaseException:  # an exit would end the engine's loop
        _hook_failed(hook)
    finally:
        ended.set()


def _hook_failed(hook: Any) -> None:
    log.exception("The hook %s raised; the run is not affected.", getattr(hook, "__name__", hook))


async def wait_async_any(effect: Wait) -> bool:
    """`wait_async` for anything that can be waited for."""
    latch = effect.latch
    if isinstance(latch, Latch):
        return await wait_async(latch, effect.timeout)
    return await wait_async(AnyOf(latch), effect.timeout)


async def attempt_async(body: Body) -> State:
    """Await async user code on the running loop."""
    __tracebackhide__ = True
    here = body.frame
    token = frame.set(here)
    value: Any = None
    failure: BaseException | None = None
    current = asyncio.current_task()
    with printing(here):
        try:
            body.entered(current)
            value = await body.call()
        except BaseException as error:
            failure = error
            if isinstance(error, asyncio.CancelledError) and current is not None:
                current.uncancel()  # the engine has things to save before the task ends
        finally:
            if here.flow_run.orphaned:
                forks.leave((here.task_run or here.flow_run).name, failure)
            body.left()
    if failure is not None:
        raised(here, failure)
    frame.reset(token)
    return body.judge(value, failure)


class _TickCommits:
    """One commit for all that ended in one turn of a loop.

    A thousand tasks that wake together are saved together, on the loop's own thread: a commit of its own each, or a
    hop to the writer and back, would cost more than the commit.
    """

    def __init__(self) -> None:
        # Not the loop: it would keep the entry of its own that has it here, and so itself, for ever.
        self._waiting: list[tuple[Event, Engine, asyncio.Future[None]]] = []

    async def commit(self, event: Event, engine: Engine) -> bool:
        """Return once the event is kept; true if somebody tried to cancel the wait."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._commit_all)
        self._waiting.append((event, engine, future))
        cancelled = False
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError:
                cancelled = True
        return cancelled

    def _commit_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        by_engine: dict[int, tuple[Engine, list[Event]]] = {}
        for event, engine, _ in waiting:
            by_engine.setdefault(id(engine), (engine, []))[1].append(event)
        for engine, events in by_engine.values():
            engine.commit_all(events)
        for _, _, future in waiting:
            if not future.done():
                future.set_result(None)


_tick_commits: WeakKeyDictionary[asyncio.AbstractEventLoop, _TickCommits] = WeakKeyDictionary()


def _commits() -> _TickCommits:
    loop = asyncio.get_running_loop()
    found = _tick_commits.get(loop)
    if found is None:
        found = _tick_commits[loop] = _TickCommits()
    return found


def start_on_worker(run: TaskRun) -> None:
    """Hand a submitted sync task run to the runner of its flow run."""
    run.flow_run.runner.submit(run)  # itself: a partial would be two objects more for each that waits
