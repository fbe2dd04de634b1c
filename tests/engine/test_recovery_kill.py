"""Resume: after `kill -9` a run goes on in another process, and only what is missing runs.

Real processes are really killed.  A file outside the store, to which each body appends, tells what ran.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from support.flows import python, seeded, states_in_store
from support.tampering import tampered
from tidegate.store.sqlite import SQLiteStore

WITNESS = """
import os, signal, sys, threading
from itertools import count

witness = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
numbers, lock = count(1), threading.Lock()

def say(*words):
    with lock:
        line = " ".join(map(str, words)) + chr(10)
        os.write(witness, line.encode())
        os.write(1, line.encode())
        if next(numbers) == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

def seen(name, value):
    say("seen", name)
    return value
"""
"""Tells what happens, outside, and dies at the line that it is to die at.  A module of its own: a counter that a task
names is part of what its code is."""

WORK = """
import asyncio, json, os, sys
from tidegate import flow, resume, task
from witness import say, seen

@task
def first(x):
    say("begin", f"first({x})")
    return x + 1

@task
def second(x, y=0):
    say("begin", f"second({x},{y})")
    return [2 * x + y]

@task
async def third(x):
    say("begin", f"third({x})")
    await asyncio.sleep(0)
    return {"x": x}

@task
def outer(x):
    say("begin", f"outer({x})")
    return seen(f"first({x})", first(x)) + seen(f"first({x + 100})", first(x + 100))

@flow
def calls(n):
    return [seen(f"second({x},1)", second(seen(f"first({x})", first(x)), 1)) for x in range(n)]

@flow
def chains(n):
    ends = []
    for x in range(n):
        one = first.submit(x)
        ends.append((x, one, second.submit(one, x)))
    got = []
    for x, one, end in ends:
        seen(f"first({x})", one.result())
        got.append(seen(f"second({x + 1},{x})", end.result()))
    return got

@flow
def mapped(n):
    found = [seen(f"first({x})", each.result()) for x, each in enumerate(first.map(range(n)))]
    return [seen(f"second({x},{n})", each.result()) for x, each in zip(found, second.map(found, n))]

@flow
def shuffled(n):
    from random import SystemRandom
    order = list(range(n))
    SystemRandom().shuffle(order)
    waits = {x: second.submit(first.submit(x), x) for x in order}
    return [seen(f"second({x + 1},{x})", waits[x].result()) for x in range(n)]

@flow
async def awaited(n):
    async def one(x):
        return seen(f"third({x})", await third(x))
    return await asyncio.gather(*[one(x) for x in range(n)])

@flow
def inner(x):
    say("begin", f"inner({x})")
    return second(x)  # a subflow runs anew, with what is in it

@flow
def subflows(n):
    return [seen(f"inner({x})", inner(x)) for x in range(n)]

@flow
def nested(n):
    return [seen(f"outer({x})", outer(x)) for x in range(n)]

if __name__ == "__main__":
    made = globals()[sys.argv[2]]
    if sys.argv[3] == "new":
        result = made(4)
        result = asyncio.run(result) if made.is_async else result
    else:
        number = int(sys.argv[3])
        state = resume(number)
        if made.is_async:
            async def wait(): return await state
            state = asyncio.run(wait())
        result = state.result()
    os.write(1, ("result " + json.dumps(result) + chr(10)).encode())
