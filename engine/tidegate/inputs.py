"""The inputs of a call: what it waits for, where its data came from, and the real values in the end.

One walk over the arguments finds futures and states (they are waited for and replaced), annotations (unwrapped) and
plain values that a task run returned (linked).  The walk is iterative and survives cycles; arrays, frames and long
containers of plain things are not searched element by element.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .annotations import Annotation, allow_failure, quote
from .futures import MapResult, TaskFuture
from .links import LinkTable
from .model.events import LinkKind
from .model.states import State, StateType

ATOMS = frozenset({str, bytes, int, float, bool, type(None), complex, bytearray})
CONTAINERS = (list, tuple, set, frozenset, dict)
LONG = 1_000
"""Containers longer than this that hold nothing but atoms are not looked into: none of them can be a future."""
DEPTH = 100
"""Levels of nesting down to which futures are replaced by their results."""

Edge = tuple[LinkKind, int]


class Inputs:
    """What was found in the arguments of one call."""

    __slots__ = ("futures", "links", "rebuild", "states")

    def __init__(self) -> None:
        self.links: dict[str, tuple[tuple[LinkKind, int, int], ...]] = {}
        self.futures: list[tuple[TaskFuture[Any], bool]] = []
        """Each future to wait for, and whether its failure is allowed."""
        self.states: list[tuple[State, bool]] = []
        """The same for states that were handed over."""
        self.rebuild = False
        """True if the arguments hold futures or annotations that must be replaced."""

    def add_wait_for(self, wait_for: Any, table: LinkTable, flow_run: int) -> None:
        """Futures to wait for whose data is not needed."""
        edges: set[Edge] = set()
        rebuild = self.rebuild
        _walk(wait_for, table, flow_run, self, edges)
        self.rebuild = rebuild or bool(self.futures)
        if edges:
            self.links["wait_for"] = ranges({("wait_for", number) for _, number in edges})


NOTHING = Inputs()
"""The inputs of a call with nothing but atoms that no task returned; shared, and never changed."""


def scan(arguments: Iterable[tuple[str, Any]], table: LinkTable, flow_run: int) -> Inputs:
    """Look through the arguments of a call, given as (parameter, value)."""
    found = NOTHING
    for name, value in arguments:
        if type(value) in ATOMS:
            task_run = table.find(value)
            if task_run:
                found = Inputs() if found is NOTHING else found
                found.links[name] = (("value", task_run, task_run),)
            continue
        found = Inputs() if found is NOTHING else found
        edges: set[Edge] = set()
        _walk(value, table, flow_run, found, edges)
        if edges:
            found.links[name] = ranges(edges)
    return found


def _walk(value: Any, table: LinkTable, flow_run: int, found: Inputs, edges: set[Edge]) -> None:
    stack: list[tuple[Any, bool]] = [(value, False)]
    seen: set[int] = set()
    while stack:
        each, allowed = stack.pop()
        if isinstance(each, TaskFuture):
            found.rebuild = True
            found.futures.append((each, allowed))
            if each.flow_run == flow_run:
                edges.add(("future", each.number))
            continue
        if isinstance(each, State):
            found.rebuild = True
            found.states.append((each, allowed))
            task_run = task_run_of(each, flow_run)
            if task_run:
                edges.add(("future", task_run))
            elif task_run := table.find(each.data):  # a state that the user made
                edges.add(("value", task_run))
            continue
        if isinstance(each, Annotation):
            found.rebuild = True
            if not isinstance(each, quote):
                stack.append((each.value, allowed or isinstance(each, allow_failure)))
            continue
        task_run = table.find(each)
        if task_run:
            edges.add(("value", task_run))
        if type(each) in ATOMS or id(each) in seen:
            continue
        members = _members(each)
        if members is not None:
            seen.add(id(each))
            stack.extend((member, allowed) for member in members)


def task_run_of(state: State, flow_run: int) -> int:
    """The task run of this flow run that ended in a state; 0 if none did.  Needs no link table: states know it."""
    return state.origin[1] if state.origin is not None and state.origin[0] == flow_run else 0


def _members(value: Any) -> Iterable[Any] | None:
    """What to look at inside a value; null for leaves."""
    if isinstance(value, CONTAINERS):
        if len(value) > LONG and not isinstance(value, MapResult) and _plain(value):
            return None
        return [*value.keys(), *value.values()] if isinstance(value, dict) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    fields = getattr(type(value), "__pydantic_fields__", None)
    return None if fields is None else [getattr(value, name, None) for name in fields]


def _plain(value: Any) -> bool:
    """True if a container holds nothing but atoms; at the speed of C, 10 ms for a million."""
    return ATOMS.issuperset(map(type, value.values() if isinstance(value, dict) else value))


def ranges(edges: set[Edge]) -> tuple[tuple[LinkKind, int, int], ...]:
    """Edges as inclusive ranges, so that a reduce over a map is one entry."""
    out: list[tuple[LinkKind, int, int]] = []
    for kind, number in sorted(edges):
        if out and out[-1][0] == kind and out[-1][2] == number - 1:
            out[-1] = (kind, out[-1][1], number)
        else:
            out.append((kind, number, number))
    return tuple(out)


def not_completed(found: Inputs) -> str:
    """Which input stands in the way, in words; empty if none does.

    A failed input is let through where `allow_failure` allows it; a crashed or cancelled one, or one that never
    began, is not (as in Prefect 2.7).
    """
    for future, allowed in found.futures:
        if _blocks(future.state, allowed):
            return f"{future.name} is {future.state.name}."
    for state, allowed in found.states:
        if _blocks(state, allowed):
            return f"An input is {state.name}."
    return ""


def _blocks(state: State, allowed: bool) -> bool:
    return state.type is not StateType.COMPLETED and not (allowed and state.type is StateType.FAILED)


Leaf = Callable[[Any], Any]


def resolve_all(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as the function shall see them: futures and states replaced by results, annotations taken off.

    Containers without any of these in them are handed over as they are, never copied.
    """
    memo: dict[int, Any] = {}
    return (
        tuple(_resolve(each, _result, memo, 0) for each in args),
        {name: _resolve(value, _result, memo, 0) for name, value in kwargs.items()},
    )


