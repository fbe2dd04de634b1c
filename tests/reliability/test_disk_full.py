"""The disk is full: what was told as saved is there, the flow goes on, and all of it is saved once there is room."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import SOON, engine_over
from tidegate.results.blob import is_saved
from tidegate.store.sqlite import SQLiteStore

FILLS = """
import json, os, random, resource, subprocess, sys, threading
from pathlib import Path
from tidegate import flow, task
from tidegate.engine import Engine, using
from tidegate.model.events import SavingChanged, TaskState
from tidegate.store import write_connection
from tidegate.store.sqlite import SQLiteStore

home, out, way, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
chance = random.Random(int(sys.argv[5]))
many = 40
full, room = chance.randrange(1, 10), chance.randrange(15, many - 1)
ballast = home / "ballast"
saved, problems = [], []

if kind == "careless":
    keep = write_connection.WriteConnection.keep

    def careless(self, events):
        try:
            keep(self, events)
        except Exception:
            pass

    write_connection.WriteConnection.keep = careless

def fill():
    if way == "limit":
        largest = max(each.stat().st_size for each in home.glob("store.db*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + chance.randrange(9_000), resource.RLIM_INFINITY))
        return
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - chance.randrange(9_000)))

def make_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ballast.unlink(missing_ok=True)

def copy(name):
    (out / name).mkdir()
    with store._lock:  # by another process: to close a file here would drop the locks on it
        command = f"cp -r '{home}'/store.db* '{home}'/results '{out / name}'"
        subprocess.run(command, shell=True, preexec_fn=make_room_there, stderr=subprocess.DEVNULL)

def make_room_there():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

@task(persist_result=True)
def step(x):
    if told.get("over"):
        return [x, "text"]  # of the second run, when there is room again
    if x == full:
        fill()
    if x == room:
        copy("full")
        told["then"] = list(saved)
        make_room()
    return [x, "text" * [100, 700, 40_000][x % 3]]

@flow
def work():
    return sum((step(x) if x % 2 else step.submit(x).result())[0] for x in range(many))

def take(events):
    for event in events:
        if isinstance(event, SavingChanged):
            problems.append(event.problem)
        elif isinstance(event, TaskState) and event.state.is_completed() and not (problems and problems[-1]):
            saved.append(event.task_run)

told = {}
store = SQLiteStore(home / "store.db")
here = Engine(store)
here.observers.append(lambda run: here.subscribe(run.number, take) if run.number == 1 else None)
with using(here):
    told["results"] = [work()]
    told["over"] = True
    told["results"].append(work())
store.close()
copy("end")
print(json.dumps({**told, "saved": saved, "problems": problems}), flush=True)
"""
MANY = 40


def can_mount() -> bool:
    """True if a small disk can be had here that nobody else sees."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=3m", "none", "/tmp"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def filled(folder: Path, way: str, seed: int, kind: str = "careful") -> tuple[dict[str, Any], list[str]]:
    """What a process told whose disk was full for a while; what is wrong with its files, at that time and after."""
    home, out = folder / "home", folder / "out"
    for each in (folder, home, out):
        each.mkdir()
    command = [sys.executable, "-c", FILLS, str(home), str(out), way, kind, str(seed)]
    if way == "disk" and can_mount():
        mount = 'mount -t tmpfs -o size=3m none "$0" && exec "$@"'
        command = ["unshare", "-rm", "sh", "-c", mount, str(home), *command]
    elif way == "disk":
        command[command.index("disk")] = "limit"
    done = subprocess.run(command, capture_output=True, text=True, timeout=SOON * 3, env=dict(os.environ))
    if done.returncode:
        return {}, [done.stderr[-500:]]
    told = json.loads(done.stdout)
    wrong = [f"when it was full: {each}" for each in missing(out / "full", told["then"])]
    wrong += [f"in the end: {each}" for each in missing(out / "end", [*range(1, MANY + 1)])]
    if told["results"] != [sum(range(MANY))] * 2:
        wrong.append(f"the flows gave {told['results']}")
    if told["problems"][-1:] not in ([], [""]):
        wrong.append(f"it has not healed: {told['problems'][-1]}")
    wrong += [each for each in told["problems"] if "\n" in each]
    shutil.rmtree(folder)
    return told, wrong


def missing(home: Path, saved: list[int]) -> list[str]:
    """The task runs that are not there as completed, or whose saved result is another one."""
    store = SQLiteStore(home / "store.db")
    found = []
    with engine_over(store) as here:
        rows = {row.number: row for row in store.task_runs(1)}
        for number in saved:
            row = rows.get(number)
            if row is None or not row.state.is_completed():
                found.append(f"task run {number} is not there")
            elif is_saved(row.result):
                x, text = here.saving.recorded(row).result()
                if (x, text) != (number - 1, "text" * [100, 700, 40_000][x % 3]):
                    found.append(f"task run {number} has another result")
        if list(store.upkeep.problems()):
            found.append("the store is damaged")
    store.close()
    return found


@pytest.mark.parametrize("way", ["disk", "limit"])
@pytest.mark.scorecard(13, parts=2)
def test_what_was_saved_is_there_and_all_is_once_there_is_room(tmp_path: Path, way: str, trials: Trials) -> None:
    """On a small disk; and where files may not grow, as under a quota."""
    for trial in trials:
        with trials.judged(f"trial {trial}"):
            told, wrong = filled(tmp_path / str(trial), way, trials.chance.randrange(2**32))
            assert wrong == []
            assert any(told["problems"]), "nobody was told"


@pytest.mark.scorecard(13, control=True, case=True)
def test_control_a_store_that_takes_no_notice_is_found(tmp_path: Path, trials: Trials) -> None:
    trials.did(1)
    _, wrong = filled(tmp_path / "it", "disk", trials.seed, "careless")
    trials.found("is not there" in str(wrong))
    assert trials.caught
