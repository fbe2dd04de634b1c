"""Calls of flows and tasks: what they give and raise, where their code runs, who may call whom."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.flows import SOON, flow, in_time, task, task_names
from tidegate.engine import Engine
from tidegate.futures import TaskFuture


@task
def sync_add(x: int, y: int = 1) -> int:
    return x + y


@task
async def async_add(x: int, y: int = 1) -> int:
    await asyncio.sleep(0)
    return x + y


async def settle(value: Any) -> Any:
    """What an async flow awaits and a sync one has at once."""
    return await value if isinstance(value, Awaitable) else value


@pytest.mark.parametrize("kind", ["sync", "async", "async in async"])
@pytest.mark.conforms("B060", "B061")
def test_a_direct_call_raises_what_the_task_raised_or_gives_its_state(engine: Engine, kind: str) -> None:
    error = KeyError("lost")

    def body() -> None:
        raise error

    async def coroutine() -> None:
        body()

    fails = task(body if kind == "sync" else coroutine, name="fails")

    @flow
    def calls() -> Any:
        with pytest.raises(KeyError) as caught:
            fails()
        assert caught.value is error
        return [fails(return_state=True)]

    @flow
    async def awaits() -> Any:
        with pytest.raises(KeyError) as caught:
            await fails()
        assert caught.value is error
        return [await fails(return_state=True)]

    final = in_time(
        lambda: asyncio.run(awaits(return_state=True)) if kind == "async in async" else calls(return_state=True)
    )
    (state,) = final.data
    assert state.is_failed()
    assert state.result(raise_on_failure=False) is error


@pytest.mark.conforms("B140")
@pytest.mark.parametrize("way", ["call", "submit", "map"])
def test_equal_calls_each_run(engine: Engine, way: str) -> None:
    ran: list[int] = []

    @task
    def step(x: int) -> int:
        ran.append(x)
        return x

    @flow
    def twice() -> list[int]:
        if way == "map":
            return list(step.map([1, 1]).result())
        return [step(1), step(1)] if way == "call" else [step.submit(1).result(), step.submit(1).result()]

    assert in_time(twice) == [1, 1]
    assert in_time(twice) == [1, 1]
    assert ran == [1] * 4


@pytest.mark.conforms("B066", "B253")
def test_where_the_code_runs(engine: Engine) -> None:
    """R1: a direct call stays on the caller's thread; submit and map go to workers; async work shares one loop."""

    @task
    def where() -> int:
        return threading.get_ident()

    @task
    async def loop_thread() -> int:
        return threading.get_ident()

    @flow
    def look() -> list[Any]:
        here = threading.get_ident()
        return [here, where(), where.submit().result(), loop_thread(), loop_thread.submit().result()]

    @flow
    async def look_async() -> list[Any]:
        return [threading.get_ident(), where(), where.submit().result(), await loop_thread()]

    here, called, submitted_to, awaited_on, submitted_async = in_time(look)
    assert called == here
    assert submitted_to != here
    assert awaited_on not in (here, submitted_to)
    assert submitted_async == awaited_on
    here, called, submitted_to, awaited_on = in_time(lambda: asyncio.run(look_async()))
    assert called == here == awaited_on
    assert submitted_to != here


@pytest.mark.conforms("B021")
def test_an_async_flow_that_is_not_awaited_makes_no_run(engine: Engine) -> None:
    @flow
    async def later() -> int:
        return 1

    waiting = later()
    assert engine.store.flow_runs() == []
    assert asyncio.run(waiting) == 1
    assert len(engine.store.flow_runs()) == 1


@pytest.mark.conforms("B022", "B023")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_failed_flow_raises_or_gives_its_state(engine: Engine, kind: str) -> None:
    if kind == "sync":

        @flow
        def fails() -> None:
            raise ValueError("no")

        def run(**options: Any) -> Any:
            return fails(**options)
    else:

        @flow
        async def fails() -> None:
            raise ValueError("no")

        def run(**options: Any) -> Any:
            return asyncio.run(fails(**options))

    with pytest.raises(ValueError, match=r"^no$"):
        run()
    state = run(return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), ValueError)


