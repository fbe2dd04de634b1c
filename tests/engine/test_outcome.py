"""From what user code returned or raised to the state that it ends in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate import quote
from tidegate.model.state_group import StateGroup
from tidegate.model.states import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    NotReady,
    Pending,
    Running,
    State,
    StateType,
)
from tidegate.rules.outcome import aggregate, describe, of_error, of_return

NOW = 9.0
ERROR = ValueError("x")
DONE, BAD, GONE, OFF, WAITING = Completed(1), Failed(ERROR), Crashed(ERROR), Cancelled(), NotReady("x is Failed.")


class Looks:
    """Looks like a state, and is none."""

    type = StateType.FAILED

    def __repr__(self) -> str:
        """The same in every process, as the names of the tests are to be."""
        return "Looks()"


PLAIN: list[Any] = [
    None, 1, "x", [], {}, (), set(), [1], {"a": DONE}, {"a": BAD}, [DONE, 1], [BAD, None], (BAD, "x"), [[BAD], 1],
    Looks(), [Looks()], ERROR, State,
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
@pytest.mark.conforms("B103", "B108")
def test_plain_data_completes(value: Any) -> None:
    state = of_return(value, NOW)
    assert (state.type, state.name, state.message, state.timestamp) == (StateType.COMPLETED, "Completed", "", NOW)
    assert state.data is value


@pytest.mark.parametrize("final", [DONE, BAD, GONE, OFF, Failed("because", name="TimedOut", message="m")], ids=str)
@pytest.mark.conforms("B105", "B114")
def test_a_final_state_is_used_as_it_is(final: State) -> None:
    state = of_return(final, NOW)
    assert (state.type, state.name, state.message) == (final.type, final.name, final.message)
    assert state.timestamp == NOW
    assert state.data is final.data


AGGREGATES: list[tuple[list[State], str, str]] = [
    ([DONE], "Completed", "All states completed."),
    ([DONE, DONE, DONE], "Completed", "All states completed."),
    ([DONE, BAD], "Failed", "1/2 states failed."),
    ([BAD, GONE, DONE], "Failed", "2/3 states failed."),
    ([DONE, WAITING], "Failed", "1/2 states are not final."),
    ([Pending(), Running(), AwaitingRetry(1.0), DONE], "Failed", "3/4 states are not final."),
    ([OFF, DONE], "Cancelled", "1/2 states cancelled."),
    ([OFF, BAD, GONE, WAITING], "Cancelled", "1/4 states cancelled."),
    ([WAITING, BAD], "Failed", "1/2 states failed."),
]


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize(("states", "name", "message"), AGGREGATES, ids=[each[2] for each in AGGREGATES])
@pytest.mark.conforms("B106", "B107", "B182")
def test_states_are_judged_together(states: list[State], name: str, message: str, kind: Any) -> None:
    value = kind(states)
    state = of_return(value, NOW)
    assert (state.name, state.message, state.timestamp) == (name, message, NOW)
    assert state.data is value


@pytest.mark.conforms("B106")
def test_a_set_of_states_is_judged_too() -> None:
    assert of_return({DONE, BAD}, NOW).message == "1/2 states failed."


@pytest.mark.conforms("B106", "B182")
@pytest.mark.parametrize("state", [WAITING, Pending(), Running(), AwaitingRetry(1.0)], ids=str)
def test_a_state_that_is_not_final_fails(state: State) -> None:
    judged = of_return(state, NOW)
    assert judged.is_failed()
    assert judged.message == "1/1 states are not final."


@pytest.mark.conforms("B109")
def test_nested_containers_count_as_one() -> None:
    assert of_return([[DONE, BAD], [DONE]], NOW).message == "1/3 states failed."
    assert of_return([[DONE], ([DONE, (BAD,)],)], NOW).message == "1/3 states failed."
    assert of_return([[], [DONE]], NOW).message == "All states completed."
    assert of_return([[], []], NOW).message == ""
    assert of_return([[DONE, 1], [BAD]], NOW).is_completed()


def test_a_container_that_holds_itself_is_plain_data() -> None:
    loop: list[Any] = [DONE]
    loop.append(loop)
    assert of_return(loop, NOW).type in (StateType.COMPLETED, StateType.FAILED)  # it ends, and says something
    only: list[Any] = []
    only.append(only)
    assert of_return(only, NOW).is_completed()


@pytest.mark.conforms("B113")
@pytest.mark.parametrize("value", [BAD, [BAD], quote(BAD)], ids=["state", "states", "quote"])
def test_quote_stops_the_judgement(value: Any) -> None:
    state = of_return(quote(value), NOW)
    assert state.is_completed()
    assert state.data is value


RAISED: list[tuple[BaseException, bool, str, str, str]] = [
    (ValueError("no"), False, "FAILED", "Failed", "ValueError: no"),
    (ValueError("no"), True, "FAILED", "Failed", "ValueError: no"),
    (ValueError(), False, "FAILED", "Failed", "ValueError"),
    (TimeoutError("mine"), False, "FAILED", "Failed", "TimeoutError: mine"),
    (ExceptionGroup("g", [ValueError("no")]), False, "FAILED", "Failed", "ExceptionGroup: g (1 sub-exception)"),
    (KeyboardInterrupt(), False, "CRASHED", "Interrupted", "Stopped by an interrupt."),
    (KeyboardInterrupt(), True, "CANCELLED", "Cancelled", "Cancelled while it ran."),
    (asyncio.CancelledError(), False, "CRASHED", "Crashed", "Cancelled by its surroundings."),
    (asyncio.CancelledError(), True, "CANCELLED", "Cancelled", "Cancelled while it ran."),
    (SystemExit(3), False, "CRASHED", "Crashed", "Ended by SystemExit(3)."),
    (SystemExit(3), True, "CRASHED", "Crashed", "Ended by SystemExit(3)."),
    (GeneratorExit("x"), False, "CRASHED", "Crashed", "Ended by GeneratorExit: x"),
]


@pytest.mark.parametrize(
    ("error", "cancelling", "kind", "name", "message"), RAISED, ids=[f"{type(r[0]).__name__}-{r[1]}" for r in RAISED]
)
@pytest.mark.conforms("B104", "B214", "B215")
def test_what_an_exception_makes_of_it(
    error: BaseException, cancelling: bool, kind: str, name: str, message: str
) -> None:
    state = of_error(error, cancelling, NOW)
    assert (state.type.name, state.name, state.message, state.timestamp) == (kind, name, message, NOW)
    if kind != "CANCELLED":
        assert state.result(raise_on_failure=False) is error


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307  # that is the point


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\nlines\t and   more"), "ValueError: two lines and more"),
        (ValueError("  "), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (Mute(), "Mute: (its text cannot be had: RuntimeError)"),
        (Odd(), "Odd: (its text cannot be had: TypeError)"),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.conforms("B104")
def test_an_error_is_described_on_one_line(error: BaseException, text: str) -> None:
    assert describe(error) == text


def test_a_long_text_is_cut() -> None:
    line = describe(ValueError("x" * 10_000))
    assert len(line) == 500
    assert line.endswith("…")


@pytest.mark.parametrize(
    ("states", "name"),
    [([DONE] * 3, "Completed"), ([DONE, GONE], "Failed"), ([DONE, OFF], "Cancelled"), ([DONE, WAITING], "Failed"),
     ([BAD, OFF, WAITING], "Cancelled"), ([BAD, WAITING], "Failed")],
)  # fmt: skip
@pytest.mark.conforms("B106")
def test_the_aggregate_of_a_group(states: list[State], name: str) -> None:
    data = object()
    state = aggregate(StateGroup.of(states), data, NOW)
    assert (state.name, state.data, state.timestamp) == (name, data, NOW)
