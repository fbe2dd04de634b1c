"""Pauses and answers are checkpoints: a resumed run does not pause and ask once more for what it has been told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from support.flows import Feed, Start, flow
from support.resumes import Bodies, resumed
from tidegate import InvalidInput, pause_flow_run
from tidegate.engine import Engine
from tidegate.model.states import StateType


class Budget(BaseModel):
    """What is asked."""

    rows: int
    who: str = "nobody"


class Login(BaseModel):
    """What is asked, and not recorded."""

    user: str
    password: SecretStr


def failing(wanted: Any, bodies: Bodies) -> Any:
    @flow
    def work() -> Any:
        answer = pause_flow_run(wanted, key="it")
        bodies("work")
        return answer

    return work


def answered_and_failed(work: Any, start: Start, feed: Feed, answer: Any) -> None:
    running = start(work)
    feed.await_flow(StateType.PAUSED)
    running.run.resume(run_input=answer)
    with pytest.raises(ValueError, match="work"):
        running.ended()


@pytest.mark.parametrize(
    ("wanted", "answer", "got"),
    [
        (None, None, None),
        (int, 7, 7),
        (Budget, {"rows": 3}, Budget(rows=3)),
        (list[Budget], [Budget(rows=1)], [Budget(rows=1)]),
        (str, "ünïcode\x00", "ünïcode\x00"),
    ],
    ids=["a plain pause", "a number", "a model", "models", "text"],
)
def test_what_was_answered_is_not_asked_again(
    stored: Engine, start: Start, feed: Feed, wanted: Any, answer: Any, got: Any
) -> None:
    bodies = Bodies("work")
    answered_and_failed(failing(wanted, bodies), start, feed, answer)
    bodies.fails.clear()
    assert resumed(1) == got
    assert bodies.ran == ["work", "work"]


@pytest.mark.parametrize(
    ("wanted", "answer", "changed"),
    [
        (Login, {"user": "me", "password": "hidden"}, Login),
        (Budget, {"rows": 3}, int),
        (None, None, int),
    ],
    ids=["a secret", "another type", "a question now"],
)
def test_what_cannot_be_read_back_is_asked_again(
    stored: Engine, start: Start, feed: Feed, wanted: Any, answer: Any, changed: Any
) -> None:
    bodies = Bodies("work")
    answered_and_failed(failing(wanted, bodies), start, feed, answer)
    bodies.fails.clear()
    again = start(lambda: resumed(1, failing(changed, bodies)))
    feed.until(lambda: again.run.state.is_paused() and again.run.pauses.asked is not None, "the question")
    with pytest.raises(InvalidInput):
        again.run.resume(run_input="no")
    given: Any = {"user": "me", "password": "again"} if changed is Login else 8
    again.run.resume(run_input=given)
    got = again.ended()
    assert got.password.get_secret_value() == "again" if changed is Login else got == 8


def test_a_pause_that_nobody_has_resumed_is_made_again(stored: Engine, start: Start, feed: Feed) -> None:
    """The control: without a resume there is no checkpoint."""

    @flow
    def work() -> str:
        pause_flow_run()
        return "done"

    running = start(work)
    feed.await_flow(StateType.PAUSED)
    running.run.cancel()
    with pytest.raises(Exception, match="Cancelled"):
        running.ended()
    again = start(lambda: resumed(1))
    feed.until(lambda: again.run.state.is_paused(), "the pause")
    again.run.resume()
    assert again.ended() == "done"
