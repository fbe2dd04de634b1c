"""The seeded simulator (`tests/simulator`): what holds of the engine whatever happens, over many random worlds.

``TIDEGATE_TRIALS=8000`` makes a million steps of it; ``TIDEGATE_SEED=n TIDEGATE_TRIALS=1`` repeats one world exactly.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from reliability.trials import Trials
from simulator.defects import DEFECTS, Defect
from simulator.legal import illegal
from simulator.trial import Trial, Wrong
from tidegate.model import states
from tidegate.model.events import Event, FlowCreated, FlowState, TaskCreated, TaskState

SEED = int(os.environ.get("TIDEGATE_SEED", "1"))
"""Of the tests below that look at a few worlds."""

EVERYTHING = (
    "kill", "doom", "break", "jump", "ask", "send", "rob", "answered", "death", "refused", "asked for again", "resumed",
    "Completed", "Failed", "Cancelled", "Suspended",
)  # fmt: skip


@pytest.mark.scorecard(37)
def test_whatever_happens_what_was_seen_is_saved_and_what_is_right_comes_out(trials: Trials) -> None:
    happened: Counter[str] = Counter()
    steps = bodies = told = 0
    for at in trials:
        with trials.judged(f"world {trials.seed + at}"):
            trial = Trial(trials.seed + at)
            try:
                trial.run()
            except BaseException:
                print(f"{trial.story()}\nTIDEGATE_SEED={trial.seed} TIDEGATE_TRIALS=1 repeats this")
                raise
        happened += trial.happened
        steps += trial.machine.steps
        bodies += trial.witness.bodies
        told += trial.witness.told
    trials.most("steps", steps)
    print(f"{trials.count} worlds: {steps:,} steps, {bodies:,} bodies, {told:,} told, {happened}")
    if trials.count >= 300:
        assert [each for each in EVERYTHING if happened[each] < 5] == [], "it hardly ever happens"
    if trials.count >= 100:
        assert steps > 100 * trials.count


def test_the_same_seed_is_the_same_world() -> None:
    for seed in range(SEED, SEED + 20):
        stories = []
        for _ in range(2):
            trial = Trial(seed)
            trial.run()
            stories.append((trial.machine.steps, trial.machine.clock.elapsed, trial.story()))
        assert stories[0] == stories[1], f"TIDEGATE_SEED={seed}"


@pytest.mark.scorecard(37, control=True, case=True)
@pytest.mark.parametrize("defect", DEFECTS.values(), ids=list(DEFECTS))
def test_control_a_defect_is_found(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    defect.put_in(monkeypatch)
    found = next(filter(None, map(wrong, range(defect.within))), "")
    assert any(each in found for each in defect.told), found or f"not found within {defect.within} seeds"


def wrong(seed: int) -> str:
    """What is wrong in the world of a seed."""
    try:
        Trial(seed).run()
    except Wrong as error:
        return str(error)
    return ""


def history(*names: str | tuple[int, str]) -> list[Event]:
    """The events of a run with these states; a pair is a state of a task run."""
    events: list[Event] = [FlowCreated(1, 0.0, "", "f", "f", "{}")]
    known: set[int] = set()
    for each in names:
        number, name = each if isinstance(each, tuple) else (0, each)
        if number and number not in known:
            known.add(number)
            events.append(TaskCreated(1, 0.0, number, "t", 1, number, {}))
        state = states.State(states.StateType.RUNNING, name)
        events.append(TaskState(1, 0.0, number, state) if number else FlowState(1, 0.0, state))
    return events


FORGED = {
    "the flow run is Resuming after Completed": history("Running", "Completed", "Resuming"),
    "the flow run is Running after Crashed": history("Running", "Crashed", "Running"),
    "the flow run is Suspended after Running": history("Running", "Suspended"),
    "task run 1 is Cancelled after Completed": history("Running", (1, "Running"), (1, "Completed"), (1, "Cancelled")),
    "task run 1 is Completed after Completed": history("Running", (1, "Running"), (1, "Completed"), (1, "Completed")),
    "task run 1 is Completed after Crashed": history("Running", (1, "Running"), (1, "Crashed"), (1, "Completed")),
    "task run 1 is made twice": [*history((1, "Running")), TaskCreated(1, 0.0, 1, "t", 1, 1, {})],
}


@pytest.mark.parametrize(("told", "events"), FORGED.items(), ids=list(FORGED))
def test_control_a_forged_record_is_noticed(told: str, events: list[Event]) -> None:
    assert told in illegal(events, never)


def never(flow_run: int, task_run: int) -> bool:
    return False


def test_control_a_wrong_result_is_noticed() -> None:
    found: list[str] = []
    for seed in range(SEED, SEED + 5):
        trial = Trial(seed)
        trial.right = "something else"
        with pytest.raises(Wrong, match="is right") as wrong:
            trial.run()
        found.append(str(wrong.value))
    assert len(found) == 5
