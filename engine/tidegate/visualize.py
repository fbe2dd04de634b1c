"""The graph of a flow without a run: its body is called, and its tasks only note down that they were.

What a task would return is a placeholder, and edges are found as in a run: through futures, and through placeholders
that are handed on, in containers too.  Nothing is recorded, and no run exists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import copy_context
from types import CodeType
from typing import TYPE_CHECKING, Any, cast

from .annotations import allow_failure, unmapped
from .context import frame, sketching
from .errors import MappingMissingIterable
from .flow_graph import FlowGraph, GraphEdge, GraphNode
from .futures import AsyncTaskFuture, TaskFuture
from .inputs import NOTHING, Inputs, scan
from .links import LinkTable
from .map_results import AsyncMapResult, MapResult
from .mapping import columns
from .model.events import LinkKind, Links
from .model.states import Completed, State
from .parameters import validated
from .placeholders import Placeholder
from .run.numbering import Numbering

if TYPE_CHECKING:
    from .flow import Flow
    from .run.flow_run import FlowRun
    from .run.task_run import TaskRun
    from .task import Task

Site = tuple[CodeType, int]


class Planned:
    """Stands where a task run would: it has ended, with what stands for its result."""

    attempts = run_count = 1

    def __init__(self, sketch: Sketch, number: int, name: str, value: Any) -> None:
        self.flow_run = sketch
        self.number = number
        self.name = name
        self.state: State = Completed(value, at=0.0)

    def done(self) -> bool:
        """Always: nothing is waited for."""
        return True

    def on_done(self, callback: Callable[[], object]) -> None:
        """Call it at once."""
        callback()

    def took(self) -> float | None:
        """Nothing has run."""
        return None

    def recorded_state(self) -> State:
        """The same as `state`: there is no record."""
        return self.state

    def value(self, raise_on_failure: bool = True) -> Any:
        """What stands for its result."""
        return self.state.data


class Sketch:
    """The graph of one flow while its body is at it.  Stands where a flow run would."""

    number = 0

    def __init__(self, flow: Flow[..., Any]) -> None:
        self.flow = flow
        self.links = LinkTable()
        self._numbering = Numbering()
        self._node_of: list[int] = [-1]
        """The node of each planned run; none has number 0."""
        self._nodes: dict[int, tuple[Flow[..., Any] | Task[..., Any], int | None]] = {}
        """What is called at each site, and how often."""
        self._edges: dict[tuple[int, int], LinkKind] = {}

    def graph(self) -> FlowGraph:
        """What was found."""
        nodes = tuple(GraphNode(face.name, face.kind, count) for face, count in self._nodes.values())  # type: ignore[arg-type]
        return FlowGraph(self.flow.name, nodes, tuple(GraphEdge(*ends, kind) for ends, kind in self._edges.items()))

    # What tasks and flows call instead of running -----------------------------------------------------------------

    def call(self, face: Flow[..., Any] | Task[..., Any], site: Site, args: Any, kwargs: dict[str, Any]) -> Any:
        """A call of a task or a subflow: what stands for its result, awaitable if a run would give an awaitable."""
        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        planned = self._plan(face, site, args, kwargs, wait_for)
        return self._given(planned.state if return_state else planned.state.data, face.is_async)

    def submit(self, task: Task[..., Any], site: Site, args: Any, kwargs: dict[str, Any]) -> Any:
        """A future that has ended."""
        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        future = self._future(task, self._plan(task, site, args, kwargs, wait_for))
        return future.wait() if return_state else future

    def map(self, task: Task[..., Any], site: Site, args: Any, kwargs: dict[str, Any]) -> Any:
        """Futures that have ended: one for each item, or one for all if their number depends on results alone."""
        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        known = tuple(_known(each) for each in args), {name: _known(each) for name, each in kwargs.items()}
        try:
            rows = columns(task, *known, cast("FlowRun", self))
            made = [self._plan(task, site, row, named, wait_for, more) for row, named, more in rows]
        except MappingMissingIterable:
            if not any(_is_unknown(each) for each in (*args, *kwargs.values())):
                raise
            made = [self._plan(task, site, args, kwargs, wait_for, unknown=True)]
        kind = AsyncMapResult if task.is_async and self.flow.is_async else MapResult
        futures = kind(self._future(task, each) for each in made)
        return futures.wait() if return_state else futures

    def pause(self, asked: bool) -> Any:
        """A pause takes no time, and an answer is not known."""
        told = "Nobody was asked: put what depends on it into a task."
        answer = Placeholder("the answer to a question", told, lambda _: None) if asked else None
        return self._given(answer, is_async=True)

    def _given(self, value: Any, is_async: bool) -> Any:
        return _awaited(value) if is_async and self.flow.is_async else value

    def _future(self, task: Task[..., Any], planned: Planned) -> TaskFuture[Any]:
        kind = AsyncTaskFuture if task.is_async and self.flow.is_async else TaskFuture
        return kind(cast("TaskRun", planned))

    # Nodes and edges ------------------------------------------------------------------------------------------------

    def _plan(
        self,
        face: Flow[..., Any] | Task[..., Any],
        site: Site,
        args: Any,
        kwargs: dict[str, Any],
        wait_for: Any,
        more: Links | None = None,
        unknown: bool = False,
    ) -> Planned:
        found = scan(face.bind(args, kwargs), self.links, self.number)
        if wait_for is not None:
            found = Inputs() if found is NOTHING else found
            found.add_wait_for(wait_for, self.links, self.number)
        number, index = self._numbering.next(face.name)
        node = self._numbering.site(face.key, site) - 1
        _, count = self._nodes.get(node, (face, 0))
        self._nodes[node] = face, None if unknown or count is None else count + 1
        self._node_of.append(node)
        for links in (found.links, more or {}):
            self._link(links.values(), node)
        value = face.options.get("viz_return_value")
        if value is None:
            what = f"the result of {face.name!r}"
            value = Placeholder(what, _advice(face), lambda each: self.links.add(each, number))
        else:
            self.links.add(value, number)
        return Planned(self, number, f"{face.name}-{index}", value)

    def _link(self, links: Iterable[tuple[tuple[LinkKind, int, int], ...]], node: int) -> None:
        for ranges in links:
            for kind, first, last in ranges:
                for source in set(self._node_of[first : last + 1]):
                    if source != node:  # a loop that hands its own results on is one node
                        self._edges.setdefault((source, node), kind)


def _known(value: Any) -> Any:
    """What a map may look into: where a list has a length, a result beside it fits it or is the same for all."""
    return unmapped(value) if _is_unknown(value) else value


def _is_unknown(value: Any) -> bool:
    """True for what would be mapped over, if it were there."""
    if isinstance(value, allow_failure):
        value = value.value
    if isinstance(value, TaskFuture):
        value = value.state
    if isinstance(value, State):
        value = value.data
    return isinstance(value, Placeholder)


def _advice(face: Flow[..., Any] | Task[..., Any]) -> str:
    if face.is_flow:
        return "A subflow is one node, whose body is not called: put what depends on its result into a task."
    return f"Say what to go on with, @task(viz_return_value=...) on {face.name!r}, or put that code into a task."


async def _awaited(value: Any) -> Any:
    return value


def visualize(flow: Flow[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> FlowGraph:
    """The graph of a call of the flow; see `Flow.visualize`."""
    flow.bind(args, kwargs)
    parameters = flow.arguments(args, kwargs)
    args, kwargs = flow.call_with(validated(flow, parameters) if flow.validate_parameters else parameters)
    sketch = Sketch(flow)

    def body() -> None:
        frame.set(None)
        sketching.set(sketch)
        made = flow.body(*args, **kwargs)
        if flow.is_async:
            _finish(made)

    copy_context().run(body)
    return sketch.graph()


def _finish(coroutine: Any) -> None:
    """Run a coroutine to its end, also where a loop runs already, as in a notebook."""
    if asyncio._get_running_loop() is None:
        asyncio.run(coroutine)
        return
    from concurrent.futures import ThreadPoolExecutor  # which only notebooks need

    with ThreadPoolExecutor(1) as beside:
        beside.submit(copy_context().run, asyncio.run, coroutine).result()
