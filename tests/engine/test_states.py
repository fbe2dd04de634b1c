"""States: what they say of themselves, and what their result is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tidegate.errors import CancelledRun, CrashedRun, FailedRun, MissingResult
from tidegate.model.state_group import StateGroup
from tidegate.model.states import (
    TERMINAL,
    AwaitingRetry,
    Cached,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    NotReady,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateType,
    TimedOut,
    Unloaded,
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


@pytest.mark.conforms("B091")
def test_the_names_of_states() -> None:
    for kind in StateType:
        if kind not in (StateType.PAUSED, StateType.CANCELLING):  # those two are never called anything else
            assert str(State(kind, kind.value.capitalize())) == f"{kind.value.capitalize()}()"
    named = [
        (Scheduled(5.0, name="Late"), "SCHEDULED", "Late"),
        (AwaitingRetry(5.0), "SCHEDULED", "AwaitingRetry"),
        (Running("Retrying"), "RUNNING", "Retrying"),
        (Running("Rerunning"), "RUNNING", "Rerunning"),
        (Running("Resuming"), "RUNNING", "Resuming"),
        (NotReady("x"), "PENDING", "NotReady"),
        (Cached(1), "COMPLETED", "Cached"),
        (TimedOut(2.0, "The task run"), "FAILED", "TimedOut"),
        (Cancelling(), "CANCELLING", "Cancelling"),
    ]
    assert [(state.type.value, state.name) for state, _, _ in named] == [(kind, name) for _, kind, name in named]


def test_a_scheduled_state_is_due_at_its_time_or_at_once() -> None:
    assert Scheduled(at=5.0).scheduled_time == Scheduled(at=5.0).details.scheduled_time == 5.0
    assert Scheduled(9.0, at=5.0).scheduled_time == 9.0
    assert Scheduled(0.0, at=5.0).scheduled_time == 0.0


def test_what_timed_out_raises_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"^The task run 'x' exceeded its limit of 0\.5 s\.$"):
        TimedOut(0.5, "The task run 'x'").result()


class Kept(Unloaded):
    """A value that is kept somewhere else."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.loads = 0

    def load(self) -> Any:
        self.loads += 1
        if self.value is None:
            raise MissingResult("gone")
        return self.value


HOLDS: list[tuple[Any, type[BaseException], str]] = [
    (5, TypeError, "holds an object of type int"),
    ({"k": Failed("x")}, TypeError, "holds an object of type dict"),
    (NotImplemented, TypeError, "holds an object of type NotImplementedType"),
    ([1, 2], TypeError, "holds an object of type list"),
    ([], TypeError, "holds an object of type list"),
    ([[], ()], TypeError, "holds an object of type list"),
    (Completed(1), ValueError, "no state that failed, crashed or was cancelled"),
    (Pending(), ValueError, "no state that failed, crashed or was cancelled"),
    ([Completed(1), NotReady("x")], ValueError, "no state that failed, crashed or was cancelled"),
    (Failed(Completed(1)), ValueError, "no state that failed"),
    ([[Completed(1)], [Running()]], ValueError, "no state that failed"),
]


@pytest.mark.parametrize("make", [Failed, Crashed], ids=["failed", "crashed"])
@pytest.mark.parametrize(("data", "error", "told"), HOLDS, ids=[f"{row[0]!r:.40}" for row in HOLDS])
@pytest.mark.conforms("B098")
def test_what_a_failed_state_may_not_hold(make: Any, data: Any, error: type[Exception], told: str) -> None:
    state = make(data, message="it broke")
    with pytest.raises(error, match=told) as caught:
        state.result()
    assert "it broke" in str(caught.value) or isinstance(data, State)
    assert "\n" not in str(caught.value)
    assert type(state.result(raise_on_failure=False)) is error


FIRST = KeyError("first")
FOUND: list[Any] = [
    FIRST,
    Failed(FIRST),
    Failed(Failed([Crashed(FIRST)])),
    [Completed(1), NotReady("x"), Failed(FIRST), Failed("later")],
    (Completed(1), [Completed(2), (Failed(FIRST),)], Failed("later")),
    {Failed(FIRST)},
    frozenset({Crashed(FIRST)}),
    [5, None, Failed(FIRST)],
    Kept(FIRST),
    Kept([Failed(FIRST)]),
]


@pytest.mark.parametrize("data", FOUND, ids=[f"{each!r:.40}" for each in FOUND])
@pytest.mark.conforms("B096", "B098")
def test_the_exception_of_a_failed_state_is_found(data: Any) -> None:
    with pytest.raises(KeyError) as caught:
        Failed(data, message="m").result()
    assert caught.value is FIRST


@pytest.mark.conforms("B097", "B098")
def test_where_there_is_only_a_text_it_is_wrapped() -> None:
    for state in (Failed("why"), Failed(message="why"), Failed(None, message="why"), Failed(Kept(None), message="why")):
        with pytest.raises(FailedRun, match=r"^why$"):
            state.result()
    with pytest.raises(CancelledRun, match=r"^why$"):
        State(StateType.CANCELLED, "Cancelled", "m", 0.0, [Completed(1), Cancelled("why")]).result()


def test_a_container_that_holds_itself_is_looked_through_once() -> None:
    loop: list[Any] = [Completed(1)]
    loop.append(loop)
    assert isinstance(Failed(loop).error(), ValueError)
    loop.append(Failed(FIRST))
    assert Failed(loop).error() is FIRST


@pytest.mark.conforms("B095")
def test_a_copy_is_the_same_state_and_a_fresh_one_is_of_no_run() -> None:
    state = Failed(FIRST, message="m", name="Odd", at=5.0).of_run(3, 4)
    same, other = state.copy(), state.copy(name="Other")
    assert same == state
    assert (same.origin, same.data, other.name, other.origin, state.name) == ((3, 4), FIRST, "Other", (3, 4), "Odd")
    fresh = state.fresh(9.0)
    assert (fresh.type, fresh.name, fresh.message, fresh.data) == (state.type, "Odd", "m", FIRST)
    assert (fresh.timestamp, fresh.origin) == (9.0, None)
    assert fresh != state
    with pytest.raises(TypeError):
        state.copy(colour=1)


@pytest.mark.conforms("B102")
def test_a_group_of_states_is_counted() -> None:
    states = [Completed(1), Completed(), Failed(), Crashed(), Cancelled(), Running(), NotReady("x"), AwaitingRetry(1.0)]
    group = StateGroup.of(iter(states))
    assert (group.total_count, group.final_count, group.not_final_count) == (8, 5, 3)
    assert (group.completed_count, group.fail_count, group.cancelled_count) == (2, 2, 1)
    assert {kind.value: count for kind, count in group.type_counts.items()} == {
        "COMPLETED": 2, "FAILED": 1, "CRASHED": 1, "CANCELLED": 1, "RUNNING": 1, "PENDING": 1, "SCHEDULED": 1,
    }  # fmt: skip
    assert group.any_failed()
    assert group.any_cancelled()
    assert not group.all_completed()
    assert not group.all_final()
    done = StateGroup.of([Completed(1)])
    assert (done.all_completed(), done.all_final(), done.any_failed(), done.any_cancelled()) == (
        True,
        True,
        False,
        False,
    )
    assert StateGroup.of([]).total_count == 0
