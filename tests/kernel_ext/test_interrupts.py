"""The stop button, at random moments: the prompt is back within a second, and nothing of the run goes on."""

from __future__ import annotations

import os
import random
import time

import pytest

from kernel_ext.driving import click, graph, graphs, newest_run, ours_in, plain, statuses, wait_state
from reliability.scorecard import within
from reliability.trials import Trials
from support.front_end import FrontEnd
from support.kernels import ALL_VERSIONS
from support.messages import Reply

pytestmark = pytest.mark.kernel

SEED = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().randrange(10**6))
TRIALS = int(os.environ.get("TIDEGATE_TRIALS") or 3)
LIMIT = within(1.0)
"""Seconds from the stop button to the prompt."""

# Everything that runs in a task counts, so that whatever goes on unseen can be seen.
TASKS = """
ticks = [0]
@task
def spin():
    print('here', flush=True)
    while True: ticks[0] += 1
@task
def nap():
    print('here', flush=True)
    time.sleep(60); ticks[0] += 1
@task
def work(i):
    print('here', flush=True)
    while True: ticks[0] += 1; time.sleep(0.002)
@task
def quick(i):
    ticks[0] += 1
    return i
@task
async def beat(i):
    print('here', flush=True)
    while True: ticks[0] += 1; await asyncio.sleep(0.002)
@task
async def quick_async(i):
    ticks[0] += 1
    return i

USERS = {each.fn.__code__ for each in (spin, nap, work, quick, beat, quick_async)}
def at_work():
    "Threads that are in a task's code now."
    found = []
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_code in USERS: found.append(frame.f_code.co_name)
            frame = frame.f_back
    return found
def unfinished():
    return [(r.number, r.state.name) for r in engine().store.flow_runs(1000) if not r.state.is_final()]
"""

CELLS = {
    "mapped, waited for": "%%flow --max-workers 4\nwork.map(range(8)).wait()",
    "mapped, at the end of the flow": "%%flow --max-workers 4\nfutures = work.map(range(8))\n1",
    "direct, asleep": "%%flow\nnap()",
    "direct, pure Python": "%%flow\nspin()",
    "direct, async task in a sync cell": "%%flow\nbeat(0)",
    "awaiting": "%%flow\nawait beat(0)",
    "awaiting, mapped async tasks": "%%flow\nfor future in beat.map(range(4)): await future.result()",
    "awaiting, mapped sync tasks": "%%flow --max-workers 2\nwork.map(range(4))\nawait asyncio.sleep(60)",
    "quick tasks": "%%flow\nprint('here', flush=True)\nfor i in range(10**7): quick(i)",
    "quick tasks on workers": "%%flow\nprint('here', flush=True)\nfor i in range(10**7): quick.submit(i).result()",
    "quick async tasks": "%%flow\nprint('here', flush=True)\nfor i in range(10**7): await quick_async(i)",
    "the flow's own code": "%%flow\nprint('here', flush=True)\nwhile True: ticks[0] += 1",
    "paused by itself": "%%flow\nprint('here', flush=True)\npause_flow_run()\nquick(1)",
    "paused by itself, awaiting": "%%flow\nprint('here', flush=True)\nawait pause_flow_run()\nquick(1)",
}


