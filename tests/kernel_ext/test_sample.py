"""`%%flow --sample N`: a part of each mapped call, what the whole will take, and the rest in the same run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernel_ext.driving import LOAD, Loaded, click, graph, newest_run, views, wait_state
from kernel_ext.test_cell import one_line
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

TASKS = """
@task
def step(x):
    with open('ran', 'a') as file: file.write(f'{x}\\n')
    return 10 * x
@task
async def step_async(x):
    with open('ran', 'a') as file: file.write(f'{x}\\n')
    return 10 * x
"""
BODIES = {
    "sync": "found = step.map(range(5))\nlen(found), sum(found.result())",
    "awaiting": "found = step_async.map(range(5))\nlen(found), sum(await found.result())",
}
RAN = "sorted(map(int, open('ran')))"


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above, none of which has run."""
    kernel.run(TASKS + "open('ran', 'w').close()\nglobals().pop('run', None);")
    return kernel


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel, with the tasks above, none of which has run."""
    newest.run(TASKS + "open('ran', 'w').close()\nglobals().pop('run', None);")
    return newest


@pytest.mark.parametrize("body", BODIES)
def test_a_sample_says_what_the_rest_takes_and_the_page_runs_it(ready: FrontEnd, body: str) -> None:
    reply = ready.run(f"%%flow --sample 2\n{BODIES[body]}")
    assert (reply.status, reply.result) == ("ok", "(2, 10)"), reply.content
    task = "step" if body == "sync" else "step_async"
    said = (
        rf"A sample\. {task}: 2 of 5, \S+ each \(\S+ to \S+\); the rest takes about .*\. `tidegate\.resume\(\d+\)` goes"
    )
    assert re.match(said, reply.text), reply.text
    assert (ready.value(RAN), newest_run(ready)[3]) == ([0, 1], "Suspended")
    if body == "sync":
        shown = graph(ready, reply.msg_id)
        wait_state(ready, shown, "Suspended")
        assert re.match(said, views(shown)[-1]["note"]), views(shown)[-1]["note"]
        click(ready, shown, "resume")
        wait_state(ready, shown, "Completed")
        assert ready.value("len(found)") == 5
    else:
        assert ready.run(f"(await __import__('tidegate').resume({newest_run(ready)[0]})).name").result == "'Completed'"
    assert ready.value(RAN) == [0, 1, 2, 3, 4]


def test_the_rest_runs_in_another_kernel(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)
    kernel = held.get()
    kernel.run(TASKS)
    kernel.run(f"%%flow --sample 3\n{BODIES['sync']}")
    kernel.restart(now=True)
    kernel.run(LOAD + TASKS)
    reply = kernel.run("%tidegate resume 1")
    assert (reply.status, reply.result) == ("ok", "(5, 100)"), reply.content
    assert "3 task runs are kept." in reply.text
    assert kernel.value(RAN) == [0, 1, 2, 3, 4]
    held.close()


def test_a_detached_sample_goes_on_detached(here: FrontEnd) -> None:
    here.run(f"%%flow --detach --sample 2\n{BODIES['awaiting']}")
    assert here.value("run.wait(20).name") == "Suspended"
    assert here.run("run.result()").ename == "PausedRun"
    assert here.run(f"%tidegate resume {newest_run(here)[0]}").result == "DetachedCell()"
    assert here.value("run.result()") == (5, 100)
    assert here.value(RAN) == [0, 1, 2, 3, 4]


def test_a_sample_of_all_is_no_sample(here: FrontEnd) -> None:
    reply = here.run(f"%%flow --sample 5\n{BODIES['sync']}")
    assert (reply.text, reply.result, newest_run(here)[3]) == ("", "(5, 100)", "Completed")


@pytest.mark.parametrize("number", ["0", "-3", "many", ""])
def test_a_sample_of_nothing_is_one_line(here: FrontEnd, number: str) -> None:
    assert "--sample" in one_line(here, f"%%flow --sample {number}\nstep(1)")
