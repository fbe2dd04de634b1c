"""Random programs: what a flow calls, submits, maps and waits for, as plain data; and what it ought to give.

`right` says that without the engine: it is what the same calls would give if nothing ever failed in between.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, TypeAlias

Verb: TypeAlias = Literal["call", "submit", "map", "wait", "flow", "pause", "suspend", "breathe"]

KINDS = ("plain", "plain", "plain", "tried", "tried", "never", "unsaved", "limited")
"""How tasks are tried again, saved and so on; see `stage`."""
FOREVER = -1
"""Of a task that always fails, and whose failure its caller catches."""


@dataclass(frozen=True)
class Op:
    """One thing that a body does.  What it gives, or the future of that, stands in the next slot."""

    verb: Verb
    node: Node | None = None
    given: tuple[int, ...] = ()
    """Slots whose values, or futures, are the inputs; for "wait" the slot that is waited for."""
    times: int = 1
    """How often a call is made, with the same inputs; of a map, for how many items."""


@dataclass(frozen=True)
class Node:
    """A task or a flow: what it does, and how often it fails first."""

    name: str
    kind: str
    ops: tuple[Op, ...] = ()
    fails: int = 0
    dropped: frozenset[int] = frozenset()
    """Slots of which nothing is ever made: their task runs may be open when the flow returns."""

    @property
    def number(self) -> int:
        """Stands for the line of the code that calls it."""
        return int(self.name[1:])


def program(chance: random.Random) -> Node:
    """A flow."""
    return _Maker(chance).node(chance.choice((2, 3)), True)


class _Maker:
    """Makes the nodes of one program, so many of them at most."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._numbers = count(1)
        self._left = chance.choice((4, 8, 14, 20))

    def node(self, depth: int, flow: bool) -> Node:
        """A flow or a task that has others below it, so many levels at most."""
        chance = self._chance
        self._left -= 1
        name = f"n{next(self._numbers)}"
        kind = chance.choice(("once", "once", "twice")) if flow else chance.choice(KINDS)
        fails = chance.choice((0, 0, 0, 1, 2, 3)) if kind != "never" else 0
        if depth > 0 and kind == "limited":
            kind = "plain"  # it would wait for the place that it holds itself
        if depth == 0:
            return Node(name, kind, (), fails)
        ops: list[Op] = []
        slots: list[str] = []
        for _ in range(chance.randint(1, 5 if flow else 2)):
            ops.append(self._op(depth, flow, slots))
            _fill(slots, ops[-1])
        dropped = frozenset(at for at, what in enumerate(slots) if what == "future" and chance.random() < 0.2)
        return Node(name, kind, tuple(ops), fails, dropped)

    def _op(self, depth: int, flow: bool, slots: list[str]) -> Op:
        """What is done next, where the slots hold these things."""
        chance, draw = self._chance, self._chance.random()
        futures = [at for at, what in enumerate(slots) if what != "value"]
        if draw < 0.12 and futures:
            return Op("wait", None, (chance.choice(futures),))
        if draw < 0.2 and flow:
            return Op("pause" if draw < 0.17 else "suspend")
        if draw < 0.25 or self._left <= 0:
            return Op("breathe")
        if draw < 0.35:
            self._left -= 1
            return Op("call", Node(f"n{next(self._numbers)}", chance.choice(("plain", "tried")), (), FOREVER))
        given = tuple(sorted(chance.sample(range(len(slots)), min(len(slots), chance.randint(0, 2)))))
        if draw < 0.48 and flow and depth > 1:
            return Op("flow", self.node(depth - 1, True), tuple(at for at in given if slots[at] == "value"))
        if draw < 0.62:
            return Op("map", self.node(0, False), given[:1], chance.randint(1, 4))
        below = depth - 1 if chance.random() < 0.4 else 0
        verb: Verb = "call" if draw < 0.78 else "submit"
        return Op(verb, self.node(below, False), given, 2 if chance.random() < 0.1 else 1)


def _fill(slots: list[str], op: Op) -> None:
    """What the slots hold once that is done."""
    if op.verb == "wait":
        slots[op.given[0]] = "value"
    elif op.verb in ("submit", "map"):
        slots.extend(["future"] * op.times)
    elif op.verb in ("call", "flow"):
        slots.extend(["value"] * op.times)


def value_of(name: str, inputs: Sequence[Any], members: Sequence[Any]) -> Any:
    """What a node gives, by what it was given and what it has had done."""
    code = zlib.crc32(repr((name, list(inputs), list(members))).encode())
    return [code, len(members)] if code % 3 == 0 else code


def right(node: Node, inputs: Sequence[Any] = ()) -> Any:
    """What a node ought to give."""
    if node.fails == FOREVER:
        return "failed"
    slots: list[Any] = []
    for op in node.ops:
        if op.node is None:
            continue
        given = [slots[at] for at in op.given]
        for at in range(op.times):
            slots.append(right(op.node, [at, *given] if op.verb == "map" else given))  # noqa: PERF401  # reads better
    members = [value for at, value in enumerate(slots) if at not in node.dropped]
    return value_of(node.name, inputs, members)


def nodes(node: Node) -> dict[str, Node]:
    """All nodes by name."""
    found = {node.name: node}
    for op in node.ops:
        if op.node is not None:
            found |= nodes(op.node)
    return found


def calls(node: Node) -> dict[str, int]:
    """How often each node is called with the same inputs by one run of its caller."""
    found = {node.name: 1}
    for op in node.ops:
        if op.node is not None:
            found |= {**calls(op.node), op.node.name: 1 if op.verb == "map" else op.times}
    return found
