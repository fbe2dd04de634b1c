"""Tasks: functions whose calls in a flow are recorded, retried and linked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from datetime import timedelta
from types import CodeType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, get_args, overload

from . import host
from .cache_policies import CachePolicy
from .caching import CacheKeyFn, caching_of
from .calls import CallFace, call_site
from .context import Frame, frame, sketching
from .dials import set_concurrency, set_rate
from .errors import OutsideFlow
from .futures import AsyncTaskFuture, TaskFuture
from .hooks import Hook
from .inputs import NOTHING, Inputs, scan
from .map_results import AsyncMapResult, MapResult
from .mapping import Row, columns
from .model.durability import Durability
from .model.events import Links
from .pace import Pace
from .portal import spawn
from .retries import RetryDelay, check_concurrency, default_policy, interval, retry_policy, senseless
from .rules.decide import RetryPolicy
from .run.bodies import step_in, step_out
from .run.drivers import drive, drive_async, start_on_worker
from .run.lifecycles import task_life
from .run.task_run import TaskRun
from .run.terms import Rerun
from .run_names import RunName
from .sampling import Cut
from .saving import Persist
from .tags import current_tags

if TYPE_CHECKING:
    from .visualize import Sketch

P = ParamSpec("P")
R = TypeVar("R")


class Task(CallFace, Generic[P, R]):
    """A function as a task; made by `task`.

    In a flow, calling it runs it here and now and records the run; `submit` runs it concurrently and gives a future;
    `map` submits it once for each item.  Outside of any flow run it is just the function.
    """

    kind = "task"
    is_flow = False

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        task_run_name: RunName | None = None,
        retries: int | None = None,
        retry_delay_seconds: RetryDelay | None = None,
        retry_jitter_factor: float = 0.0,
        retry_condition_fn: Callable[[BaseException], bool] | None = None,
        timeout_seconds: float | None = None,
        concurrency: int | None = None,
        rate: str | float | None = None,
        cache_policy: CachePolicy | None = None,
        cache_key_fn: CacheKeyFn | None = None,
        cache_expiration: timedelta | float | None = None,
        refresh_cache: bool = False,
        persist_result: Persist | None = None,
        result_storage: Any = None,
        result_serializer: Any = None,
        cache_result_in_memory: bool = True,
        log_prints: bool | None = None,
        rerun: Rerun = "always",
        durability: Durability | None = None,
        viz_return_value: Any = None,
        on_completion: Hook | Iterable[Hook] | None = None,
        on_failure: Hook | Iterable[Hook] | None = None,
        on_crashed: Hook | Iterable[Hook] | None = None,
        on_cancellation: Hook | Iterable[Hook] | None = None,
        on_running: Hook | Iterable[Hook] | None = None,
    ) -> None:
        options = {key: value for key, value in locals().items() if key not in ("self", "fn", "__class__")}
        super().__init__(fn, options)
        check_concurrency(self.name, concurrency)
        self.pace = None if rate is None else Pace(interval(self.name, rate))
        if rerun not in get_args(Rerun):
            raise senseless("rerun", self.name, "'always', 'ask' or 'never'", rerun)
        self.rerun = rerun
        self.caching = caching_of(self.name, options)
        self.needs_results = self.caching is not None
        self._policy: RetryPolicy | None = None
        if (retries, retry_delay_seconds, retry_jitter_factor, retry_condition_fn) != (None, None, 0.0, None):
            times = 0 if retries is None else retries
            self._policy = retry_policy(self.name, times, retry_delay_seconds, retry_jitter_factor, retry_condition_fn)

    @property
    def task_run_name(self) -> RunName | None:
        """The template or function that names its runs; null for ``task-number``."""
        return self.run_name

    @property
    def policy(self) -> RetryPolicy:
        """When its runs are tried again; what the settings say where it says nothing."""
        return self._policy or default_policy()

    @property
    def concurrency(self) -> int | None:
        """How many of its runs may be at work at once in one flow run; null for any.  Set it, and it holds for those
        that begin from now on, as `set_concurrency` says."""
        return cast("int | None", self.options["concurrency"])

    @concurrency.setter
    def concurrency(self, limit: int | None) -> None:
        set_concurrency(self, limit)

    @property
    def rate(self) -> str | float | None:
        """How often its runs may start; null for any.  Set it, and it holds at once, as `set_rate` says."""
        return cast("str | float | None", self.options["rate"])

    @rate.setter
    def rate(self, rate: str | float | None) -> None:
        set_rate(self, rate)

    def with_options(self, **options: Any) -> Task[P, R]:
        """The same function with other options; those not given stay as they are.  Takes what `task` takes."""
        return Task(self.fn, **self.changed(options))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task here and now, and return what it returned or raise what it raised.

        In an async flow an async task gives an awaitable; in a sync flow it is run on the engine's loop and its result
        is returned.  Two more keywords: ``return_state=True`` returns the final state and never raises, ``wait_for=``
        names futures to wait for whose data is not needed.
        """
        __tracebackhide__ = True
        here = frame.get()
        if here is None:
            sketch = sketching.get()
            if sketch is not None:
                return cast(R, sketch.call(self, call_site(1), args, kwargs))
            if "return_state" in kwargs or "wait_for" in kwargs:
                raise OutsideFlow(
                    f"{self.name}: return_state and wait_for need a flow; outside of one a task is just its function."
                )
            return cast(R, self.fn(*args, **kwargs))
        site = call_site(1)
        if self.is_async and here.is_async:
            return cast(R, self._call_async(here, site, args, kwargs))
        out = step_out(here)
        try:
            return_state = kwargs.pop("return_state", False) if kwargs else False
            run = self._new_run(here, site, args, kwargs)
            if here.task_run is not None:
                run.called_by(here.task_run)
            if self.is_async:
                _spawn(run, here.is_async, copy_context())
                host.wait(run)
            else:
                drive(task_life(run), here.flow_run.engine)
                host.boundary()
            if return_state:
                return cast(R, run.state)
            result: R = run.value()
            return result
        finally:
            step_in(here, out)

    async def _call_async(self, here: Frame, site: tuple[CodeType, int], args: Any, kwargs: Any) -> Any:
        __tracebackhide__ = True
        return_state = kwargs.pop("return_state", False)
        run = self._new_run(here, site, args, kwargs)
        if here.task_run is not None:
            run.called_by(here.task_run)
        await drive_async(task_life(run), here.flow_run.engine)
        if here.told_to_end:
            raise asyncio.CancelledError  # the one that was meant for this code has ended the task
        return run.state if return_state else run.value()

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R]:
        """Start the task concurrently and return its future at once.

        Sync tasks run on the worker threads of the flow's task runner.  Async tasks run on the flow's own loop if it is
        async (and the future is to be awaited), else on the engine's.  Takes ``wait_for=`` like a call; with
        ``return_state=True`` it waits and returns the final state.
        """
        __tracebackhide__ = True
        here = frame.get()
        if here is None:
            return cast(TaskFuture[R], self._sketch("submit").submit(self, call_site(1), args, kwargs))
        out = step_out(here)
        try:
            return_state = kwargs.pop("return_state", False)
            run = self._new_run(here, call_site(1), args, kwargs)
            future = self._start(run, here, copy_context())
            return cast(TaskFuture[R], future.wait()) if return_state else future
        finally:
            step_in(here, out)

    def map(self, *args: Any, **kwargs: Any) -> MapResult[R]:
        """Submit the task once for each item of its iterable arguments and return the futures, in order.

        Arguments that are not iterable, texts, and those in ``unmapped(...)`` are the same for every child.  A future
        of an iterable is waited for, to learn its length.  Raises `MappingMissingIterable` and `MappingLengthMismatch`
        before any child exists.  Takes ``wait_for=`` and ``return_state=`` like `submit`.
        """
        __tracebackhide__ = True
        here = frame.get()
        if here is None:
            return cast(MapResult[R], self._sketch("map").map(self, call_site(1), args, kwargs))
        out = step_out(here)
        try:
            return_state = kwargs.pop("return_state", False)
            wait_for = kwargs.pop("wait_for", None)
            site = call_site(1)
            rows: Iterable[Row] = columns(self, args, kwargs, here.flow_run)
            total = 0
            if here.sample is not None:
                rows = list(rows)
                total, rows = len(rows), rows[: here.sample]
            made: list[TaskRun] = []
            try:
                for row_args, row_kwargs, links in rows:
                    if wait_for is not None:
                        row_kwargs["wait_for"] = wait_for
                    made.append(self._new_run(here, site, row_args, row_kwargs, links))
            finally:
                # Also when the flow was cancelled half way: those that are known then end at once.
                context = copy_context()
                started = [self._start(run, here, context) for run in made]
            if len(made) < total:
                here.flow_run.cuts.append(Cut(self.name, tuple(run.number for run in made), total))
            futures: MapResult[R] = (AsyncMapResult if self.is_async and here.is_async else MapResult)(started)
            return cast(MapResult[R], futures.wait()) if return_state else futures
        finally:
            step_in(here, out)

    def _sketch(self, verb: str) -> Sketch:
        sketch = sketching.get()
        if sketch is None:
            raise OutsideFlow(
                f"{self.name}.{verb}() needs a flow to belong to. Put it in a @flow function or a %%flow cell; "
                f"a plain call, {self.name}(...), works anywhere."
            )
        return sketch

    def _new_run(
        self,
        here: Frame,
        site: tuple[CodeType, int],
        args: Any,
        kwargs: dict[str, Any],
        more: Links | None = None,
    ) -> TaskRun:
        """Check the call, find its inputs and make the run known."""
        wait_for = kwargs.pop("wait_for", None) if kwargs else None
        given = list(self.bind(args, kwargs))
        flow_run = here.flow_run
        run = flow_run.new_task_run(self, given, here.task_run)
        around = current_tags()
        if around or self.tags or flow_run.tags:
            run.tags = around | self.tags | flow_run.tags
        found = scan(given, flow_run.links, flow_run.number)
        if wait_for is not None:
            found = Inputs() if found is NOTHING else found
            found.add_wait_for(wait_for, flow_run.links, flow_run.number)
        links: Links = found.links
        if more:
            links = {**links, **more}
        run.args, run.kwargs, run.inputs = args, kwargs, found
        flow_run.announce(run, site, here.task_run, links)
        return run

    def _start(self, run: TaskRun, here: Frame, context: Context) -> TaskFuture[R]:
        start(run, here.is_async, context)
        return AsyncTaskFuture(run) if self.is_async and here.is_async else TaskFuture(run)