"""

NEVER = 0
SHAPES = ["calls", "chains", "mapped", "shuffled", "awaited", "subflows", "nested"]


@dataclass
class Place:
    """A home of its own, with a witness beside it."""

    folder: Path
    script: str = WORK

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def lines(self) -> list[str]:
        witness = self.folder / "witness"
        return witness.read_text().splitlines() if witness.exists() else []

    def go(self, shape: str, run: int | str = "new", die_at: int = NEVER, kill_after: int = NEVER) -> Any:
        """The result of a process that begins or resumes a run; null if it was killed."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "witness.py").write_text(WITNESS)
        (self.folder / "work.py").write_text(self.script)
        begin = "import runpy; runpy.run_path('work.py', run_name='__main__')"
        arguments = [self.folder / "witness", shape, run, die_at]
        with (self.folder / "witness").open("a") as file:
            file.write("process\n")
        with python(begin, *arguments, env={"TIDEGATE_HOME": str(self.home)}, cwd=self.folder) as process:
            said = []
            if kill_after:
                said = [process.stdout.readline() for _ in range(kill_after)]
                process.kill()
            out, error = process.communicate(timeout=30)
            said += out.splitlines()
        if process.returncode == -9:
            return None
        assert process.returncode == 0, error.decode()
        return json.loads(said[-1].decode().removeprefix("result "))

    def store(self) -> SQLiteStore:
        return SQLiteStore(self.home / "store.db")

    def ran_twice(self) -> list[str]:
        """Bodies that began although a process before had seen their end, or twice in one process."""
        wrong, seen_before, seen, begun = [], set[str](), set[str](), set[str]()
        for line in self.lines():
            verb, _, name = line.partition(" ")
            if verb == "process":
                seen_before, begun = seen_before | seen, set()
            elif verb == "seen":
                seen.add(name)
            elif name in seen_before or name in begun:
                wrong.append(name)
            else:
                begun.add(name)
        return wrong

    def nodes(self) -> Counter[tuple[str, int]]:
        """How many task runs each call site of the first run has."""
        store = self.store()
        try:
            return Counter((row.task, row.site) for row in store.task_runs(1))
        finally:
            store.close()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any, int]]:
    """Result, nodes and number of lines of each shape when nobody kills it."""
    known: dict[str, tuple[Any, Any, int]] = {}
    for shape in SHAPES:
        place = Place(tmp_path_factory.mktemp("whole") / shape)
        result = place.go(shape)
        assert place.ran_twice() == []
        known[shape] = result, place.nodes(), len(place.lines()) - 1
    return known


# Kills ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_killed_run_goes_on_in_another_process(tmp_path: Path, shape: str, uninterrupted: Any) -> None:
    """Killed at a random line, several times, also while it is resumed: the end is as if nothing had been."""
    chance = seeded(f"resume_{shape}")
    result, nodes, lines = uninterrupted[shape]
    for trial in range(3):
        place = Place(tmp_path / str(trial))
        got = place.go(shape, die_at=chance.randint(1, lines))
        kills = 0
        while got is None:
            kills += 1
            got = place.go(shape, 1, die_at=chance.randint(1, lines) if kills < 4 else NEVER)
        assert got == result
        assert place.ran_twice() == []
        assert place.nodes() == nodes
        store = place.store()
        row = store.flow_run(1)
        assert row is not None
        assert row.state.name == "Completed"
        assert all(each.state.is_completed() for each in store.task_runs(1))
        states = [each for each, _ in groupby(states_in_store(store, 1)) if each != "Running"]
        resumes = states.count("Resuming")  # one that was killed at once may not be on the record
        assert states == ["Crashed", "Resuming"] * resumes + ["Completed"]
        assert resumes in range(1, kills + 1) if kills else resumes == 0
        store.close()


def test_killed_from_outside_at_any_moment(tmp_path: Path, uninterrupted: Any) -> None:
    chance = seeded("resume_outside")
    for trial in range(4):
        shape = chance.choice(SHAPES)
        result, _, lines = uninterrupted[shape]
        place = Place(tmp_path / str(trial))
        got = place.go(shape, kill_after=chance.randint(1, max(1, lines // 2)))
        while got is None:
            got = place.go(shape, 1)
        assert got == result
        assert place.ran_twice() == []


def test_control_a_store_that_forgets_is_caught(tmp_path: Path, uninterrupted: Any) -> None:
    """The tests above can fail: without the results, bodies whose end was seen run twice."""
    place = Place(tmp_path / "forgets")
    assert place.go("calls", die_at=9) is None
    tampered(place.home / "store.db", "UPDATE task_run SET result = NULL")
    assert place.go("calls", 1) == uninterrupted["calls"][0]
    assert place.ran_twice()
