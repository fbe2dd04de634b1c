"""What was acknowledged survives `kill -9` of the process that wrote it.

Real processes are really killed.  Acknowledgements go to this process through a pipe, so that the witness is outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.flows import python, seeded
from tidegate.model.events import TaskState
from tidegate.store.sqlite import SQLiteStore

WRITER = """
import os, sys, threading
from pathlib import Path
from tidegate.model.events import FlowCreated, TaskCreated, TaskState
from tidegate.model.states import Completed
from tidegate.store.sqlite import SQLiteStore

path, mode = Path(sys.argv[1]), sys.argv[2]
store = SQLiteStore(path)
run = store.create_flow_run(FlowCreated(0, 1.0, "u", "f", "n", "{}"))
say = lambda number: os.write(1, b"%d\\n" % number)

def write(first):
    for number in range(first, 1_000_000, 2):
        store.append(TaskCreated(run, 1.0, number, "t", 1, number, {}))
        end = TaskState(run, 1.0, number, Completed(at=1.0), 1)
        if mode == "announce_first":
            say(number)
            store.commit(end)
        elif mode == "commit":
            store.commit(end)
            say(number)
        elif mode == "commit_all":
            store.commit_all([end])
            say(number)
        else:
            done = threading.Event()
            store.commit_soon(end, lambda problem, number=number: (problem or say(number), done.set()))
            done.wait()

threads = [threading.Thread(target=write, args=(first,)) for first in (1, 2)]
[each.start() for each in threads]
[each.join() for each in threads]
"""


def acknowledged_and_kept(path: Path, mode: str, after: int) -> tuple[set[int], set[int]]:
    """Kill a writer after so many acknowledgements; what it acknowledged, and what the file holds."""
    with python(WRITER, path, mode) as writer:
        said = b"".join(writer.stdout.readline() for _ in range(after))
        writer.kill()
        said += writer.stdout.read()
        writer.wait()
        assert writer.returncode == -9, writer.stderr.read()
    acknowledged = {int(line) for line in said.split(b"\n") if line}
    store = SQLiteStore(path)
    try:
        by_event = {e.task_run for _, e in store.events(1) if isinstance(e, TaskState) and e.state.is_completed()}
        by_row = {row.number for row in store.task_runs(1) if row.state.is_completed()}
    finally:
        store.close()
    assert by_event == by_row, "events and rows are not of one transaction"
    return acknowledged, by_row


def kills(count: int, name: str) -> Iterator[int]:
    chance = seeded(name)
    for _ in range(count):
        yield int(10 ** chance.uniform(0, 3.3))


@pytest.mark.parametrize("mode", ["commit", "commit_all", "commit_soon"])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, mode: str) -> None:
    for trial, after in enumerate(kills(5, f"kill_{mode}")):
        acknowledged, kept = acknowledged_and_kept(tmp_path / f"{trial}.db", mode, after)
        assert len(acknowledged) >= after
        assert acknowledged <= kept, f"trial {trial}: lost {sorted(acknowledged - kept)[:5]} of {len(acknowledged)}"


def test_control_an_early_announcement_is_caught(tmp_path: Path) -> None:
    """The test above can fail: with the acknowledgement before the commit, some of it is lost."""
    lost = 0
    for trial, after in enumerate(kills(4, "kill_control")):
        acknowledged, kept = acknowledged_and_kept(tmp_path / f"{trial}.db", "announce_first", after)
        lost += len(acknowledged - kept)
    assert lost > 0
