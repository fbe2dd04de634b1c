"""Who is dead and who is not, and who of several gets a run.  The others are real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reliability.trials import Trials
from support.flows import SOON, engine_over, flow, in_time
from support.stopping import stop_between_commits
from support.victims import Victims
from tidegate.dead_runs import bury_all
from tidegate.engine import engine
from tidegate.flow_runs import create_flow_run
from tidegate.store.sqlite import SQLiteStore

BUSY = """
import os, sys, time
from itertools import repeat
from tidegate import flow, task
from tidegate.engine import engine

@task
def step(x):
    return x

@flow
def work():
    engine().store.commit_all(())
    os.write(1, b"up" + os.linesep.encode())
    if sys.argv[1] == "held":
        sys.setswitchinterval(60)
        sum(repeat(1, 80_000_000))
    while True:
        step(1)

work()
"""
"""A flow that goes on for ever; `held` begins with a C call that keeps the interpreter for a second and more."""

BURNS = "while True: pass"
LOOKS = 0.3
"""Seconds for which others look at a run."""


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as made:
        yield made


@pytest.mark.scorecard(7)
def test_who_is_stopped_or_busy_is_not_dead(tmp_path: Path, victims: Victims, trials: Trials) -> None:
    """A heartbeat would fall silent in each of the three cases."""
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    for trial in trials:
        kind = ("stopped", "held", "load")[trial % 3]
        home = tmp_path / str(trial)
        with ExitStack() as stack:
            if kind == "load":
                for _ in range(8):
                    burner = subprocess.Popen([sys.executable, "-c", BURNS])
                    stack.callback(burner.wait)
                    stack.callback(burner.kill)
            process = stack.enter_context(victims.go(script, kind, home=home))
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            if kind == "stopped":
                trials.most("stops in a commit", stop_between_commits(process.pid, home))
            with trials.judged(f"trial {trial}, {kind}"):
                assert declared_dead(home) == 0
            assert process.poll() is None
            os.kill(process.pid, signal.SIGCONT)


def declared_dead(home: Path) -> int:
    """How many runs are taken for dead by somebody who looks for a while."""
    store = SQLiteStore(home / "store.db")
    ends, dead = time.monotonic() + LOOKS, 0
    try:
        with engine_over(store) as here:
            while time.monotonic() < ends:
                dead += len(bury_all(here))
            assert len(store.flow_runs()) == 1
    finally:
        store.close()
    return dead


@pytest.mark.scorecard(7, control=True)
def test_control_one_that_was_killed_is_found_dead(tmp_path: Path, victims: Victims, trials: Trials) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    for trial in trials:
        home = tmp_path / str(trial)
        with victims.go(script, "stopped", home=home) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
            process.wait(SOON)
        trials.found(declared_dead(home) == 1)
    assert trials.caught == trials.count


RACES = """
import os, sys, threading
from tidegate import flow, resume
from tidegate.engine import engine
from tidegate.errors import NotStartable
from tidegate.flow_runs import run_created

kind, careless = sys.argv[1], sys.argv[2] == "careless"
ran = []

@flow
def work(x):
    ran.append(x)
    return x

if careless:
    type(engine().store).claim_flow_run = lambda self, row: True

def take(number):
    try:
        if kind == "failed":
            resume(number)
        else:
            run_created(work, engine().store.flow_run(number))
        answers.append("won")
    except NotStartable:
        answers.append("told")
    except BaseException as error:
        answers.append(f"{type(error).__name__}:{error}".replace(" ", "_"))

engine().store.flow_runs()
os.write(1, b"up" + os.linesep.encode())
for line in sys.stdin:
    answers, ran[:] = [], []
    threads = [threading.Thread(target=take, args=(int(line),)) for _ in range(2)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    os.write(1, f"{len(ran)} {' '.join(answers)}{os.linesep}".encode())
"""
"""Two threads of each such process want each run whose number comes in; says how often its body ran."""


def raced(tmp_path: Path, victims: Victims, kind: str, careless: str, count: int) -> Iterator[tuple[int, Counter[str]]]:
    """How often the body of each run ran that four threads of two processes want, and what they were told."""
    script, home = tmp_path / "races.py", tmp_path / "home"
    script.write_text(RACES)
    store = SQLiteStore(home / "store.db")
    with engine_over(store), ExitStack() as stack:
        numbers = [wanted(kind, at) for at in range(count)]
        processes = [stack.enter_context(victims.go(script, kind, careless, home=home)) for _ in range(2)]
        for each in processes:
            assert each.stdout is not None
            assert in_time(each.stdout.readline) == b"up\n", victims.errors()
        for number in numbers:
            for each in processes:
                assert each.stdin is not None
                os.write(each.stdin.fileno(), b"%d\n" % number)
            ran, told = 0, Counter[str]()
            for each in processes:
                assert each.stdout is not None
                times, *answers = in_time(each.stdout.readline).decode().split()
                ran += int(times)
                told.update(answers)
            yield ran, told
    store.close()


def wanted(kind: str, at: int) -> int:
    """A run that can be taken: one that failed, or one that was created ahead."""
    if kind == "ahead":
        return create_flow_run("work", {"x": at})

    def fails(x: int) -> int:
        raise ValueError(x)

    flow(fails, name="work")(at, return_state=True)
    store_rows = engine().store.flow_runs(1)
    return store_rows[0].number


@pytest.mark.parametrize("kind", ["failed", "ahead"])
@pytest.mark.scorecard(18, parts=2)
def test_of_four_who_want_a_run_one_gets_it(tmp_path: Path, victims: Victims, kind: str, trials: Trials) -> None:
    """Two threads of each of two processes; the others are told, and its body runs once."""
    races = raced(tmp_path, victims, kind, "careful", trials.count)
    for trial, (ran, told) in zip(trials, races, strict=False):
        with trials.judged(f"trial {trial}"):
            assert (ran, dict(told)) == (1, {"won": 1, "told": 3})


@pytest.mark.scorecard(18, control=True)
def test_control_without_the_claim_several_get_it(tmp_path: Path, victims: Victims, trials: Trials) -> None:
    races = raced(tmp_path, victims, "failed", "careless", trials.count)
    for _, (ran, told) in zip(trials, races, strict=False):
        trials.found(ran > 1 and told["won"] > 1)
    assert trials.caught  # some of them: who comes when the first one has ended is told so
