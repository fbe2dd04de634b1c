"""A long time of mixed work in one process, over a store in which others are killed and resumed all the while.

A trial is a minute: a night makes an hour of them.  ``TIDEGATE_TRIALS=1`` makes one, which is too short to tell a leak
from what is kept once and for all.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from subprocess import Popen

import pytest

from reliability.trials import Trials
from support.flows import SOON, engine_over
from support.victims import Victims
from tidegate.dead_runs import bury_all
from tidegate.store.sqlite import SQLiteStore

MINUTE = 60.0
"""Seconds of a trial."""
GROWTH = {"memory": 0.01, "descriptors": 0.01, "resident": 0.25}
"""From the time when all has been done once to the end.  What leaks is memory that is in use.  What is resident grows
besides, in steps, to what the busiest moment needs: small objects that live long lie in blocks that are else empty."""

SOAK = """
import asyncio, ctypes, gc, json, os, random, sys, time
from itertools import count
from pathlib import Path
from tidegate import (
    ConcurrentTaskRunner, ProcessTaskRunner, create_markdown_artifact, flow, get_run_logger, resume, retention, task,
)
from tidegate.cache_policies import INPUTS
from tidegate.dead_runs import bury_all
from tidegate.engine import engine
from told import say

def value(x):
    return [x, "text" * (30_000 if x % 7 == 6 else 100)]

@task(persist_result=True)
def step(token, x):
    say("begin", f"{token}/step({x})")
    return value(x)

@task(persist_result=True)
async def moment(token, x):
    say("begin", f"{token}/moment({x})")
    await asyncio.sleep(0.001)
    return value(x)

@task(persist_result=True, retries=2)
def stumbles(token, tries):
    tries.append(1)
    if len(tries) == 1:
        raise ValueError("once")
    return value(0)

@task(timeout_seconds=0.02)
def late(token):
    time.sleep(0.05)

@task(cache_policy=INPUTS, persist_result=True)
def same(x):
    return value(x)

def seen(name, got, x):
    assert got == value(x), name
    say("seen", name)
    return x

@flow
def called(token):
    get_run_logger().info("a line of %s", token)
    return sum(seen(f"{token}/step({x})", step(token, x), x) for x in range(10))

@flow(task_runner=ConcurrentTaskRunner(4))
def mapped(token):
    ends = step.map(token, range(10))
    return sum(seen(f"{token}/step({x})", each.result(), x) for x, each in enumerate(ends))

@flow
async def awaited(token):
    async def one(x):
        return seen(f"{token}/moment({x})", await moment(token, x), x)
    return sum(await asyncio.gather(*[one(x) for x in range(10)]))

@flow
def nested(token):
    return called(token)

@flow(final_state="returned")
def odds(token):
    stumbles(token, [])
    late(token, return_state=True)
    same(random.randrange(20))
    create_markdown_artifact("*x*")
    return 45

@flow(task_runner=ProcessTaskRunner(2))
def elsewhere(token):
    return sum(each[0] for each in double.map(range(10)).result())

@task
def double(x):
    return [x]

FLOWS = [called, mapped, awaited, nested, odds]

def ended(made, state):
    if made.is_async:
        async def wait():
            return await state
        state = asyncio.run(wait())
    assert state.result() == 45, state

def run(made, token):
    ended(made, made(token, return_state=True))

class Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Heap

def measured():
    gc.collect()
    libc.malloc_trim(0)
    heap = libc.mallinfo2()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": heap.uordblks + heap.hblkhd,  # of Python's objects too, see PYTHONMALLOC
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }

def lives():
    due = 0.0
    for number in count():
        run(FLOWS[number % len(FLOWS)], f"lives-{number}")
        if number % 100 == 99:
            run(elsewhere, "")
        if number % 500 == 499:
            now = time.time()
            retention.prune(engine().store, retention.plan(engine().store, retention.Limits(runs=2_000), now), now)
        if time.monotonic() >= due:
            os.write(1, (json.dumps({"flows": number, **measured()}) + chr(10)).encode())
            due = time.monotonic() + 2

def dies(name):
    store = engine().store
    bury_all(engine())
    for row in store.flow_runs(2_000):
        if row.state.is_crashed() and row.parent is None:
            made = globals()[row.flow]
            ended(made, resume(row.number))
            say("resumed", row.number)
    os.write(1, b"up" + os.linesep.encode())
    for number in count():
        run(FLOWS[number % len(FLOWS)], f"{name}-{number}")

