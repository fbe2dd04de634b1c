"""Flows: functions whose runs are recorded, watched, paused, resumed and cancelled."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import uuid
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from types import CodeType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from . import host
from .calls import CallFace, call_site
from .context import Frame, blocked, frame
from .engine import Engine, engine
from .errors import UsageError
from .inputs import NOTHING, Inputs, scan
from .interrupts import guard
from .model.events import FlowCreated
from .model.states import State
from .ports import Runner
from .rules.decide import RetryPolicy
from .run.bodies import step_in, step_out
from .run.drivers import drive, drive_async
from .run.flow_run import FlowRun
from .run.lifecycles import flow_life, task_life
from .run.task_run import TaskRun
from .task_runners.concurrent import ConcurrentTaskRunner

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class TaskRunner(Protocol):
    """Makes a `Runner` for each flow run."""

    def start(self) -> Runner:
        """A runner for one flow run."""
        ...


class Flow(CallFace, Generic[P, R]):
    """A function as a flow; made by `flow`.

    Calling it runs it: a sync flow on this thread, an async flow on the loop that awaits it.  Called in another flow it
    is a subflow, with a run of its own and a task run in the parent that tracks it.
    """

    is_flow = True
    concurrency: int | None = None
    policy = RetryPolicy()

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        flow_run_name: str | None = None,
        task_runner: TaskRunner | type[TaskRunner] | None = None,
    ) -> None:
        default = getattr(fn, "__name__", None) or type(fn).__name__
        super().__init__(fn, default.replace("_", "-") if name is None else name, "flow")
        self.options: dict[str, Any] = {
            "name": name,
            "flow_run_name": flow_run_name,
            "task_runner": task_runner,
        }
        runner = ConcurrentTaskRunner() if task_runner is None else task_runner
        self.task_runner: TaskRunner = runner() if isinstance(runner, type) else runner
        if not callable(getattr(self.task_runner, "start", None)):
            raise UsageError(f"task_runner of {self.name!r} must be a task runner, not {task_runner!r}.")
        self.flow_run_name = flow_run_name

    def with_options(self, **options: Any) -> Flow[P, R]:
        """The same function with other options; those not given stay as they are.  Takes what `flow` takes."""
        unknown = options.keys() - self.options.keys()
        if unknown:
            raise TypeError(f"with_options() of {self.name!r} does not know {', '.join(sorted(unknown))}.")
        return Flow(self.fn, **{**self.options, **options})

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the flow and return what it returned or raise what it raised; an async flow gives an awaitable.

        ``return_state=True`` returns the final state and never raises for a run that failed.
        """
        __tracebackhide__ = True
        if blocked.get():
            _log.warning("The flow %r was called while its code is loaded to find flows; nothing was run.", self.name)
            return cast(R, _nothing() if self.is_async else None)
        here = frame.get()
        return_state = bool(kwargs.pop("return_state", False))
        if here is None and "wait_for" in kwargs:
            raise ValueError(f"{self.name}: wait_for makes sense for subflows only; there is nothing to wait for here.")
        self.bind(args, {name: value for name, value in kwargs.items() if name != "wait_for"})
        if here is not None:
            return cast(R, self._call_inside(here, call_site(1), args, kwargs, return_state))
        if self.is_async:
            return cast(R, self._run_async(args, kwargs, return_state))
        with guard.installed(), host.hosting(awaited=False):
            run = self.new_run(args, kwargs)
            drive(flow_life(run), run.engine)
        return cast(R, run.state if return_state else run.state.result())

    async def _run_async(self, args: Any, kwargs: dict[str, Any], return_state: bool) -> Any:
        __tracebackhide__ = True
        with guard.watching(), host.hosting(awaited=True):
            run = self.new_run(args, kwargs)
            await drive_async(flow_life(run), run.engine)
        return run.state if return_state else run.state.result()

    # Subflows -------------------------------------------------------------------------------------------------------

    def _call_inside(
        self, here: Frame, site: tuple[CodeType, int], args: Any, kwargs: dict[str, Any], return_state: bool
    ) -> Any:
        __tracebackhide__ = True
        if here.task_run is not None and not here.task_run.task.is_flow:
            raise RuntimeError(
                f"The flow {self.name!r} was called in the task {here.task_run.name}. "
                "Call it from the flow, or make it a task."
            )
        parent = here.flow_run
        if self.is_async and here.is_async:
            return self._await_inside(here, site, args, kwargs, return_state)
        out = step_out(here)
        try:
            tracking = self._track(here, site, args, kwargs)
            if self.is_async:
                loop_run = partial(drive_async, task_life(tracking), parent.engine)
                parent.engine.portal.start(loop_run, copy_context())
                host.wait(tracking)
            else:
                drive(task_life(tracking), parent.engine)
                host.boundary()
            return tracking.state if return_state else tracking.state.result()
        finally:
            step_in(here, out)

    async def _await_inside(self, here: Frame, site: tuple[CodeType, int], args: Any, kwargs: Any, state: bool) -> Any:
        __tracebackhide__ = True
        tracking = self._track(here, site, args, kwargs)
        await drive_async(task_life(tracking), here.flow_run.engine)
        return tracking.state if state else tracking.state.result()

    def _track(self, here: Frame, site: tuple[CodeType, int], args: Any, kwargs: dict[str, Any]) -> TaskRun:
        """The task run that stands for the subflow in its parent."""
        parent = here.flow_run
        wait_for = kwargs.pop("wait_for", None)
        tracking = parent.new_task_run(self)
        found = scan(self.bind(args, kwargs), parent.links, parent.number)
        if wait_for is not None:
            found = Inputs() if found is NOTHING else found
            found.add_wait_for(wait_for, parent.links, parent.number)
        tracking.args, tracking.kwargs, tracking.inputs = args, kwargs, found
        tracking.fn = partial(self._run_tracked_async if self.is_async else self._run_tracked, tracking)
        parent.announce(tracking, site, here.task_run, found.links)
        return tracking

    def _run_tracked(self, tracking: TaskRun, /, *args: Any, **kwargs: Any) -> State:
        run = self.new_run(args, kwargs, tracking)
        drive(flow_life(run), run.engine)
        tracking.flow_run.subflows.discard(run)
        return run.state

    async def _run_tracked_async(self, tracking: TaskRun, /, *args: Any, **kwargs: Any) -> State:
        run = self.new_run(args, kwargs, tracking)
        await drive_async(flow_life(run), run.engine)
        tracking.flow_run.subflows.discard(run)
        return run.state

    # Runs -----------------------------------------------------------------------------------------------------------

    def new_run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tracking: TaskRun | None = None,
        *,
        observed: bool = True,
    ) -> FlowRun:
        """A run that has not begun: kept in the store, known to the engine.

        Raises `StoreError`, with nothing left half done, if the store cannot be used.
        """
        here: Engine = tracking.flow_run.engine if tracking is not None else engine()
        parent = None if tracking is None else (tracking.flow_run.number, tracking.number)
        name = self.flow_run_name or _slug()
        recorded = _as_json(dict(self.bind(args, kwargs)))
        source = _source_digest(self.fn)
        created = FlowCreated(0, here.now(), uuid.uuid4().hex, self.name, name, recorded, parent, source)
        number = here.create(created)
        run = FlowRun(here, self, replace(created, flow_run=number), self.task_runner.start())
        run.args, run.kwargs = args, kwargs
        here.live[number] = run
        if tracking is not None:
            parent_run = tracking.flow_run
            parent_run.subflows.add(run)
            run.gate, run.moved = parent_run.gate, parent_run.moved
        elif observed:
            for observer in here.observers:
                observer(run)
        return run