def resolve_to_states(value: Any) -> Any:
    """A returned value with the states of its futures in their place; the same object if it holds no future."""
    return value if isinstance(value, quote) else _resolve(value, _state, {}, 0)


def _result(leaf: Any) -> Any:
    if isinstance(leaf, TaskFuture):
        leaf = leaf.state
    return leaf.result(raise_on_failure=False)


def _state(leaf: Any) -> Any:
    return leaf.state if isinstance(leaf, TaskFuture) else leaf


def _resolve(value: Any, leaf: Leaf, memo: dict[int, Any], depth: int) -> Any:
    kind = type(value)
    if kind in ATOMS or depth > DEPTH:
        return value
    if isinstance(value, (TaskFuture, State)):
        return leaf(value)
    if isinstance(value, Annotation):
        return value.value if isinstance(value, quote) else _resolve(value.value, leaf, memo, depth)
    if id(value) not in memo:
        memo[id(value)] = value  # a container that holds itself keeps pointing at the original
        memo[id(value)] = _resolve_members(value, kind, leaf, memo, depth + 1)
    return memo[id(value)]


def _resolve_members(value: Any, kind: type[Any], leaf: Leaf, memo: dict[int, Any], depth: int) -> Any:
    if isinstance(value, dict):
        new = [(_resolve(k, leaf, memo, depth), _resolve(v, leaf, memo, depth)) for k, v in value.items()]
        same = all(k is a and v is b for (k, v), (a, b) in zip(value.items(), new, strict=True))
        return value if same else _dict_like(value, new)
    if isinstance(value, CONTAINERS):
        if len(value) > LONG and not isinstance(value, MapResult) and _plain(value):
            return value
        old = list(value)
        items = [_resolve(each, leaf, memo, depth) for each in old]
        if all(a is b for a, b in zip(old, items, strict=True)):
            return value
        if isinstance(value, MapResult):
            return items
        return kind(*items) if hasattr(kind, "_fields") else kind(items)
    return _resolve_fields(value, leaf, memo, depth)


def _dict_like(value: dict[Any, Any], items: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dict of the same kind with other items: an `OrderedDict`, or a `defaultdict` with its factory."""
    if type(value) is dict:
        return dict(items)
    made = copy.copy(value)
    made.clear()
    made.update(items)
    return made


def _resolve_fields(value: Any, leaf: Leaf, memo: dict[int, Any], depth: int) -> Any:
    """Dataclasses and models: a changed copy if a field held a future."""
    is_data = dataclasses.is_dataclass(value) and not isinstance(value, type)
    if is_data:
        names = [field.name for field in dataclasses.fields(value) if field.init]
    else:
        names = list(getattr(type(value), "__pydantic_fields__", ()))
    changes: dict[str, Any] = {}
    for name in names:
        old = getattr(value, name, None)
        new = _resolve(old, leaf, memo, depth)
        if new is not old:
            changes[name] = new
    if not changes:
        return value
    return dataclasses.replace(value, **changes) if is_data else value.model_copy(update=changes)
