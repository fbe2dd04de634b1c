"""`decide` over every pair of states, against a table that was written apart from the code.

The table says, for each present state and each proposed type, what becomes of the proposal while the flow run's gate is
open.  The rules around it (a closed gate, a time that is still to come, a retry) are written out below it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tidegate.model.states import (
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
    Suspended,
    Suspending,
)
from tidegate.rules.decide import Abort, Accept, Decision, Reject, RetryPolicy, Wait, decide

NOW = 1_000.0

PRESENT: dict[str, State] = {
    "Pending": Pending(),
    "NotReady": NotReady("x is Failed."),
    "Scheduled": State(StateType.SCHEDULED, "Scheduled", scheduled_time=NOW - 1),
    "AwaitingRetry": AwaitingRetry(NOW - 1),
    "Running": Running(),
    "Retrying": Running("Retrying"),
    "Resuming": Running("Resuming"),
    "Paused": Paused(),
    "Suspending": Suspending(),
    "Suspended": Suspended(),
    "Cancelling": Cancelling(),
    "Completed": Completed(1),
    "Failed": Failed(ValueError()),
    "Crashed": Crashed(),
    "Interrupted": Crashed(name="Interrupted"),
    "Cancelled": Cancelled(),
}

PROPOSED: dict[str, State] = {
    "SCHEDULED": AwaitingRetry(NOW + 5),
    "PENDING": NotReady("y is Failed."),
    "RUNNING": Running(at=NOW),
    "PAUSED": Paused("Paused by you."),
    "CANCELLING": Cancelling("Cancelled by you."),
    "COMPLETED": Completed(7),
    "FAILED": Failed(ValueError("x"), message="ValueError: x"),
    "CRASHED": Crashed(name="Interrupted"),
    "CANCELLED": Cancelled("Cancelled."),
}

# ok: entered as proposed   no: refused for good   again: entered as Retrying
#                 SCHED PEND  RUN    PAUSE CANC  COMPL FAIL  CRASH CANCELLED
TABLE = """
Pending           ok    ok    ok     no    ok    ok    ok    ok    ok
NotReady          ok    no    ok     no    ok    ok    ok    ok    ok
Scheduled         no    ok    ok     no    ok    ok    ok    ok    ok
AwaitingRetry     no    ok    again  no    ok    ok    ok    ok    ok
Running           no    no    no     ok    ok    ok    ok    ok    ok
Retrying          no    no    no     ok    ok    ok    ok    ok    ok
Resuming          no    no    no     ok    ok    ok    ok    ok    ok
Paused            no    no    ok     no    ok    ok    ok    ok    ok
Suspending        no    no    ok     no    ok    ok    ok    ok    ok
Suspended         no    no    ok     no    ok    ok    ok    ok    ok
Cancelling        no    no    ok     no    ok    ok    ok    ok    ok
Completed         no    no    no     no    no    no    no    no    no
Failed            no    no    no     no    no    no    no    no    no
Crashed           no    no    no     no    no    no    no    no    no
Interrupted       no    no    no     no    no    no    no    no    no
Cancelled         no    no    no     no    no    no    no    no    no
"""

ORACLE = {
    (present, proposed): word
    for present, *words in (line.split() for line in TABLE.strip().splitlines())
    for proposed, word in zip(PROPOSED, words, strict=True)
}
GATES = [StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
ENDED = {"Completed", "Failed", "Crashed", "Interrupted", "Cancelled"}


@dataclass
class Run:
    state: State
    attempts: int = 1
    gate: StateType = StateType.RUNNING
    reopened: str = ""


def expected(present: str, proposed: str, gate: StateType, attempts: int, retries: int) -> tuple[str, str]:
    """What the rules say, in words: the kind of decision and the name of the state that it leads to."""
    if present in ENDED:
        return "Abort", ""
    if proposed == "RUNNING" and gate is StateType.PAUSED:
        return "Wait", ""
    if proposed == "RUNNING" and gate is StateType.CANCELLING:
        return "Reject", "Cancelled"
    running = present in ("Running", "Retrying", "Resuming")
    if proposed == "FAILED" and running and gate is not StateType.CANCELLING and attempts <= retries:
        return "Reject", "AwaitingRetry"
    word = ORACLE[present, proposed]
    if word == "no":
        return "Abort", ""
    return "Accept", "Retrying" if word == "again" else PROPOSED[proposed].name


def told(decision: Decision) -> tuple[str, str]:
    state = getattr(decision, "state", None)
    return type(decision).__name__, state.name if state is not None else ""


def test_the_oracle_covers_every_pair() -> None:
    assert {kind.name for kind in StateType} == set(PROPOSED)
    assert {state.type for state in PRESENT.values()} == set(StateType)
    assert set(ORACLE) == set(itertools.product(PRESENT, PROPOSED))


@pytest.mark.parametrize("present", PRESENT)
@pytest.mark.conforms("B260", "B262", "B264", "B269", "B273", "B274")
def test_every_pair(present: str) -> None:
    for proposed, gate in itertools.product(PROPOSED, GATES):
        for attempts, retries in itertools.product((0, 1, 2, 3), (0, 1, 2)):
            run = Run(PRESENT[present], attempts, gate)
            before = replace(run)
            decision = decide(run, PROPOSED[proposed], RetryPolicy(retries, (2.0,)), NOW)
            case = f"{present} -> {proposed}, gate {gate.name}, attempt {attempts}, retries {retries}"
            assert told(decision) == expected(present, proposed, gate, attempts, retries), case
            assert run == before, f"a decision changed its run: {case}"
            if isinstance(decision, Accept) and decision.state.name != "Retrying":
                assert replace(decision.state, scheduled_time=None) == replace(
                    PROPOSED[proposed], scheduled_time=None
                ), case
            if isinstance(decision, Abort):
                assert decision.reason, case
                assert "\n" not in decision.reason, case


@pytest.mark.parametrize("present", sorted(ENDED))
@pytest.mark.conforms("B268")
def test_a_deployed_run_that_has_ended_may_be_tried_again_and_nothing_else(present: str) -> None:
    run = Run(PRESENT[present], attempts=9)
    for proposed in (*PROPOSED.values(), State(StateType.SCHEDULED, "Scheduled", scheduled_time=NOW)):
        decision = decide(run, proposed, RetryPolicy(), NOW, deployed=True)
        again = proposed.name == "AwaitingRetry"
        assert told(decision) == (("Accept", "AwaitingRetry") if again else ("Abort", "")), proposed
        assert told(decide(run, proposed, RetryPolicy(), NOW)) == ("Abort", ""), "of no deployment"


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", ["Scheduled", "AwaitingRetry"])
@pytest.mark.parametrize("ahead", [-5.0, 0.0, 0.25, 5.0])
@pytest.mark.conforms("B272")
def test_a_scheduled_run_waits_until_it_is_due(ahead: float, name: str, gate: StateType) -> None:
    run = Run(State(StateType.SCHEDULED, name, scheduled_time=NOW + ahead), gate=gate)
    decision = decide(run, Running(at=NOW), RetryPolicy(), NOW)
    if gate is StateType.PAUSED:
        assert decision == Wait(None)
    elif gate is StateType.CANCELLING:
        assert told(decision) == ("Reject", "Cancelled")
    elif ahead > 0:
        assert isinstance(decision, Wait)
        assert decision.seconds == pytest.approx(ahead)
    else:
        assert told(decision) == ("Accept", "Retrying" if name == "AwaitingRetry" else "Running")


@pytest.mark.conforms("B272")
def test_a_scheduled_run_without_a_time_is_due() -> None:
    run = Run(State(StateType.SCHEDULED, "Scheduled"))
    assert told(decide(run, Running(at=NOW), RetryPolicy(), NOW)) == ("Accept", "Running")


@pytest.mark.conforms("B273")
def test_a_retry_keeps_the_message_and_the_error_and_says_when() -> None:
    error = ValueError("x")
    run = Run(Running(), attempts=1)
    decision = decide(run, Failed(error, message="ValueError: x"), RetryPolicy(1, (2.5,)), NOW)
    assert isinstance(decision, Reject)
    state = decision.state
    assert (state.type, state.name, state.message) == (StateType.SCHEDULED, "AwaitingRetry", "ValueError: x")
    assert state.scheduled_time == NOW + 2.5
    assert state.data is error


@pytest.mark.conforms("B116", "B118")
@pytest.mark.parametrize(
    ("delays", "wanted"),
    [((3.0,), [3, 3, 3, 3]), ((1.0, 2.0, 4.0), [1, 2, 4, 4]), ((0.0,), [0, 0, 0, 0]), ((0.5, 0.0), [0.5, 0, 0, 0])],
    ids=str,
)
def test_the_delay_of_each_retry(delays: tuple[float, ...], wanted: list[float]) -> None:
    policy = RetryPolicy(4, delays)
    for attempt, seconds in enumerate(wanted, start=1):
        decision = decide(Run(Running(), attempt), Failed(ValueError()), policy, NOW)
        assert isinstance(decision, Reject)
        assert decision.state.scheduled_time == NOW + seconds
    assert isinstance(decide(Run(Running(), 5), Failed(ValueError()), policy, NOW), Accept)


ALMOST_ONE = 1 - 2**-53


@pytest.mark.parametrize(
    ("jitter", "draw", "factor"),
    [
        (0.0, 0.0, 1.0), (0.0, ALMOST_ONE, 1.0),
        (0.5, 0.0, 0.5), (0.5, 0.5, 1.0), (0.5, ALMOST_ONE, 1.5),
        (1.0, 0.0, 0.0), (1.0, 0.5, 1.0), (1.0, ALMOST_ONE, 2.0),
    ],
)  # fmt: skip
def test_jitter_spreads_the_delay_around_itself(jitter: float, draw: float, factor: float) -> None:
    decision = decide(Run(Running(), 1), Failed(ValueError()), RetryPolicy(1, (10.0,), jitter), NOW, draw)
    assert isinstance(decision, Reject)
    assert decision.state.scheduled_time == pytest.approx(NOW + 10 * factor)


@pytest.mark.parametrize("jitter", [1.5, 3.0])
@pytest.mark.parametrize("draw", [0.0, 0.1, ALMOST_ONE])
def test_jitter_never_leads_into_the_past(jitter: float, draw: float) -> None:
    decision = decide(Run(Running(), 1), Failed(ValueError()), RetryPolicy(1, (10.0,), jitter), NOW, draw)
    assert isinstance(decision, Reject)
    assert decision.state.scheduled_time is not None
    assert decision.state.scheduled_time >= NOW


CONDITIONS: list[tuple[str, Any, bool]] = [
    ("accepts it", lambda error: True, True),
    ("refuses it", lambda error: False, False),
    ("by class", lambda error: isinstance(error, OSError), False),
    ("by text", lambda error: "x" in str(error), True),
]


@pytest.mark.parametrize(("condition", "again"), [c[1:] for c in CONDITIONS], ids=[c[0] for c in CONDITIONS])
def test_a_condition_may_refuse_a_retry(condition: Any, again: bool) -> None:
    policy = RetryPolicy(3, condition=condition)
    decision = decide(Run(Running(), 1), Failed(ValueError("x")), policy, NOW)
    assert told(decision) == (("Reject", "AwaitingRetry") if again else ("Accept", "Failed"))


def test_a_condition_is_not_asked_when_no_retry_is_left_or_there_is_no_error() -> None:
    def never(error: BaseException) -> bool:
        raise AssertionError("asked")

    policy = RetryPolicy(1, condition=never)
    assert told(decide(Run(Running(), 2), Failed(ValueError()), policy, NOW)) == ("Accept", "Failed")
    assert told(decide(Run(Running(), 1), Failed(), policy, NOW)) == ("Reject", "AwaitingRetry")
    assert told(decide(Run(Running(), 1), Completed(1), policy, NOW)) == ("Accept", "Completed")


@pytest.mark.parametrize("proposed", ["CRASHED", "CANCELLED", "COMPLETED"])
def test_only_failures_are_retried(proposed: str) -> None:
    decision = decide(Run(Running(), 1), PROPOSED[proposed], RetryPolicy(9), NOW)
    assert told(decision) == ("Accept", PROPOSED[proposed].name)


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("reopened", ["Retrying", "Rerunning"])
@pytest.mark.parametrize("present", sorted(ENDED))
@pytest.mark.conforms("B267", "B275")
def test_a_run_that_has_ended_begins_again_only_where_its_flow_is_tried_again(
    present: str, reopened: str, gate: StateType
) -> None:
    run = Run(PRESENT[present], 0, gate, reopened)
    assert isinstance(decide(replace(run, reopened=""), Running(at=NOW), RetryPolicy(), NOW), Abort)
    decision = decide(run, Running(at=NOW), RetryPolicy(), NOW)
    wanted = {StateType.RUNNING: ("Accept", reopened), StateType.PAUSED: ("Wait", "")}
    assert told(decision) == wanted.get(gate, ("Reject", "Cancelled"))
    for proposed in PROPOSED.keys() - {"RUNNING"}:
        assert isinstance(decide(run, PROPOSED[proposed], RetryPolicy(9), NOW), Abort), proposed


@pytest.mark.parametrize("present", PRESENT)
def test_a_suspended_run_is_resumed_by_that_name_and_no_other_live_one_is(present: str) -> None:
    run = Run(PRESENT[present], 0, reopened="Resuming")
    kind, name = told(decide(run, Running(at=NOW), RetryPolicy(), NOW))
    if present in ENDED | {"Suspended"}:
        assert (kind, name) == ("Accept", "Resuming")
    else:
        assert name != "Resuming"


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("present", PRESENT)
@pytest.mark.conforms("B266")
def test_a_cached_state_takes_the_place_of_running_wherever_running_would_be_entered(
    present: str, gate: StateType
) -> None:
    cached = Completed(7, message="from before")
    run = Run(PRESENT[present], 1, gate)
    without = decide(run, Running(at=NOW), RetryPolicy(), NOW)
    decision = decide(run, Running(at=NOW), RetryPolicy(), NOW, cached=cached)
    assert decision == (Reject(cached) if isinstance(without, Accept) else without)
    for proposed in PROPOSED.keys() - {"RUNNING"}:
        with_it = decide(run, PROPOSED[proposed], RetryPolicy(), NOW, cached=cached)
        assert with_it == decide(run, PROPOSED[proposed], RetryPolicy(), NOW), proposed


@pytest.mark.parametrize("due", [None, NOW + 60])
@pytest.mark.conforms("B271")
def test_a_scheduled_run_that_becomes_pending_keeps_its_time_unless_a_new_one_is_given(due: float | None) -> None:
    run = Run(State(StateType.SCHEDULED, "Scheduled", scheduled_time=NOW + 5), 0)
    decision = decide(run, State(StateType.PENDING, "Pending", scheduled_time=due), RetryPolicy(), NOW)
    assert isinstance(decision, Accept)
    assert decision.state.scheduled_time == (due or NOW + 5)
    run = Run(decision.state, 0)
    assert decide(run, Running(at=NOW), RetryPolicy(), NOW) == Wait((due or NOW + 5) - NOW)


def test_a_delay_is_no_longer_than_it_was_although_the_clock_was_set_back() -> None:
    waits = Run(AwaitingRetry(NOW + 5, at=NOW))
    assert decide(waits, Running(at=NOW), RetryPolicy(), NOW + 1) == Wait(4.0)
    assert decide(waits, Running(at=NOW), RetryPolicy(), NOW - 3600) == Wait(5.0)
    scheduled = Run(State(StateType.SCHEDULED, "Scheduled", timestamp=NOW, scheduled_time=NOW + 5))
    assert decide(scheduled, Running(at=NOW), RetryPolicy(), NOW - 3600) == Wait(3605.0)
