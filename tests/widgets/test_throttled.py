"""The words of the graph for runs that are throttled, and for those that are tried again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from support.flows import engine_over, flow, in_time, opened, task
from tidegate import Throttled
from tidegate.model.events import Event
from tidegate.store.memory import MemoryStore
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.node import Node
from tidegate_widgets.wording import detail, node_line


def node_after(model: GraphModel, events: list[Event]) -> Node:
    model.apply(events)
    (node,) = model.nodes.values()
    return node


@pytest.mark.parametrize(
    ("items", "line"), [(1, "throttled, attempt 2 follows"), (4, "0 of 4 · 3 throttled · 1 to retry")]
)
def test_throttled_is_told_apart_from_failed(items: int, line: str) -> None:
    free = threading.Event()

    @task(retries=1, retry_delay_seconds=3600)
    def asks(x: int) -> None:
        if x == 3:
            raise ValueError(x)
        raise Throttled(retry_after=3600)

    model = GraphModel()
    with engine_over(MemoryStore()) as engine:

        @flow
        def work() -> None:
            found = asks.map(range(items))
            waits = threading.Event()
            engine.subscribe(1, lambda _: waits.set() if all(s.awaits_retry() for s in found.states) else None)
            if not all(each.awaits_retry() for each in found.states):
                opened(waits)
            node = node_after(model, [event for _, event in engine.store.events(1)])
            assert node_line(node, 0) == line
            free.set()
            engine.live[1].cancel()

        in_time(lambda: work(return_state=True))
        assert free.is_set()
        later = [event for _, event in engine.store.events(1)]
    assert node_after(GraphModel(), later).throttled == 0


def test_what_failed_and_was_retried_is_no_failure_any_more() -> None:
    bad, kept = {1, 2}, list[Any]()

    @task
    def step(x: int) -> int:
        if x in bad:
            raise ValueError(x)
        return x

    @flow
    def work() -> None:
        kept.append(step.map(range(3)))
        kept[0].wait()
        bad.discard(1)
        kept[0].retry().wait()

    model = GraphModel()
    with engine_over(MemoryStore()) as engine:
        in_time(lambda: work(return_state=True))
        node = node_after(model, [event for _, event in engine.store.events(1)])
    shown = detail(model, node)
    assert len(shown["errors"]) == 1
    assert [each["label"] for each in shown["errors"][0]["runs"]] == ["step[2]"]
