"""Concurrency and rate, changed while runs are at work."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support.flows import SOON, Feed, Start, Started, flow, in_time, opened, task
from tidegate import ConcurrentTaskRunner, UsageError, set_concurrency, set_rate
from tidegate.concurrency import ConcurrencyLimit
from tidegate.engine import Engine
from tidegate.latch import Latch


class Held:
    """A mapped task whose runs each wait until they are let go; who began is told."""

    def __init__(self, start: Start, items: int, **options: Any) -> None:
        self.lock = threading.Condition()
        self.at_work: list[int] = []
        self.total = 0
        self.let_go: set[int] = set()
        self.task = task(self._body, name="held", **options)

        @flow(task_runner=ConcurrentTaskRunner(16))
        def work() -> int:
            return len(self.task.map(range(items)).wait())

        self.running: Started = start(work)

    def _body(self, x: int) -> None:
        with self.lock:
            self.at_work.append(x)
            self.total += 1
            self.lock.notify_all()
            assert self.lock.wait_for(lambda: x in self.let_go, SOON)
            self.at_work.remove(x)
            self.lock.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.lock:
            assert self.lock.wait_for(condition, SOON), f"{len(self.at_work)} at work, {self.total} began"

    def finish(self, count: int) -> None:
        """Let so many of those at work end."""
        with self.lock:
            self.let_go.update(self.at_work[:count])
            self.lock.notify_all()

    def finish_all(self) -> int:
        with self.lock:
            self.let_go.update(range(1000))
            self.lock.notify_all()
        ended: int = self.running.ended()
        return ended


def logged(engine: Engine) -> list[str]:
    return [line.text for _, line in engine.store.logs(1) if "from now on" in line.text]


@pytest.mark.parametrize("way", ["attribute", "call", "name"])
def test_more_places_let_those_that_wait_begin_at_once(engine: Engine, start: Start, way: str) -> None:
    held = Held(start, 6, concurrency=2)
    held.until(lambda: held.total == 2)
    if way == "attribute":
        held.task.concurrency = 5
    else:
        set_concurrency(held.task if way == "call" else "held", 5)
    held.until(lambda: len(held.at_work) == 5)
    assert held.task.concurrency == 5
    assert held.finish_all() == 6


def test_fewer_places_let_those_at_work_finish(engine: Engine, start: Start) -> None:
    held = Held(start, 8, concurrency=4)
    held.until(lambda: held.total == 4)
    held.task.concurrency = 2
    held.finish(2)
    held.until(lambda: len(held.at_work) == 2)
    assert held.total == 4  # two ended, and nobody took their places
    held.finish(1)
    held.until(lambda: held.total == 5)
    assert len(held.at_work) == 2
    assert held.finish_all() == 8


def test_no_limit_any_more_lets_all_begin(engine: Engine, start: Start) -> None:
    held = Held(start, 6, concurrency=1)
    held.until(lambda: held.total == 1)
    held.task.concurrency = None
    held.until(lambda: len(held.at_work) == 6)
    assert held.finish_all() == 6


def test_a_limit_where_there_was_none_holds_for_those_that_begin(engine: Engine, gate: threading.Event) -> None:
    began, most, lock, now = threading.Event(), [0], threading.Lock(), [0]

    @task
    def first() -> None:
        began.set()
        opened(gate)

    @task
    def step(x: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.002)
        with lock:
            now[0] -= 1

    @flow(task_runner=ConcurrentTaskRunner(8))
    def work() -> None:
        holds = first.submit()
        rows = step.map(range(20), wait_for=[holds])
        opened(began)
        step.concurrency = 2
        gate.set()
        rows.wait()

    in_time(work)
    assert most[0] == 2


@pytest.mark.parametrize("way", ["attribute", "call", "name"])
def test_a_faster_rate_holds_for_those_that_wait(engine: Engine, start: Start, way: str) -> None:
    held = Held(start, 4, rate="1/h")
    held.until(lambda: held.total == 1)
    if way == "attribute":
        held.task.rate = "100/s"
    else:
        set_rate(held.task if way == "call" else "held", "100/s")
    held.until(lambda: held.total == 4)
    assert held.task.rate == "100/s"
    assert held.finish_all() == 4


def test_no_rate_any_more_lets_all_start(engine: Engine, start: Start) -> None:
    held = Held(start, 5, rate="1/h")
    held.until(lambda: held.total == 1)
    held.task.rate = None
    held.until(lambda: held.total == 5)
    assert held.finish_all() == 5


def test_a_rate_where_there_was_none_holds_for_what_begins(engine: Engine) -> None:
    step = task(lambda: 1, name="step")

    @flow
    def work() -> list[str]:
        step()
        step.rate = "1/h"
        step()
        waiting = step.submit()
        assert waiting.wait(0.05) is None
        name = waiting.state.name
        step.rate = None
        waiting.wait()
        return [name, waiting.state.name]

    assert in_time(work) == ["Pending", "Completed"]


def test_what_is_set_holds_for_flow_runs_to_come_and_for_copies(engine: Engine, start: Start) -> None:
    held = Held(start, 3, concurrency=1)
    held.until(lambda: held.total == 1)
    held.task.concurrency = 2
    assert held.task.with_options(name="copy").concurrency == 2
    held.finish_all()
    other = flow(lambda: [each.name for each in held.task.map(range(3)).wait()], name="other")
    assert in_time(other) == ["Completed"] * 3


def test_the_log_of_each_flow_run_that_goes_on_tells_it(stored: Engine, feed: Feed, start: Start) -> None:
    held = Held(start, 3, concurrency=2)
    held.until(lambda: held.total == 2)
    set_concurrency("held", 3, by="the page")
    set_concurrency("held", 3)
    held.task.concurrency = None
    held.task.rate = 50
    held.finish_all()
    held.task.concurrency = 7
    assert logged(stored) == [
        "The concurrency of held was 2 and is 3 from now on: set by the page.",
        "The concurrency of held was 3 and is unlimited from now on: set by you.",
        "The rate of held was unlimited and is 50 from now on: set by you.",
    ]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "8"])
def test_nonsense_changes_nothing(engine: Engine, wrong: Any) -> None:
    step = task(lambda: 1, name="step", concurrency=2, rate="2/s")
    with pytest.raises(UsageError, match="concurrency of 'step' must be a whole number"):
        step.concurrency = wrong
    with pytest.raises(UsageError, match="rate of 'step' must be"):
        step.rate = "often"
    assert (step.concurrency, step.rate) == (2, "2/s")


def test_a_name_that_no_task_has_is_refused(engine: Engine) -> None:
    kept = task(lambda: 1, name="kept_for_names")
    for call in (set_concurrency, set_rate):
        with pytest.raises(UsageError, match=r"No task 'no_such' is defined here or at work\. There are .*"):
            call("no_such", 1)
    assert kept.concurrency is None


def test_places_are_never_lost_and_never_too_many() -> None:
    """Against a model that counts: random steps of taking, giving and resizing."""
    for seed in range(200):
        chance = random.Random(seed)
        places = chance.randint(1, 4)
        limit, asked, given = ConcurrencyLimit(places), list[Latch](), 0
        for _ in range(60):
            step = chance.choice(["take", "take", "give", "resize"])
            inside_before = sum(latch.done() for latch in asked) - given
            if step == "take":
                asked.append(limit.take())
            elif step == "give" and inside_before:
                limit.give()
                given += 1
            elif step == "resize":
                places = chance.choice([1, 2, 3, 5, 8])
                limit.resize(places)
            inside = sum(latch.done() for latch in asked) - given
            queued = len(asked) - given - inside
            assert inside <= max(places, inside_before), seed
            assert not queued or inside >= places, seed
            assert [latch.done() for latch in asked] == sorted((latch.done() for latch in asked), reverse=True)
