"""Fork: a new run that takes over what completed in an earlier one, but for one task and all that needs it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import flow, states_in_store, task
from support.resumes import Bodies, noting
from tidegate import fork, lineage, resume
from tidegate.engine import Engine
from tidegate.errors import NotStartable, UsageError
from tidegate.futures import TaskFuture
from tidegate.model.states import State


def result(ended: Any) -> Any:
    assert isinstance(ended, State)
    return ended.result()


class Graph:
    """A random graph of tasks; each adds its number to what its inputs gave."""

    def __init__(self, chance: random.Random) -> None:
        self.size = chance.randint(3, 9)
        self.inputs = {at: sorted(chance.sample(range(at), min(at, chance.randint(0, 3)))) for at in range(self.size)}
        self.by_value = {at: chance.random() < 0.3 for at in range(self.size)}
        self.bodies = Bodies()

        @task
        def step(at: int, *given: int) -> int:
            self.bodies(str(at))
            return 1000 + at + sum(given)

        @flow(name="graph")
        def work(offset: int = 0) -> int:
            made: list[Any] = []
            for at in range(self.size):
                given = [made[each].result() if self.by_value[at] else made[each] for each in self.inputs[at]]
                made.append(step.submit(at, *given))
            return offset + int(sum(each.result() for each in made))

        self.flow = work

    def ran(self) -> set[int]:
        ran, self.bodies.ran = self.bodies.ran, []
        assert len(ran) == len(set(ran))
        return set(map(int, ran))

    def with_descendants(self, node: int) -> set[int]:
        found = {node}
        for at in range(self.size):
            if found & set(self.inputs[at]):
                found.add(at)
        return found


def differences(here: Engine, chance: random.Random) -> list[str]:
    """How forks of the run of a random graph, at each of its nodes, differ from what they are to be."""
    graph, store = Graph(chance), here.store
    whole = graph.flow()
    assert graph.ran() == set(range(graph.size))
    first = store.flow_runs(1)[0].number
    numbers = {row.number for row in store.task_runs(first)}
    found = []
    for node in range(graph.size):
        wanted = graph.with_descendants(node)
        if result(fork(first, node + 1)) != whole:
            found.append(f"{node}: another result")
        ran, newest = graph.ran(), store.flow_runs(1)[0]
        states = {row.number: row.state.name for row in store.task_runs(newest.number)}
        anew = {number - 1 for number, name in states.items() if name != "Cached"}
        if not ran == anew == wanted or set(states) != numbers or newest.forked_from != first:
            found.append(f"{node}: {ran} ran, {anew} are kept as such, {wanted} should have")
    if states_in_store(store, first) != ["Running", "Completed"]:
        found.append("the run itself is another than it was")
    if result(fork(first)) != whole or graph.ran():
        found.append("a fork that asks for nothing runs something")
    return found


@pytest.mark.scorecard(21)
def test_each_node_of_a_random_graph_with_its_descendants_runs_and_nothing_else(stored: Engine, trials: Trials) -> None:
    for trial in trials:
        with trials.judged(f"graph {trial}"):
            assert differences(stored, trials.chance) == []


@pytest.mark.scorecard(21, control=True)
def test_control_a_fork_that_forgets_what_descends_from_it_is_found(
    stored: Engine, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(lineage, "downstream", lambda rows, sources: set())
    monkeypatch.setattr(TaskFuture, "ran_anew", False)
    for _ in trials:
        trials.found(differences(stored, trials.chance) != [])
    assert trials.caught


def test_a_fork_of_a_failed_run_runs_what_failed_and_can_itself_be_resumed(stored: Engine) -> None:
    bodies = Bodies("b", "c")

    step = noting(bodies)

    @flow
    def work() -> str:
        return "".join([str(step(name)) for name in "abcd"])

    with pytest.raises(ValueError, match="b"):
        work()
    bodies.fails.discard("b")
    with pytest.raises(ValueError, match="c"):
        result(fork(1))
    bodies.fails.clear()
    assert result(resume(2)) == "abcd"
    assert bodies.ran == ["a", "b", "b", "c", "c", "d"]
    assert [row.state.name for row in stored.store.task_runs(2)] == ["Cached", "Completed", "Completed", "Completed"]
    assert states_in_store(stored.store, 1) == ["Running", "Failed"]


def test_parameters_and_code_that_have_changed_run_what_they_touch(stored: Engine) -> None:
    bodies = Bodies()

    @task
    def load(day: str) -> str:
        bodies(f"load {day}")
        return day

    @task
    def fixed() -> str:
        bodies("fixed")
        return "f"

    @flow
    def work(day: str) -> str:
        return str(load(day)) + str(fixed())

    assert work("mon") == "monf"
    assert result(fork(1, parameters={"day": "tue"})) == "tuef"
    assert bodies.ran == ["load mon", "fixed", "load tue"]
    with pytest.raises(UsageError, match="night"):
        fork(1, parameters={"night": 1})
    with pytest.raises(UsageError, match=r"^The flow run has no task run 'stop'\. Its tasks are load, fixed\.$"):
        fork(1, "stop")
    assert len(stored.store.flow_runs()) == 2


def test_a_subflow_is_taken_over_whole_and_forked_from_its_caller(stored: Engine) -> None:
    bodies = Bodies()

    step = noting(bodies)

    @flow
    def inner() -> str:
        return str(step("in"))

    @flow
    def work() -> str:
        return str(inner()) + str(step("out"))

    assert work() == "inout"
    assert result(fork(1, "step")) == "inout"
    assert bodies.ran == ["in", "out", "out"]
    with pytest.raises(NotStartable, match=r"is a subflow\. Fork flow run 1, which called it\.$"):
        fork(2)


def test_what_waits_for_something_whose_code_has_changed_runs_too(stored: Engine) -> None:
    bodies = Bodies()

    def made(first: Any) -> Any:
        @task
        def last(x: int) -> int:
            bodies("last")
            return x

        @flow(name="work")
        def work() -> int:
            return int(last.submit(first.submit()).result())

        return work

    @task(name="first")
    def old() -> int:
        bodies("old")
        return 1

    @task(name="first")
    def new() -> int:
        bodies("new")
        return 2

    new.key = old.key
    assert made(old)() == 1
    assert result(fork(1, None, made(new))) == 2
    assert bodies.ran == ["old", "last", "new", "last"]
