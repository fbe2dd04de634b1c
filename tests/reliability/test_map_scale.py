"""A map of ten thousand: what a pending task run takes of memory, how soon a cancel is over, that all are recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from reliability.scorecard import mode, within
from reliability.trials import Trials
from support.victims import Victims, said
from tidegate.store.sqlite import SQLiteStore

NUMBER = 10_000
BYTES = 4_096
"""For one pending task run, its entry in the queue of the store included."""
SECONDS = 2.0

WIDE = """
import gc, os, sys, threading, time
from tidegate import CancelledRun, ConcurrentTaskRunner, flow, task
from tidegate.engine import engine

number, heavy = int(sys.argv[1]), int(sys.argv[2])
free, begun = threading.Event(), []

def memory():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

@task
def waits(x, more):
    begun.append(x)
    while not free.wait(0.01):
        pass
    return x

@flow(task_runner=ConcurrentTaskRunner(2))
def warm():
    free.set()
    waits.map(range(100), [b""] * 100).wait()
    free.clear()

@flow(task_runner=ConcurrentTaskRunner(2))
def wide():
    numbers = list(range(number))
    before = memory()
    futures = waits.map(numbers, [bytes(heavy) for _ in range(number)] if heavy else [b""] * number)
    engine().store.commit_all(())
    taken.append(memory() - before)
    told.set()
    futures.wait()

warm()
taken, told = [], threading.Event()
ended = []

def cancel():
    told.wait()
    begin = time.monotonic()
    engine().live[2].cancel()
    ended.append(begin)

threading.Thread(target=cancel, daemon=True).start()
try:
    wide()
except CancelledRun:
    print(taken[0] / number, time.monotonic() - ended[0])
"""


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    with Victims() as made:
        yield made


def measured(folder: Path, victims: Victims, number: int, heavy: int = 0) -> tuple[float, float]:
    """Bytes of a pending task run, whose input has so many of them, and seconds until a cancel is over."""
    script, home = folder / "wide.py", folder / "home"
    folder.mkdir()
    script.write_text(WIDE)
    with victims.go(script, number, heavy, home=home) as process:
        code, told = said(process, 120)
    assert code == 0, victims.errors()
    of_one, seconds = map(float, told.split())
    store = SQLiteStore(home / "store.db")
    names = Counter(row.state.name for row in store.task_runs(2))
    row = store.flow_run(2)
    store.close()
    assert row is not None
    assert row.state.name == "Cancelled"
    assert names.total() == number
    assert set(names) <= {"Cancelled", "Completed"}
    return of_one, seconds


@pytest.mark.scorecard(30)
def test_ten_thousand_wait_and_are_cancelled(tmp_path: Path, victims: Victims, trials: Trials) -> None:
    number = 10 * NUMBER if mode() == "nightly" else NUMBER
    for trial in trials:
        with trials.judged(f"trial {trial}"):
            of_one, seconds = measured(tmp_path / str(trial), victims, number)
            trials.most("bytes of one", of_one)
            trials.most("seconds until cancelled", seconds)
            assert of_one < BYTES
            assert seconds < within(SECONDS)  # others are tested beside this one


@pytest.mark.scorecard(30, control=True, case=True)
def test_control_what_takes_more_is_found(tmp_path: Path, victims: Victims) -> None:
    of_one, _ = measured(tmp_path / "heavy", victims, NUMBER // 2, 2 * BYTES)
    assert of_one > BYTES
