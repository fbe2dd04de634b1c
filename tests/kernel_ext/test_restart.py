"""Restart of a real kernel, busy or idle, politely or not: nothing of it is left, its run goes on in the new one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kernel_ext.driving import LOAD
from kernel_ext.test_processes import is_alive, workers
from reliability.trials import Trials
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

STEPS = """
import time
@task
def step(x):
    with open({ran!r}, 'a') as file: file.write(f'{{x}} ')
    time.sleep(0.01)
    return x + 1
"""
LENGTH = 12
CHAIN = f"%%flow --name chain --task-runner process --max-workers 2\nx = START\nfor _ in range({LENGTH}):\n"
CHAIN += "    x = step.submit(x).result()\n    print('on', flush=True)\nx"
SECONDS = 5.0
"""After which no process of the old kernel may be left."""


def ready(kernel: FrontEnd, ran: Path) -> None:
    assert kernel.run(LOAD).status == "ok"
    assert kernel.run(STEPS.format(ran=str(ran))).status == "ok"


def begun(kernel: FrontEnd, start: int, busy: bool, seconds: float) -> list[int]:
    """Run the chain, to its end unless `busy`; the processes that are there then."""
    running = kernel.execute(CHAIN.replace("START", str(start)))
    if busy:
        kernel.wait_text(running, "on")
        time.sleep(seconds)  # the moment of the restart, which is to be any
    else:
        reply = kernel.reply(running)
        assert (reply.status, reply.result) == ("ok", str(start + LENGTH)), reply.content
    return [kernel.pid, *workers(kernel)]


def gone_after(pids: list[int]) -> float:
    """Seconds until none of them is left."""
    begin = time.monotonic()
    while any(map(is_alive, pids)):
        assert time.monotonic() - begin < SECONDS, "a process is left"
        time.sleep(0.02)
    return time.monotonic() - begin


@pytest.mark.scorecard(9)
def test_a_restart_leaves_nothing_and_the_run_goes_on(tmp_path: Path, trials: Trials) -> None:
    """Each step begins when the one before was seen to end: of those that ran before, only the last may run again."""
    ran = tmp_path / "ran"
    with FrontEnd(cwd=tmp_path) as kernel:
        ready(kernel, ran)
        for trial in trials:
            busy, now, start = trial % 4 < 3, trial % 2 == 0, 1_000 * (trial + 1)
            with trials.judged(f"trial {trial}, {'busy' if busy else 'idle'}, {'at once' if now else 'politely'}"):
                there = begun(kernel, start, busy, trials.chance.uniform(0, 0.2))
                kernel.restart(now=now)
                trials.most("seconds until all are gone", gone_after(there))
                before = ran.read_text().split()
                ready(kernel, ran)
                row = "engine().store.flow_runs(1)[0]"
                kernel.run("%tidegate runs")
                state = kernel.value(f"{row}.state.name")
                # A polite restart interrupts first, and may end a worker process before its owner.
                assert state in ("Crashed", "Interrupted", "Failed", "Completed")
                if state != "Completed":
                    reply = kernel.run(f"%tidegate resume {kernel.value(f'{row}.number')}")
                    assert (reply.status, reply.result) == ("ok", str(start + LENGTH)), reply.content
                assert kernel.value(f"{row}.state.name") == "Completed"
                after = ran.read_text().split()[len(before) :]
                assert sorted({*before, *after}) == [str(start + at) for at in range(LENGTH)]
                assert set(before) & set(after) <= set(before[-1:])
                assert len(after) == len(set(after))
            ran.write_text("")


@pytest.mark.scorecard(9, control=True, case=True)
def test_control_what_is_not_kept_runs_again(tmp_path: Path, trials: Trials) -> None:
    """Without the results of the record all steps run again, and the test above would tell."""
    ran = tmp_path / "ran"
    with FrontEnd(cwd=tmp_path) as kernel:
        ready(kernel, ran)
        for _ in trials:
            there = begun(kernel, 0, True, 0.05)
            assert all(map(is_alive, there))
            assert len(there) > 1
            kernel.restart(now=True)
            gone_after(there)
            before = ran.read_text().split()
            ready(kernel, ran)
            kernel.run("with engine().store._alone() as c: c.execute('UPDATE task_run SET result = NULL')")
            assert kernel.run("%tidegate resume 1").result == str(LENGTH)
            after = ran.read_text().split()[len(before) :]
            trials.found(not set(before) & set(after) <= set(before[-1:]))
        assert trials.caught == trials.count
