"""Names of runs: templates of the parameters, and functions."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from support.flows import flow, in_time, task, task_names
from tidegate import Flow, Task, UsageError
from tidegate.engine import Engine

AIRPORT = {"iata": "VIE", "runways": [11, 29]}


def named(engine: Engine, number: int = 1) -> str:
    row = engine.store.flow_run(number)
    assert row is not None
    return row.name


TEMPLATES: list[tuple[str, str]] = [
    ("load", "load"),
    ("load {airport[iata]}", "load VIE"),
    ("load {airport[runways][1]:04d}", "load 0029"),
    ("{day!r} of {rest}", "'mon' of (1, 2)"),
    ("{more[key]} {n:.1f}", "v 0.5"),
    ("{{day}}  two \n lines", "{day} two lines"),
    ("{day:>5}.", "mon."),
]


@pytest.mark.parametrize(("template", "wanted"), TEMPLATES)
@pytest.mark.parametrize("way", ["call", "submit", "flow", "subflow", "async flow"])
def test_a_template_is_filled_in(stored: Engine, template: str, wanted: str, way: str) -> None:
    def body(airport: Any, day: str, *rest: int, n: float = 0.5, **more: str) -> int:
        return 1

    async def coroutine(airport: Any, day: str, *rest: int, n: float = 0.5, **more: str) -> int:
        return 1

    given = ((AIRPORT, "mon", 1, 2), {"key": "v"})
    if way == "async flow":
        made = flow(coroutine, flow_run_name=template)
        in_time(lambda: asyncio.run(made(*given[0], **given[1])))
    elif way == "flow":
        in_time(lambda: flow(body, flow_run_name=template)(*given[0], **given[1]))
    else:
        step = task(body, task_run_name=template) if way != "subflow" else flow(body, flow_run_name=template)
        in_time(flow(lambda: (step.submit if way == "submit" else step)(*given[0], **given[1]), name="around"))
    number = 2 if way == "subflow" else 1
    assert (task_names(stored.store) == [wanted]) if way in ("call", "submit") else (named(stored, number) == wanted)


def test_a_name_has_the_values_and_not_the_futures(stored: Engine) -> None:
    one = task(lambda: 1, name="one")
    step = task(lambda x, y=2: x, name="step", task_run_name="{x} and {y}")

    @flow
    def work() -> None:
        step.map([one.submit(), 5], one.submit())

    in_time(work)
    assert task_names(stored.store)[2:] == ["1 and 1", "5 and 1"]


def test_a_name_may_come_from_a_function(stored: Engine) -> None:
    names = iter(["first", 2, "  third\nline "])
    step = task(lambda: 1, name="step", task_run_name=lambda: next(names))

    @flow(flow_run_name=lambda: "the flow")
    def work() -> None:
        step()
        step()
        step.submit()

    in_time(work)
    assert named(stored) == "the flow"
    assert task_names(stored.store) == ["first", "2", "third line"]


def test_a_subflow_and_what_tracks_it_have_one_name(stored: Engine) -> None:
    names = iter("abcdef")
    child = flow(lambda: 1, name="child", flow_run_name=lambda: next(names))

    @flow
    def parent() -> None:
        child()
        child()

    in_time(parent)
    assert task_names(stored.store) == ["a", "b"]
    assert [named(stored, 2), named(stored, 3)] == ["a", "b"]


def test_a_retried_run_keeps_its_name(stored: Engine) -> None:
    names = iter("abcdef")
    tried: list[int] = []

    @task(retries=2, task_run_name=lambda: next(names))
    def step() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise ValueError("not yet")

    in_time(flow(lambda: step(return_state=True), name="work"))
    assert task_names(stored.store) == ["a"]


@pytest.mark.parametrize("name", ["x" * 500, "lone \udcff surrogate"], ids=["long", "surrogate"])
def test_a_name_that_cannot_stand_as_it_is(stored: Engine, name: str) -> None:
    step = task(lambda x: x, name="step", task_run_name="{x}")
    in_time(flow(lambda: step(name), name="work", flow_run_name=lambda: name))
    assert named(stored)[:5] == task_names(stored.store)[0][:5] == name[:5]
    assert len(named(stored)) <= 200


@pytest.mark.parametrize("name", ["", "   ", "{x}"])
def test_an_empty_name_is_none(stored: Engine, name: str) -> None:
    step = task(lambda x: x, name="step", task_run_name=name)

    @flow(flow_run_name=name)
    def work(x: str) -> None:
        step(x)

    in_time(lambda: work(""))
    assert re.fullmatch("[a-z]+-[a-z]+", named(stored))
    assert task_names(stored.store) == ["step-0"]


def broken() -> str:
    raise LookupError("no name today")


BROKEN: list[tuple[Any, type[Exception]]] = [
    ("{x[iata]}", TypeError),
    ("{x.iata}", AttributeError),
    ("{x:04d}", ValueError),
    (broken, LookupError),
]


@pytest.mark.parametrize(("name", "error"), BROKEN, ids=["item", "attribute", "format", "function"])
def test_a_name_that_cannot_be_made_fails_the_run(stored: Engine, name: Any, error: type[Exception]) -> None:
    ran: list[str] = []
    step = task(lambda x: ran.append(x), name="step", task_run_name=name)

    @flow(flow_run_name=name)
    def child(x: str) -> None:
        ran.append(x)

    @flow
    def work() -> int:
        for each in (step, child):
            state = each("VIE", return_state=True)
            assert state.is_failed()
            assert isinstance(state.result(raise_on_failure=False), error)
            assert "\n" not in state.message
        assert isinstance(step.submit("VIE").wait().result(raise_on_failure=False), error)
        return 1

    assert in_time(work) == 1
    assert ran == []
    child_row = stored.store.flow_run(2)
    assert child_row is not None
    assert "flow_run_name" in child_row.state.message


WRONG: list[tuple[Any, str]] = [
    (5, "must be a text or a function"),
    (["x"], "must be a text or a function"),
    ("{y}", "asks for 'y', which is no parameter. There are: x, z"),
    ("{y[a].b}", "asks for 'y'"),
    ("{}", "asks for ''"),
    ("{0}", "asks for '0'"),
    ("{x", "is no template"),
    ("x}", "is no template"),
]


async def later() -> str:
    return "x"


@pytest.mark.parametrize(("name", "told"), [*WRONG, (later, "not async")])
@pytest.mark.parametrize(("kind", "option"), [(Flow, "flow_run_name"), (Task, "task_run_name")], ids=["flow", "task"])
def test_a_template_that_cannot_be_is_refused_in_one_line(kind: Any, option: str, name: Any, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        kind(lambda x, z=1: x, name="work", **{option: name})
    assert option in str(caught.value)
    assert "\n" not in str(caught.value)
