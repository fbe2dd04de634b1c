"""`rerun="ask"`: what may have done its work before its process died runs again if somebody says so."""

from __future__ import annotations

import pytest

from support.flows import Feed, Start, flow, task
from support.resumes import Bodies, resumed
from tidegate import cancel_flow_run, rerun, resume_flow_run
from tidegate.engine import Engine
from tidegate.errors import CancelledRun, CrashedRun, InvalidInput
from tidegate.model.events import FlowState, InputAsked, TaskState
from tidegate.model.states import Crashed, State


def died_at_work(stored: Engine, *task_runs: int) -> None:
    """What is recorded of a dead process that had these at work."""
    now = stored.now()
    gone = Crashed(message="Its process ended before it did.", at=now)
    ends = [TaskState(1, now, each, gone, 1) for each in task_runs]
    stored.store.commit_all([*ends, FlowState(1, now, gone, attempt=1)])


class Charges:
    """A flow of tasks about which somebody is to be asked; the one that charged may have done so."""

    def __init__(self, way: str) -> None:
        self.bodies = bodies = Bodies("a", "b")

        @task(rerun="ask")
        def charge(who: str) -> str:
            bodies(who)
            return f"{who} paid"

        @flow(retries=0)
        def work() -> list[str]:
            if way == "called":
                return [charge("a"), charge("b")]
            return [each.result() for each in charge.map(["a", "b"])]

        self.work = work


@pytest.mark.parametrize("way", ["called", "mapped"])
def test_somebody_is_asked_whether_what_may_have_done_its_work_runs_again(
    stored: Engine, feed: Feed, start: Start, way: str
) -> None:
    """One question after the other; each says what it is about, and what was said of one does not hold for another."""
    here = Charges(way)
    with pytest.raises(ValueError, match=r"[ab]"):
        here.work()
    died_at_work(stored, *range(1, 1 + len(stored.store.task_runs(1))))
    here.bodies.fails.clear()
    here.bodies.ran.clear()
    going = start(lambda: resumed(1, here.work))
    feed.until(lambda: len(asks(feed)) == 1, "the question")
    assert here.bodies.ran == []
    # Those of a map are begun at once: either may be the first to ask.
    names = {"charge-0"} if way == "called" else {"charge-0", "charge-1"}
    first = asks(feed)[-1]
    resume_flow_run(1, "run it again")
    if way == "mapped":
        feed.until(lambda: len(asks(feed)) == 2, "the second question")
        resume_flow_run(1, "run it again")
    assert {each.title for each in (first, asks(feed)[-1])} == {f"a decision on {name}" for name in names}
    for each in asks(feed):
        name = each.title.removeprefix("a decision on ")
        assert f"{name} was at work when its process ended, and may have done its work." in each.schema
    assert going.ended() == ["a paid", "b paid"]
    assert sorted(here.bodies.ran) == ["a", "b"]


def asks(feed: Feed) -> list[InputAsked]:
    """The questions that were shown so far; a feed that has seen a run begin twice hears of each twice."""
    return list(dict.fromkeys(each for each in feed.events if isinstance(each, InputAsked)))


def test_who_says_no_leaves_it_crashed_and_an_answer_is_not_asked_for_again(
    stored: Engine, feed: Feed, start: Start
) -> None:
    here = Charges("called")
    with pytest.raises(ValueError, match="a"):
        here.work()
    died_at_work(stored, 1)
    here.bodies.fails.clear()
    here.bodies.ran.clear()
    going = start(lambda: resumed(1, here.work))
    feed.until(lambda: len(asks(feed)) == 1, "the question")
    with pytest.raises(InvalidInput):
        resume_flow_run(1, "perhaps")
    resume_flow_run(1, "leave it crashed")
    told = r"^Its process ended before it did\. `tidegate\.rerun\(1, 'charge-0'\)` runs it all the same\.$"
    with pytest.raises(CrashedRun, match=told):
        going.ended()
    with pytest.raises(CrashedRun, match=told):
        resumed(1, here.work)
    assert here.bodies.ran == []
    final = rerun(1, "charge-0", here.work)
    assert isinstance(final, State)
    assert final.result() == ["a paid", "b paid"]
    assert len(asks(feed)) == 1


def test_what_ended_by_itself_runs_again_without_a_question(stored: Engine, feed: Feed) -> None:
    here = Charges("called")
    with pytest.raises(ValueError, match="a"):
        here.work()
    here.bodies.fails.clear()
    assert resumed(1, here.work) == ["a paid", "b paid"]
    assert asks(feed) == []


def test_a_run_that_asks_can_be_cancelled(stored: Engine, feed: Feed, start: Start) -> None:
    here = Charges("called")
    with pytest.raises(ValueError, match="a"):
        here.work()
    died_at_work(stored, 1)
    here.bodies.ran.clear()
    going = start(lambda: resumed(1, here.work))
    feed.until(lambda: len(asks(feed)) == 1, "the question")
    cancel_flow_run(1)
    with pytest.raises(CancelledRun):
        going.ended()
    assert here.bodies.ran == []