lives() if sys.argv[1] == "lives" else dies(sys.argv[1])
"""
TOLD = """
import os
file = os.open(os.path.join(os.path.dirname(__file__), "told"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def say(*words):
    os.write(file, (" ".join(map(str, words)) + chr(10)).encode())
"""


class Soak:
    """A process that lives, and others that die beside it."""

    def __init__(self, folder: Path, victims: Victims, chance: Random) -> None:
        self._folder, self._victims, self._chance = folder, victims, chance
        self._script = folder / "soak.py"
        self._script.write_text(SOAK)
        (folder / "told.py").write_text(TOLD)
        self.home = folder / "home"
        self.measures: list[dict[str, int]] = []
        self.deaths = 0
        self._lives: Popen[bytes] | None = None

    @contextmanager
    def going_on(self) -> Iterator[None]:
        with self._victims.go(self._script, "lives", home=self.home) as process:
            self._lives = process
            reader = threading.Thread(target=self._read, args=(process,), daemon=True)
            reader.start()
            yield
            process.kill()
            reader.join(SOON)

    def _read(self, process: Popen[bytes]) -> None:
        assert process.stdout is not None
        self.measures.extend(json.loads(line) for line in process.stdout)

    def minute(self) -> list[str]:
        """What is wrong after so much time, in which processes are killed one after the other."""
        assert self._lives is not None
        before = len(self.measures)
        end = time.monotonic() + MINUTE
        while time.monotonic() < end:
            wrong = self._death()
            if wrong:
                return [wrong]
        wrong_now = ran_again(self.lines())
        if self._lives.poll() is not None or len(self.measures) == before:
            wrong_now.append(f"the one that lives does not: {self._victims.errors()[-1000:]}")
        return wrong_now

    def _death(self) -> str:
        self.deaths += 1
        with self._victims.go(self._script, f"dies{self.deaths}", home=self.home) as process:
            assert process.stdout is not None
            process.stdout.readline()  # all that had died before is resumed
            time.sleep(self._chance.uniform(0, 1.5))
            process.kill()
            process.wait(SOON)
            return "" if process.returncode == -signal.SIGKILL else self._victims.errors()[-1000:]

    def lines(self) -> list[str]:
        return (self._folder / "told").read_text().splitlines()

    def not_over(self) -> list[str]:
        """What is left in the store once nobody is at it, other than runs that completed or crashed."""
        store = SQLiteStore(self.home / "store.db")
        with engine_over(store) as here:
            bury_all(here)
            rows = store.flow_runs(10_000)
            found = [
                f"{row.number} is {row.state}" for row in rows if not row.state.is_final() or row.state.is_failed()
            ]
            found += list(store.upkeep.problems())
        store.close()
        return found


def ran_again(lines: Iterable[str]) -> list[str]:
    """Bodies that began although somebody had seen their end."""
    seen, wrong = set[str](), []
    for line in lines:
        verb, _, name = line.partition(" ")
        if verb == "seen":
            seen.add(name)
        elif verb == "begin" and name in seen:
            wrong.append(f"{name} ran again")
    return wrong


def growth(figures: Sequence[float]) -> float:
    """From the second fifth to the last one, as a share; of the lowest figures: the others hold what is at work."""
    fifth = max(1, len(figures) // 5)
    return min(figures[-fifth:]) / min(figures[fifth : 2 * fifth] or figures) - 1


@pytest.mark.scorecard(38)
def test_nothing_breaks_and_nothing_grows(tmp_path: Path, trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONMALLOC", "malloc")  # all memory is the C library's, which counts what is in use
    with Victims() as victims:
        soak = Soak(tmp_path, victims, trials.chance)
        with soak.going_on():
            for trial in trials:
                with trials.judged(f"minute {trial}"):
                    assert soak.minute() == []
        grown = {name: growth([each[name] for each in soak.measures]) for name in GROWTH}
        resumed = sum(line.startswith("resumed") for line in soak.lines())
        print(f"{soak.measures[-1]['flows']} flows, {soak.deaths} deaths, {resumed} resumed, {grown}")
        for name in GROWTH:
            print(name, [each[name] for each in soak.measures[:: max(1, len(soak.measures) // 100)]])
        assert resumed > 0
        with trials.judged("the end"):
            assert soak.not_over() == []
        for name, share in grown.items():
            trials.most(f"{name} grown by", share)
            with trials.judged(name):
                assert share < GROWTH[name] or trials.count < 10


@pytest.mark.scorecard(38, control=True, case=True)
def test_control_what_grows_and_what_runs_again_is_found(trials: Trials) -> None:
    trials.did(1)
    leak = [100 + at * 0.03 for at in range(100)]
    steady = [100 + at % 7 for at in range(100)]
    assert growth(steady) == 0
    trials.found(
        growth(leak) > GROWTH["memory"] and ran_again(["begin a", "seen a", "begin b", "begin a"]) == ["a ran again"]
    )
    assert trials.caught
