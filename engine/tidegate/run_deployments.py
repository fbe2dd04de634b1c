"""Runs of deployments that are asked for by name: made for an agent, and waited for."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import host
from .calls import call_site
from .context import Frame, blocked, frame, sketching
from .engine import Engine, engine
from .errors import StoreError, UsageError
from .flow import Flow
from .futures import wait_async
from .interrupts import guard
from .latch import Latch
from .model.states import Completed, State
from .model.views import FlowRow
from .run.task_run import TaskRun
from .tags import tags_of

if TYPE_CHECKING:
    from .deployed_runs import Order

LOOK = 0.25
"""Seconds between two looks at a run that another process has."""


def run_deployment(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    scheduled_time: datetime | float | None = None,
    flow_run_name: str | None = None,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    timeout: float | None = None,
) -> Any:
    """Make a run of a deployment, wait until it has ended, and return its handle; in an async flow, await it.

    An agent (``tidegate agent``) of its work queue runs it, in a process of its own.  That it failed raises nothing:
    ``run.state`` says so, and ``run.result()`` raises.  In a flow it is drawn and tracked as a subflow is; there the
    flow is judged by it, too, unless it did not wait for its end.

    - ``name``: ``flow/name``, or ``name`` where there is only one of it.
    - ``parameters``: take the place of those of the deployment.  In a flow they may be futures.
    - ``scheduled_time``: when it is to begin, in seconds since the epoch or as a `datetime`; at once by default.
    - ``flow_run_name``: two random words by default.
    - ``tags``: beside those of the deployment.
    - ``idempotency_key``: of two calls with the same key the second one gives the run of the first.
    - ``timeout``: seconds after which it returns although the run goes on; 0 waits not at all, null for ever.

    Raises `DeploymentNotFound`, `UsageError` for parameters that are not JSON, and `StoreError`.
    """
    __tracebackhide__ = True
    if blocked.get():  # code is loaded to find flows
        return None
    from .deployed_runs import Order, deployment_named  # with what those need, in programs that have deployments

    here = frame.get()
    ours = engine() if here is None else here.flow_run.engine
    found = deployment_named(ours.store, name)
    due = scheduled_time.timestamp() if isinstance(scheduled_time, datetime) else scheduled_time
    order = Order(ours, found, due, flow_run_name, tags_of(tags, "a flow run"), idempotency_key, timeout)
    given = dict(parameters or {})
    sketch = sketching.get()
    if here is None and sketch is not None:
        return sketch.call(_Call(order, given, False), call_site(1), (), given)
    if here is not None:
        return _Call(order, given, here.is_async).made(here, given)
    run = DeploymentRun(ours, order.number_of(given))
    run.wait(timeout)
    return run


class DeploymentRun:
    """A run of a deployment, in whatever process it is."""

    def __init__(self, here: Engine, number: int) -> None:
        self._engine = here
        self.number = number

    def _row(self) -> FlowRow:
        row = self._engine.store.flow_run(self.number)
        if row is None:
            raise UsageError(f"Flow run {self.number} is not in the store any more.")
        return row

    @property
    def name(self) -> str:
        """Its readable name."""
        return self._row().name

    @property
    def state(self) -> State:
        """Its state as the record has it now, which fetches its result when it is asked for it."""
        return self._engine.saving.recorded(self._row())

    def wait(self, timeout: float | None = None) -> State | None:
        """Block until it has ended or is suspended, and return that state; null if `timeout` (seconds) passed first."""
        look = _Look(self._engine, self.number)
        try:
            if frame.get() is not None:
                ended = host.wait(look.rests, timeout)
            else:
                with guard.installed(), host.hosting(awaited=False):
                    ended = host.wait(look.rests, timeout)
        finally:
            look.end()
        return self.state if ended else None

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Block until it has ended and return what its flow returned, as far as that was saved.

        Raises what the flow raised (with ``raise_on_failure=False`` returns it), `PausedRun` if it is suspended,
        `MissingResult` if the result was not saved, and `TimeoutError` if `timeout` (seconds) passed first.
        """
        __tracebackhide__ = True
        state = self.wait(timeout)
        if state is None:
            raise TimeoutError(f"Flow run {self.number} has not ended after {timeout:g} s; it is {self.state.name}.")
        return state.result(raise_on_failure)

    def __repr__(self) -> str:
        return f"<flow run {self.number}>"