def with_tasks(kernel: FrontEnd) -> FrontEnd:
    """The kernel, with the tasks above."""
    if kernel.expr("'USERS' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    return kernel


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above."""
    return with_tasks(kernel)


def stop(kernel: FrontEnd, running: str) -> tuple[Reply, float]:
    """Press the stop button; the cell's reply, and how many seconds it took."""
    before = time.monotonic()
    kernel.interrupt()
    reply = kernel.reply(running, 20)
    return reply, reply.at - before


def check_over(kernel: FrontEnd, reply: Reply, seconds: float, where: str) -> None:
    """The prompt is back, the run is in the record as interrupted, nothing goes on, flows still run."""
    assert (reply.status, reply.ename) == ("error", "KeyboardInterrupt"), f"{where}: {reply.content}"
    assert seconds <= LIMIT, f"{where}: {seconds:.2f} s"
    after = kernel.value("(at_work(), ticks[0], time.sleep(0.03), at_work(), ticks[0], unfinished())")
    assert after[0] == after[3] == [], f"{where}: still at work"
    assert after[1] == after[4], f"{where}: something still counts"
    assert after[5] == [], f"{where}: not final in the record"
    _, _, kind, name = newest_run(kernel)
    assert (kind, name) == ("CRASHED", "Interrupted"), where
    again = kernel.run("%%flow\nsum(quick.map(range(3)).result()) + quick(4)")
    assert (again.status, again.result) == ("ok", "7"), f"{where}: {again.content}"


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.conforms("B223")
@pytest.mark.scorecard(10, parts=len(CELLS) * len(ALL_VERSIONS))
def test_an_interrupt_ends_the_run_and_all_it_had_begun(ready: FrontEnd, cell: str, trials: Trials) -> None:
    took = []
    for trial in trials:
        running = ready.execute(CELLS[cell])
        ready.wait_text(running, "here")
        # A signal in the moment before a sleep wakes nobody, in Python as such; beside a busy thread it is a long one.
        moment = trials.chance.uniform(0.02 if cell == "direct, asleep" else 0, 0.12)
        time.sleep(moment)
        reply, seconds = stop(ready, running)
        took.append(seconds)
        trials.most("seconds", seconds)
        check_over(ready, reply, seconds, f"{cell}, trial {trial}, {moment * 1000:.1f} ms in, seed {trials.seed}")
    print(f"{ready.version} {cell}: {', '.join(f'{each * 1000:.0f}' for each in took)} ms")


STRAY = """
import threading
enough = threading.Event()
def count_on():
    while not enough.is_set(): ticks[0] += 1; time.sleep(0.002)
stray = threading.Thread(target=count_on, daemon=True)
"""
"""A thread that is no business of the run's: it goes on after the interrupt."""


@pytest.mark.scorecard(10, control=True)
def test_control_what_goes_on_after_an_interrupt_is_found(newest: FrontEnd, trials: Trials) -> None:
    with_tasks(newest)
    for _ in trials:
        assert newest.run(STRAY).status == "ok"
        running = newest.execute("%%flow\nstray.start()\nnap()")
        newest.wait_text(running, "here")
        time.sleep(trials.chance.uniform(0.02, 0.12))  # as above: not in the moment before the sleep
        reply, seconds = stop(newest, running)
        with pytest.raises(AssertionError, match="something still counts"):
            check_over(newest, reply, seconds, "control")
        trials.found(True)
        newest.run("enough.set(); stray.join()")
    assert trials.caught == trials.count


@pytest.mark.parametrize("cell", CELLS)
def test_the_traceback_shows_the_user_s_own_lines(newest: FrontEnd, cell: str) -> None:
    with_tasks(newest)
    running = newest.execute(CELLS[cell])
    newest.wait_text(running, "here")
    time.sleep(0.05)
    reply, _ = stop(newest, running)
    assert reply.ename == "KeyboardInterrupt"
    assert ours_in(plain("\n".join(reply.traceback))) == []


@pytest.mark.parametrize("awaiting", [False, True], ids=["sync", "awaiting"])
def test_an_interrupt_ends_a_run_that_was_paused_by_a_click(ready: FrontEnd, awaiting: bool) -> None:
    call = "await quick_async(i)" if awaiting else "quick(i)"
    running = ready.execute(f"%%flow\nfor i in range(10**7): {call}")
    shown = graph(ready, running)
    click(ready, shown, "pause")
    wait_state(ready, shown, "Paused")
    reply, seconds = stop(ready, running)
    check_over(ready, reply, seconds, "paused by a click")


def test_an_interrupt_while_the_cell_begins_leaves_no_run_open(ready: FrontEnd) -> None:
    print(f"TIDEGATE_SEED={SEED}")
    chance = random.Random(f"{SEED} {ready.version} begins")
    for trial in range(2 * TRIALS):
        running = ready.execute("%%flow\nfor i in range(10**7): quick(i)")
        ready.wait_busy(running)
        moment = chance.uniform(0, 0.02)
        time.sleep(moment)
        where = f"trial {trial}, {moment * 1000:.1f} ms in, seed {SEED}"
        ready.interrupt()
        try:
            ready.wait_until(lambda m, each=running: "idle" in statuses(list(m), each), LIMIT, "idle")  # type: ignore[misc]
        except TimeoutError:  # it came before the kernel listens to interrupts, and nobody was there to hear it
            stop(ready, running)
        try:
            reply = ready.reply(running, 0.5)
        except TimeoutError:  # it hit ipykernel's own code before the cell began; such a request is never answered
            assert graphs(ready, running) == [], where
        else:
            assert (reply.status, reply.ename) == ("error", "KeyboardInterrupt"), f"{where}: {reply.content}"
        assert ready.value("unfinished()") == [], where
        again = ready.run("%%flow\nquick(4)")
        assert (again.status, again.result) == ("ok", "4"), f"{where}: {again.content}"


def test_a_second_interrupt_leaves_at_once(ready: FrontEnd) -> None:
    # The task hears nothing: it is in one long C call, which no interrupt reaches on a worker thread.
    code = "%%flow\n@task\ndef deaf():\n    print('here', flush=True)\n    gate.wait(20)\ndeaf.submit().wait()"
    ready.run("gate = threading.Event()")
    running = ready.execute(code)
    ready.wait_text(running, "here")
    ready.interrupt()
    time.sleep(0.1)
    reply, seconds = stop(ready, running)
    assert reply.ename == "KeyboardInterrupt"
    assert seconds <= LIMIT
    assert ready.value("(gate.set(), unfinished())") == (None, [])
    assert newest_run(ready)[2:] == ("CRASHED", "Interrupted")


def test_queued_cells_are_aborted_as_after_any_interrupt(ready: FrontEnd) -> None:
    running = ready.execute("%%flow\nspin()")
    queued = [ready.execute("print('never')") for _ in range(2)]
    ready.wait_text(running, "here")
    reply, seconds = stop(ready, running)
    assert (reply.ename, seconds <= LIMIT) == ("KeyboardInterrupt", True)
    assert [ready.reply(each).status for each in queued] == ["aborted"] * 2
    check_over(ready, reply, seconds, "with queued cells")


def test_the_user_s_own_handler_of_the_interrupt_is_respected(ready: FrontEnd) -> None:
    running = ready.execute("%%flow\ntry:\n    spin()\nexcept KeyboardInterrupt:\n    caught = True\n'went on'")
    ready.wait_text(running, "here")
    reply, seconds = stop(ready, running)
    assert (reply.status, reply.result) == ("ok", "'went on'")
    assert seconds <= LIMIT
    assert ready.value("caught") is True
