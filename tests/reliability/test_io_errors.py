"""The n-th write, sync or open of the store fails: a clear error or another try, and no false word of what is saved.

One failure, as of a disk that has a bad moment.  The process that meets it tells what it saw as saved; what its files
hold at that moment is looked at by this one, and once more after its end, when all must be there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import SOON, engine_over, in_time
from support.preloaded import library
from tidegate.model.views import TaskRow
from tidegate.results.blob import is_saved
from tidegate.store.sqlite import SQLiteStore

SOURCE = Path(__file__).resolve().parents[1] / "support" / "io_error.c"

MEETS = """
import ctypes, json, subprocess, sys
from pathlib import Path
from tidegate import ConcurrentTaskRunner, flow, get_run_logger, task
from tidegate.engine import Engine, using
from tidegate.errors import StoreError
from tidegate.model.events import FlowState, SavingChanged, TaskState
from tidegate.store import write_connection
from tidegate.store.sqlite import SQLiteStore

shim = ctypes.CDLL(None)
write_connection.LOG_SIZE, write_connection.LOOK = 40_000, 10  # so that the log is folded in now and then

if sys.argv[1] == "careless":
    keep = write_connection.WriteConnection.keep

    def careless(self, events):
        try:
            keep(self, events)
        except Exception:
            pass

    write_connection.WriteConnection.keep = careless

def value(x):
    return [x, "text" * (30_000 if x % 5 == 4 else 100)]

@task(persist_result=True)
def step(x):
    return value(x)

@flow
def below(first):
    get_run_logger().info("a line")
    return len([step(x) for x in range(first, first + 3)])

@flow(task_runner=ConcurrentTaskRunner(2))
def work():
    done = [step(x) for x in range(5)]
    done += step.map(range(5, 10)).result()
    return len(done) + below(10)

def saved_in(folder, number, error, level):
    "What was told of one run during which an error is met."
    home, told = folder / "home", {"refused": [], "saved": [], "problems": [], "raised": ""}
    shim.io_error_arm(str(home).encode(), number, error)
    store = opened(home, told)
    if store is None:
        return told
    here, problem = Engine(store), {}

    def take(events):
        for event in events:
            if isinstance(event, SavingChanged):
                problem[event.flow_run] = event.problem
                told["problems"] += [event.problem] if event.problem else []
            elif isinstance(event, (TaskState, FlowState)) and event.state.is_completed():
                if not problem.get(event.flow_run):
                    told["saved"].append([event.flow_run, getattr(event, "task_run", 0)])

    here.observers.append(lambda run: here.subscribe(run.number, take, subflows=True))
    with using(here):
        for _ in range(2):
            try:
                told["result"] = work.with_options(durability=level)()
                break
            except StoreError as raised:
                told["raised"] = str(raised)
    told["count"] = shim.io_error_count()
    if number > told["count"]:
        store.close()  # the error comes here
    shim.io_error_arm(b"", 0, 0)
    with store._lock:  # by another process: to close a file here would drop the locks on it
        subprocess.run(["cp", "-r", home, folder / "then"], check=True)
    store.close()
    return told

def opened(home, told):
    for _ in range(2):
        try:
            return SQLiteStore(home / "store.db")
        except StoreError as error:
            told["refused"].append(str(error))
    return None

for line in sys.stdin:
    folder, *how = json.loads(line)
    print(json.dumps(saved_in(Path(folder), *how)), flush=True)
