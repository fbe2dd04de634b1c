"""Calls that make no sense: the documented exception with one clear line, and nothing left half done."""

from __future__ import annotations

import contextvars
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tidegate
from support.flows import Feed, flow, in_time, task, task_names
from tidegate import (
    InvalidName,
    MappingLengthMismatch,
    MappingMissingIterable,
    OutsideFlow,
    ParameterBindError,
    ReservedArgument,
    UsageError,
    unmapped,
)
from tidegate.engine import Engine
from tidegate.model.events import TaskCreated


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task
async def add_async(x: int, y: int = 1) -> int:
    return x + y


def one_line(error: BaseException) -> str:
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) < 300
    return text


BAD_CALLS: list[tuple[str, Callable[[Any], Any], type[Exception], str]] = [
    ("too many", lambda t: t(1, 2, 3), ParameterBindError, "too many positional"),
    ("missing", lambda t: t(), ParameterBindError, "missing a required argument: 'x'"),
    ("unknown", lambda t: t(1, z=2), ParameterBindError, "'z'"),
    ("twice", lambda t: t(1, x=2), ParameterBindError, "multiple values"),
    ("submit too many", lambda t: t.submit(1, 2, 3), ParameterBindError, "too many positional"),
    ("submit missing", lambda t: t.submit(), ParameterBindError, "missing a required argument: 'x'"),
    ("map too many", lambda t: t.map([1], [2], [3]), ParameterBindError, "too many positional"),
    ("map unknown", lambda t: t.map([1], z=[2]), ParameterBindError, "'z'"),
    ("map nothing", lambda t: t.map(1), MappingMissingIterable, "iterable"),
    ("map a text", lambda t: t.map("abc"), MappingMissingIterable, "x: str"),
    ("map bytes", lambda t: t.map(b"abc"), MappingMissingIterable, "x: bytes"),
    ("map a file", lambda t: t.map(io.StringIO("a\nb")), MappingMissingIterable, "x: StringIO"),
    ("map unmapped only", lambda t: t.map(unmapped([1])), MappingMissingIterable, "iterable"),
    ("map of no argument", lambda t: t.map(), ParameterBindError, "missing"),
    ("map lengths", lambda t: t.map([1, 2], [1, 2, 3]), MappingLengthMismatch, "x has 2, y has 3"),
    ("map length none", lambda t: t.map([], [1]), MappingLengthMismatch, "x has 0, y has 1"),
]


@pytest.mark.parametrize("face", [add, add_async], ids=["sync", "async"])
@pytest.mark.parametrize(("call", "error", "text"), [c[1:] for c in BAD_CALLS], ids=[c[0] for c in BAD_CALLS])
@pytest.mark.conforms("B024", "B067", "B069")
def test_a_bad_call_records_nothing_and_the_next_one_works(
    stored: Engine, feed: Feed, face: Any, call: Callable[[Any], Any], error: type[Exception], text: str
) -> None:
    caught: list[BaseException] = []

    @flow
    def tries() -> list[int]:
        try:
            call(face)
        except Exception as bad:
            caught.append(bad)
        return [face(1), *face.map([2, 3]).result()]

    assert in_time(tries) == [2, 3, 4]
    (bad,) = caught
    assert type(bad) is error
    assert text in one_line(bad)
    assert face.name in str(bad)
    assert len(task_names(stored.store)) == 3
    assert len([event for event in feed.events if isinstance(event, TaskCreated)]) == 3
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.state.is_completed()


@pytest.mark.conforms("B069")
def test_an_unhandled_bad_map_fails_the_flow_with_that_error(engine: Engine) -> None:
    @flow
    def tries() -> None:
        add.map(5)

    with pytest.raises(MappingMissingIterable):
        tries()
    assert engine.store.task_runs(1) == []
    assert engine.live == {}


def test_an_iterable_that_breaks_leaves_nothing(engine: Engine) -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    @flow
    def tries() -> int:
        with pytest.raises(OSError, match="gone"):
            add.map(numbers())
        return int(add(1))

    assert in_time(tries) == 2
    assert task_names(engine.store) == ["add-0"]


