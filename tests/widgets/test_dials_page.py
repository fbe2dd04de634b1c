"""The limits of a task, set from the page while its runs are at work."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from support.flows import flow, task
from tidegate.engine import Engine, using
from tidegate.errors import NotRunning, UsageError
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore
from tidegate_widgets.dials import dials, turn
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.node import Node


class AtWork:
    """A map of six that are held until somebody lets them go."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.model = GraphModel()
        self.go = threading.Event()
        self.began = threading.Semaphore(0)
        engine.subscribe(1, self.model.apply)

        @task(name="page-held", concurrency=1)
        def held(row: int) -> int:
            self.began.release()
            assert self.go.wait(10)
            return row

        @flow(name="page-dials")
        def work() -> None:
            held.map(range(6)).wait()

        self.held = held
        self.thread = threading.Thread(target=work, kwargs={"return_state": True})

    @property
    def run(self) -> FlowRun:
        return self.engine.live[1]

    @property
    def node(self) -> Node:
        return self.model.nodes[1]

    def __enter__(self) -> AtWork:
        self.thread.start()
        assert self.began.acquire(timeout=5)
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.thread.join(10)


def shown(run: FlowRun | None, node: Node) -> dict[str, str]:
    return {each["dial"]: each["value"] for each in dials(run, node)}


def test_more_run_at_once_as_soon_as_the_page_says_so() -> None:
    with using(Engine(MemoryStore())) as engine, AtWork(engine) as work:
        assert shown(work.run, work.node) == {"concurrency": "1", "rate": ""}
        assert not work.began.acquire(blocking=False)
        assert turn(work.run, work.node, "concurrency", " 3 ") == "3 at a time from now on."
        assert work.began.acquire(timeout=5)
        assert work.began.acquire(timeout=5)
        assert turn(work.run, work.node, "rate", "6000/min") == "Starts at 6000/min from now on."
        assert shown(work.run, work.node) == {"concurrency": "3", "rate": "6000/min"}
        assert turn(work.run, work.node, "concurrency", "") == "Any number at a time from now on."
        assert turn(work.run, work.node, "rate", "") == "Starts at any rate from now on."
        assert shown(work.run, work.node) == {"concurrency": "", "rate": ""}
        run = work.run
    assert shown(run, work.node) == {}
    with pytest.raises(NotRunning, match="has ended"):
        turn(run, work.node, "concurrency", "3")


@pytest.mark.parametrize(
    ("dial", "value", "told"),
    [
        (
            "concurrency",
            "many",
            "A concurrency limit is a whole number from 1 on, or nothing for any number, not 'many'.",
        ),
        ("concurrency", "0", "concurrency of 'page-held' must be a whole number from 1 on, not 0."),
        ("rate", "often", "rate of 'page-held' must be such as '900/min', "),
        ("rate", "-2", "rate of 'page-held' must be such as '900/min', "),
        ("rate", "nan", "rate of 'page-held' must be such as '900/min', "),
        ("volume", "3", "There is no such dial."),
    ],
)
def test_bad_input_is_one_clear_line_and_changes_nothing(dial: str, value: Any, told: str) -> None:
    with using(Engine(MemoryStore())) as engine, AtWork(engine) as work:
        with pytest.raises(UsageError) as refused:
            turn(work.run, work.node, dial, value)
        assert str(refused.value).startswith(told), refused.value
        assert "\n" not in str(refused.value)
        assert shown(work.run, work.node) == {"concurrency": "1", "rate": ""}