"""
ERRORS = [errno.EIO, errno.ENOSPC]


class Meeting:
    """A process that meets errors."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder = process, folder

    def meet(self, number: int, error: int = errno.EIO, level: str = "process") -> tuple[dict[str, Any], list[str]]:
        """What it told of a run whose `number`-th operation failed, and what is wrong with its files."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        folder = self._folder / f"{number}-{error}-{level}"
        folder.mkdir()
        self._process.stdin.write(json.dumps([str(folder), number, error, level]).encode() + b"\n")
        self._process.stdin.flush()
        told = json.loads(in_time(self._process.stdout.readline, SOON * 3) or b'{"saved": [], "refused": ["it died"]}')
        if len(told["refused"]) > 1:
            return told, [f"it was refused again: {told['refused'][1]}"]
        wrong = [f"lost at once: {each}" for each in missing(folder / "then", told["saved"])]
        wrong += [f"lost in the end: {each}" for each in missing(folder / "home", told["saved"])]
        wrong += unclear([*told["refused"], told.get("raised", ""), *told.get("problems", [])])
        wrong += not_whole(folder / "home") if told.get("result") == 13 else [f"it did not come to its end: {told}"]
        shutil.rmtree(folder)
        return told, wrong


@contextmanager
def meeting(folder: Path, way: str = "careful") -> Iterator[Meeting]:
    variables = {**os.environ, "LD_PRELOAD": str(library(SOURCE, folder))}
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", MEETS, way],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=variables,
        )  # fmt: skip
        try:
            yield Meeting(process, folder)
        finally:
            process.kill()
            process.communicate()
    print((folder / "errors").read_text()[-3000:])


def missing(home: Path, saved: list[list[int]]) -> list[str]:
    """What was told as saved, and is not there, or not as it was."""
    store = SQLiteStore(home / "store.db")
    found = []
    with engine_over(store) as here:
        rows = {run: {row.number: row for row in store.task_runs(run)} for run in {run for run, _ in saved}}
        for run, number in saved:
            row = rows[run].get(number) if number else store.flow_run(run)
            if row is None or not row.state.is_completed():
                found.append(f"run {run}, task run {number}")
            elif isinstance(row, TaskRow) and is_saved(row.result) and not row.subflow:
                x, text = here.saving.recorded(row).result()
                if text != "text" * (30_000 if x % 5 == 4 else 100):
                    found.append(f"the result of run {run}, task run {number}")
    store.close()
    return found


def not_whole(home: Path) -> list[str]:
    """What is missing of a run that has completed, once its process has closed the store."""
    store = SQLiteStore(home / "store.db")
    runs = {row.flow: row for row in reversed(store.flow_runs())}  # the newest of each: one may have been refused
    wrong = [f"{each.flow} is {each.state}" for each in runs.values() if not each.state.is_completed()]
    for flow, many in (("work", 11), ("below", 3)):
        rows = store.task_runs(runs[flow].number) if flow in runs else []
        if sum(row.state.is_completed() for row in rows) != many:
            wrong.append(f"{flow} has {[str(row.state) for row in rows]}")
    wrong += [] if list(store.upkeep.problems()) == [] else ["the store is damaged"]
    store.close()
    return wrong


def unclear(texts: list[str]) -> list[str]:
    """The errors that are not one clear line."""
    return [f"told as {text!r}" for text in texts if text and ("\n" in text or not text.endswith("."))]


@pytest.mark.scorecard(14)
def test_an_error_of_a_file_is_told_or_tried_again(tmp_path: Path, trials: Trials) -> None:
    noticed = 0
    with meeting(tmp_path) as it:
        many = {level: it.meet(0, 0, level)[0]["count"] for level in ("process", "power")}
        order = [(number, error, level) for level in many for error in ERRORS for number in range(1, many[level] + 1)]
        trials.chance.shuffle(order)
        print(f"{many} operations")
        for trial in trials:
            number, error, level = order[trial % len(order)]
            with trials.judged(f"operation {number}, {errno.errorcode[error]}, {level}"):
                told, wrong = it.meet(number, error, level)
                noticed += bool(told["refused"] or told["problems"] or told["raised"])
                assert wrong == []
    print(f"{trials.count} errors, {noticed} were told of")


@pytest.mark.scorecard(14, control=True, case=True)
def test_control_a_store_that_takes_no_notice_is_found(tmp_path: Path, trials: Trials) -> None:
    trials.did(1)
    with meeting(tmp_path, "careless") as it:
        many = it.meet(0, 0)[0]["count"]
        trials.found(any(it.meet(number)[1] for number in range(many, 0, -1)))
    assert trials.caught
