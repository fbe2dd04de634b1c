"""Flows: functions whose runs are recorded, watched, paused, resumed and cancelled."""

from __future__ import annotations

import hashlib
import inspect
import logging
import uuid
from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from types import CodeType
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast, get_args, overload

from . import host
from .calls import CallFace, call_site
from .context import Frame, blocked, frame
from .engine import Engine, engine
from .errors import ParameterTypeError, UsageError
from .hooks import Hook
from .inputs import NOTHING, Inputs, scan
from .interrupts import guard
from .model.events import FlowCreated
from .model.states import Failed, State
from .parameters import as_json, validated
from .ports import Runner
from .retries import RetryDelay, retry_policy, senseless
from .rules.decide import RetryPolicy
from .rules.outcome import describe
from .run.bodies import step_in, step_out
from .run.drivers import drive, drive_async
from .run.flow_run import FlowRun
from .run.lifecycles import flow_life, task_life
from .run.task_run import TaskRun
from .run_names import RunName, fill_in
from .tags import NONE, current_tags
from .task_runners.concurrent import ConcurrentTaskRunner

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


FinalState: TypeAlias = Literal["children", "returned", "raised"]
"""What the end of a flow depends on; see `flow`."""


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

    kind = "flow"
    is_flow = True
    concurrency: int | None = None

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        flow_run_name: RunName | None = None,
        retries: int = 0,
        retry_delay_seconds: RetryDelay | None = None,
        timeout_seconds: float | None = None,
        task_runner: TaskRunner | type[TaskRunner] | None = None,
        validate_parameters: bool = True,
        final_state: FinalState = "children",
        log_prints: bool | None = None,
        on_completion: Hook | Iterable[Hook] | None = None,
        on_failure: Hook | Iterable[Hook] | None = None,
        on_crashed: Hook | Iterable[Hook] | None = None,
        on_cancellation: Hook | Iterable[Hook] | None = None,
        on_running: Hook | Iterable[Hook] | None = None,
    ) -> None:
        options = {key: value for key, value in locals().items() if key not in ("self", "fn", "__class__")}
        super().__init__(fn, options)
        if self.version is None:
            self.version = source_version(fn)
        self._policy = retry_policy(self.name, retries, retry_delay_seconds)
        runner = ConcurrentTaskRunner() if task_runner is None else task_runner
        self.task_runner: TaskRunner = runner() if isinstance(runner, type) else runner
        if not callable(getattr(self.task_runner, "start", None)):
            raise UsageError(f"task_runner of {self.name!r} must be a task runner, not {task_runner!r}.")
        if final_state not in get_args(FinalState):
            raise senseless("final_state", self.name, f"one of {', '.join(get_args(FinalState))}", final_state)
        self.final_state = final_state
        self.validate_parameters = validate_parameters

    @property
    def flow_run_name(self) -> RunName | None:
        """The template or function that names its runs; null for two random words."""
        return self.run_name

    @property
    def policy(self) -> RetryPolicy:
        """When its runs are tried again."""
        return self._policy

    def with_options(self, **options: Any) -> Flow[P, R]:
        """The same function with other options; those not given stay as they are.  Takes what `flow` takes."""
        return Flow(self.fn, **self.changed(options))

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
        given = list(self.bind(args, kwargs))
        tracking = parent.new_task_run(self, given, here.task_run)
        tracking.tags = current_tags() | self.tags | parent.tags
        found = scan(given, parent.links, parent.number)
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
        parent = None if tracking is None else tracking.flow_run
        parameters, refused = self._parameters(args, kwargs, here.now())
        run = FlowRun(here, self, self._create(here, parameters, refused, tracking), self.task_runner.start())
        run.parameters, run.refused = parameters, refused
        run.args, run.kwargs = (args, kwargs) if refused else self.call_with(parameters)
        here.live[run.number] = run
        if parent is not None:
            run.parent = parent
            parent.subflows.add(run)
        elif observed:
            for observer in here.observers:
                observer(run)
        return run

    def _create(
        self, here: Engine, parameters: dict[str, Any], refused: State | None, tracking: TaskRun | None
    ) -> FlowCreated:
        """Keep that there is a new run."""
        name = _slug()
        if self.run_name is not None and refused is None:
            name = fill_in(self.run_name, parameters) or name
        parent = None if tracking is None else (tracking.flow_run.number, tracking.number)
        around = current_tags() | self.tags | (NONE if tracking is None else tracking.flow_run.tags)
        recorded = as_json(parameters)
        created = FlowCreated(
            0,
            here.now(),
            uuid.uuid4().hex,
            self.name,
            name,
            recorded,
            parent,
            self.version or "",
            tuple(sorted(around)),
        )
        return replace(created, flow_run=here.create(created))

    def _parameters(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], now: float
    ) -> tuple[dict[str, Any], State | None]:
        """The parameters of a call, validated; and the state of a run that is refused for them."""
        given = self.arguments(args, kwargs)
        if not self.validate_parameters:
            return given, None
        try:
            return validated(self, given), None
        except Exception as error:  # a validator of the user's may raise anything
            told = describe(error)
            if not isinstance(error, ParameterTypeError):
                told = f"The parameters of {self.name!r} cannot be used. {told}"
            return given, Failed(error, message=told, at=now)


