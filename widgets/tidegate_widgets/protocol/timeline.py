"""When the task runs ran."""

from typing import TypedDict


class Bar(TypedDict):
    """When one task run ran, in seconds since the timeline begins; of several attempts the last."""

    letter: str
    """What it is, as in a strip."""
    start: float
    end: float


class Lane(TypedDict):
    """The task runs of one node over time.  A lane has a bounded size, whatever the number of its runs."""

    node: int
    bars: list[Bar]
    """One for each run that has begun, where the node has few."""
    heights: list[int]
    """Where it has many: how many ran at some time in each of as many equal parts of the timeline; else empty."""
    failed: list[float]
    """With `heights`: when runs failed, the first 24 of them."""


class Timeline(TypedDict):
    """When the task runs ran.  It begins with the first of them."""

    seconds: float
    """From its begin to now, or to the end of the run."""
    likely: float | None
    """When the run is likely to end, in seconds from its begin; null where nothing honest can be said."""
    lanes: list[Lane]
    """In the order of the nodes, the drawn ones only."""
