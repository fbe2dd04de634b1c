"""The inputs of a call: what it waits for, where its data came from, and the real values in the end.

One walk over the arguments finds futures and states (they are waited for and replaced), annotations (unwrapped) and
plain values that a task run returned (linked).  The walk is iterative and survives cycles; arrays, frames and long
containers of plain things are not searched element by element.  What counts is what a thing is, not what it says it is:
a mock of a list is no list.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import nullcontext
from types import GeneratorType
from typing import Any

from .annotations import Annotation, allow_failure, quote
from .futures import TaskFuture
from .interrupts import guard, on_main_thread
from .links import LinkTable
from .map_results import MapResult
from .model.events import LinkKind
from .model.states import State, StateType

ATOMS = frozenset({str, bytes, int, float, bool, type(None), complex, bytearray})
CONTAINERS = (list, tuple, set, frozenset, dict, deque)
LONG = 1_000
"""Containers longer than this that hold nothing but atoms are not looked into: none of them can be a future."""
DEPTH = 100
"""Levels of nesting down to which futures are replaced by their results."""

Edge = tuple[LinkKind, int]


class Inputs:
    """What was found in the arguments of one call."""

    __slots__ = ("drained", "futures", "links", "rebuild", "states")

    def __init__(self) -> None:
        self.links: dict[str, tuple[tuple[LinkKind, int, int], ...]] = {}
        self.futures: list[tuple[TaskFuture[Any], bool]] = []
        """Each future to wait for, and whether its failure is allowed."""
        self.states: list[tuple[State, bool]] = []
        """The same for states that were handed over."""
        self.drained: dict[int, tuple[Generator[Any, Any, Any], list[Any]]] = {}
        """Generators, by identity, with what they gave."""
        self.rebuild = False
        """True if the arguments hold futures, annotations or generators that must be replaced."""

    def unwrapped(self, each: Any, allowed: bool) -> tuple[tuple[Any, bool], ...]:
        """What to look at in place of an annotation or a generator."""
        if isinstance(each, quote):
            return ()
        if isinstance(each, Annotation):
            return ((each.value, allowed or isinstance(each, allow_failure)),)
        return ((self._drain(each), allowed),)

    def _drain(self, given: Generator[Any, Any, Any]) -> list[Any]:
        """What a generator gives: only a list can be looked into and handed over as well."""
        known = self.drained.get(id(given))
        if known is None:
            with guard.interruptible() if on_main_thread() else nullcontext():  # it is user code, and may be endless
                known = self.drained[id(given)] = (given, list(given))
        return known[1]

    def add_wait_for(self, wait_for: Any, table: LinkTable, flow_run: int) -> None:
        """Futures to wait for whose data is not needed."""
        edges: set[Edge] = set()
        rebuild = self.rebuild
        _walk(wait_for, table, flow_run, self, edges)
        self.rebuild = rebuild or bool(self.futures or self.states)
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
        kind = type(each)
        if kind in ATOMS:
            task_run = table.find(each)
            if task_run:
                edges.add(("value", task_run))
            continue
        if issubclass(kind, TaskFuture):
            found.rebuild = True
            found.futures.append((each, allowed))
            if each.flow_run == flow_run:
                edges.add(("future", each.number))
            continue
        if issubclass(kind, State):
            found.rebuild = True
            found.states.append((each, allowed))
            edges.update(edges_of(each, table, flow_run))
            continue
        if kind is GeneratorType or issubclass(kind, Annotation):
            found.rebuild = True
            stack.extend(found.unwrapped(each, allowed))
            continue
        task_run = table.find(each)
        if task_run:
            edges.add(("value", task_run))
        if id(each) in seen:
            continue
        members = _members(each, kind)
        if members is not None:
            seen.add(id(each))
            stack.extend([(member, allowed) for member in members])


def edges_of(state: State, table: LinkTable, flow_run: int) -> tuple[Edge, ...]:
    """Where a state came from: the task run that ended in it, else the one that returned its data."""
    origin = state.origin
    if origin is not None and origin[0] == flow_run and origin[1]:
        return (("future", origin[1]),)
    task_run = table.find(state.data)
    return (("value", task_run),) if task_run else ()


def _members(value: Any, kind: type[Any]) -> Iterable[Any] | None:
    """What to look at inside a value; null for leaves."""
    if issubclass(kind, CONTAINERS):
        if len(value) > LONG and kind is not MapResult and _plain(value):
            return None
        return [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
    names = _fields(value, kind)
    return None if names is None else [getattr(value, name, None) for name in names]


def _fields(value: Any, kind: type[Any]) -> Iterable[str] | None:
    """The fields of a dataclass, or of a model with its extras; null for anything else."""
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        return [field.name for field in dataclasses.fields(kind)]
    fields = getattr(kind, "__pydantic_fields__", None)
    if fields is None:
        return None
    return [*fields, *(getattr(value, "__pydantic_extra__", None) or ())]


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


def resolve_all(found: Inputs, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The arguments as the function shall see them: futures and states replaced by results, annotations taken off.

    Containers without any of these in them are handed over as they are; the others are copied, in their own kind, and
    never changed.
    """
    resolver = _Resolver(_result, found.drained)
    return (
        tuple(resolver.resolve(each) for each in args),
        {name: resolver.resolve(value) for name, value in kwargs.items()},
    )


