"""What a flow or a task is once it is defined: its options, its version, the names of its runs."""

from __future__ import annotations

import asyncio
import functools
import inspect
import linecache
import re
from collections.abc import Callable
from typing import Any

import pytest

import tidegate
from support.flows import flow, in_time, task
from tidegate import UsageError
from tidegate.engine import Engine
from tidegate.model.events import TaskCreated


def nothing() -> None: ...


@pytest.mark.parametrize("kind", [tidegate.Flow, tidegate.Task], ids=["flow", "task"])
@pytest.mark.conforms("B013")
def test_with_options_takes_what_the_decorator_takes(kind: Any) -> None:
    given = inspect.signature(kind).parameters.values()
    options = {each.name: each.default for each in given if each.kind is inspect.Parameter.KEYWORD_ONLY}
    assert "name" in options
    made = kind(nothing)
    for name, value in options.items():
        assert made.with_options(**{name: value}).fn is nothing
    for name in ("fn", "colour"):
        with pytest.raises(TypeError, match=name):
            made.with_options(**{name: None})


def typed(source: str, place: str) -> Callable[..., Any]:
    """The function `f` of a source that was typed in at a place of this name, as in a cell of a notebook."""
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    names: dict[str, Any] = {}
    exec(compile(source, place, "exec"), names)
    made: Callable[..., Any] = names["f"]
    return made


@pytest.mark.conforms("B008")
def test_the_version_of_a_flow_is_that_of_its_source(stored: Engine) -> None:
    sources = ["def f(): return 1\n", "def f(): return 1\n", "def f(): return 2\n"]
    for at, source in enumerate(sources):
        assert in_time(flow(typed(source, f"<cell {at}>"), name="typed")) in (1, 2)
    first, again, other = (row.source for row in reversed(stored.store.flow_runs()))
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert first == again != other


@pytest.mark.parametrize("fn", [eval("lambda: 7"), functools.partial(int, "7")], ids=["no source", "no function"])
@pytest.mark.conforms("B008")
def test_without_a_source_there_is_no_version_and_nothing_fails(stored: Engine, fn: Any) -> None:
    assert in_time(flow(fn, name="unknown")) == 7
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.source == ""


@pytest.mark.conforms("B054")
def test_the_version_of_a_task_is_kept_with_its_runs(stored: Engine) -> None:
    plain, versioned = task(lambda: 1, name="plain"), task(lambda: 1, name="versioned", version="2.1")
    assert (plain.version, versioned.version) == (None, "2.1")

    @flow
    def work() -> None:
        plain()
        versioned()
        versioned.submit().wait()

    work()
    assert [row.version for row in stored.store.task_runs(1)] == [None, "2.1", "2.1"]
    made = [event for _, event in stored.store.events(1) if isinstance(event, TaskCreated)]
    assert [event.version for event in made] == [None, "2.1", "2.1"]
    with pytest.raises(UsageError, match="version of 'odd' must be a text, not 3"):
        task(lambda: 1, name="odd", version=3)


@pytest.mark.conforms("B239")
def test_a_run_without_a_name_gets_two_words(stored: Engine) -> None:
    unnamed, named = flow(lambda: 1, name="work"), flow(lambda: 1, name="work", flow_run_name="tuesday")
    for each in (unnamed, unnamed, named):
        each()
    last, *names = (row.name for row in stored.store.flow_runs())
    assert last == "tuesday"
    assert all(re.fullmatch("[a-z]+-[a-z]+", name) for name in names)
    assert len(set(names)) == 2


class Doubler:
    def __call__(self, x: int) -> int:
        return 2 * x


class LaterDoubler:
    async def __call__(self, x: int) -> int:
        return 2 * x


@pytest.mark.parametrize("made", [Doubler(), LaterDoubler()], ids=["sync", "async"])
@pytest.mark.conforms("B052")
def test_a_callable_object_is_a_task(engine: Engine, made: Any) -> None:
    double = task(made)

    @flow
    def work() -> list[int]:
        return [double(1), double.submit(2).result(), *double.map([3, 4]).result()]

    assert in_time(work) == [2, 4, 6, 8]
    assert [row.name for row in engine.store.task_runs(1)] == [f"{type(made).__name__}-{at}" for at in range(4)]


@pytest.mark.parametrize("kind", [tidegate.Flow, tidegate.Task], ids=["flow", "task"])
@pytest.mark.conforms("B010")
def test_a_time_limit_of_nothing_is_none(kind: Any) -> None:
    for given, wanted in [(0, None), (None, None), (0.0, None), (5, 5.0), (0.25, 0.25)]:
        made = kind(nothing, timeout_seconds=given)
        assert made.timeout_seconds == wanted
        assert type(made.timeout_seconds) in (float, type(None))
        assert kind(nothing, timeout_seconds=9).with_options(timeout_seconds=given).timeout_seconds == wanted
    for wrong in (-1, "5", True, float("inf"), float("nan")):
        with pytest.raises(tidegate.UsageError, match="timeout_seconds"):
            kind(nothing, timeout_seconds=wrong)


@pytest.mark.parametrize("make", [flow, task], ids=["flow", "task"])
@pytest.mark.conforms("B014")
def test_retries_can_be_taken_back(engine: Engine, make: Any) -> None:
    tried: list[int] = []

    def fails() -> None:
        tried.append(1)
        raise ValueError("no")

    def times(made: Any) -> int:
        tried.clear()
        run = made if make is flow else flow(lambda: made(return_state=True), name="around")
        assert in_time(lambda: run(return_state=True)).is_failed()
        return len(tried)

    made = make(fails, name="fails", retries=2, retry_delay_seconds=[0.0])
    without = made.with_options(retries=0)
    assert [times(each) for each in (made, without, without.with_options(retries=1), made)] == [3, 1, 2, 3]


def wrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


@pytest.mark.conforms("B017")
def test_a_flow_looks_through_wrappers_and_a_task_does_not(engine: Engine) -> None:
    async def body(x: int) -> int:
        return x + 1

    twice = wrapped(wrapped(body))
    made = flow(twice, name="wrapped")
    assert made.is_async
    assert in_time(lambda: asyncio.run(made(1))) == 2
    assert flow(wrapped(lambda: 7), name="sync")() == 7
    assert not task(twice).is_async
    assert task(body).is_async


@pytest.mark.conforms("B053")
def test_a_task_is_known_by_the_qualified_name_of_its_function(engine: Engine) -> None:
    assert task(nothing, name="other").key == "nothing"
    assert task(Doubler.__call__).key == "Doubler.__call__"
    assert task(Doubler()).key == task(Doubler(), name="x").key == "Doubler"
    tried: list[int] = []

    def one() -> str:
        return "one"

    def two() -> str:
        return "two"

    @flow(retries=1)
    def work() -> Any:
        tried.append(1)
        if len(tried) == 1:
            task(one, name="same")()
            raise ValueError("again")
        return [task(two, name="same")(), task(one, name="renamed")()]

    # In the second attempt the one is known again, whatever it is called; the other only has its name.
    assert in_time(work) == ["two", "one"]
    assert [(row.name, row.attempts) for row in engine.store.task_runs(1)] == [("same-0", 1), ("same-1", 1)]
