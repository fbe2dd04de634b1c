"""Resume when something is no longer as it was: code that was edited, results that are gone or not to be trusted."""

from __future__ import annotations

import linecache
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.flows import engine_over, flow, task
from support.resumes import Bodies, message, resumed
from support.tampering import tampered
from tidegate import resume, resume_plan
from tidegate.engine import Engine
from tidegate.model.states import State
from tidegate.store.sqlite import SQLiteStore


@pytest.mark.parametrize("persist", [True, False])
def test_what_could_not_be_saved_runs_again_and_says_so(stored: Engine, persist: bool) -> None:
    bodies = Bodies("work")

    @task(persist_result=persist)
    def locked() -> Any:
        bodies("locked")
        return threading.Lock()

    @task
    def saved() -> int:
        bodies("saved")
        return 1

    @flow
    def work() -> Any:
        lock, one = locked(), saved()
        assert lock.acquire(blocking=False)
        bodies("work")
        return one

    with pytest.raises(ValueError, match="work"):
        work()
    assert resume_plan(1).again == {"not saved": 1}
    assert "1 task run is kept. Again: 1 not saved." in str(resume_plan(1))
    bodies.fails.clear()
    bodies.ran.clear()
    resume(1)
    assert bodies.ran == ["locked", "work"]
    assert message(stored, 1, "Rerunning")


# What cannot be had back ----------------------------------------------------------------------------------------------


class Opened:
    """Tells when it is unpickled."""

    count = 0

    def __reduce__(self) -> Any:
        return (_open, ())


def _open() -> Opened:
    Opened.count += 1
    return Opened()


def crashed_after(engine: Engine, value: Callable[[], Any], **options: Any) -> tuple[Any, list[str]]:
    """A flow that failed after a task that returns a value, and what its bodies tell when they run."""
    bodies = Bodies("work")

    @task(name="step", persist_result=True)
    def step() -> Any:
        bodies("step")
        return value()

    @flow(name="work", **options)
    def work() -> str:
        step()
        bodies("work")
        return "done"

    with pytest.raises(ValueError, match="work"):
        work()
    bodies.fails.clear()
    bodies.ran.clear()
    return work, bodies.ran


def on_disk(tmp_path: Path) -> Iterator[Engine]:
    store = SQLiteStore(tmp_path / "home" / "store.db")
    with engine_over(store) as made:
        yield made
    store.close()


disk = pytest.fixture(on_disk, name="disk")


def test_a_result_whose_file_is_gone_runs_again(disk: Engine, tmp_path: Path) -> None:
    _work, ran = crashed_after(disk, lambda: b"x" * 200_000)
    folder = disk.store.results_folder
    assert folder is not None
    files = [each for each in folder.rglob("*") if each.is_file()]
    assert files
    for each in files:
        each.unlink()
    resume(1)
    assert ran == ["step", "work"]
    assert message(disk, 1, "Rerunning")


def test_a_row_that_was_tampered_with_is_not_opened(disk: Engine, tmp_path: Path) -> None:
    _work, ran = crashed_after(disk, lambda: "plain")
    payload = b"TG1 " + b"0" * 64 + b" pickle\n" + pickle.dumps(Opened())
    tampered(tmp_path / "home" / "store.db", "UPDATE task_run SET result = ?", payload)
    before = Opened.count
    resume(1)
    assert Opened.count == before
    assert ran == ["step", "work"]
    assert message(disk, 1, "Rerunning")


class Leaves:
    """A value whose class will be gone."""


def test_a_result_whose_class_is_gone_runs_again(disk: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    _work, ran = crashed_after(disk, lambda: here.Leaves() if hasattr(here, "Leaves") else None)
    monkeypatch.delattr(here, "Leaves")
    resume(1)
    assert ran == ["step", "work"]


# Changed code ---------------------------------------------------------------------------------------------------------

CELL = """
from tidegate import flow, task

def clean(x):
    return x + 1

@task
def one(x):
    ran.append("one")
    return clean(x)

@task
def two(x):
    ran.append("two")
    return x * 10

@task
def three(x, y):
    ran.append("three")
    return [x, y]

@task
def apart():
    ran.append("apart")
    return 5

@flow
def work():
    first = one.submit(1)
    end = three.submit(two.submit(first), apart.submit())
    result = end.result()
    if fail:
        raise ValueError("at the end")
    return result
"""
CHANGED, INPUT = "Its code has changed.", "An input was made anew."
EDITS: dict[str, tuple[str, str, dict[str, str | None], list[int]]] = {
    "nothing": ("", "", {}, [20, 5]),
    "a comment": ("    return x * 10", "    # ten times\n    return x * 10", {}, [20, 5]),
    "a task": ("x * 10", "x * 11", {"two": CHANGED, "three": INPUT}, [22, 5]),
    "a task without inputs": ("return 5", "return 6", {"apart": CHANGED, "three": INPUT}, [20, 6]),
    "the last task": ("[x, y]", "[y, x]", {"three": CHANGED}, [5, 20]),
    "a helper": ("x + 1", "x + 2", {"one": CHANGED, "two": INPUT, "three": INPUT}, [30, 5]),
    "an input": ("one.submit(1)", "one.submit(2)", {"one": None, "two": None, "three": None}, [30, 5]),
    "the order": ("    first = one.submit(1)\n", "    apart.name\n    first = one.submit(1)\n", {}, [20, 5]),
}


def run_cell(source: str, ran: list[str], fail: bool) -> dict[str, Any]:
    """Run a text as a cell of a notebook that is run once more."""
    filename = f"<recovery {id(ran)} {len(linecache.cache)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space = {"__name__": "__main__", "ran": ran, "fail": fail}
    exec(compile(source, filename, "exec", dont_inherit=True), space)
    return space


@pytest.mark.parametrize("edit", EDITS)
def test_changed_code_runs_again_with_all_that_needs_it_and_nothing_else(stored: Engine, edit: str) -> None:
    old, new, again, result = EDITS[edit]
    before = run_cell(CELL, Silent(), fail=True)
    with pytest.raises(ValueError, match="at the end"):
        before["work"]()
    ran: list[str] = Silent()
    changed = CELL.replace(old, new, 1) if old else CELL
    assert old == "" or changed != CELL
    assert resumed(1, run_cell(changed, ran, fail=False)["work"]) == result
    assert sorted(ran) == sorted(again)
    rows = {row.task: row.number for row in stored.store.task_runs(1)}
    for name, why in again.items():
        if why is not None:  # else it is another call, and has a task run of its own
            assert message(stored, rows[name], "Rerunning") == why


class Silent(list[str]):
    """A list that is no part of the code that names it."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def test_the_plan_tells_what_runs_again_because_its_code_has_changed(stored: Engine) -> None:
    def work_of(fails: bool) -> Any:
        @task
        def step(x: int) -> int:
            if fails and x == 2:
                raise ValueError(x)
            return x

        return flow(lambda: [step(x) for x in range(3)], name="work")

    first = work_of(fails=True)
    with pytest.raises(ValueError, match="2"):
        first()
    assert resume_plan(1).kept == 2
    assert "2 task runs are kept. Again: 1 Failed." in str(resume_plan(1))
    mended = work_of(fails=False)
    assert "0 task runs are kept. Again: 2 whose code has changed, 1 Failed." in str(resume_plan(1))
    assert resume_plan(1, on_change="reuse").again == {"Failed": 1}
    final = resume(1, mended)
    assert isinstance(final, State)
    assert final.result() == [0, 1, 2]