@pytest.mark.conforms("B045")
def test_all_kinds_of_arguments_reach_the_function(engine: Engine) -> None:
    def everything(a: int, /, b: int, *rest: int, c: int = 5, **more: int) -> tuple[Any, ...]:
        return a, b, rest, c, more

    wanted = everything(1, 2, 3, 4, c=6, d=7)
    as_task, as_flow = task(everything), flow(everything)

    @flow
    def calls() -> list[Any]:
        return [as_task(1, 2, 3, 4, c=6, d=7), as_task.submit(1, 2, 3, 4, c=6, d=7).result()]

    assert calls() == [wanted, wanted]
    assert as_flow(1, 2, 3, 4, c=6, d=7) == wanted
    assert as_flow(1, 2) == (1, 2, (), 5, {})


@pytest.mark.conforms("B025")
def test_the_record_of_a_flow_includes_applied_defaults(stored: Engine) -> None:
    @flow
    def everything(a: int, /, b: int = 2, *rest: int, c: int = 5, **more: int) -> tuple[Any, ...]:
        return a, b, rest, c, more

    assert everything(1) == (1, 2, (), 5, {})
    assert everything(1, 3, 4, c=6, d=7) == (1, 3, (4,), 6, {"d": 7})
    recorded = [json.loads(row.parameters) for row in stored.store.flow_runs()]
    assert recorded == [
        {"a": 1, "b": 3, "rest": [4], "c": 6, "more": {"d": 7}},
        {"a": 1, "b": 2, "rest": [], "c": 5, "more": {}},
    ]


@pytest.mark.conforms("B077")
@pytest.mark.parametrize("way", ["call", "submit", "map"])
def test_a_flow_that_is_tried_again_has_the_task_runs_that_it_had(stored: Engine, way: str) -> None:
    """What completed is neither made nor run again; equal calls keep a run each, and what is new gets a new one."""
    ran: list[int] = []
    attempts: list[int] = []

    @task
    def step(x: int) -> int:
        ran.append(x)
        return x

    def several(*xs: int) -> list[int]:
        if way == "map":
            return list(step.map(xs).result())
        return [step(x) if way == "call" else step.submit(x).result() for x in xs]

    @flow(retries=1)
    def works_at_last() -> list[int]:
        attempts.append(len(attempts))
        got = several(1, 2, 1)
        if len(attempts) == 1:
            raise ValueError("once")
        return got + several(3)

    assert in_time(works_at_last) == [1, 2, 1, 3]
    assert len(attempts) == 2
    assert sorted(ran) == [1, 1, 2, 3]
    assert [(row.name, row.attempts) for row in stored.store.task_runs(1)] == [(f"step-{at}", 1) for at in range(4)]


