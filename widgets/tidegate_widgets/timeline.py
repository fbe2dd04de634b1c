"""When the task runs ran: a lane for each node, of a size that does not grow with the number of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

from .graph_model import GraphModel
from .node import Node
from .protocol import Bar, Lane, Timeline

FEW = 24
"""Up to so many task runs of a node have a bar each; beyond, the lane shows how many ran at once."""

SLICES = 120
"""Equal parts of the timeline, for the lanes of many."""


class _Span(NamedTuple):
    letter: str
    start: float
    end: float | None


def timeline(
    model: GraphModel, drawn: Sequence[tuple[GraphModel, Node]], now: float, left: float | None = None
) -> Timeline:
    """The timeline of a run with these nodes, each with its model; it ends with the run, or `now`, and `left` are the
    seconds for which it is likely to go on."""
    began = beginning(drawn, now)
    end = model.ended if model.ended is not None else now
    spans = [_spans(*each, began) for each in drawn]
    # A clock may have been set back, and then a task run ends after its flow run.
    last = max((span.end for each in spans for span in each if span.end is not None), default=0.0)
    seconds = max(end - began, last, 0.001)
    return {
        "seconds": seconds,
        "likely": None if left is None else seconds + left,
        "lanes": [_lane(*at, each, seconds) for at, each in zip(drawn, spans, strict=True)],
    }


def beginning(drawn: Sequence[tuple[GraphModel, Node]], now: float) -> float:
    """When the timeline of these nodes begins, in seconds since the epoch; `now` where there are none."""
    return min((node.first_created for _, node in drawn), default=now)


def _spans(model: GraphModel, node: Node, began: float) -> list[_Span]:
    spans, runs = [], model.runs
    for number in node.members:
        span = runs.span(number)
        if span is not None:
            start = max(0.0, span[0] - began)
            spans.append(_Span(runs.letters[number], start, None if span[1] is None else max(start, span[1] - began)))
    return spans


def _lane(model: GraphModel, node: Node, open_spans: list[_Span], seconds: float) -> Lane:
    spans = [(letter, start, seconds if end is None else end) for letter, start, end in open_spans]
    if len(spans) <= FEW:
        bars: list[Bar] = [{"letter": letter, "start": start, "end": end} for letter, start, end in spans]
        return {"node": model.base + node.site, "bars": bars, "heights": [], "failed": []}
    failed = sorted(end for letter, _, end in spans if letter == "f")
    return {"node": model.base + node.site, "bars": [], "heights": _heights(spans, seconds), "failed": failed[:FEW]}


def _heights(spans: Iterable[tuple[str, float, float]], seconds: float) -> list[int]:
    """How many were at work at some time in each slice."""
    steps = [0] * (SLICES + 1)
    for _, start, end in spans:
        first = min(SLICES - 1, int(start / seconds * SLICES))
        steps[first] += 1
        steps[max(first, min(SLICES - 1, int(end / seconds * SLICES))) + 1] -= 1
    return list(accumulate(steps[:SLICES]))
