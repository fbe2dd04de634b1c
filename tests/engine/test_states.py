"""States: what they say of themselves, and what their result is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tidegate.errors import CancelledRun, CrashedRun, FailedRun, MissingResult
from tidegate.model.states import (
    TERMINAL,
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    NotReady,
    Paused,
    Pending,
    Running,
    State,
    StateType,
)

EACH: list[tuple[State, str, bool]] = [
    (AwaitingRetry(5.0), "is_scheduled", False),
    (Pending(), "is_pending", False),
    (NotReady("x"), "is_pending", False),
    (Running(), "is_running", False),
    (Running("Retrying"), "is_running", False),
    (Running("Resuming"), "is_running", False),
    (Paused(), "is_paused", False),
    (Cancelling(), "is_cancelling", False),
    (Completed(), "is_completed", True),
    (Failed(), "is_failed", True),
    (Failed(name="TimedOut"), "is_failed", True),
    (Crashed(), "is_crashed", True),
    (Crashed(name="Interrupted"), "is_crashed", True),
    (Cancelled(), "is_cancelled", True),
]
PREDICATES = [
    "is_scheduled", "is_pending", "is_running", "is_paused", "is_cancelling",
    "is_completed", "is_failed", "is_crashed", "is_cancelled",
]  # fmt: skip


@pytest.mark.parametrize(("state", "true", "final"), EACH, ids=[str(each[0]) for each in EACH])
@pytest.mark.conforms("B090", "B092")
def test_each_predicate_is_true_for_its_type_alone(state: State, true: str, final: bool) -> None:
    assert [name for name in PREDICATES if getattr(state, name)()] == [true]
    assert state.is_final() is final
    assert (state.type in TERMINAL) is final


@pytest.mark.conforms("B090", "B092")
def test_types_and_names() -> None:
    assert [kind.name for kind in StateType] == [
        "SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED",
    ]  # fmt: skip
    plain = [Pending(), Running(), Paused(), Cancelling(), Completed(), Failed(), Crashed(), Cancelled()]
    assert all(state.name == state.type.value.capitalize() for state in plain)
    with pytest.raises(ValueError, match="BORED"):
        StateType("BORED")


@pytest.mark.conforms("B094")
def test_the_text_shows_the_type_only_where_the_name_does_not() -> None:
    assert str(Completed()) == "Completed()"
    assert str(Failed(message="ValueError: x")) == "Failed('ValueError: x')"
    assert str(NotReady("load-0 is Failed.")) == "NotReady('load-0 is Failed.') [PENDING]"
    assert "SECRET" not in repr(Completed("SECRET"))


@pytest.mark.parametrize("value", [1, None, "text", [], {}, [1, 2], False])
def test_a_completed_state_gives_what_it_holds(value: Any) -> None:
    assert Completed(value).result() is value
    assert Completed(value).result(raise_on_failure=False) is value


WRAPPERS: list[tuple[Any, type[Exception]]] = [(Failed, FailedRun), (Crashed, CrashedRun)]


@pytest.mark.parametrize(("make", "wrapper"), WRAPPERS, ids=["failed", "crashed"])
@pytest.mark.conforms("B096", "B097")
def test_what_an_unsuccessful_state_raises(make: Any, wrapper: type[Exception]) -> None:
    def raised(state: State) -> BaseException:
        with pytest.raises(BaseException) as caught:  # noqa: PT011  # whatever it holds
            state.result()
        assert type(state.result(raise_on_failure=False)) is type(caught.value)
        assert type(state.error()) is type(caught.value)
        return caught.value

    error = KeyError("x")
    assert raised(make(error)) is error
    leaving = SystemExit(3)
    assert raised(make(leaving)) is leaving
    assert type(raised(make("because"))) is wrapper
    assert str(raised(make("because"))) == "because"
    assert type(raised(make(message="it broke"))) is wrapper
    assert str(raised(make(message="it broke"))) == "it broke"
    assert str(raised(make()))  # even with nothing to say it says something
    assert raised(make(Failed(error))) is error
    assert raised(make([Completed(1), Failed(error), Failed(KeyError("y"))])) is error
    assert raised(make((Completed(1), Crashed(leaving)))) is leaving
    assert raised(make({Failed(error)})) is error


@pytest.mark.conforms("B097", "B212")
def test_a_cancelled_state_raises_with_its_message() -> None:
    with pytest.raises(CancelledRun, match=r"^Cancelled by you\.$"):
        Cancelled("Cancelled by you.").result()
    assert isinstance(Cancelled().result(raise_on_failure=False), CancelledRun)


@pytest.mark.parametrize(
    "state", [Pending(), NotReady("x"), Running(), Paused(), Cancelling(), AwaitingRetry(1.0)], ids=str
)
@pytest.mark.conforms("B097")
def test_a_state_with_no_result_says_so(state: State) -> None:
    for raise_on_failure in (True, False):
        with pytest.raises(MissingResult, match="has not ended") as caught:
            state.result(raise_on_failure)
        assert "\n" not in str(caught.value)


@pytest.mark.conforms("B097", "B153")
def test_a_kept_state_has_lost_its_value_and_says_so() -> None:
    with pytest.raises(MissingResult, match="not kept"):
        Completed(5).without_data().result()


@pytest.mark.conforms("B099")
@pytest.mark.parametrize("state", [Completed(1), Pending(), Running(), Paused()], ids=str)
def test_only_an_unsuccessful_state_has_an_error(state: State) -> None:
    with pytest.raises(ValueError, match="has no exception"):
        state.error()


def test_states_are_values() -> None:
    state = Failed(ValueError("x"), message="m", at=5.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.name = "Other"  # type: ignore[misc]
    kept = state.without_data()
    assert kept == state
    assert state.result(raise_on_failure=False) is not None
    assert kept.without_data() is kept
    assert (kept.type, kept.name, kept.message, kept.timestamp) == (state.type, "Failed", "m", 5.0)
