"""Rerun, retry_failed, and the terms of a resume: what runs again, what is kept, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from support.flows import Feed, flow, states_in_store, task
from support.resumes import Bodies, noting, resumed
from tidegate import NondeterminismError, rerun, resume, resume_plan, retry_failed
from tidegate.engine import Engine
from tidegate.errors import CrashedRun, NotStartable, UsageError
from tidegate.model.events import FlowState, TaskState
from tidegate.model.states import Crashed, State


def result(ended: Any) -> Any:
    assert isinstance(ended, State)
    return ended.result()


class Diamond:
    """a -> b, c -> d; beside them e; what each returns is in `values`."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self.values = dict.fromkeys("abcde", 1)

        @task
        def step(name: str, *inputs: int) -> int:
            self.bodies(name)
            return self.values[name] + 0 * sum(inputs)

        @flow
        def work() -> int:
            e = step.submit("e")
            a = step.submit("a")
            b, c = step.submit("b", a), step.submit("c", a)
            d = step.submit("d", b, c)
            return int(d.result() + e.result())

        self.flow = work

    def ran(self) -> set[str]:
        ran, self.bodies.ran = self.bodies.ran, []
        assert len(ran) == len(set(ran))
        return set(ran)


@pytest.fixture
def diamond(stored: Engine) -> Diamond:
    made = Diamond()
    assert made.flow() == 2
    assert made.ran() == set("abcde")
    return made


# Rerun ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "again"), [("a", "abcd"), ("b", "bd"), ("c", "cd"), ("d", "d"), ("e", "e")])
def test_a_task_run_and_all_that_needs_it_run_again(stored: Engine, diamond: Diamond, name: str, again: str) -> None:
    number = {"e": 1, "a": 2, "b": 3, "c": 4, "d": 5}[name]
    plan = resume_plan(1, number)
    assert (plan.kept, sum(plan.again.values())) == (5 - len(again), len(again))
    assert result(rerun(1, number)) == 2
    assert diamond.ran() == set(again)
    assert len(stored.store.flow_runs()) == 1
    assert states_in_store(stored.store, 1) == ["Running", "Completed", "Resuming", "Completed"]
    assert states_in_store(stored.store, 1, number)[-2:] == ["Rerunning", "Completed"]
    assert result(rerun(1, f"step-{number - 1}")) == 2
    assert diamond.ran() == set(again)


@pytest.mark.parametrize("value", [1, 7])
def test_without_cascade_what_needs_it_runs_again_only_if_the_result_is_another(diamond: Diamond, value: int) -> None:
    diamond.values["a"] = value
    assert result(rerun(1, "step-1", cascade=False)) == 2
    # b and c give what they gave, so d is kept in any case.
    assert diamond.ran() == ({"a"} if value == 1 else {"a", "b", "c"})


def test_all_runs_of_a_task_by_its_name(diamond: Diamond) -> None:
    assert result(rerun(1, "step")) == 2
    assert diamond.ran() == set("abcde")


def test_what_is_not_there_is_told(stored: Engine, diamond: Diamond) -> None:
    for task_name in ("stop", 99, "step-77"):
        with pytest.raises(UsageError, match=r"^The flow run has no task run .*\. Its tasks are step\.$"):
            rerun(1, task_name)
    with pytest.raises(NotStartable, match=r"^There is no flow run 99\.$"):
        rerun(99, "step")
    assert diamond.ran() == set()
    assert states_in_store(stored.store, 1) == ["Running", "Completed"]


def test_a_task_in_a_task_runs_again_with_its_caller_and_what_needs_that(stored: Engine) -> None:
    bodies = Bodies()

    @task
    def inner(name: str) -> str:
        bodies(name)
        return name

    @task
    def outer() -> str:
        bodies("outer")
        return str(inner("one")) + str(inner("two"))

    @task
    def last(text: str) -> str:
        bodies("last")
        return text

    @flow
    def work() -> str:
        return str(last(outer.submit()))

    assert work() == "onetwo"
    bodies.ran.clear()
    assert result(rerun(1, "inner-1")) == "onetwo"
    assert bodies.ran == ["outer", "two", "last"]
    bodies.ran.clear()
    assert result(rerun(1, "outer")) == "onetwo"
    assert bodies.ran == ["outer", "one", "two", "last"]


def test_a_subflow_that_is_asked_for_runs_again_whole_and_in_its_own_run(stored: Engine) -> None:
    bodies = Bodies()

    step = noting(bodies)

    @flow
    def inner() -> str:
        return str(step("in"))

    @flow
    def work() -> str:
        return str(step("before")) + str(inner())

    assert work() == "beforein"
    bodies.ran.clear()
    assert result(rerun(1, "inner")) == "beforein"
    assert bodies.ran == ["in"]
    assert len(stored.store.flow_runs()) == 2


# Failed ones ----------------------------------------------------------------------------------------------------------


