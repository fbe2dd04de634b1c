"""The drivers of the simulation: they carry out what the lifecycles ask for, a turn at a time.

Bodies of flows and tasks are generators here, of calls that `calls` makes on the same flow runs, task runs and
lifecycles as ever.  Real sync bodies block, and would each need a thread; then the operating system has a say in whose
turn it is, and a switch of threads takes as long as ten steps.

The drivers do what `tidegate.run.drivers` and `tidegate.host` do, with a yield wherever a thread could lose its turn.
User code is interrupted only at such a yield, by a handle like that of a worker process; what Python itself does to
interrupt a thread, and what asyncio does, is left to the other tests.
"""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Any

from tidegate.context import Frame, frame
from tidegate.latch import AnyOf, Latch, Waitable
from tidegate.model.states import State
from tidegate.run.effects import Attempt, Body, Lifecycle, Save, Tell
from tidegate.run.lifecycles import task_life
from tidegate.run.task_run import TaskRun

from .machine import Died, Turns
from .process import Process


class Handle:
    """User code that is at work, and may be told to end."""

    def __init__(self) -> None:
        self.interrupted = False

    def interrupt(self) -> None:
        """It ends at its next yield."""
        self.interrupted = True


class Outside:
    """User code has called the engine: until it is back, nothing interrupts it.  See `tidegate.run.bodies`."""

    def __init__(self, here: Frame) -> None:
        self._here = here
        self._body: Body = here.task_run or here.flow_run
        self._handle: Handle | None = None

    def __enter__(self) -> None:
        self._handle, self._body.handle = self._body.handle, None
        if self._handle is not None:
            self._handle.interrupted = False

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._handle is None or kind is Died:
            return
        here = self._here
        given_up = here.task_run is not None and here.task_run.done()
        if not given_up:
            self._body.handle = self._handle
        if given_up or here.flow_run.stopped.done() or here.told_to_end:
            raise KeyboardInterrupt


def breathe(here: Frame) -> Turns:
    """User code that goes on for a while."""
    yield None
    handle = (here.task_run or here.flow_run).handle
    if handle is None or handle.interrupted:
        raise KeyboardInterrupt


def wait(process: Process, here: Frame | None, latch: Waitable, timeout: float | None = None) -> Turns:
    """As `tidegate.host.wait`; true once the latch is open, false after `timeout` seconds."""
    if latch.done():
        return True
    expired = Latch()
    if timeout is not None:
        process.engine.portal.after(timeout, expired.set)
    if here is None:
        yield AnyOf(latch, expired)
        return latch.done()
    with Outside(here):
        thread = process.machine.current
        lender = None if thread is None else thread.lender
        if lender is not None:
            lender.lend()
        while not (latch.done() or expired.done() or here.flow_run.stopped.done() or here.told_to_end):
            yield AnyOf(latch, expired, here.flow_run.stopped)
        if lender is not None:
            yield lender.take()
    if here.told_to_end:
        raise KeyboardInterrupt
    return latch.done()


def drive(process: Process, lifecycle: Lifecycle, here: Frame | None) -> Turns:
    """Carry out a lifecycle on the thread that called for it; `here` is the code that did."""
    process.begun(lifecycle)
    try:
        effect = next(lifecycle)
        while True:
            answer: Any = None
            try:
                if isinstance(effect, Attempt):
                    answer = yield from attempt(process, effect.body)
                elif isinstance(effect, Save):
                    yield process.store.begin(effect.event)
                    process.engine.commit(effect.event)
                elif isinstance(effect, Tell):
                    tell(effect)
                else:
                    answer = yield from wait(process, here, effect.latch, effect.timeout)
            except BaseException as error:
                effect = lifecycle.throw(error)
            else:
                effect = lifecycle.send(answer)
    except StopIteration:
        return


def start_on_worker(process: Process, run: TaskRun) -> None:
    """Hand a submitted task run to the runner of its flow run."""
    run.flow_run.runner.submit(partial(advance, process, run))


def advance(process: Process, run: TaskRun, answer: Any = None) -> Turns:
    """Carry a submitted task run on until it has to wait; what it waits for brings it back."""
    lifecycle = run.lifecycle
    if lifecycle is None:
        if run.done():
            return
        lifecycle = run.lifecycle = process.begun(task_life(run))
    try:
        effect = lifecycle.send(answer)
        while isinstance(effect, (Attempt, Tell)):
            state = None
            if isinstance(effect, Tell):
                tell(effect)
            else:
                state = yield from attempt(process, effect.body)
            effect = lifecycle.send(state)
    except StopIteration:
        return
    if isinstance(effect, Save):
        go_on = partial(_finish, process, run)
        if run.task.hooks:
            go_on = partial(run.flow_run.runner.submit, partial(advance, process, run))
        process.engine.commit_soon(effect.event, go_on)
        return
    woken, latch = Latch(), effect.latch
    if effect.timeout is not None:
        process.engine.portal.after(effect.timeout, woken.set)
    latch.on_done(woken.set)
    woken.on_done(lambda: run.flow_run.runner.submit(lambda: advance(process, run, latch.done())))


def _finish(process: Process, run: TaskRun) -> None:
    """The rest of a life after its save, on the thread of the writer."""
    for _ in advance(process, run):
        raise AssertionError("a task run without hooks waits after its end was saved")


def attempt(process: Process, body: Body) -> Turns:
    """Call user code, which is a generator here."""
    here = body.frame
    value: Any = None
    failure: BaseException | None = None
    try:
        body.entered(Handle())
        token = frame.set(here)
        try:
            made = body.call()
        finally:
            frame.reset(token)
        value = yield from made
    except BaseException as error:
        failure = error
    body.left()
    state: State = body.judge(value, failure)
    return state


def tell(effect: Tell) -> None:
    """Call the hooks."""
    for hook in effect.hooks:
        hook(*effect.arguments)