def resolve_to_states(value: Any) -> Any:
    """A returned value with the states of its futures in their place; the same object if it holds no future."""
    return value if isinstance(value, quote) else _Resolver(_state, {}).resolve(value)


def _result(leaf: Any) -> Any:
    if isinstance(leaf, TaskFuture):
        leaf = leaf.state
    return leaf.result(raise_on_failure=False)


def _state(leaf: Any) -> Any:
    return leaf.state if isinstance(leaf, TaskFuture) else leaf


class _Resolver:
    """Replaces futures and states by what `leaf` makes of them."""

    def __init__(self, leaf: Leaf, drained: Mapping[int, tuple[Any, list[Any]]]) -> None:
        self._leaf = leaf
        self._drained = drained
        self._known: dict[int, Any] = {}

    def resolve(self, value: Any, depth: int = 0) -> Any:
        """The value in the place of this one; the same object if nothing in it is to be replaced."""
        kind = type(value)
        if kind in ATOMS or depth > DEPTH:
            return value
        if issubclass(kind, (TaskFuture, State)):
            return self._leaf(value)
        if issubclass(kind, Annotation):
            return value.value if isinstance(value, quote) else self.resolve(value.value, depth)
        if kind is GeneratorType and id(value) in self._drained:
            value, kind = self._drained[id(value)][1], list
        key = id(value)
        if key not in self._known:
            self._known[key] = value  # a container that holds itself keeps pointing at the original
            self._known[key] = self._inside(value, kind, depth + 1)
        return self._known[key]

    def _inside(self, value: Any, kind: type[Any], depth: int) -> Any:
        if not issubclass(kind, CONTAINERS):
            return self._in_fields(value, kind, depth)
        if len(value) > LONG and kind is not MapResult and _plain(value):
            return value
        old = [*value.keys(), *value.values()] if issubclass(kind, dict) else list(value)
        new = [self.resolve(each, depth) for each in old]
        if all(a is b for a, b in zip(old, new, strict=True)):
            return value
        if issubclass(kind, dict):
            half = len(new) // 2
            return _refilled(value, kind, dict(zip(new[:half], new[half:], strict=True)))
        return _refilled(value, kind, new)

    def _in_fields(self, value: Any, kind: type[Any], depth: int) -> Any:
        """Dataclasses and models: a changed copy if a field held a future."""
        changes: dict[str, Any] = {}
        for name in _fields(value, kind) or ():
            old = getattr(value, name, None)
            new = self.resolve(old, depth)
            if new is not old:
                changes[name] = new
        if not changes:
            return value
        if not hasattr(kind, "__dataclass_fields__"):
            return value.model_copy(update=changes)
        # Not `replace`: it would run `__init__` once more, and cannot for a class with `InitVar`s.
        made = copy.copy(value)
        for name, new in changes.items():
            object.__setattr__(made, name, new)  # it may be frozen
        return made


def _refilled(value: Any, kind: type[Any], members: Any) -> Any:
    """A container of the same kind with other members: a `defaultdict` keeps its default, a `deque` its length."""
    if kind is list or kind is dict or kind is MapResult:
        return members
    if issubclass(kind, (tuple, frozenset)):
        base: Any = tuple if issubclass(kind, tuple) else frozenset
        return base.__new__(kind, members)  # whatever arguments its own constructor wants
    made = copy.copy(value)
    made.clear()
    if isinstance(value, (list, deque)):
        made.extend(members)
    else:
        made.update(members)
    return made
