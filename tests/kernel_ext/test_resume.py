"""`%tidegate resume N`: a cell whose kernel died, or that failed, goes on in the kernel that is there now."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_ext.driving import Loaded, ours_in, plain
from kernel_ext.test_cell import one_line
from support.front_end import FrontEnd, KernelDied

pytestmark = pytest.mark.kernel

STEPS = """
import os
from pathlib import Path
from tidegate import task
@task
def step(x):
    with open('ran', 'a') as file: file.write(f'{x} ')
    if x == 3 and Path('die').exists(): os.kill(os.getpid(), 9)
    if x == 3 and Path('fail').exists(): raise ValueError('a bad row')
    return x + 1
"""
CHAIN = "%%flow --name chain\nx = 0\nfor _ in range(6): x = step(x)\nx * 10"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def started(folder: Path) -> FrontEnd:
    kernel = Loaded(None, cwd=folder).get()
    assert kernel.run(STEPS).status == "ok"
    return kernel


def test_a_cell_whose_kernel_was_killed_goes_on_in_the_next(folder: Path) -> None:
    (folder / "die").touch()
    kernel = started(folder)
    with pytest.raises(KernelDied):
        kernel.run(CHAIN)
    kernel.close()
    assert (folder / "ran").read_text() == "0 1 2 3 "
    (folder / "die").unlink()
    with started(folder) as kernel:
        listed = str(kernel.run("%tidegate runs").result)
        assert listed.splitlines()[1].split()[3] == "Crashed"
        reply = kernel.run("%tidegate resume 1")
        assert (reply.status, reply.result) == ("ok", "60"), reply.content
        assert "3 task runs are kept" in reply.text
        assert "could not be updated" not in reply.text
        assert kernel.expr("x") == "6"
        assert (folder / "ran").read_text() == "0 1 2 3 3 4 5 "
        assert str(kernel.run("%tidegate runs").result).splitlines()[1].split()[3] == "Completed"


def test_a_cell_that_failed_goes_on_once_it_is_mended(folder: Path) -> None:
    (folder / "fail").touch()
    with started(folder) as kernel:
        assert kernel.run(CHAIN).content["evalue"] == "a bad row"
        again = kernel.run("%tidegate resume 1")
        assert (again.content["ename"], again.content["evalue"]) == ("ValueError", "a bad row")
        traceback = plain("\n".join(again.traceback))
        assert "x = step(x)" in traceback
        assert not ours_in(traceback)
        (folder / "fail").unlink()
        reply = kernel.run("%tidegate resume 1")
        assert (reply.status, reply.result) == ("ok", "60"), reply.content
        assert (folder / "ran").read_text() == "0 1 2 3 3 3 4 5 "


def test_an_awaiting_cell_is_resumed_with_await(folder: Path) -> None:
    (folder / "fail").touch()
    with started(folder) as kernel:
        kernel.run("import asyncio")
        kernel.run("%%flow --name awaits\nawait asyncio.sleep(0)\nend = step(step(2))")
        (folder / "fail").unlink()
        assert one_line(kernel, "%tidegate resume 1").endswith("awaits. `await tidegate.resume(1)` goes on with it.")
        reply = kernel.run("import tidegate\n(await tidegate.resume(1)).name, end")
        assert (reply.status, reply.result) == ("ok", "('Completed', 4)"), reply.content
        assert (folder / "ran").read_text() == "2 3 3 "


def test_what_cannot_be_resumed_is_told_in_one_line(folder: Path) -> None:
    with started(folder) as kernel:
        kernel.run("%%flow --name whole\nstep(1)")
        assert one_line(kernel, "%tidegate resume 1").endswith("is Completed: there is nothing to resume.")
        assert one_line(kernel, "%tidegate resume 99").startswith("There is no flow run 99.")
        assert one_line(kernel, "%tidegate resume this").startswith("There is no flow run this.")
        assert "`%tidegate resume [--on-change {rerun,reuse,error}] RUN`" in one_line(kernel, "%tidegate resume")
        kernel.run("from tidegate import flow\n@flow\ndef gone(): 1/0\ntry: gone()\nexcept ZeroDivisionError: pass")
    with started(folder) as kernel:
        assert "'gone'" in one_line(kernel, "%tidegate resume 2")


def test_a_task_of_a_run_that_is_over_runs_again(folder: Path) -> None:
    with started(folder) as kernel:
        kernel.run(CHAIN)
        reply = kernel.run("%tidegate rerun 1 step-4")
        assert (reply.status, reply.result) == ("ok", "60"), reply.content
        assert "5 task runs are kept. Again: 1 asked for." in reply.text  # small numbers are handed on without a link
        assert (folder / "ran").read_text() == "0 1 2 3 4 5 4 "
        assert one_line(kernel, "%tidegate rerun 1 stop").endswith("has no task run 'stop'. Its tasks are step.")


def test_a_fork_is_a_new_run(folder: Path) -> None:
    with started(folder) as kernel:
        kernel.run(CHAIN)
        reply = kernel.run("%tidegate fork 1 step-4")
        assert (reply.status, reply.result) == ("ok", "60"), reply.content
        assert (folder / "ran").read_text() == "0 1 2 3 4 5 4 "
        listed = str(kernel.run("%tidegate runs").result).splitlines()
        assert [line.split()[3] for line in listed[1:3]] == ["Completed", "Completed"]


def test_a_cell_is_resumed_with_the_options_it_had(folder: Path) -> None:
    (folder / "fail").touch()
    line = "%%flow --name options --task-runner sequential --tag nightly --durability power"
    with started(folder) as kernel:
        kernel.run("import threading\n@task\ndef where(): return threading.current_thread().name")
        kernel.run(f"{line}\nend = step(3)\nwhere.submit().result()")
        (folder / "fail").unlink()
    with started(folder) as kernel:
        kernel.run("import threading\n@task\ndef where(): return threading.current_thread().name")
        reply = kernel.run("%tidegate resume 1")
        assert (reply.status, reply.result) == ("ok", "'MainThread'"), reply.content
        kernel.run("from tidegate.engine import engine")
        assert kernel.expr("engine().store.flow_run(1).tags") == "('nightly',)"
        assert kernel.expr("engine().store.flow_run(1).durability") == "'power'"
