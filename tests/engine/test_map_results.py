"""What `.map()` gives back, as a table, and what of it is tried again."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any

import pytest
from IPython.lib.pretty import pretty

from support.flows import Feed, Start, flow, in_time, opened, states_in_store, task
from tidegate import CancelledRun, FlowRun, MapResult, NotStartable, UsageError, allow_failure, resume
from tidegate.engine import Engine
from tidegate.model.states import State, StateType

KINDS = ["sync", "async", "async in async"]


class Bodies:
    """Squares what it gets; items in `bad` raise."""

    def __init__(self, *bad: int) -> None:
        self.bad = set(bad)
        self.ran: list[int] = []

    def __call__(self, x: int) -> int:
        self.ran.append(x)
        if x in self.bad:
            raise ValueError(f"bad <{x}>")
        return x * x

    def again(self) -> list[int]:
        """What ran since the last look, in order of the items."""
        ran, self.ran = sorted(self.ran), []
        return ran


def made(kind: str, body: Bodies, **options: Any) -> Any:
    @task(name="square", **options)
    def sync(x: int) -> int:
        return body(x)

    @task(name="square", **options)
    async def coroutine(x: int) -> int:
        await asyncio.sleep(0)
        return body(x)

    return sync if kind == "sync" else coroutine


def mapped(body: Bodies, items: Any, kind: str = "sync", **options: Any) -> Any:
    """The futures of a map whose flow run has ended."""
    square = made(kind, body, **options)
    kept: list[Any] = []

    @flow(name="mapped")
    def work() -> None:
        kept.append(square.map(items))

    @flow(name="mapped-async")
    async def work_async() -> None:
        kept.append(square.map(items))

    final = work if kind != "async in async" else lambda **options: asyncio.run(work_async(**options))
    in_time(lambda: final(return_state=True))
    kept.append((work, work_async))  # which are known only as long as somebody has them
    return kept[0]


def cells(found: Any) -> list[list[str]]:
    """What the plain table says, word by word."""
    return [line.split() for line in pretty(found).splitlines()]


# The table ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_it_shows_what_became_of_each(engine: Engine, kind: str) -> None:
    found = mapped(Bodies(1), [0, 1, 2], kind, retries=1)
    assert cells(found) == [
        ["MapResult('square',", "3", "task", "runs):", "2", "completed,", "1", "failed"],
        ["status", "value", "error", "attempts"],
        ["0", "Completed", "0", "1"],
        ["1", "Failed", "ValueError:", "bad", "<1>", "2"],
        ["2", "Completed", "4", "1"],
    ]
    html = found._repr_html_()
    assert html.startswith('<div class="tidegate-map">')
    assert html.count("<tr>") == 4
    assert "bad &lt;1&gt;" in html
    assert "<1>" not in html


def test_as_text_it_holds_no_times(engine: Engine) -> None:
    """So that a notebook that is run again gives the same text."""
    first, again = (mapped(Bodies(2), range(4)) for _ in range(2))
    assert pretty(first) == pretty(again)
    assert pretty([first, 1]) == "[MapResult('square', 4 task runs), 1]"
    assert repr(first) == "MapResult('square', 4 task runs)"


def test_a_long_table_is_cut_and_keeps_what_failed(engine: Engine) -> None:
    found = mapped(Bodies(70, 99), range(100))
    shown = [line[0] for line in cells(found)[2:-1]]
    assert shown == [*map(str, range(28)), "70", "99"]
    assert cells(found)[-1] == ["…", "70", "more"]
    assert found._repr_html_().count("<tr>") == 31
    allfail = cells(mapped(Bodies(*range(100)), range(100)))
    assert len(allfail) == 33


def test_whatever_was_returned_can_be_shown(engine: Engine) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    made_by = [lambda: "<b>" * 1000, Broken, lambda: list(range(10**6)), lambda: "\ud800", lambda: None]
    kept: list[Any] = []

    @task
    def make(value: Any) -> Any:
        return value()

    @flow
    def work() -> None:
        kept.append(make.map(made_by))

    in_time(work)
    text, html = pretty(kept[0]), kept[0]._repr_html_()
    assert all(len(line) < 160 for line in text.splitlines())
    assert "<Broken instance>" in text
    assert "<b>" not in html
    html.encode()


def test_it_can_be_looked_at_while_it_runs(engine: Engine, start: Start, gate: threading.Event) -> None:
    began, submitted, kept = threading.Event(), threading.Event(), list[Any]()

    @task(concurrency=1)
    def held(x: int) -> None:
        began.set()
        opened(gate)

    @flow
    def work() -> None:
        kept.append(held.map(range(2)))
        submitted.set()

    running = start(work)
    opened(began)
    opened(submitted)
    table = kept[0].df
    assert list(table.status) == ["Running", "Pending"]
    assert table.seconds[0] >= 0
    assert table.seconds.isna()[1]
    assert kept[0].failed == []
    assert len(cells(kept[0])) == 4
    gate.set()
    running.ended()


def test_a_data_frame_has_all_of_it(engine: Engine) -> None:
    found = mapped(Bodies(1, 3), range(5), retries=1)
    table = found.df
    assert list(table.index) == list(range(5))
    assert list(table.status) == ["Completed", "Failed", "Completed", "Failed", "Completed"]
    assert list(table.value) == [0, None, 4, None, 16]
    assert list(table.attempts) == [1, 2, 1, 2, 1]
    assert list(table.error) == ["", "ValueError: bad <1>", "", "ValueError: bad <3>", ""]
    assert (table.seconds >= 0).all()
    assert list(found.failed.df.index) == [1, 3]
    assert list(found[2:].failed[:1].df.index) == [3]
    assert list(found.failed.df.name) == ["square-1", "square-3"]
    assert list(found[:0].df.columns) == list(table.columns)


def test_without_pandas_one_line_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = mapped(Bodies(), [1])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        _ = found.df


def test_it_is_a_list_still(engine: Engine) -> None:
    found = mapped(Bodies(1), range(3))
    assert len(found) == 3
    assert isinstance(found[1:], MapResult)
    assert [each.name for each in found] == ["square-0", "square-1", "square-2"]
    assert found[-1].result() == 4
    assert found[0] in found
    assert cells(mapped(Bodies(), [])[:0]) == [["MapResult('nothing',", "0", "task", "runs)"]]


@pytest.mark.parametrize("kind", KINDS)
def test_they_can_be_had_as_they_end(engine: Engine, kind: str) -> None:
    square, got = made(kind, Bodies(1)), list[Any]()

    @flow
    def work() -> int:
        got.extend(each.state.is_completed() for each in square.map(range(3)).as_completed())
        return 1

    @flow
    async def work_async() -> int:
        async for each in square.map(range(3)).as_completed():
            got.append(each.state.is_completed())
        return 1

    in_time(lambda: asyncio.run(work_async()) if kind == "async in async" else work())
    assert sorted(got) == [False, True, True]


# Again ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_those_that_failed_run_once_more_in_their_flow_run(stored: Engine, feed: Feed, kind: str) -> None:
    """They are the same task runs, and the flow is judged by how they end at last."""
    body = Bodies(1, 3)
    square, seen = made(kind, body), list[Any]()

    def look(found: Any, again: Any) -> None:
        seen.append(([each.number for each in again], list(again.places), body.again()))

    @flow
    def work() -> None:
        found = square.map(range(4))
        found.wait()
        assert body.again() == [0, 1, 2, 3]
        body.bad.clear()
        again = found.retry()
        again.wait()
        assert found.result() == [0, 1, 4, 9]
        look(found, again)

    @flow
    async def work_async() -> None:
        found = square.map(range(4))
        await found.wait()
        assert body.again() == [0, 1, 2, 3]
        body.bad.clear()
        again = await found.retry()
        await again.wait()
        assert await found.result() == [0, 1, 4, 9]
        look(found, again)

    final = in_time(
        lambda: asyncio.run(work_async(return_state=True)) if kind == "async in async" else work(return_state=True)
    )
    assert final.name == "Completed", final
    assert seen == [([2, 4], [1, 3], [1, 3])]
    for store_states in (states_in_store(stored.store, 1, 2), feed.task_states(2)):
        assert store_states == ["Running", "Failed", "Retrying", "Completed"]
    assert [row.attempts for row in stored.store.task_runs(1)] == [1, 2, 1, 2]


def test_those_that_fail_again_count_once(engine: Engine) -> None:
    body = Bodies(1)
    square = made("sync", body, retries=1)

    @flow
    def work() -> None:
        found = square.map(range(3))
        found.wait()
        for _ in range(2):
            found.retry().wait()

    final = in_time(lambda: work(return_state=True))
    assert final.message == "1/3 states failed."
    assert body.again() == [0, 1, 1, 1, 1, 1, 1, 2]  # with all its retries each time


def test_what_never_began_waits_for_what_it_needs(engine: Engine) -> None:
    body = Bodies(1)
    first, second = made("sync", body), task(lambda x: x + 1, name="second")

    @flow
    def work() -> Any:
        squares = first.map(range(3))
        sums = second.map(squares)
        sums.wait()
        assert [each.state.name for each in sums] == ["Completed", "NotReady", "Completed"]
        body.bad.clear()
        squares.retry()
        sums.retry()
        return [sums.result(), len(sums.retry())]

    assert in_time(work) == [[1, 2, 5], 0]


def test_those_that_run_or_completed_are_left_alone(engine: Engine, gate: threading.Event) -> None:
    body = Bodies(0)
    began = threading.Event()

    @task
    def step(x: int) -> int:
        if x == 2:
            began.set()
            opened(gate)
        return body(x)

    @flow
    def work() -> list[int]:
        found = step.map(range(3))
        opened(began)
        found[:2].wait()
        again = found.retry()
        again.wait()
        gate.set()
        found.wait()
        return body.again()

    final = in_time(lambda: work(return_state=True))
    assert final.result() == [0, 0, 1, 2]


@pytest.mark.parametrize("threads", [2, 5])
def test_of_several_who_ask_at_once_each_run_begins_once(engine: Engine, threads: int, hectic: None) -> None:
    body = Bodies(*range(20))
    square = made("sync", body)

    @flow
    def work() -> None:
        found = square.map(range(20))
        found.wait()
        body.again()
        body.bad.clear()
        asking = [threading.Thread(target=found.retry) for _ in range(threads)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        found.wait()

    assert in_time(lambda: work(return_state=True)).is_completed()
    assert body.again() == list(range(20))


def test_a_paused_flow_begins_them_when_it_goes_on(engine: Engine, feed: Feed, start: Start) -> None:
    body = Bodies(0)
    square, failed, go = made("sync", body), threading.Event(), threading.Event()

    @flow
    def work() -> list[int]:
        found = square.map([0])
        found.wait()
        failed.set()
        opened(go)
        body.bad.clear()
        return list(found.retry().result())

    running = start(work)
    opened(failed)
    running.run.pause()
    go.set()
    feed.await_flow(StateType.PAUSED)
    assert body.again() == [0]
    running.run.resume()
    assert running.ended() == [0]
    assert body.again() == [0]


def test_in_a_flow_that_is_cancelled_none_begins(engine: Engine, start: Start) -> None:
    body = Bodies(0)
    square, failed, kept = made("sync", body), threading.Event(), list[Any]()

    @flow
    def work() -> None:
        kept.append(square.map([0]))
        kept[0].wait()
        failed.set()
        while True:
            time.sleep(0.001)

    running = start(work)
    opened(failed)
    running.run.gate = StateType.CANCELLING
    with pytest.raises(CancelledRun):
        kept[0].retry()
    running.run.gate = StateType.RUNNING
    running.run.cancel()
    with pytest.raises(CancelledRun):
        running.ended()
    assert body.again() == [0]


def test_a_suspension_half_way_leaves_the_rest_for_later(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    body, kept = Bodies(0, 1, 2), list[Any]()
    square = made("sync", body)

    @flow
    def work() -> None:
        kept.append(square.map(range(3)))
        kept[-1].wait()
        if len(kept) == 1:
            body.again()
            body.bad.clear()
            kept[-1].retry()
        assert len(kept) == 2

    once_more = FlowRun.once_more

    def suspended(run: FlowRun, *given: Any) -> Any:
        found = once_more(run, *given)
        run.suspend()
        return found

    monkeypatch.setattr(FlowRun, "once_more", suspended)
    assert in_time(lambda: work(return_state=True)).is_suspended()
    assert body.again() == []
    final = resume(1)
    assert isinstance(final, State)
    assert final.is_completed()
    assert body.again() == [0, 1, 2]


def test_of_many_that_failed_after_the_end_what_needs_them_is_found_at_once(engine: Engine) -> None:
    """Quadratic it would take minutes."""
    body = Bodies(*range(2_000))
    found = mapped(body, range(4_000))
    body.again()
    body.bad.clear()
    in_time(found.retry)
    assert body.again() == list(range(2_000))


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_end_the_same_run_is_taken_up(stored: Engine, kind: str) -> None:
    body = Bodies(1, 3)
    found = mapped(body, range(4), kind)
    assert body.again() == [0, 1, 2, 3]
    body.bad = {3}
    again = found.retry()
    again = in_time(lambda: asyncio.run(again)) if kind == "async in async" else again
    assert body.again() == [1, 3]
    assert list(again.places) == [1, 3]
    assert [each.state.name for each in found] == ["Completed", "Completed", "Completed", "Failed"]
    assert list(found.df.value) == [0, 1, 4, None]
    body.bad.clear()
    last = found.retry()
    if kind == "async in async":
        in_time(lambda: asyncio.run(last))
    assert list(found.df.value) == [0, 1, 4, 9]
    assert len(stored.store.flow_runs()) == 1
    assert states_in_store(stored.store, 1)[-2:] == ["Resuming", "Completed"]
    assert states_in_store(stored.store, 1, 4) == [
        "Running",
        "Failed",
        *["Retrying", "Failed"],
        "Retrying",
        "Completed",
    ]
    assert len(found.failed.retry()) == 0


def test_after_the_end_what_needs_them_runs_anew(engine: Engine) -> None:
    """Although the flow completed: the sum did without those that failed."""
    body, totals, kept = Bodies(1), list[int](), list[Any]()
    square = made("sync", body)

    @task
    def total(values: list[Any]) -> int:
        totals.append(sum(each for each in values if isinstance(each, int)))
        return totals[-1]

    @flow
    def work(frame: Any) -> int:
        kept.append(square.map(range(4)))
        return int(total(allow_failure(kept[-1])))

    assert in_time(lambda: work(object())) == 13  # a parameter that no record holds
    body.again()
    body.bad.clear()
    kept[0].retry()
    assert totals == [13, 14]
    assert body.again() == [1]
    row = engine.store.flow_run(1)
    assert row is not None
    assert row.state.is_completed()


def test_a_run_that_is_gone_is_not_taken_up(engine: Engine) -> None:
    found = mapped(Bodies(0), [0])
    found[0].task_run.flow_run.number = 99
    with pytest.raises(NotStartable, match="no flow run 99"):
        found.retry()