def test_map_over_a_failed_future_raises_its_error_and_leaves_nothing(engine: Engine) -> None:
    @task
    def breaks() -> list[int]:
        raise OSError("gone")

    @flow
    def tries() -> int:
        with pytest.raises(OSError, match="gone"):
            add.map(breaks.submit())
        return int(add(1))

    assert in_time(tries) == 2
    assert task_names(engine.store) == ["breaks-0", "add-0"]


@pytest.mark.parametrize("bad", [lambda f: f(1, 2), lambda f: f(), lambda f: f(y=1)], ids=["many", "few", "unknown"])
@pytest.mark.conforms("B024")
def test_a_flow_that_cannot_be_bound_has_no_run(stored: Engine, bad: Callable[[Any], Any]) -> None:
    @flow
    def work(x: int) -> int:
        return x

    @flow
    async def work_async(x: int) -> int:
        return x

    @flow
    def parent() -> int:
        for child in (work, work_async):
            with pytest.raises(ParameterBindError):
                bad(child)
        return 1

    for face in (work, work_async):
        with pytest.raises(ParameterBindError) as caught:
            bad(face)
        one_line(caught.value)
        assert isinstance(caught.value, TypeError)
    assert stored.store.flow_runs() == []
    assert parent() == 1
    assert stored.store.task_runs(1) == []
    assert work(3) == 3


@pytest.mark.conforms("B027")
def test_wait_for_on_a_root_flow_is_refused(engine: Engine) -> None:
    @flow
    def work() -> int:
        return 1

    with pytest.raises(ValueError, match="subflows"):
        work(wait_for=[])
    assert engine.store.flow_runs() == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: add.submit(1),
        lambda: add.map([1]),
        lambda: add(1, return_state=True),
        lambda: add(1, wait_for=[]),
        lambda: add_async.submit(1),
    ],
    ids=["submit", "map", "return_state", "wait_for", "async submit"],
)
def test_outside_of_a_flow_what_needs_one_says_so(engine: Engine, call: Callable[[], Any]) -> None:
    with pytest.raises(OutsideFlow) as caught:
        call()
    assert "flow" in one_line(caught.value)
    assert isinstance(caught.value, RuntimeError)
    assert engine.store.flow_runs() == []


def test_after_its_end_a_flow_takes_no_tasks(engine: Engine) -> None:
    left: list[contextvars.Context] = []

    @flow
    def work() -> int:
        left.append(contextvars.copy_context())
        return 1

    work()
    with pytest.raises(tidegate.NotRunning) as caught:
        left[0].run(add.submit, 1)
    one_line(caught.value)
    assert engine.store.task_runs(1) == []


@pytest.mark.parametrize("made", [5, "text", None, [], object()], ids=["int", "str", "none", "list", "object"])
@pytest.mark.conforms("B002")
def test_only_callables_can_be_flows_and_tasks(made: Any) -> None:
    for decorate in (lambda x: tidegate.Flow(x), lambda x: tidegate.Task(x)):
        with pytest.raises(TypeError) as caught:
            decorate(made)
        one_line(caught.value)


@pytest.mark.parametrize("name", ["a/b", "a%b", "a&b", "a>b", "a<b", "", 5])
@pytest.mark.conforms("B004")
def test_names_that_cannot_be(name: Any) -> None:
    for decorate in (flow, task):
        with pytest.raises(InvalidName) as caught:
            decorate(name=name)(lambda: None)
        one_line(caught.value)
        assert isinstance(caught.value, ValueError)


@pytest.mark.conforms("B006")
def test_reserved_parameters() -> None:
    def one(return_state: bool) -> None: ...

    def two(wait_for: int) -> None: ...

    for decorate in (flow, task):
        for fn, name in ((one, "return_state"), (two, "wait_for")):
            with pytest.raises(ReservedArgument, match=name) as caught:
                decorate(fn)
            one_line(caught.value)
            assert isinstance(caught.value, TypeError)


