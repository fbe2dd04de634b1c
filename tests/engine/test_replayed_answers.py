"""What a person answered is in the cassette too: a replay pauses for nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from support.flows import engine_over, flow, in_time, task
from tidegate import NotRecorded, ask, pause_flow_run, resume_flow_run, use_cassette
from tidegate.engine import Engine, engine
from tidegate.model.events import Event, FlowState, InputAsked
from tidegate.model.record_modes import RecordMode
from tidegate.model.states import StateType
from tidegate.recording import cassette_of
from tidegate.run.flow_run import FlowRun
from tidegate.store.memory import MemoryStore


class Choice(BaseModel):
    city: str
    rows: list[int] = []


class Login(BaseModel):
    password: SecretStr


class Person:
    """Gives these answers, one after the other, and resumes a run that is paused and asks nothing."""

    def __init__(self, here: Engine, answers: Sequence[object]) -> None:
        self.asked: list[str] = []
        self.pauses = 0
        self._left = iter(answers)
        self._one_at_a_time = threading.Lock()
        self._engine = here
        here.observers.append(self._began)

    def _began(self, run: FlowRun) -> None:
        self._engine.subscribe(run.number, partial(self._take, run), subflows=True)

    def _take(self, run: FlowRun, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, InputAsked):
                self.asked.append(event.title)
                threading.Thread(target=resume_flow_run, args=(event.flow_run, next(self._left))).start()
            elif isinstance(event, FlowState) and event.state.type is StateType.PAUSED:
                self.pauses += 1
                threading.Thread(target=self._goes_on, args=(run,)).start()

    def _goes_on(self, run: FlowRun) -> None:
        with self._one_at_a_time:  # one that is late finds the next pause, for which another one comes
            with run.lock:  # under which the pause is entered
                plain = run.pauses.at == "plain"
            if plain:
                run.resume()


@contextmanager
def person(*answers: object) -> Iterator[Person]:
    """Somebody who answers, over a store of its own."""
    with engine_over(MemoryStore()) as here:
        yield Person(here, answers)


@task
def step(x: Any) -> Any:
    return x


@flow(name="answers-below")
def below(name: str) -> str:
    return f"{name} {ask(str)}"


@flow(name="answers-all")
def all_answers() -> Any:
    chosen = ask(Choice)
    pause_flow_run(key="plain")
    return chosen, step(ask(int, key="how many")), below("a"), below("b")


@flow(name="answers-awaited")
async def awaited() -> Any:
    return await ask(Choice), await ask(int)


GIVEN: dict[str, Any] = {"city": "Yap", "rows": [1, 2]}
KINDS: dict[str, tuple[Callable[[], Any], list[object], Any]] = {
    "sync": (all_answers, [GIVEN, 0, "x", "y"], (Choice(**GIVEN), 0, "a x", "b y")),
    "async": (lambda: asyncio.run(awaited()), [GIVEN, 5], (Choice(**GIVEN), 5)),
}


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "tape.json"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_answered_is_not_asked_again(tape: Path, kind: str) -> None:
    call, answers, expected = KINDS[kind]
    with person(*answers) as asked, use_cassette(tape):
        assert in_time(call) == expected
    assert (len(asked.asked), asked.pauses > 0) == (len(answers), True)
    with person() as idle, use_cassette(tape, "none"):
        assert in_time(call) == expected
    assert (idle.asked, idle.pauses) == ([], 0)


def test_a_cassette_of_the_record_has_the_answers(tape: Path) -> None:
    call, answers, expected = KINDS["sync"]
    with person(*answers):
        in_time(call)
        made = cassette_of(engine(), engine().store.flow_runs(10)[-1], tape)
        made.write()
    assert made.summary().endswith("tape.json has 1 call of tasks and 5 passed pauses.")
    with person() as idle, use_cassette(tape, "none"):
        assert in_time(call) == expected
    assert idle.pauses == 0


def test_a_retry_of_the_flow_gets_the_same_answer(tape: Path) -> None:
    tries: list[Any] = []

    def body() -> Any:
        tries.append(ask(int))
        if len(tries) % 2:
            raise ValueError("once more")
        return tries[-1]

    again = flow(body, name="answers-again", retries=1)
    for mode in ("once", "none"):
        with person(7) as asked, use_cassette(tape, mode):
            assert in_time(again) == 7
        assert len(asked.asked) == (mode == "once")
    assert tries == [7, 7, 7, 7]


def replayed(tape: Path, wanted: Any, mode: RecordMode, *answers: object) -> Any:
    with person(*answers), use_cassette(tape, mode):
        return in_time(flow(lambda: ask(wanted), name="answers-one"))


def test_a_question_that_was_not_recorded_is_one_clear_error(tape: Path) -> None:
    with pytest.raises(NotRecorded, match=r"'Choice' cannot be answered: there is no cassette .*tape\.json\. Record"):
        replayed(tape, Choice, "none")
    assert replayed(tape, int, "once", 3) == 3
    with pytest.raises(NotRecorded, match=r"'Choice' is not in the cassette .*: another question was asked\. Record"):
        replayed(tape, Choice, "none")
    tape.write_text(json.dumps({"cassette": 1, "runs": {}}))
    with pytest.raises(NotRecorded, match=r"'Choice' is not in the cassette .*: it was not asked\. Record"):
        replayed(tape, Choice, "none")


def test_new_episodes_asks_what_is_not_there_and_keeps_it(tape: Path) -> None:
    assert replayed(tape, int, "once", 3) == 3
    assert replayed(tape, int, "new_episodes", 9) == 3
    assert replayed(tape, Choice, "new_episodes", GIVEN) == Choice(**GIVEN)
    assert replayed(tape, Choice, "none") == Choice(**GIVEN)
    assert replayed(tape, int, "all", 4) == 4
    assert replayed(tape, int, "none") == 4


def test_a_secret_is_left_out_and_that_is_told(tape: Path) -> None:
    with pytest.raises(NotRecorded, match=r"^The answer to 'Login' is not in the cassette .*: it holds a secret"):
        replayed(tape, Login, "once", {"password": "opensesame"})
    assert "opensesame" not in tape.read_text()
    with pytest.raises(NotRecorded, match=r"'Login' is not in the cassette .*: it holds a secret"):
        replayed(tape, Login, "none")


def test_answers_read_well_in_a_diff(tape: Path) -> None:
    assert replayed(tape, int, "once", 3) == 3
    assert json.loads(tape.read_text()) == {
        "cassette": 1,
        "runs": {},
        "answers": {"answers-one#1": [{"key": "pause-1", "title": "int", "given": 3}]},
    }