class _Look:
    """Looks again and again at a run of another process, until it is at rest or nobody waits any more."""

    def __init__(self, here: Engine, number: int) -> None:
        self._engine, self._number = here, number
        self.rests = Latch()
        self._over = False
        self._look()

    def _look(self) -> None:
        if self._over:
            return
        try:
            row = self._engine.store.flow_run(self._number)
            over = row is None or row.state.is_at_rest()
        except StoreError:  # it may be well again at the next look
            over = False
        if over:
            self.rests.set()
        else:
            self._engine.portal.after(LOOK, self._look)

    def end(self) -> None:
        """Look no more."""
        self._over = True


# In a flow ------------------------------------------------------------------------------------------------------------


class _Call(Flow[..., Any]):
    """A deployment as it is called in a flow: what a subflow is there, whose body is another process's."""

    known = False  # by the name of a flow that may be defined here

    def __init__(self, order: Order, given: Mapping[str, Any], awaited: bool) -> None:
        self._order = order
        super().__init__(_body(given, awaited), name=order.deployment.flow, version=order.deployment.target)
        self.key = order.deployment.full_name
        self._found = 0
        """The number of its run, once that is made."""

    def made(self, here: Frame, given: dict[str, Any]) -> Any:
        """Its handle, in an async flow once it is awaited."""
        __tracebackhide__ = True
        site = call_site(2)
        if not self.is_async:
            return self._handle(self._call_inside(here, site, (), given, True))
        return self._awaited_handle(self._call_inside(here, site, (), given, True))

    async def _awaited_handle(self, state: Coroutine[Any, Any, State]) -> DeploymentRun:
        return self._handle(await state)

    def _handle(self, state: State) -> DeploymentRun:
        here = self._order.engine
        if not self._found and state.origin is not None:  # kept from an earlier process of this flow run
            runs = here.store.subflow_runs(*state.origin)
            self._found = runs[0].number if runs else 0
        if not self._found:  # it was cancelled before it was made, or could not be
            state.result()
            raise StoreError("The run of the deployment is not in the store.")
        return DeploymentRun(here, self._found)

    def _run_tracked(self, tracking: TaskRun, /, *_args: Any, **given: Any) -> State:
        number = self._number(tracking, given)
        look = _Look(self._order.engine, number)
        try:
            ended = host.wait(look.rests, self._order.timeout)
        finally:
            look.end()
        return self._state(number, ended)

    async def _run_tracked_async(self, tracking: TaskRun, /, *_args: Any, **given: Any) -> State:
        number = self._number(tracking, given)
        look = _Look(self._order.engine, number)
        try:
            ended = await wait_async(look.rests, self._order.timeout)
        finally:
            look.end()
        return self._state(number, ended)

    def _number(self, tracking: TaskRun, given: Mapping[str, Any]) -> int:
        """The run that is made, or the one that an earlier process of this flow run had made and that may still end
        well."""
        here, order = tracking.flow_run.engine, self._order
        before = here.store.subflow_runs(tracking.flow_run.number, tracking.number)[:1] if tracking.earlier else []
        if before and (before[0].state.is_completed() or not before[0].state.is_final()):
            row = before[0]
        else:
            number = order.number_of(given, tracking)
            found = here.store.flow_run(number)
            assert found is not None
            row = found
        tracking.given_name = row.name
        self._found = row.number
        return row.number

    def _state(self, number: int, ended: bool) -> State:
        """What the call ends in: as the run has, or well if that is not waited for any longer."""
        run = DeploymentRun(self._order.engine, number)
        if ended:
            return run.state
        return Completed(message=f"Flow run {number} goes on by itself.", at=self._order.engine.now())


def _body(given: Mapping[str, Any], awaited: bool) -> Any:
    """A function with these parameters, which is never called."""

    def body(**_given: Any) -> None: ...

    async def body_awaited(**_given: Any) -> None: ...

    made: Any = body_awaited if awaited else body
    wrong = [name for name in given if not str(name).isidentifier()]
    if wrong:
        raise UsageError(f"{wrong[0]!r} is no name of a parameter.")
    made.__signature__ = inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in given])
    return made
