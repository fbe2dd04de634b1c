"""Random graphs of nested work: what submits what, and how it waits for it.  Plain data, which any pool can run."""

from __future__ import annotations

import random
from typing import Any, TypeAlias

Plan: TypeAlias = tuple[str, tuple[Any, ...]]
"""How a node does its work, and the nodes that it has done for it."""

INNER = ("call", "submit", "submit", "map", "chain", "reduce", "as they end", "awaited")
LEAVES = ("leaf", "leaf", "limited", "async", "limited async")
DEPTH = 5
NODES = 40
"""Nodes of one graph, about."""


def graph(chance: random.Random) -> Plan:
    """A graph of flows at the top, and of tasks below, at least one path of which is `DEPTH` deep."""
    left = [NODES]

    def node(depth: int, flows: int, spine: bool) -> Plan:
        left[0] -= 1
        if depth == 0 or (not spine and (left[0] <= 0 or chance.random() < 0.2)):
            return (chance.choice(LEAVES), ())
        kind = "subflow" if flows else chance.choice(INNER)
        number = chance.randint(1, 3)
        on = chance.randrange(number) if spine else -1
        children = tuple(node(depth - (not flows), max(flows - 1, 0), at == on) for at in range(number))
        return (kind, children)

    return node(DEPTH, chance.randint(0, 2), True)


def leaves(plan: Plan) -> int:
    """What the work of a graph must give: the number of its leaves."""
    _, children = plan
    return sum(map(leaves, children)) if children else 1
