"""Flows: functions whose runs are recorded, watched, paused, resumed and cancelled."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from types import CodeType
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast, get_args, overload

from . import host
from .caching import Caching
from .calls import CallFace, call_site
from .context import Frame, blocked, frame, sketching
from .detached import DetachedRun, begin_detached
from .errors import UsageError
from .flow_graph import FlowGraph
from .flow_runs import carry_out, carry_out_async, new_flow_run
from .hooks import Hook
from .inputs import NOTHING, Inputs, scan
from .model.durability import Durability
from .model.states import State
from .pace import Pace
from .parameter_schema import parameter_schema
from .ports import Runner
from .retries import RetryDelay, retry_policy, senseless
from .rules.decide import RetryPolicy
from .run.bodies import step_in, step_out
from .run.drivers import drive, drive_async
from .run.lifecycles import flow_life, task_life
from .run.task_run import TaskRun
from .run_names import RunName
from .saving import Persist
from .source_text import HEADING, OVERRIDE
from .tags import current_tags
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
    pace: Pace | None = None

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
        durability: Durability | None = None,
        persist_result: Persist | None = None,
        result_storage: Any = None,
        result_serializer: Any = None,
        cache_result_in_memory: bool = True,
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
        self.sample: int | None = None
        """How many members of each mapped call of its function are run in a root run; null for all."""
        self.needs_results = False
        self.caching: Caching | None = None  # flows are not cached

    @property
    def body_text(self) -> str:
        """The text of the cell that it is, with its first line; empty for a function."""
        text = getattr(self.fn, OVERRIDE, "")
        return f"{getattr(self.fn, HEADING, '%%flow')}\n{text}" if text else ""

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
        if here is None:
            sketch = sketching.get()
            if sketch is not None:
                return cast(R, sketch.call(self, call_site(1), args, kwargs))
        return_state = bool(kwargs.pop("return_state", False))
        if here is None and "wait_for" in kwargs:
            raise ValueError(f"{self.name}: wait_for makes sense for subflows only; there is nothing to wait for here.")
        self.bind(args, {name: value for name, value in kwargs.items() if name != "wait_for"})
        if here is not None:
            return cast(R, self._call_inside(here, call_site(1), args, kwargs, return_state))
        if self.is_async:
            return cast(R, self._run_async(args, kwargs, return_state))
        state = carry_out(partial(new_flow_run, self, args, kwargs))
        return cast(R, state if return_state else state.result())

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> DetachedRun[R]:
        """Start a run on a thread of its own and return its handle at once.

        ``run.wait()``, ``run.result()`` and ``await run`` wait for it; ``run.state``, ``run.pause()``,
        ``run.resume()``, ``run.suspend()`` and ``run.cancel()`` do not.  In a notebook its graph stands under the cell.
        An async flow gets a loop of its own on that thread.  The thread ends with the process: a script waits for its
        runs, and one that has not ended by then can be resumed.

        Raises `ParameterBindError`, `StoreError`, and `UsageError` in a flow, where a call makes a subflow.
        """
        __tracebackhide__ = True
        if frame.get() is not None or sketching.get() is not None:
            raise UsageError(f"{self.name}.submit() is for the outside of flows. In a flow, call it: a subflow waits.")
        unfit = [name for name in ("return_state", "wait_for") if name in kwargs]
        if unfit:
            raise UsageError(f"{self.name}.submit() takes no {unfit[0]}: its handle has state, wait() and result().")
        self.bind(args, kwargs)
        if blocked.get():
            raise UsageError(
                f"{self.name}.submit() was called while its code is loaded to find flows; nothing was run."
            )
        return DetachedRun(begin_detached(partial(new_flow_run, self, args, kwargs)))

    def parameter_schema(self) -> dict[str, Any]:
        """Its parameters as a JSON schema: types, defaults, what is required, models and enums under ``$defs``.

        One whose type has no schema is of any type.
        """
        return parameter_schema(self)

    def visualize(self, *args: P.args, **kwargs: P.kwargs) -> FlowGraph:
        """The graph of such a call, without a run: what it would run, and what needs what.

        The body is called, tasks and subflows are not: each stands as a node, and its result as a placeholder that may
        be handed on.  Where the body needs the result itself, say what to go on with: ``@task(viz_return_value=...)``.
        Raises `VisualizationError` where it does not, and what the body raises.
        """
        from .visualize import visualize  # what draws sketches is not needed to run

        return visualize(self, args, kwargs)

    async def _run_async(self, args: Any, kwargs: dict[str, Any], return_state: bool) -> Any:
        __tracebackhide__ = True
        state = await carry_out_async(partial(new_flow_run, self, args, kwargs))
        return state if return_state else state.result()

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
        if here.told_to_end:
            raise asyncio.CancelledError  # the one that was meant for this code has ended the subflow
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
        run = new_flow_run(self, args, kwargs, tracking)
        drive(flow_life(run), run.engine)
        tracking.flow_run.subflows.discard(run)
        return run.state

    async def _run_tracked_async(self, tracking: TaskRun, /, *args: Any, **kwargs: Any) -> State:
        run = new_flow_run(self, args, kwargs, tracking)
        await drive_async(flow_life(run), run.engine)
        tracking.flow_run.subflows.discard(run)
        return run.state


async def _nothing() -> None:
    """What a blocked call of an async flow gives to await."""


def source_version(fn: Callable[..., Any]) -> str:
    """The version of a flow: a digest of its source, which a notebook cell has and a file's hash would miss."""
    known = getattr(fn, OVERRIDE, None)
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
    durability: Durability | None = None,
    persist_result: Persist | None = None,
    result_storage: Any = None,
    result_serializer: Any = None,
    cache_result_in_memory: bool = True,
    log_prints: bool | None = None,
    on_completion: Hook | Iterable[Hook] | None = None,
    on_failure: Hook | Iterable[Hook] | None = None,
    on_crashed: Hook | Iterable[Hook] | None = None,
    on_cancellation: Hook | Iterable[Hook] | None = None,
    on_running: Hook | Iterable[Hook] | None = None,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a flow: ``@flow`` or ``@flow(name="nightly", ...)``.

    A run of a generator function, sync or async, gives the list of what it yields.

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
    - ``durability``: how much of its runs may be lost with the power.  ``"process"``, the default of the settings: the
      last second of task runs, but never its end, a pause or a cancel.  ``"power"``: nothing that was shown; each task
      run waits for the disk.  ``"memory"``: the ends of task runs are kept before long, and nobody waits for that;
      even the death of the process may take the last of them.  A subflow has that of the flow that calls it.
    - ``persist_result``: whether results of it and its tasks are saved: true, false, or ``"auto"``, the default, which
      saves small ones and those that took longer to make than to write.  Those of the tasks of a flow with retries are
      all saved by default.
    - ``result_storage``: a folder, a URL or a storage for results above 64 KB; ``.tidegate/results`` by default.
    - ``result_serializer``: ``"json"``, ``"pickle"``, ``"compressed/json"``, ``"compressed/pickle"`` or an object; by
      type by default.
    - ``cache_result_in_memory``: false to fetch the result anew each time that it is asked for.
    - ``log_prints``: whether ``print`` in it and its tasks goes to the log; what the settings say by default.
    - ``on_completion``, ``on_failure``, ``on_crashed``, ``on_cancellation``, ``on_running``: functions, sync or async,
      that are called with (flow, flow run, state) once that state is kept.

    Raises `InvalidOption` for what is not callable or an option it does not know, `UsageError` for one that makes no
    sense.
    """
    Flow.check_options(options)
    if fn is None:
        return lambda inner: Flow(inner, **options)
    return Flow(fn, **options)