@pytest.mark.conforms("B078")
@pytest.mark.parametrize("way", ["call", "submit", "map", "subflow"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_once_its_time_is_up_a_flow_calls_nothing_more(stored: Engine, kind: str, way: str) -> None:
    began: list[str] = []

    @task
    def step(x: int) -> None:
        began.append("task")

    @flow
    def child(x: int) -> None:
        began.append("flow")

    calls = {"call": step, "submit": step.submit, "map": lambda x: step.map([x]), "subflow": child}

    def another() -> None:
        with pytest.raises(TimeoutError, match="no new task run begins") as caught:
            calls[way](1)
        raise caught.value

    @flow(timeout_seconds=0.05)
    def slow() -> None:
        with contextlib.suppress(KeyboardInterrupt):  # it does not take the hint
            threading.Event().wait(SOON)
        another()

    @flow(timeout_seconds=0.05)
    async def slow_async() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(SOON)
        another()

    state = slow(return_state=True) if kind == "sync" else asyncio.run(slow_async(return_state=True))
    assert (state.type.name, state.name) == ("FAILED", "TimedOut")
    assert began == []
    assert stored.store.task_runs(1) == []


@pytest.mark.conforms("B035")
def test_context_variables_of_the_caller_are_seen(engine: Engine) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="?")

    @task
    def read() -> str:
        return name.get()

    @task
    async def read_async() -> str:
        return name.get()

    @flow
    def look() -> list[str]:
        return [name.get(), read(), read.submit().result(), read_async(), read_async.submit().result()]

    def ask() -> list[str]:
        name.set("ada")
        return look()  # type: ignore[no-any-return]

    assert in_time(ask) == ["ada"] * 5


def child_sync(name: str) -> Any:
    @flow(name=name)
    def child(x: int) -> int:
        return int(sync_add(x)) + int(async_add(x))

    return child


def child_async(name: str) -> Any:
    @flow(name=name)
    async def child(x: int) -> int:
        return int(sync_add(x)) + int(await async_add(x))

    return child


@pytest.mark.conforms("B029", "B030", "B190")
@pytest.mark.parametrize("make", [child_sync, child_async])
def test_a_sync_flow_calls_subflows_and_has_their_values(stored: Engine, make: Callable[[str], Any]) -> None:
    child = make("child")

    @flow
    def parent() -> list[int]:
        return [child(1), child(2)]

    assert in_time(parent) == [4, 6]
    rows = stored.store.flow_runs()
    assert [(row.flow, row.parent) for row in rows] == [("child", (1, 2)), ("child", (1, 1)), ("parent", None)]
    assert [(row.name, row.subflow) for row in stored.store.task_runs(1)] == [("child-0", True), ("child-1", True)]
    assert rows[0].source == rows[1].source != rows[2].source, "each run knows the version of its flow"


@pytest.mark.conforms("B031", "B033", "B194")
def test_an_async_flow_gathers_async_subflows_which_overlap(engine: Engine) -> None:
    async def body(x: int, mine: asyncio.Event, other: asyncio.Event) -> int:
        mine.set()
        await asyncio.wait_for(other.wait(), 5)  # each waits for the other: only together can they end
        return int(await async_add(x))

    child = flow(body, name="child")

    @flow
    async def parent() -> list[int]:
        a, b = asyncio.Event(), asyncio.Event()
        return list(await asyncio.gather(child(1, a, b), child(2, b, a)))

    assert in_time(lambda: asyncio.run(parent())) == [2, 3]


@pytest.mark.conforms("B032", "B033")
def test_an_async_flow_calls_a_sync_subflow_which_calls_tasks(engine: Engine) -> None:
    child = child_sync("child")

    @flow
    async def parent() -> int:
        return int(child(1))

    assert in_time(lambda: asyncio.run(parent())) == 4


@pytest.mark.conforms("B033")
@pytest.mark.parametrize("kinds", ["sss", "ssa", "sas", "saa", "ass", "asa", "aas", "aaa"])
def test_chains_of_mixed_kinds(engine: Engine, kinds: str) -> None:
    """Flow, subflow, subflow of it, with tasks of both kinds at the end; s and a for sync and async."""

    def level(at: int) -> Any:
        if at == len(kinds):
            return None
        below = level(at + 1)
        if kinds[at] == "s":

            @flow(name=f"level{at}")
            def run() -> Any:
                return (below() if below else sync_add(1) + async_add(2)) + 10
        else:

            @flow(name=f"level{at}")
            async def run() -> Any:
                return (await settle(below()) if below else sync_add(1) + await async_add(2)) + 10

        return run

    root = level(0)
    assert in_time(lambda: asyncio.run(root()) if kinds[0] == "a" else root()) == 35


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_failing_subflow_raises_or_gives_its_state(engine: Engine, kind: str) -> None:
    def body() -> None:
        raise KeyError("lost")

    async def coroutine() -> None:
        body()

    child = flow(body if kind == "sync" else coroutine, name="child")

    @flow
    def parent() -> str:
        state = child(return_state=True)
        assert state.is_failed()
        with pytest.raises(KeyError):
            child()
        return "went on"

    assert in_time(parent) == "went on"


TASKS_IN_TASKS = ["sync-sync", "sync-async", "async-sync", "async-async"]


@pytest.mark.parametrize("looping", [False, True], ids=["sync-flow", "async-flow"])
@pytest.mark.parametrize("way", ["call", "submit"])
@pytest.mark.parametrize("kinds", TASKS_IN_TASKS)
def test_tasks_call_tasks(stored: Engine, kinds: str, way: str, looping: bool) -> None:
    outer_kind, inner_kind = kinds.split("-")
    inner = sync_add if inner_kind == "sync" else async_add

    if outer_kind == "sync":

        @task
        def outer(x: int) -> int:
            return int(inner(x) if way == "call" else inner.submit(x).result()) * 10
    else:

        @task
        async def outer(x: int) -> int:
            given = await settle(inner(x) if way == "call" else inner.submit(x))
            return int(await settle(given.result()) if isinstance(given, TaskFuture) else given) * 10

    @flow
    def sync_flow() -> list[int]:
        return [outer(1), outer.submit(2).result()]

    @flow
    async def async_flow() -> list[int]:
        return [await settle(outer(1)), await settle((await settle(outer.submit(2))).result())]

    assert in_time(lambda: asyncio.run(async_flow()) if looping else sync_flow()) == [20, 30]
    rows = stored.store.task_runs(1)
    assert [(row.name, row.parent) for row in rows] == [
        ("outer-0", 0), (f"{inner.name}-0", 1), ("outer-1", 0), (f"{inner.name}-1", 3),
    ]  # fmt: skip


@pytest.mark.conforms("B026")
def test_a_flow_in_a_task_is_refused(engine: Engine) -> None:
    @flow
    def child() -> int:
        return 1

    @task
    def calls_it() -> int:
        return int(child())

    @flow
    def parent() -> str:
        with pytest.raises(RuntimeError, match=r"calls_it-0") as caught:
            calls_it()
        assert "\n" not in str(caught.value)
        return "went on"

    assert parent() == "went on"
    assert len(engine.store.flow_runs()) == 1


@pytest.mark.conforms("B075", "B076")
def test_task_runs_are_numbered_by_their_task_and_by_subflow(engine: Engine) -> None:
    @task
    def a() -> None: ...

    @task
    def b() -> None: ...

    @flow
    def child() -> int:
        a()
        return 1

    @flow
    def parent() -> int:
        a()
        b()
        a()
        child()
        return 1

    parent()
    assert task_names(engine.store, 1) == ["a-0", "b-0", "a-1", "child-0"]
    assert task_names(engine.store, 2) == ["a-0"]


def test_the_same_flow_in_many_threads_at_once(stored: Engine) -> None:
    barrier = threading.Barrier(4)

    @flow
    def squares(n: int) -> list[int]:
        barrier.wait(5)
        return [each + 0 for each in sync_add.map(range(n), n).result()]

    results: dict[int, list[int]] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: squares(n)}), daemon=True) for n in (5, 6, 7, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == {n: [x + n for x in range(n)] for n in (5, 6, 7, 8)}
    assert sorted(len(stored.store.task_runs(run.number)) for run in stored.store.flow_runs()) == [5, 6, 7, 8]


def test_outside_of_a_flow_a_task_is_its_function(engine: Engine) -> None:
    assert sync_add(1) == 2
    assert asyncio.run(async_add(1)) == 2
    with pytest.raises(TypeError):
        sync_add()
    assert engine.store.flow_runs() == []


def test_threads_that_user_code_starts_are_outside(engine: Engine) -> None:
    seen: list[int] = []

    @flow
    def starts_one() -> int:
        thread = threading.Thread(target=lambda: seen.append(sync_add(1)))
        thread.start()
        thread.join(5)
        return 1

    starts_one()
    assert seen == [2]
    assert engine.store.task_runs(1) == []
