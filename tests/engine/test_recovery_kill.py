"""Resume: after `kill -9` a run goes on in another process, and only what is missing runs.

Real processes are really killed.  A file outside the store, to which each body appends, tells what ran.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import states_in_store
from support.killed_runs import NEVER, SHAPES, Place
from support.tampering import tampered
from support.victims import Victims

KILLS = 6
"""Kills of one run at most: the first one, and five while it is resumed."""


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as made:
        yield made


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, victims: Victims) -> dict[str, tuple[Any, Any, int]]:
    """Result, nodes and number of lines of each shape when nobody kills it."""
    known: dict[str, tuple[Any, Any, int]] = {}
    for shape in SHAPES:
        place = Place(tmp_path_factory.mktemp("whole") / shape, victims)
        result = place.go(shape)
        assert place.ran_twice() == []
        known[shape] = result, place.nodes(), len(place.lines()) - 1
    return known


# Kills ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.scorecard(5, parts=len(SHAPES))
def test_a_killed_run_goes_on_in_another_process(
    tmp_path: Path, shape: str, uninterrupted: Any, victims: Victims, trials: Trials
) -> None:
    """Killed at a random line, several times, also while it is resumed: the end is as if nothing had been."""
    result, nodes, lines = uninterrupted[shape]
    for trial in trials:
        place = Place(tmp_path / str(trial), victims)
        with trials.judged():
            got = place.go(shape, die_at=trials.chance.randint(1, lines))
            kills = 0
            while got is None:
                kills += 1
                got = place.go(shape, 1, die_at=trials.chance.randint(1, lines) if kills < KILLS else NEVER)
            trials.most("kills", kills)
            assert got == result
            assert place.ran_twice() == []
            assert place.nodes() == nodes
            check_record(place, kills)


def check_record(place: Place, kills: int) -> None:
    """The record of a run that was killed so often and came to its end."""
    store = place.store()
    try:
        row = store.flow_run(1)
        assert row is not None
        assert row.state.name == "Completed"
        assert all(each.state.is_completed() for each in store.task_runs(1))
        states = [each for each, _ in groupby(states_in_store(store, 1)) if each != "Running"]
    finally:
        store.close()
    resumes = states.count("Resuming")  # one that was killed at once may not be on the record
    assert states == ["Crashed", "Resuming"] * resumes + ["Completed"]
    assert resumes in range(1, kills + 1) if kills else resumes == 0


@pytest.mark.scorecard(4)
def test_killed_once_at_any_moment_and_resumed(
    tmp_path: Path, uninterrupted: Any, victims: Victims, trials: Trials
) -> None:
    """By itself at a line, or from outside some moment after one."""
    chance, again = trials.chance, 0
    for trial in trials:
        shape = chance.choice(SHAPES)
        result, nodes, lines = uninterrupted[shape]
        place = Place(tmp_path / str(trial), victims)
        line, linger = chance.randint(1, lines - 1), chance.uniform(0, 0.01)
        outside = {"kill_after": line, "linger": linger}
        with trials.judged(f"trial {trial}, {shape}, line {line}"):
            got = place.go(shape, **(outside if trial % 2 else {"die_at": line}))
            if got is None and not place.is_over():
                again += 1
                got = place.go(shape, 1)
            assert (place.recorded() if got is None else got) == result
            assert place.ran_twice() == []
            assert place.nodes() == nodes
    print(f"{again} of {trials.done} were killed before their end")
    assert again >= trials.done / 2 or trials.violations


@pytest.mark.scorecard(4, control=True)
@pytest.mark.scorecard(5, control=True)
def test_control_a_store_that_forgets_is_caught(
    tmp_path: Path, uninterrupted: Any, victims: Victims, trials: Trials
) -> None:
    """The tests above can fail: without the results, bodies whose end was seen run twice."""
    for trial in trials:
        place = Place(tmp_path / str(trial), victims)
        assert place.go("calls", die_at=trials.chance.randint(7, 15)) is None
        tampered(place.home / "store.db", "UPDATE task_run SET result = NULL")
        assert place.go("calls", 1) == uninterrupted["calls"][0]
        trials.found(place.ran_twice() != [])
    assert trials.caught == trials.count
