"""A subflow asks: whoever looks at the run above hears of it, and pausing that run leaves the question alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from support.flows import SOON, Start, flow, task
from tidegate import ask, resume_flow_run
from tidegate.engine import Engine
from tidegate.model.events import Event, FlowCreated, FlowState, InputAsked, InputGiven
from tidegate.run.flow_run import FlowRun


class Above:
    """What those hear who look at a root flow run and at what is below it."""

    def __init__(self, engine: Engine) -> None:
        self.events: list[Event] = []
        self.roots: list[FlowRun] = []
        self._engine = engine
        self._changed = threading.Condition()
        engine.observers.append(self._began)

    def _began(self, run: FlowRun) -> None:
        self.roots.append(run)
        self._engine.subscribe(run.number, self._take, subflows=True)

    def _take(self, events: Sequence[Event]) -> None:
        with self._changed:
            self.events += events
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, SOON), f"{what}: {self.events}"

    def asked(self, number: int) -> list[int]:
        """Who has asked, once that many have."""

        def found() -> list[int]:
            return [event.flow_run for event in self.events if isinstance(event, InputAsked)]

        self.until(lambda: len(found()) >= number, f"{number} questions")
        return found()

    def states(self, flow_run: int) -> list[str]:
        """The states of one flow run."""
        return [each.state.name for each in self.events if isinstance(each, FlowState) and each.flow_run == flow_run]


@pytest.fixture
def above(engine: Engine) -> Above:
    return Above(engine)


@task
def step(x: int) -> int:
    return x


@flow
def asking(name: str) -> Any:
    step(1)
    answer = ask(int)
    step(2)
    return answer


@flow
def between() -> Any:
    return asking("below")


def test_who_looks_at_the_root_hears_of_a_question_two_levels_below(start: Start, above: Above) -> None:
    @flow
    def root() -> Any:
        return between()

    running = start(root)
    (number,) = above.asked(1)
    created = {each.flow_run: each for each in above.events if isinstance(each, FlowCreated)}
    assert created[number].flow == "asking"
    below = created[number].parent
    assert below is not None
    assert above.roots[0].number not in (number, below[0])
    resume_flow_run(number, 7)
    assert running.ended() == 7
    (given,) = (each for each in above.events if isinstance(each, InputGiven))
    assert (given.flow_run, given.answer) == (number, "7")
    assert above.states(number) == ["Running", "Paused", "Resuming", "Completed"]


def test_who_did_not_ask_for_subflows_hears_of_the_run_alone(engine: Engine, start: Start) -> None:
    heard: list[Event] = []

    def began(run: FlowRun) -> None:
        engine.subscribe(run.number, heard.extend)

    engine.observers.append(began)
    above = Above(engine)
    running = start(between)
    (number,) = above.asked(1)
    resume_flow_run(number, 1)
    running.ended()
    assert heard
    assert {each.flow_run for each in heard} == {above.roots[0].number}


def test_the_resume_of_the_run_above_answers_nothing(start: Start, above: Above) -> None:
    # Null would be an answer here, and one that nobody has given.
    @flow
    def asks() -> Any:
        return ask(int | None)

    @flow
    def root() -> Any:
        return asks()

    running = start(root)
    (number,) = above.asked(1)
    run = above.roots[0]
    run.pause()
    run.resume()
    assert above.states(number)[-1] == "Paused"
    resume_flow_run(number, 3)
    assert running.ended() == 3
    (given,) = (each for each in above.events if isinstance(each, InputGiven))
    assert given.answer == "3"


def test_an_answer_under_a_paused_run_is_kept_and_the_subflow_waits_with_it(start: Start, above: Above) -> None:
    running = start(between)
    (number,) = above.asked(1)
    run = above.roots[0]
    run.pause()
    resume_flow_run(number, 7)
    above.until(lambda: above.states(number)[-2:] == ["Resuming", "Paused"], "paused again")
    assert not run.finished.done()
    run.resume()
    assert running.ended() == 7
    assert above.states(number) == ["Running", "Paused", "Resuming", "Paused", "Resuming", "Completed"]