def test_retry_failed_is_for_runs_that_failed(stored: Engine) -> None:
    bodies = Bodies("b")

    step = noting(bodies)

    @flow
    def work() -> str:
        return "".join(step.map(list("abc")).result())

    with pytest.raises(ValueError, match="b"):
        work()
    bodies.fails.clear()
    bodies.ran.clear()
    assert result(retry_failed(1)) == "abc"
    assert bodies.ran == ["b"]
    with pytest.raises(NotStartable, match=r"^The flow run 1 has not failed: it is Completed\.$"):
        retry_failed(1)


# Terms ----------------------------------------------------------------------------------------------------------------


def versions(bodies: Bodies) -> tuple[Any, Any]:
    """A flow and the same with a task whose code has changed; both fail as long as `bodies` says so."""

    def made(step: Any) -> Any:
        @flow(name="work")
        def work() -> int:
            found = int(step(1))
            bodies("end")
            return found

        return work

    @task(name="step")
    def old(x: int) -> int:
        bodies("old")
        return x

    @task(name="step")
    def new(x: int) -> int:
        bodies("new")
        return x + 1

    new.key = old.key
    return made(old), made(new)


@pytest.mark.parametrize(("on_change", "ran", "gives"), [("rerun", ["new"], 2), ("reuse", [], 1)])
def test_what_becomes_of_a_task_whose_code_has_changed(
    stored: Engine, on_change: Any, ran: list[str], gives: int
) -> None:
    bodies = Bodies("end")
    old, new = versions(bodies)
    with pytest.raises(ValueError, match="end"):
        old()
    bodies.fails.clear()
    bodies.ran.clear()
    assert result(resume(1, new, on_change=on_change)) == gives
    assert bodies.ran == [*ran, "end"]


def test_a_change_may_be_an_error_and_nothing_is_lost(stored: Engine) -> None:
    bodies = Bodies("end")
    old, new = versions(bodies)
    with pytest.raises(ValueError, match="end"):
        old()
    with pytest.raises(NondeterminismError, match=r"^The code of step-0 has changed since it completed\.$"):
        result(resume(1, new, on_change="error"))
    bodies.fails.clear()
    bodies.ran.clear()
    assert resumed(1, old) == 1
    assert bodies.ran == ["end"]
    with pytest.raises(UsageError, match=r"^on_change must be one of 'rerun', 'reuse', 'error', not 'ignore'\.$"):
        resume(1, on_change="ignore")  # type: ignore[arg-type]


def test_what_ran_with_new_code_is_kept_by_that_code(stored: Engine) -> None:
    bodies = Bodies("end")
    old, new = versions(bodies)
    with pytest.raises(ValueError, match="end"):
        old()
    with pytest.raises(ValueError, match="end"):
        result(resume(1, new))
    assert bodies.ran == ["old", "end", "new", "end"]
    bodies.fails.clear()
    assert resumed(1, new) == 2
    assert bodies.ran[4:] == ["end"]


def test_a_strict_resume_refuses_what_the_record_does_not_have(stored: Engine) -> None:
    bodies = Bodies("end")
    words = ["a", "b", "c"]

    step = noting(bodies)

    @flow
    def work() -> str:
        found = "".join([str(step(each)) for each in words])
        bodies("end")
        return found

    with pytest.raises(ValueError, match="end"):
        work()
    words[1] = "x"
    with pytest.raises(NondeterminismError, match=r"^This call of 'step' is not in .*: step-1, step-2\. Its"):
        result(resume(1, strict=True))
    words[:] = ["a", "b", "c", "d"]  # a call behind all that completed is nothing but new
    bodies.fails.clear()
    assert result(resume(1, strict=True)) == "abcd"
    assert bodies.ran[-2:] == ["d", "end"]


def test_a_task_that_may_not_run_twice_stays_crashed_until_somebody_asks(stored: Engine, feed: Feed) -> None:
    bodies = Bodies("charge")

    @task(rerun="never")
    def charge() -> int:
        bodies("charge")
        return 1

    @flow
    def work() -> int:
        return int(charge())

    with pytest.raises(ValueError, match="charge"):
        work()
    now = stored.now()
    gone = Crashed(message="Its process ended before it did.", at=now)  # what is recorded of a dead process
    stored.store.commit_all([TaskState(1, now, 1, gone, 1), FlowState(1, now, gone, attempt=1)])
    bodies.fails.clear()
    with pytest.raises(CrashedRun, match=r"^Its process ended before it did\. `tidegate\.rerun\(1, 'charge-0'\)` runs"):
        resumed(1)
    assert bodies.ran == ["charge"]
    assert result(rerun(1, "charge")) == 1
    assert bodies.ran == ["charge", "charge"]
    with pytest.raises(match=r"rerun of 'charge' must be 'always', 'ask' or 'never', not 'sometimes'"):
        task(rerun="sometimes", name="charge")(charge.fn)
