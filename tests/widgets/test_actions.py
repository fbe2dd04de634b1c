"""What the inspector has done with one task run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.flows import flow, task
from tidegate.engine import Engine, using
from tidegate.errors import MissingResult, NotRunning, UntrustedResult, UsageError
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore
from tidegate_widgets.run_graph import RunGraph


@task
def make(row: int) -> set[int]:
    if row == 2:
        raise ValueError("bad row")
    return {row}


@task(persist_result=False)
def forget() -> set[int]:
    return {0}


@task
def count(rows: list[set[int]]) -> int:
    return len(rows)


@flow(name="page-actions")
def work() -> None:
    made = make.map(range(3))
    forget()
    count.submit(made[:2])
    count.submit(made[:1])


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[RunGraph]:
    store = SQLiteStore(tmp_path / "store.db")
    with using(Engine(store)) as engine:
        work(return_state=True)
        yield RunGraph.of_record(engine, 1)
    store.close()


def number(graph: RunGraph, name: str, place: int = 0) -> int:
    return next(node for node in graph._model.nodes.values() if node.task == name).members[place]


def did(graph: RunGraph, action: Any, of: int) -> str:
    return graph.conversation.actions.carry_out(action, {"member": of})


def offered(graph: RunGraph, of: int) -> list[str]:
    row = graph.conversation._store.task_run(1, of)
    return list(graph.conversation.actions.of(graph._model, of, row))


def test_a_saved_result_is_bound_to_a_name_that_says_whose_it_is(graph: RunGraph) -> None:
    bound: list[Any] = []
    assert offered(graph, number(graph, "make")) == []

    def bind(number: int, name: str, value: Any) -> str:
        bound.append((number, name, value))
        return f"{name}_2"

    graph.conversation.actions.bind = bind
    assert offered(graph, number(graph, "make")) == ["load"]
    assert did(graph, "load", number(graph, "make", 1)) == "In the notebook: make_1_2"
    assert bound == [(number(graph, "make", 1), "make_1", {1})]


def test_a_result_that_is_not_saved_says_why(graph: RunGraph) -> None:
    graph.conversation.actions.bind = lambda *_: "never"
    assert offered(graph, number(graph, "forget")) == []
    with pytest.raises(MissingResult, match=r"^Nothing is kept of its result\.$"):
        did(graph, "load", number(graph, "forget"))
    with pytest.raises(MissingResult, match=r"^Nothing is kept"):
        did(graph, "load", number(graph, "make", 2))
    with pytest.raises(UsageError, match="no such task run"):
        did(graph, "load", 99)


def test_the_result_of_somebody_else_stays_unloaded(graph: RunGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    graph.conversation.actions.bind = lambda *_: "never"
    row = graph.conversation._store.task_run(1, number(graph, "make"))
    assert row is not None
    assert row.result is not None
    signature = row.result.split(b" ")[1]
    moved = row.result.replace(signature, b"0" * len(signature), 1)
    monkeypatch.setattr(graph.conversation._store, "task_run", lambda *_: replace(row, result=moved))
    with pytest.raises(UntrustedResult):
        did(graph, "load", number(graph, "make"))


def test_a_retry_says_first_what_it_does(graph: RunGraph) -> None:
    failed = number(graph, "make", 2)
    assert offered(graph, failed) == []
    again: list[int] = []
    graph.conversation.actions.rerun = again.append
    assert offered(graph, failed) == ["rerun"]
    line = did(graph, "plan", failed)
    assert line == "Runs again: make[2], 1 not saved. Kept: 4."
    assert again == []
    assert did(graph, "rerun", failed) == "make[2] runs again."
    assert again == [failed]


def test_a_run_that_goes_on_runs_nothing_again(tmp_path: Path) -> None:
    go = threading.Event()
    told: list[str] = []

    @task
    def bad() -> None:
        raise ValueError("bad")

    @flow(name="page-actions-live")
    def waits() -> None:
        bad.submit().wait()
        graph = RunGraph.of_record(engine, 1)
        graph.conversation.actions.rerun = lambda _: go.set()
        for action in ("plan", "rerun"):
            with pytest.raises(NotRunning) as refused:
                did(graph, action, 1)
            told.append(str(refused.value))

    with using(Engine(MemoryStore())) as engine:
        waits(return_state=True)
    assert told == ["The run goes on: a task runs again once it has ended."] * 2
    assert not go.is_set()


def test_the_page_is_answered_whatever_loading_raises(graph: RunGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, Any]] = []
    came = threading.Semaphore(0)

    def send(_: RunGraph, content: dict[str, Any], buffers: Any = None) -> None:
        answers.append(content)
        came.release()

    monkeypatch.setattr(RunGraph, "send", send)
    here = threading.get_ident()
    threads: list[int] = []

    def broken(*_: object) -> str:
        threads.append(threading.get_ident())
        raise SystemExit(3)

    graph.conversation.actions.bind = broken
    message = {"kind": "do", "id": "a", "verb": "load", "member": number(graph, "make")}
    for _ in range(2):
        graph.conversation.hear(message)
    graph.conversation.hear({**message, "id": "b", "member": "1"})
    assert came.acquire(timeout=5)
    assert came.acquire(timeout=5)
    found = {each["id"]: each for each in answers}
    assert (found["a"]["ok"], found["a"]["error"]) == (False, "SystemExit: 3."), found
    assert found["b"]["error"] == "There is no such task run."
    assert len(threads) == 1
    assert threads[0] != here
