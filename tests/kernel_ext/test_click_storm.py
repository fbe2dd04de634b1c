"""A hundred clicks in any order at any moment: each is taken or refused as the run stands, and the last one holds."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field

import pytest

from kernel_ext.driving import ask, graph, newest_run, wait_state
from reliability.scorecard import within
from support.front_end import FrontEnd
from support.messages import Comm

pytestmark = pytest.mark.kernel

SEED = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().randrange(10**6))
CLICKS = int(os.environ.get("TIDEGATE_TRIALS") or 100)
LIMIT = within(1.0)
"""Seconds from the last click to what it asks for."""

SETUP = """
import ipywidgets
opener = ipywidgets.Button(description='opener')
hold = threading.Event()
opener.on_msg(lambda *_: hold.set())
@task
def quick(i): return i
@task
def short(i):
    time.sleep(0.003)
    return i
@task
async def quick_async(i):
    await asyncio.sleep(0.001)
    return i
"""
# A paused run ends where its code calls no task any more: each has one more call once it is let go.
CELLS = [
    "%%flow\nwhile not hold.is_set(): quick(1)\nquick('held')",
    "%%flow\nwhile not hold.is_set(): quick.submit(1).result()\nquick('held')",
    "%%flow --max-workers 2\nwhile not hold.is_set(): short.map(range(4)).wait()\nquick('held')",
    "%%flow\nwhile not hold.is_set(): quick_async(1)\nquick('held')",
    "%%flow\nwhile not hold.is_set(): await quick_async(1)\nquick('held')",
]
CLICKED = {"pause": "Paused", "resume": "Resuming", "cancel": "Cancelling"}
"""What a click that is taken puts into the record."""


@dataclass
class Clicked:
    """What a run must be after the clicks so far."""

    taken: list[str] = field(default_factory=list)

    @property
    def paused(self) -> bool:
        return self.taken[-1:] == ["pause"]

    @property
    def cancelled(self) -> bool:
        return self.taken[-1:] == ["cancel"]

    def click(self, verb: str) -> bool:
        """Click; true if it must be taken."""
        takes = not self.cancelled and {"pause": not self.paused, "resume": self.paused, "cancel": True}[verb]
        if takes:
            self.taken.append(verb)
        return takes


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above."""
    if kernel.expr("'opener' in globals()") != "True":
        assert kernel.run(SETUP).status == "ok"
    return kernel


def storm(kernel: FrontEnd, shown: Comm, chance: random.Random, count: int, subshell: str | None) -> Clicked:
    """Click up to so many times, or until the run is cancelled."""
    clicked = Clicked()
    for _ in range(count):
        time.sleep(chance.choice([0, chance.uniform(0, 0.02)]))  # the moment of the click, which is to be any
        (verb,) = chance.choices(["pause", "resume", "cancel"], [8, 8, 1])
        before, takes = list(clicked.taken), clicked.click(verb)
        answer = ask(kernel, shown, {"kind": "do", "verb": verb}, "ack", subshell).content
        assert answer["ok"] is takes, f"{verb} after {before}: {answer}"
        if clicked.cancelled:
            break
    return clicked


def let_go(kernel: FrontEnd) -> None:
    kernel.send_comm(kernel.comm("description", description="opener").comm_id, {"event": "click"})


def check_end(kernel: FrontEnd, running: str, shown: Comm, clicked: Clicked) -> None:
    """What the last click asks for comes about, and the record has each that was taken, in order."""
    if not clicked.cancelled:
        let_go(kernel)
    if clicked.paused:
        wait_state(kernel, shown, "Paused", LIMIT)
        header = ask(kernel, shown, {"kind": "hello"}, "snap", keyed=False).content["view"]["run"]
        assert (header["state"]["name"], header["can"]) == ("Paused", ["resume", "suspend", "cancel"])
        assert clicked.click("resume")
        assert ask(kernel, shown, {"kind": "do", "verb": "resume"}, "ack").content["ok"]
    asked = time.monotonic()
    reply = kernel.reply(running, 15)
    assert reply.at - asked < LIMIT
    wanted = ("CancelledRun", None, "Cancelled") if clicked.cancelled else (None, "'held'", "Completed")
    number, _, _, name = newest_run(kernel)
    assert (reply.ename, reply.result, name) == wanted, reply.content
    told = kernel.value(
        f"[e.state.name for e in engine().store.flow_events({number}) if type(e).__name__ == 'FlowState']"
    )
    assert [each for each in told if each in CLICKED.values()] == [CLICKED[verb] for verb in clicked.taken]


def test_the_last_click_that_was_taken_holds(ready: FrontEnd) -> None:
    print(f"TIDEGATE_SEED={SEED}")
    chance = random.Random(f"{SEED} {ready.version}")
    subshell = ready.subshell()
    left = CLICKS
    while left > 0:
        cell = chance.choice(CELLS)
        way = chance.choice([None, subshell])
        count = min(left, chance.randint(1, 16))
        where = f"{left} clicks to go, seed {SEED}, kernel {ready.version}: {cell!r}"
        ready.run("hold.clear()")
        running = ready.execute(cell)
        shown = graph(ready, running)
        wait_state(ready, shown, "Running")
        queued = ready.execute("'queued'", stop_on_error=False)
        try:
            clicked = storm(ready, shown, chance, count, way)
            left -= count
            check_end(ready, running, shown, clicked)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        after = ready.reply(queued)
        assert after.status == ("aborted" if clicked.cancelled else "ok"), where
        assert ready.run("%%flow\nquick(7)").result == "7", where
