"""What an agent does with the runs that it sees: every case by itself, without a store and without processes."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.model.deployments import Dispatch, Place, WorkQueue
from tidegate.model.states import AwaitingRetry, Cancelling, Paused, Pending, Running, Scheduled, State
from tidegate.model.views import FlowRow
from tidegate.rules.agents import Action, Adopt, End, Finish, Move, Refuse, Seen, Start, View, decide_look

NOW = 1_000.0
HERE, THERE = Place("here", 12, "a"), Place("there", 12, "a")


def seen(
    state: State, number: int = 1, *, owner: str = "", queue: str = "default", place: Place | None = None, **more: bool
) -> Seen:
    row = FlowRow(number, "u", "load", "brave-otter", 0.0, state, owner=owner)
    return Seen(row, Dispatch(number, "load/nightly", queue, 0.0, "/", place=place), **more)


def done(*runs: Seen, queues: tuple[WorkQueue, ...] = (), **more: Any) -> list[Action]:
    return decide_look(View(NOW, "here", runs, {each.name: each for each in queues}, **more))


def kinds(*runs: Seen, **more: Any) -> list[tuple[str, int]]:
    return [(type(each).__name__, each.seen.row.number) for each in done(*runs, **more)]


def due(ahead: float, number: int = 1, **more: Any) -> Seen:
    return seen(Scheduled(NOW + ahead), number, **more)


# Starting -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "before", "starts"), [(0, 0, True), (0.1, 0, False), (9, 10, True), (11, 10, False)])
def test_a_run_is_started_at_its_time_or_so_long_before(ahead: float, before: float, starts: bool) -> None:
    assert kinds(due(ahead), prefetch=before) == ([("Start", 1)] if starts else [])


@pytest.mark.conforms("B288", "B271")
def test_it_is_claimed_as_pending_and_keeps_its_time() -> None:
    (start,) = done(due(-2))
    assert isinstance(start, Start)
    assert start.state == State(Pending().type, "Pending", timestamp=NOW, scheduled_time=NOW - 2)


@pytest.mark.conforms("B289")
def test_a_run_is_called_late_once() -> None:
    assert kinds(due(-5)) == [("Start", 1)]
    (late,) = done(due(-5.1))
    assert isinstance(late, Move)
    assert late.state == Scheduled(NOW - 5.1, name="Late", at=NOW)
    assert kinds(seen(late.state)) == [("Start", 1)]
    assert kinds(due(-60, queue="gpu"), queues=(WorkQueue("gpu", paused=True),)) == [("Move", 1)]


@pytest.mark.conforms("B288")
def test_limits_and_pauses_leave_the_later_ones_waiting() -> None:
    runs = [due(-3, 1), due(-2, 2), due(-1, 3, queue="gpu"), due(-1, 4, queue="gpu")]
    assert kinds(*runs) == [("Start", each) for each in (1, 2, 3, 4)]
    assert kinds(*runs, limit=1) == [("Start", 1)]
    assert kinds(*runs, queues=(WorkQueue("default", limit=1),)) == [("Start", 1), ("Start", 3), ("Start", 4)]
    assert kinds(*runs, queues=(WorkQueue("default", paused=True), WorkQueue("gpu", limit=1))) == [("Start", 3)]
    assert kinds(*runs, queues=(WorkQueue("gpu", limit=0),)) == [("Start", 1), ("Start", 2)]


@pytest.mark.conforms("B288")
def test_what_is_at_work_takes_its_place() -> None:
    mine = seen(Running(), 9, owner="child", owned=True, mine=True, running=True, place=HERE)
    others = seen(Running(), 8, owner="child", owned=True, cared_for=True, place=HERE)
    taken_over = seen(Running(), 7, owner="kernel", owned=True, mine=True, place=HERE)
    assert kinds(mine, due(-1, 1), due(-1, 2), limit=2) == [("Start", 1)]
    assert kinds(others, taken_over, due(-1, 1), limit=1) == [("Start", 1)]
    assert kinds(mine, others, due(-1, 1), queues=(WorkQueue("default", limit=2),)) == []


def test_a_flow_that_is_tried_again_in_its_process_is_left_to_it() -> None:
    assert kinds(seen(AwaitingRetry(NOW - 1), owner="child", owned=True, mine=True, running=True, place=HERE)) == []
    assert kinds(seen(AwaitingRetry(NOW - 1))) == [("Start", 1)]  # by hand


def test_a_run_whose_agent_died_before_it_was_begun_is_started_by_another() -> None:
    claimed = Pending()
    assert done(seen(claimed)) == [Start(seen(claimed), None)]
    assert kinds(seen(claimed, cared_for=True)) == []
    assert kinds(seen(claimed, running=True, place=HERE)) == [("Adopt", 1)]


# Looking after --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [Running(), Paused(), Pending()], ids=lambda each: each.name)
def test_a_run_at_work_is_left_alone_adopted_or_buried(state: State) -> None:
    child: Any = {"owner": "child", "place": HERE}
    assert kinds(seen(state, owned=True, running=True, mine=True, **child)) == []
    assert kinds(seen(state, owned=True, running=True, cared_for=True, **child)) == []
    orphan = seen(state, owned=True, running=True, **child)
    assert done(orphan) == [Adopt(orphan)]
    assert done(seen(state, **child)) == [Finish(seen(state, **child))]
    assert kinds(seen(state, owned=True, **child)) == [], "another process has taken it over"


@pytest.mark.conforms("B209", "B210", "B211")
def test_a_run_that_is_cancelled() -> None:
    state = Cancelling("Cancelled by you.")
    child: Any = {"owner": "child", "place": HERE}
    assert kinds(seen(state, owned=True, running=True, mine=True, **child)) == [("End", 1)]
    assert kinds(seen(state, owned=True, running=True, **child)) == [("Adopt", 1), ("End", 1)]
    assert kinds(seen(state, owned=True, running=True, cared_for=True, **child)) == []
    assert kinds(seen(state, running=True, mine=True, place=HERE)) == [("End", 1)], "it was taken from its process"
    assert kinds(seen(state, mine=True, place=HERE)) == [("Finish", 1)], "which is gone"
    assert kinds(seen(state, mine=True, **child)) == [("Finish", 1)]
    assert kinds(seen(state, owner="kernel", owned=True, mine=True, place=HERE)) == [], "a kernel ends it itself"
    assert kinds(seen(state, owner="kernel", owned=True)) == []
    (unknown,) = done(seen(state))
    assert isinstance(unknown, Finish)
    assert "cannot be guaranteed" in unknown.why
    (refused,) = done(seen(state, owner="child", place=THERE))
    assert isinstance(refused, Refuse)
    assert "on there, and this agent on here" in refused.why
    assert not any(isinstance(each, End) for each in done(seen(state, place=THERE, mine=True)))