async def _nothing() -> None:
    """What a blocked call of an async flow gives to await."""


def _slug() -> str:
    from coolname import generate_slug  # a word list of its own: not needed to import Tidegate

    return str(generate_slug(2))


def source_version(fn: Callable[..., Any]) -> str:
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
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    flow_run_name: RunName | None = None,
    retries: int = 0,
    retry_delay_seconds: RetryDelay | None = None,
    timeout_seconds: float | None = None,
    task_runner: TaskRunner | type[TaskRunner] | None = None,
    validate_parameters: bool = True,
    final_state: FinalState = "children",
    log_prints: bool | None = None,
    on_completion: Hook | Iterable[Hook] | None = None,
    on_failure: Hook | Iterable[Hook] | None = None,
    on_crashed: Hook | Iterable[Hook] | None = None,
    on_cancellation: Hook | Iterable[Hook] | None = None,
    on_running: Hook | Iterable[Hook] | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a flow: ``@flow`` or ``@flow(name="nightly", ...)``.

    - ``name``: the function's name with hyphens for underscores by default.
    - ``description``: the docstring by default.
    - ``tags``: words on its runs, and on all task runs and subflows in them.
    - ``version``: a digest of the source by default.
    - ``flow_run_name``: a template of the parameters, such as ``"load {day}"``, or a function; two random words by
      default.
    - ``retries``: how often the flow is run again after it failed; task runs that completed are not.  0 by default.
    - ``retry_delay_seconds``: seconds before each retry, as for tasks.
    - ``timeout_seconds``: how long one attempt may take, its task runs included; no limit by default.
    - ``task_runner``: where submitted sync tasks run; `ConcurrentTaskRunner` by default.
    - ``validate_parameters``: whether parameters are checked and converted by their annotations; true by default.
    - ``final_state``: what its end depends on.  ``"children"``: what it returned, and if that is nothing, all its task
      runs.  ``"returned"``: what it returned.  ``"raised"``: only whether it raised.
    - ``log_prints``: whether ``print`` in it and its tasks goes to the log; what the settings say by default.
    - ``on_completion``, ``on_failure``, ``on_crashed``, ``on_cancellation``, ``on_running``: functions, sync or async,
      that are called with (flow, flow run, state) once that state is kept.

    Raises `TypeError` for what is not callable or an option it does not know, and `UsageError` for one that makes no
    sense.
    """
    if fn is None:
        return lambda inner: Flow(inner, **options)
    return Flow(fn, **options)