async def _nothing() -> None:
    """What a blocked call of an async flow gives to await."""


def _slug() -> str:
    from coolname import generate_slug  # a word list of its own: not needed to import Tidegate

    return str(generate_slug(2))


def _as_json(parameters: dict[str, Any]) -> str:
    """Parameters for the record; what has no JSON form stands as its type name, and nothing is longer than 2 kB."""

    def plain(value: Any) -> str:
        return f"<{type(value).__name__}>"

    parts = []
    for name, value in parameters.items():
        try:
            text = json.dumps(value, default=plain)
        except (TypeError, ValueError, RecursionError):
            text = json.dumps(plain(value))
        parts.append(f"{json.dumps(name)}:{text if len(text) <= 2048 else json.dumps(plain(value))}")
    return "{" + ",".join(parts) + "}"


def _source_digest(fn: Callable[..., Any]) -> str:
    """The version of a flow: a digest of its source, which a notebook cell has and a file's hash would miss."""
    known = getattr(fn, "__tidegate_source__", None)
    if known is None:
        try:
            known = inspect.getsource(inspect.unwrap(fn))
        except (OSError, TypeError):
            return ""
    return hashlib.sha256(known.encode()).hexdigest()[:16]


@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    flow_run_name: str | None = None,
    task_runner: TaskRunner | type[TaskRunner] | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a flow: ``@flow`` or ``@flow(name="nightly", ...)``.

    - ``name``: the function's name with hyphens for underscores by default.
    - ``flow_run_name``: how its runs are called; two random words by default.
    - ``task_runner``: where submitted sync tasks run; `ConcurrentTaskRunner` by default.

    Raises `TypeError` for what is not callable or an option it does not know.
    """
    if fn is None:
        return lambda inner: Flow(inner, **options)
    return Flow(fn, **options)
