"""What a flow or a task is once it is defined: its options, its version, the names of its runs."""

from __future__ import annotations

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
