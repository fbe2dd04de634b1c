"""The decision when the next may start, and who waits for it, in a time that the tests own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.pace import Pace, Turn
from tidegate.rules.rates import AT_ONCE, SLACK, due_after, due_changed, interval_of, seconds_left


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        ("10/s", 0.1),
        ("900/min", 60 / 900),
        ("5000/h", 0.72),
        ("5_000 / hour", 0.72),
        ("5,000/h", 0.72),
        ("1/d", 86_400.0),
        ("0.5/sec", 2.0),
        (4, 0.25),
        (0.1, 10.0),
    ],
)
def test_a_rate_is_written_as_people_say_it(rate: object, seconds: float) -> None:
    assert interval_of(rate) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "rate",
    ["", "10", "/s", "10/", "10/x", "-1/s", "0/s", "10/s/s", "inf/s", 0, -1, True, float("nan"), [], None, "\u0661/s"],
)
def test_what_is_no_rate_is_told_apart(rate: object) -> None:
    assert interval_of(rate) is None


EACH = st.tuples(st.floats(0, 3), st.floats(0, 0.2))
"""How long after the last start somebody asks, and how late he is woken."""


@given(st.lists(EACH, max_size=60), st.floats(0.001, 2))
def test_however_they_come_no_span_of_time_sees_more_than_the_rate(
    asks: list[tuple[float, float]], interval: float
) -> None:
    due, now, starts = AT_ONCE, 0.0, list[float]()
    for pause, late in asks:
        asked = now + pause
        left = seconds_left(due, asked)
        now = asked + left + (late if left else 0.0)
        assert seconds_left(due, now) < 1e-9
        due = due_after(due, now, interval, waited=left > 0)
        starts.append(now)
    for (i, first), (j, last) in itertools.combinations(enumerate(starts), 2):
        assert last - first >= (j - i) * interval - SLACK - 1e-9


@given(st.lists(st.floats(0, 0.99 * SLACK), min_size=1, max_size=60), st.floats(0.001, 2))
def test_late_timers_cost_nothing_while_somebody_waits(lates: list[float], interval: float) -> None:
    due = due_after(AT_ONCE, 0.0, interval, waited=False)
    for late in lates:
        due = due_after(due, due + late, interval, waited=True)
    assert due == pytest.approx((len(lates) + 1) * interval)


@given(st.floats(0, 100), st.floats(0.001, 100), st.floats(0.001, 100))
def test_another_rate_counts_from_the_last_start(start: float, before: float, after: float) -> None:
    due = due_after(AT_ONCE, start, before, waited=False)
    assert due_changed(due, before, after) == pytest.approx(start + after)
    assert due_changed(AT_ONCE, before, after) == AT_ONCE


class Time:
    """Passes when it is told to, and calls back what is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._ids = itertools.count()

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        heappush(self._timers, (self.now + seconds, next(self._ids), call))

    def passes(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, call = heappop(self._timers)
            call()
        self.now = end


class Starters:
    """Turns of one pace, whose owners start as soon as they may."""

    def __init__(self, interval: float) -> None:
        self.time = Time()
        self.pace = Pace(interval, lambda: self.time.now)
        self.started: list[tuple[str, float]] = []

    def asks(self, *names: str) -> list[Turn]:
        return [self._ask(name) for name in names]

    def _ask(self, name: str) -> Turn:
        turn = self.pace.ask(self.time.after)
        turn.on_done(lambda: self._start(name, turn))
        return turn

    def _start(self, name: str, turn: Turn) -> None:
        self.started.append((name, round(self.time.now, 6)))
        turn.begin()


def test_they_start_in_the_order_of_asking() -> None:
    each = Starters(2.0)
    each.asks("a", "b", "c")
    assert each.started == [("a", 0.0)]
    each.time.passes(10)
    assert each.started == [("a", 0.0), ("b", 2.0), ("c", 4.0)]
    each.asks("d", "e")
    assert each.started[3:] == [("d", 10.0)]  # what was not used is gone
    each.time.passes(2)
    assert each.started[4:] == [("e", 12.0)]


@pytest.mark.parametrize("who", [1, 2])
def test_one_that_leaves_holds_up_nobody(who: int) -> None:
    each = Starters(2.0)
    turns = each.asks("a", "b", "c")
    turns[who].leave()
    turns[who].leave()
    each.time.passes(10)
    assert each.started == [("a", 0.0), ("c" if who == 1 else "b", 2.0)]


def test_the_one_whose_turn_it_is_may_wait_for_something_else() -> None:
    each = Starters(2.0)
    held = each.pace.ask(each.time.after)
    assert held.done()
    each.asks("a", "b")
    each.time.passes(50)
    assert each.started == []
    held.begin()
    held.leave()
    each.time.passes(10)
    assert each.started == [("a", 52.0), ("b", 54.0)]


def test_one_whose_turn_it_was_and_that_did_not_start_uses_nothing_up() -> None:
    each = Starters(2.0)
    held = each.pace.ask(each.time.after)
    each.asks("a")
    held.leave()
    assert each.started == [("a", 0.0)]


@pytest.mark.parametrize(("interval", "wanted"), [(1.0, [5.0, 6.0]), (20.0, [20.0, 40.0])])
def test_another_pace_holds_for_those_who_wait(interval: float, wanted: list[float]) -> None:
    each = Starters(10.0)
    each.asks("a", "b", "c")
    each.time.passes(5)
    each.pace.change(interval)
    each.time.passes(100)
    assert [at for _, at in each.started] == [0.0, *wanted]


def test_from_many_threads_each_starts_once(hectic: None) -> None:
    pace, lock, started = Pace(1e-6), threading.Lock(), list[Turn]()

    def many() -> None:
        for _ in range(50):
            turn = pace.ask(lambda seconds, call: threading.Timer(seconds, call).start())
            opened = threading.Event()
            turn.on_done(opened.set)
            assert opened.wait(10)
            with lock:
                started.append(turn)
            turn.begin()

    threads = [threading.Thread(target=many) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(started)) == 200
