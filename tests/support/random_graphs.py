"""Random graphs of task runs, as layouts take them."""

from __future__ import annotations

import random

Nodes = list[tuple[int, float, float]]
Edges = list[tuple[int, int]]

TASK = (156.0, 42.0)
GROUP = (252.0, 122.0)


def workflow(count: int, seed: int) -> tuple[Nodes, Edges]:
    """A graph as flows make them: most tasks take from the last few, some from far back."""
    rng = random.Random(seed)
    nodes = [(i, *(GROUP if rng.random() < 0.15 else TASK)) for i in range(count)]
    edges = [
        (rng.randrange(max(0, i - 25), i), i) for i in range(1, count) for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))
    ]
    edges += [(rng.randrange(i), i) for i in range(1, count) if rng.random() < 0.05]
    return nodes, list(dict.fromkeys(edges))


def stages(count: int, seed: int) -> tuple[Nodes, Edges]:
    """A graph of stages, as pipelines have them: a task takes from those beside it in the stage before, or earlier."""
    rng = random.Random(seed)
    width = max(3, round(count**0.5 * 0.9))
    found: list[list[int]] = [[]]
    edges: Edges = []
    for node in range(count):
        if len(found[-1]) >= max(1, round(width * rng.uniform(0.4, 1.6))):
            found.append([])
        at = len(found) - 1
        found[at].append(node)
        for _ in range(rng.choice([1, 1, 2, 3]) if at else 0):
            before = found[max(0, at - 1 - (rng.randrange(4) if rng.random() < 0.15 else 0))]
            place = int((len(found[at]) / width + rng.uniform(-0.25, 0.25)) * len(before))
            edges.append((before[max(0, min(len(before) - 1, place))], node))
    return [(node, *TASK) for node in range(count)], list(dict.fromkeys(edges))
