"""Runs that are killed and resumed by real processes, and a witness outside the store that tells what ran."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.flows import SOON, engine_over
from support.victims import Victims
from tidegate.store.sqlite import SQLiteStore

WITNESS = """
import os, random, signal, sys, threading
from itertools import count

witness = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
numbers, lock = count(1), threading.Lock()
chance = random.Random(sys.argv[5])

def some_time():
    return chance.uniform(0, 0.004)

def in_some_order(n):
    return chance.sample(range(n), n)

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
"""

MAIN = """
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
    victims: Victims
    script: str = WORK + MAIN

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def lines(self) -> list[str]:
        witness = self.folder / "witness"
        return witness.read_text().splitlines() if witness.exists() else []

    def go(
        self,
        shape: str,
        run: int | str = "new",
        die_at: int = NEVER,
        kill_after: int = NEVER,
        linger: float = 0.0,
        seed: int = 0,
    ) -> Any:
        """The result of a process that begins or resumes a run; null if it was killed.

        It dies by itself at a line of the witness, or is killed so many seconds after it.  `seed` is for what takes
        some time, or comes in some order, in that process.
        """
        self.folder.mkdir(exist_ok=True)
        (self.folder / "witness.py").write_text(WITNESS)
        (self.folder / "work.py").write_text(self.script)
        with (self.folder / "witness").open("a") as file:
            file.write("process\n")
        script, arguments = self.folder / "work.py", [self.folder / "witness", shape, run, die_at, seed]
        with self.victims.go(script, *arguments, home=self.home) as process:
            assert process.stdout is not None
            if kill_after:
                for _ in range(kill_after):
                    process.stdout.readline()
                time.sleep(linger)  # the moment of the kill, which is to be any
                process.kill()
            out, _ = process.communicate(timeout=3 * SOON)
        if process.returncode == -9 and b"result " not in out:
            return None
        assert kill_after or process.returncode == 0, self.victims.errors()
        return json.loads(out.splitlines()[-1].decode().removeprefix("result "))

    def store(self) -> SQLiteStore:
        return SQLiteStore(self.home / "store.db")

    def is_over(self) -> bool:
        """True if the first run completed, which it may have just before its process was killed."""
        store = self.store()
        try:
            row = store.flow_run(1)
            return row is not None and row.state.is_completed()
        finally:
            store.close()

    def recorded(self) -> Any:
        """What the record says that the first run returned."""
        store = self.store()
        try:
            row = store.flow_run(1)
            assert row is not None
            with engine_over(store) as here:
                return here.saving.recorded(row).result()
        finally:
            store.close()

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