BAD_OPTIONS: list[dict[str, Any]] = [
    {"retries": -1},
    {"retries": 1.5},
    {"retries": True},
    {"retries": "3"},
    {"retries": "3"},
    {"retry_delay_seconds": -1},
    {"retry_delay_seconds": [1, -1]},
    {"retry_delay_seconds": []},
    {"retry_delay_seconds": "soon"},
    {"retry_delay_seconds": float("nan")},
    {"retry_delay_seconds": float("inf")},
    {"retry_jitter_factor": -0.5},
    {"retry_jitter_factor": "x"},
    {"retry_condition_fn": 5},
    {"concurrency": 0},
    {"concurrency": -1},
    {"concurrency": "2"},
    {"concurrency": 1.5},
    {"concurrency": True},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
def test_task_options_that_make_no_sense(options: dict[str, Any]) -> None:
    def work() -> None: ...

    (name,) = options
    with pytest.raises(UsageError) as caught:
        task(**options)(work)
    assert name in one_line(caught.value)
    assert "work" in str(caught.value)
    with pytest.raises(UsageError):
        task(work).with_options(**options)


@pytest.mark.parametrize("runner", [5, "threads", object()], ids=["int", "str", "object"])
def test_flow_options_that_make_no_sense(runner: Any) -> None:
    with pytest.raises(UsageError, match="task_runner") as caught:
        flow(task_runner=runner)(_nothing)
    one_line(caught.value)


def _nothing() -> None: ...


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "4", None])
def test_a_runner_needs_a_number_of_workers(workers: Any) -> None:
    with pytest.raises(UsageError, match="max_workers") as caught:
        tidegate.ConcurrentTaskRunner(workers)
    one_line(caught.value)


@pytest.mark.parametrize("face", [flow(_nothing), task(_nothing)], ids=["flow", "task"])
def test_options_that_do_not_exist(face: Any) -> None:
    decorate = flow if face.is_flow else task
    calls: list[Callable[[], Any]] = [
        lambda: decorate(colour="red")(_nothing),
        lambda: face.with_options(colour="red"),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="colour") as caught:
            call()
        one_line(caught.value)


@pytest.mark.conforms("B001", "B003", "B005", "B052")
def test_names_and_docs() -> None:
    def my_step(x: int) -> int:
        """What it does.

        In more words.
        """
        return x

    class Caller:
        def __call__(self) -> int:
            return 1

    assert (flow(my_step).name, task(my_step).name) == ("my-step", "my_step")
    assert (flow()(my_step).name, flow(name="A b")(my_step).name, task(name="A b")(my_step).name) == (
        "my-step", "A b", "A b",
    )  # fmt: skip
    assert (tidegate.flow(my_step).name, tidegate.task(my_step).name) == ("my-step", "my_step")
    assert tidegate.Flow(my_step).name == "my-step"
    assert flow(my_step).__doc__ == "What it does.\n\nIn more words."
    assert task(Caller()).name == "Caller"
    assert task(my_step).key == my_step.__qualname__
    assert re.search(r"Caller$", task(Caller()).key)


@pytest.mark.conforms("B011")
def test_with_options_keeps_what_is_not_given_and_can_reset() -> None:
    first = task(retries=3, retry_delay_seconds=[1, 2], concurrency=2, name="first")(_nothing)
    second = first.with_options(name="second")
    assert (second.name, second.policy, second.concurrency, second.fn) == ("second", first.policy, 2, first.fn)
    third = first.with_options(retries=0, retry_delay_seconds=0, concurrency=None)
    assert (third.policy.retries, third.policy.delays, third.concurrency) == (0, (0.0,), None)
    assert first.policy.retries == 3
    nightly = flow(name="nightly", flow_run_name="n")(_nothing)
    other = nightly.with_options(flow_run_name="m")
    assert (other.name, other.flow_run_name, other.fn) == ("nightly", "m", nightly.fn)


def test_builtins_can_be_tasks(engine: Engine) -> None:
    biggest = task(max)

    @flow
    def work() -> int:
        return int(biggest(1, 5)) + int(biggest.submit([2, 3]).result())

    assert in_time(work) == 8


def test_map_over_several_positional_iterables_of_different_lengths(engine: Engine) -> None:
    @task
    def add(*numbers: int) -> int:
        return sum(numbers)

    @flow
    def work() -> list[int]:
        with pytest.raises(MappingLengthMismatch, match="numbers has 2, numbers has 1"):
            add.map([1, 2], [1])
        return list(add.map([1, 2], [10, 20]).result())

    assert work() == [11, 22]
    assert [row.task for row in engine.store.task_runs(1)] == ["add", "add"]
