"""A paused flow asks a person: typed, checked, kept, and not asked again when the flow is retried."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pydantic
import pytest

import tidegate
from support.flows import SOON, Feed, Start, flow, in_time, task
from tidegate import InvalidInput, NotPaused, PauseTimeout, UsageError, ask, pause_flow_run, resume_flow_run
from tidegate.engine import Engine
from tidegate.model.events import Event, FlowState, InputAsked, InputGiven
from tidegate.model.states import StateType


class Approval(pydantic.BaseModel):
    reason: str
    rows: int = 3


def kept(engine: Engine, kind: type[Any], number: int = 1) -> list[Any]:
    return [event for _, event in engine.store.events(number) if isinstance(event, kind)]


def asked(feed: Feed) -> InputAsked:
    """The question that is shown; waits for it."""

    def found() -> list[Event]:
        return [event for event in feed.events if isinstance(event, InputAsked)]

    feed.until(lambda: bool(found()), "a question")
    event = found()[-1]
    assert isinstance(event, InputAsked)
    return event


@pytest.mark.parametrize("answer", [Approval(reason="fine", rows=7), {"reason": "fine", "rows": "7"}], ids=type)
def test_the_answer_is_what_the_model_makes_of_it_and_is_kept(
    stored: Engine, start: Start, feed: Feed, answer: Any
) -> None:
    @flow
    def work() -> Any:
        return pause_flow_run(wait_for_input=Approval)

    running = start(work)
    question = asked(feed)
    assert (question.title, question.key) == ("Approval", "pause-1")
    assert json.loads(question.schema)["required"] == ["reason"]
    running.run.resume("the test", answer)
    assert running.ended() == Approval(reason="fine", rows=7)
    (given,) = kept(stored, InputGiven)
    assert (json.loads(given.answer), given.by, given.key) == ({"reason": "fine", "rows": 7}, "the test", "pause-1")
    assert kept(stored, InputAsked) == [question]
    assert feed.flow_states() == ["Running", "Paused", "Resuming", "Completed"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "reason: Field required"),
        ({"reason": "x", "rows": "many"}, "rows: "),
        ("nonsense", "Approval: "),
        (7, ""),
    ],
)
def test_an_answer_that_does_not_fit_leaves_it_paused_and_says_why(
    stored: Engine, start: Start, feed: Feed, answer: Any, told: str
) -> None:
    @flow
    def work() -> Any:
        return ask(Approval)

    running = start(work)
    asked(feed)
    with pytest.raises(InvalidInput, match="'Approval' was not answered: ") as caught:
        resume_flow_run(running.run, run_input=answer)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert running.run.state.is_paused()
    assert kept(stored, InputGiven) == []
    resume_flow_run(running.run, run_input={"reason": "now"})
    assert running.ended().reason == "now"


def test_plain_types_and_models_of_defaults_alone(engine: Engine, start: Start, feed: Feed) -> None:
    class Knobs(pydantic.BaseModel):
        speed: int = 5

    @flow
    def work() -> Any:
        return ask(int), ask(list[str]), ask(Knobs)

    running = start(work)
    for answer in ("12", ["a"], None):
        feed.until(lambda: running.run.pauses.asked is not None, "the next question")
        resume_flow_run(running.run, run_input=answer)
    assert running.ended() == (12, ["a"], Knobs())


def test_in_an_async_flow_it_is_awaited(stored: Engine, start: Start, feed: Feed) -> None:
    @flow
    async def work() -> Any:
        return await ask(Approval)

    running = start(lambda: asyncio.run(work()))
    asked(feed)
    running.run.resume(run_input={"reason": "async"})
    assert running.ended().reason == "async"


def test_an_answer_is_not_asked_for_again_when_the_flow_is_retried(stored: Engine, start: Start, feed: Feed) -> None:
    seen: list[Any] = []

    @flow(retries=2)
    def work() -> Any:
        seen.append((ask(int), pause_flow_run(), ask(str, key="why")))
        if len(seen) < 3:
            raise ValueError
        return seen

    running = start(work)
    for answer in (5, None, "because"):
        feed.until(lambda: running.run.state.is_paused(), "the pause")
        resume_flow_run(running.run, run_input=answer)
    assert running.ended() == [(5, None, "because")] * 3
    assert feed.flow_states().count("Paused") == 3


def test_a_question_that_comes_while_somebody_has_paused_is_asked_too(
    stored: Engine, start: Start, feed: Feed, gate: Any
) -> None:
    @task
    def slow() -> None:
        assert gate.wait(SOON)

    @flow
    def work() -> Any:
        slow()
        return ask(int)

    running = start(work)
    feed.await_task(1, "Running")
    running.run.pause()
    gate.set()
    asked(feed)
    with pytest.raises(InvalidInput):
        running.run.resume()
    running.run.resume(run_input=3)
    assert running.ended() == 3


def test_the_answer_is_shown_before_what_the_flow_does_with_it(
    stored: Engine, start: Start, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_later: list[Any] = []

    @flow
    def work() -> Any:
        return ask(int)

    running = start(work)
    asked(feed)
    with monkeypatch.context() as slow:
        slow.setattr(stored.store, "commit_soon", lambda *asked: kept_later.append(asked))
        running.run.resume(run_input=5)
    assert not running.run.moved.done()
    for event, done in kept_later:
        stored.store.commit_soon(event, done)
    assert running.ended() == 5
    shown = [type(event).__name__ for event in feed.events if isinstance(event, (InputGiven, FlowState))]
    assert shown[-3:] == ["InputGiven", "FlowState", "FlowState"]
    assert feed.flow_states()[-2:] == ["Resuming", "Completed"]


@pytest.mark.conforms("B202", "B207")
def test_nobody_answers_in_time(stored: Engine, feed: Feed) -> None:
    @flow
    def work() -> str:
        try:
            ask(int, timeout=0.01)
        except PauseTimeout:
            return "went on"
        return "?"

    assert in_time(work) == "went on"
    assert kept(stored, InputGiven) == []
    with pytest.raises(NotPaused):
        resume_flow_run(feed.runs[0], run_input=1)


def test_one_of_two_answers_wins(stored: Engine, start: Start, feed: Feed) -> None:
    @flow
    def work() -> Any:
        return ask(int)

    running = start(work)
    asked(feed)
    running.run.resume("first", 1)
    with pytest.raises(NotPaused):
        running.run.resume("second", 2)
    assert running.ended() == 1
    assert [event.by for event in kept(stored, InputGiven)] == ["first"]


def test_what_cannot_be_asked_is_refused_before_anything_is_paused(engine: Engine, feed: Feed) -> None:
    class Opaque:
        pass

    @flow
    def work() -> None:
        ask(Opaque)

    with pytest.raises(UsageError, match="wait_for_input takes a pydantic model or a plain type"):
        in_time(work)
    assert "Paused" not in feed.flow_states()


def test_outside_and_in_tasks_there_is_nobody_to_pause(engine: Engine) -> None:
    @task
    def asks() -> None:
        ask(int)

    @flow
    def work() -> None:
        asks()

    with pytest.raises(RuntimeError, match="outside of a flow"):
        ask(int)
    with pytest.raises(RuntimeError, match="in a task"):
        in_time(work)


def test_a_run_is_paused_from_outside_by_its_number(stored: Engine, start: Start, feed: Feed, gate: Any) -> None:
    @flow
    def work() -> int:
        assert gate.wait(SOON)
        return 1

    running = start(work)
    tidegate.pause_flow_run(flow_run=running.run.number)
    feed.await_flow(StateType.PAUSED)
    tidegate.resume_flow_run(running.run.number)
    gate.set()
    assert running.ended() == 1


def test_a_secret_reaches_the_flow_and_not_the_record(stored: Engine, start: Start, feed: Feed) -> None:
    @flow(retries=1)
    def work() -> Any:
        answer: Any = ask(Login)
        answer.tries.append(1)  # lasts for this attempt only
        if feed.runs[0].attempts == 1:
            raise ValueError
        return answer

    running = start(work)
    asked(feed)
    running.run.resume(run_input={"password": "swordfish", "weight": float("nan")})
    got = running.ended()
    assert got.password.get_secret_value() == "swordfish"
    assert got.weight != got.weight
    assert got.tries == [1]
    (given,) = kept(stored, InputGiven)
    assert "swordfish" not in given.answer


class Login(pydantic.BaseModel):
    password: pydantic.SecretStr
    weight: float
    tries: list[int] = []
