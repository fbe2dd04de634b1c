"""What the page has done with one task run, in a real kernel: a result in the notebook, a task run that runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernel_ext.driving import Loaded, ask, graph, newest_run, wait_state
from support.front_end import FrontEnd
from support.messages import Comm

pytestmark = pytest.mark.kernel

TASKS = """
from pathlib import Path
class Held:
    def __init__(self, row): self.row = row
@task
def step(row):
    with open('ran', 'a') as file: file.write(f'{row} ')
    if row == 2 and Path('fail').exists(): raise ValueError('a bad row')
    return Held(row)
@task
def total(rows): return sum(each.row for each in rows)
@task
def watch():
    while not Path('go').exists(): time.sleep(0.01)
"""
CELL = (
    "%%flow --name steps\nmade = step.map(range(4))\ntotal.submit(made).wait()\ntotal.submit(made[:2]).wait()\nend = 1"
)


@pytest.fixture
def ready(newest: FrontEnd) -> FrontEnd:
    newest.run(TASKS)
    return newest


def do(kernel: FrontEnd, comm: Comm, verb: str, member: int) -> Any:
    return ask(kernel, comm, {"kind": "do", "verb": verb, "member": member}, "ack").content


def member(kernel: FrontEnd, comm: Comm, number: int) -> Any:
    return ask(kernel, comm, {"kind": "get", "member": number}, "member").content["member"]


def test_a_result_is_loaded_under_a_name_that_takes_nothing_of_the_user_s(ready: FrontEnd) -> None:
    ready.run("step_1 = 'mine'")
    reply = ready.run(CELL)
    shown = graph(ready, reply.msg_id)
    wait_state(ready, shown, "Completed")
    assert member(ready, shown, 2)["actions"] == ["load"]
    told = do(ready, shown, "load", 2)
    assert (told["ok"], told["told"]) == (True, "In the notebook: step_1_2"), told
    assert ready.value("(step_1, step_1_2.row, type(step_1_2) is Held)") == ("mine", 1, True)
    assert do(ready, shown, "load", 2)["told"] == "In the notebook: step_1_2"
    assert do(ready, shown, "load", 1)["told"] == "In the notebook: step_0"
    assert do(ready, shown, "load", 5)["told"] == "In the notebook: total_result"
    assert do(ready, shown, "load", 6)["told"] == "In the notebook: total_result_2"


def test_a_result_of_a_run_of_the_record_and_of_one_at_work_is_loaded(ready: FrontEnd) -> None:
    go = Path(ready.value("str(Path('go').resolve())"))
    message = ready.execute("%%flow --name live\nstep(7)\nwatch()\nlen('done')")
    shown = graph(ready, message)
    subshell = ready.subshell()
    key = {"kind": "do", "verb": "load", "member": 1}
    answer = ready.wait_until(
        lambda _: (found := ask(ready, shown, key, "ack", subshell).content)["ok"] and found, 10, "a saved result"
    )
    assert answer["told"] == "In the notebook: step_result"
    go.touch()
    assert ready.reply(message).status == "ok"
    assert ready.value("step_result.row") == 7
    number = newest_run(ready)[0]
    shown = graph(ready, ready.run(f"%tidegate show {number}").msg_id)
    assert do(ready, shown, "load", 1)["told"] == "In the notebook: step_result"


def test_a_failed_task_run_runs_again_and_what_needs_it(tmp_path: Path) -> None:
    with Loaded(None, cwd=tmp_path).get() as kernel:
        kernel.run(TASKS)
        (tmp_path / "fail").touch()
        shown = graph(kernel, kernel.run(CELL).msg_id)
        wait_state(kernel, shown, "Failed")
        (tmp_path / "fail").unlink()
        assert member(kernel, shown, 3)["actions"] == ["rerun"]
        plan = do(kernel, shown, "plan", 3)
        assert plan["told"] == "Runs again: step[2], 1 behind that. Kept: 4.", plan
        assert newest_run(kernel)[3] == "Failed"
        assert do(kernel, shown, "rerun", 3)["told"] == "step[2] runs again."
        wait_state(kernel, shown, "Completed")
        assert sorted((tmp_path / "ran").read_text().split()) == ["0", "1", "2", "2", "3"]
        assert newest_run(kernel)[3] == "Completed"


def test_a_task_run_of_a_cell_that_awaits_runs_again(tmp_path: Path) -> None:
    with Loaded(None, cwd=tmp_path).get() as kernel:
        kernel.run(TASKS)
        (tmp_path / "fail").touch()
        cell = "%%flow --name awaits\nawait asyncio.sleep(0)\nstep.map([2]).wait()"
        shown = graph(kernel, kernel.run(cell).msg_id)
        wait_state(kernel, shown, "Failed")
        (tmp_path / "fail").unlink()
        refused = do(kernel, shown, "rerun", 99)
        assert (refused["ok"], refused["error"]) == (False, "There is no such task run.")
        assert do(kernel, shown, "rerun", 1)["ok"]
        wait_state(kernel, shown, "Completed")
