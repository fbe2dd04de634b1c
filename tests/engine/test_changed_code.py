"""Random flows that are edited and resumed: exactly what an edit touches runs again.

`Plan` is a flow as data.  It is written as the text of a cell, which runs, and followed by a model, which says what
each call gives and by which code: a call runs again if the record has none of that task with those inputs, or has one
by other code.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.test_recovery_changes import Silent, run_cell
from reliability.trials import Trials
from support.resumes import resumed
from tidegate import resume
from tidegate.engine import Engine, engine
from tidegate.model.states import State
from tidegate.run.terms import OnChange

PRIME = 1_000_000_007
"""What a task returns is below it, and is another number for other inputs."""

Input = tuple[str, int]
"""A step before, the turn of the loop, or a number."""
Calls = dict[tuple[int, int, int, int], tuple[int, int]]
"""The code by which a call ran: by task, inputs, and how often called with them."""


@dataclass(frozen=True)
class Plan:
    """Steps in a loop; each calls a task with two inputs, and each task a helper."""

    tasks: tuple[int, ...]
    """A number in the code of each."""
    helpers: tuple[int, ...]
    helper_of: tuple[int, ...]
    steps: tuple[tuple[int, bool, Input, Input], ...]
    """Task, whether it is submitted, inputs."""
    turns: int
    comment: str = ""

    def code(self, task: int) -> tuple[int, int]:
        """What makes the code of a task another one."""
        return self.tasks[task], self.helpers[self.helper_of[task]]


def a_plan(chance: random.Random) -> Plan:
    tasks, helpers = chance.randint(2, 4), chance.randint(1, 2)
    steps = []
    for at in range(chance.randint(2, 6)):
        inputs = [an_input(chance, at) for _ in range(2)]
        steps.append((chance.randrange(tasks), chance.random() < 0.6, inputs[0], inputs[1]))
    return Plan(
        tuple(chance.randrange(1, 10_000) for _ in range(tasks)),
        tuple(chance.randrange(1, 10_000) for _ in range(helpers)),
        tuple(chance.randrange(helpers) for _ in range(tasks)),
        tuple(steps),
        chance.randint(1, 3),
    )


def an_input(chance: random.Random, at: int) -> Input:
    kind = chance.choice(["step", "step", "turn", "number"] if at else ["turn", "number"])
    return kind, chance.randrange(at) if kind == "step" else chance.randrange(1_000)


def edited(plan: Plan, kind: str, chance: random.Random) -> Plan:
    if kind == "task":
        return replace(plan, tasks=with_another(plan.tasks, chance))
    if kind == "helper":
        return replace(plan, helpers=with_another(plan.helpers, chance))
    if kind == "loop":
        return replace(plan, turns=max(1, plan.turns + chance.choice([-1, 1, 2])))
    if kind == "input":
        at = chance.randrange(len(plan.steps))
        task, submitted, _, second = plan.steps[at]
        steps = list(plan.steps)
        steps[at] = (task, submitted, an_input(chance, at), second)
        changed = replace(plan, steps=tuple(steps))
        # A future of another task run is another input, although that gave the same; the model knows values alone.
        return plan if has_twins(plan) or has_twins(changed) else changed
    return replace(plan, comment="    # another comment\n")


def with_another(numbers: tuple[int, ...], chance: random.Random) -> tuple[int, ...]:
    at = chance.randrange(len(numbers))
    return (*numbers[:at], numbers[at] + 1, *numbers[at + 1 :])


def text(plan: Plan) -> str:
    """The cell of a plan."""
    lines = ["from tidegate import flow, task"]
    for at, number in enumerate(plan.helpers):
        lines += [f"def help_{at}(x):", f"{plan.comment}    return (31 * x + {number}) % {PRIME}"]
    for at, number in enumerate(plan.tasks):
        lines += ["@task", f"def task_{at}(a, b):", f"    ran.append(({at}, a, b))"]
        lines += [f"{plan.comment}    return help_{plan.helper_of[at]}(7919 * a + 104729 * b + {number})"]
    lines += ["@flow", "def work():", "    got = []", f"    for turn in range({plan.turns}):"]
    for at, (task, submitted, *inputs) in enumerate(plan.steps):
        given = ", ".join(argument(plan, each, submitted) for each in inputs)
        lines.append(f"        x{at} = task_{task}{'.submit' if submitted else ''}({given})")
    results = ", ".join(argument(plan, ("step", at), False) for at in range(len(plan.steps)))
    lines += [
        f"        got.append([{results}])",
        "    if fail:",
        "        raise ValueError('at the end')",
        "    return got",
    ]
    return "\n".join(lines) + "\n"


def argument(plan: Plan, given: Input, as_future: bool) -> str:
    kind, number = given
    if kind != "step":
        return "turn" if kind == "turn" else str(number)
    return f"x{number}" if as_future or not plan.steps[number][1] else f"x{number}.result()"


def followed(plan: Plan) -> tuple[Calls, list[tuple[int, int, int]], list[list[int]]]:
    """By the model: the calls with their code, the calls in order, the result."""
    calls: Calls = {}
    order: list[tuple[int, int, int]] = []
    often = Counter[tuple[int, int, int]]()
    result = []
    for turn in range(plan.turns):
        got: list[int] = []
        for task, _, *inputs in plan.steps:
            a, b = (got[number] if kind == "step" else turn if kind == "turn" else number for kind, number in inputs)
            number, help_number = plan.code(task)
            call = (task, a, b)
            calls[*call, often[call]] = plan.code(task)
            often[call] += 1
            order.append(call)
            got.append((31 * (7919 * a + 104729 * b + number) + help_number) % PRIME)
        result.append(got)
    return calls, order, result


def has_twins(plan: Plan) -> bool:
    """True if two calls are of one task with the same inputs."""
    order = followed(plan)[1]
    return len(order) > len(set(order))


def touched(before: Plan, after: Plan) -> Counter[tuple[int, int, int]]:
    """The calls that run again, by the model."""
    known, now = followed(before)[0], followed(after)[0]
    return Counter(call[:3] for call, code in now.items() if known.get(call) != code)


def ran_by(plan: Plan, change: Plan, on_change: OnChange) -> tuple[list[Any], Any]:
    """What ran when a run of the plan that failed at its end is resumed as it is after the change, and its result."""
    first = run_cell(text(plan), Silent(), fail=True)
    final = first["work"](return_state=True)
    assert str(final.message).endswith("at the end"), final
    number = engine().store.flow_runs(1)[0].number
    ran: list[Any] = Silent()
    work = run_cell(text(change), ran, fail=False)["work"]
    if on_change == "rerun":
        return ran, resumed(number, work)
    ended = resume(number, work, on_change=on_change)
    assert isinstance(ended, State)
    return ran, ended.result()


KINDS = ["task", "helper", "loop", "input", "comment"]


@pytest.mark.scorecard(20, parts=2)
def test_exactly_what_an_edit_touches_runs_again(stored: Engine, trials: Trials) -> None:
    again = 0
    for trial in trials:
        seed = trials.chance.getrandbits(32)
        chance, kind = random.Random(seed), KINDS[trial % len(KINDS)]
        plan = a_plan(chance)
        change = edited(plan, kind, chance)
        with trials.judged(f"trial {trial}, {kind}, random.Random({seed})"):
            ran, result = ran_by(plan, change, "rerun")
            assert Counter(ran) == touched(plan, change)
            assert result == followed(change)[2]
        again += len(ran)
    print(f"{again} task runs ran again")
    assert again


@pytest.mark.scorecard(20, control=True)
def test_control_what_does_not_run_again_is_missed(stored: Engine, trials: Trials) -> None:
    """`on_change="reuse"` keeps what other code has made."""
    for _ in trials:
        chance = random.Random(trials.chance.getrandbits(32))
        plan = a_plan(chance)
        change = edited(plan, "task", chance)
        ran, _ = ran_by(plan, change, "reuse")
        trials.found(Counter(ran) != touched(plan, change))
    assert (trials.caught or 0) >= trials.count / 2