def start(run: TaskRun, in_async: bool, context: Context) -> None:
    """Hand a run to whoever carries it out, in a copy of `context`; `in_async` if it is async code that submits it."""
    if run.task.is_async:
        _spawn(run, in_async, context)
    elif getattr(run.flow_run.runner, "inline", False):
        drive(task_life(run), run.flow_run.engine)
    else:
        run.context = context
        start_on_worker(run)


def _spawn(run: TaskRun, in_async: bool, context: Context) -> None:
    """Start an async task: on the loop of the async code that submits it, or on the engine's for sync code."""
    engine = run.flow_run.engine
    if in_async:
        spawn(asyncio.get_running_loop(), drive_async(task_life(run), engine), context.copy())
    else:
        engine.portal.start(lambda: drive_async(task_life(run), engine), context.copy())


@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    version: str | None = None,
    task_run_name: RunName | None = None,
    retries: int | None = None,
    retry_delay_seconds: RetryDelay | None = None,
    retry_jitter_factor: float = 0.0,
    retry_condition_fn: Callable[[BaseException], bool] | None = None,
    timeout_seconds: float | None = None,
    concurrency: int | None = None,
    rate: str | float | None = None,
    cache_policy: CachePolicy | None = None,
    cache_key_fn: CacheKeyFn | None = None,
    cache_expiration: timedelta | float | None = None,
    refresh_cache: bool = False,
    persist_result: Persist | None = None,
    result_storage: Any = None,
    result_serializer: Any = None,
    cache_result_in_memory: bool = True,
    log_prints: bool | None = None,
    rerun: Rerun = "always",
    durability: Durability | None = None,
    viz_return_value: Any = None,
    on_completion: Hook | Iterable[Hook] | None = None,
    on_failure: Hook | Iterable[Hook] | None = None,
    on_crashed: Hook | Iterable[Hook] | None = None,
    on_cancellation: Hook | Iterable[Hook] | None = None,
    on_running: Hook | Iterable[Hook] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task: ``@task`` or ``@task(retries=3, ...)``.

    A run of a generator function, sync or async, gives the list of what it yields.

    - ``name``: how its runs are called; the function's name by default.
    - ``description``: the docstring by default.
    - ``tags``: words on each of its runs, besides those of the flow and of `tags` around the call.
    - ``version``: a text that is kept with each of its runs; none by default.
    - ``task_run_name``: a template such as ``"locate {airport}"``, or a function, for the name of each run;
      ``locate-17`` by default.
    - ``retries``: how often a run that raised is tried again; what the settings say by default, which is 0.
    - ``retry_delay_seconds``: seconds before each retry: a number, a list (the last one holds on), or a function of the
      number of retries such as `exponential_backoff`; 0 by default.
      A run that a service throttles (HTTP 429, `Throttled`) waits as long as that asks, if that is longer.
    - ``retry_jitter_factor``: 0.5 draws each delay from 50 % to 150 % of itself; 0 by default.
    - ``retry_condition_fn``: gets the exception and says whether to retry at all; always by default.
    - ``timeout_seconds``: how long one attempt may take; it then is Failed/TimedOut, and tried again if there are
      retries left.  No limit by default.
    - ``concurrency``: how many runs of it may be at work at once in one flow run; unlimited by default.
      `set_concurrency` changes it while they are.
    - ``rate``: how often attempts of it may start: ``"900/min"``, ``"10/s"``, ``"5000/h"``, or a number per second.  It
      holds for all flow runs of this process together, and starts are spaced evenly; a run that waits for its turn
      holds no worker and no slot.  Any by default; `set_rate` changes it.
    - ``cache_policy``: what must be the same for the result of an earlier run to be used again, such as
      ``INPUTS + TASK_SOURCE``; never by default.
    - ``cache_key_fn``: instead, a function of (context, arguments) that returns a key, or null for no caching.
    - ``cache_expiration``: a timedelta, or seconds, for which a result may be used again; for ever by default.
    - ``refresh_cache``: true to run all the same, and keep the new result.
    - ``persist_result``, ``result_storage``, ``result_serializer``: as for `flow`, and what the flow says by default.
      Where caching needs them results are saved all the same, unless ``persist_result`` of the task is false.
    - ``cache_result_in_memory``: as for `flow`; true by default.
    - ``log_prints``: whether ``print`` in it goes to the log; what the flow does by default.
    - ``rerun``: what a resume does with a run that was at work when its process died, and perhaps had done its work:
      ``"always"`` runs it again, which is the default, ``"ask"`` pauses the flow run and asks you, ``"never"`` leaves
      it Crashed until you call `tidegate.rerun`.
    - ``durability``: how much of its runs may be lost with the power, as for `flow`; what the flow run says by default.
    - ``viz_return_value``: what `Flow.visualize` goes on with as its result; a placeholder by default.
    - ``on_completion``, ``on_failure``, ``on_crashed``, ``on_cancellation``, ``on_running``: functions, sync or async,
      that are called with (task, task run, state) once that state is kept.

    Raises `InvalidOption` for what is not callable or an option it does not know, `UsageError` for one that makes no
    sense.
    """
    Task.check_options(options)
    if fn is None:
        return lambda inner: Task(inner, **options)
    return Task(fn, **options)
