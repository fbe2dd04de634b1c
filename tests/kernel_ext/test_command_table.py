"""Every `%tidegate` command, in every kernel: what it says, and what becomes of the run.  The details are in
`test_commands`."""

from __future__ import annotations

import pytest

from kernel_ext.driving import WIDGET, graph, graphs, newest_run, wait_state
from kernel_ext.test_cell import one_line
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

TASKS = """
began = threading.Event()
@task
def same(x): return x
@task
def fails(x): raise ValueError(f'bad {x}')
"""
MENDED = "@task\ndef fails(x): return 10 * x"
LOOP = "for i in range(10**6):\n    same(i); began.set(); time.sleep(0.001)"


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above."""
    assert kernel.run(TASKS).status == "ok"
    return kernel


def test_commands_that_control_a_run(ready: FrontEnd) -> None:
    cell = ready.run(f"%%flow --detach\n{LOOP}")
    shown = graph(ready, cell.msg_id)
    assert ready.value("began.wait(20)") is True
    number, name = ready.value("(run.number, run.name)")
    assert f"Flow run {number} ({name}) is paused." in ready.run("%tidegate pause").text
    wait_state(ready, shown, "Paused")
    assert one_line(ready, f"%tidegate pause {name}").endswith("cannot be paused: it is Paused.")
    assert ready.run(f"%tidegate resume {name}").text == f"Flow run {number} ({name}) goes on.\n"
    wait_state(ready, shown, "Resuming")
    assert graphs(ready, ready.run(f"%tidegate attach {number}").msg_id) == [shown]
    assert "is being cancelled" in ready.run(f"%tidegate cancel {number}").text
    assert ready.value("run.wait(20).name") == "Cancelled"
    assert "it is Cancelled" in one_line(ready, f"%tidegate cancel {number}")
    assert one_line(ready, "%tidegate pause").startswith("No flow run goes on here")


def test_commands_that_run_again(ready: FrontEnd) -> None:
    assert ready.run("%%flow --name again\nsame.map(range(3)).wait()\nfails(same(4))").ename == "ValueError"
    number = newest_run(ready)[0]
    opened = ready.run(f"%tidegate open {number}")
    assert "fails-0" in opened.text
    assert ready.value("x") == 4
    ready.run(MENDED)
    retried = ready.run(f"%tidegate retry {number}")
    assert (retried.status, retried.result) == ("ok", "40"), retried.content
    assert "4 task runs are kept. Again: 1 Failed." in retried.text
    rerun = ready.run(f"%tidegate rerun {number} same-3")
    assert (rerun.status, rerun.result, newest_run(ready)[0]) == ("ok", "40", number), rerun.content
    forked = ready.run(f"%tidegate fork {number} fails")
    assert (forked.status, forked.result) == ("ok", "40"), forked.content
    assert newest_run(ready)[0] == number + 1
    assert "has not failed" in one_line(ready, f"%tidegate retry {number}")
    assert len(graphs(ready, forked.msg_id)) == 1
    compared = str(ready.run(f"%tidegate diff {number} {number + 1}").result)
    assert compared.splitlines()[0].split() == ["run", str(number), "run", str(number + 1), "differs"]


def test_commands_that_show(ready: FrontEnd) -> None:
    ready.run("%%flow --name shown\nsame(1)")
    number = newest_run(ready)[0]
    assert str(ready.run("%tidegate runs --limit 1").result).splitlines()[1].split()[:2] == [str(number), "shown"]
    for command in ("show", "attach"):
        reply = ready.run(f"%tidegate {command} {number}")
        (found,) = graphs(ready, reply.msg_id)
        run = found.state["_view"]["run"]
        assert (run["flow"], run["state"]["name"], run["total"]) == ("shown", "Completed", 1)
        assert WIDGET in reply.outputs[0]["data"]
    assert "auto_display" in str(ready.run("%tidegate config").result)
    assert "`%tidegate runs" in ready.run("%tidegate -h").text
    refused = {
        "nonsense": "There are runs, show",
        "show 99999": "no flow run 99999",
        "diff 1": "`%tidegate diff RUN OTHER`",
        "runs --limit 0": "from 1",
        "resume": "`%tidegate resume",
    }
    for words, told in refused.items():
        assert told in one_line(ready, f"%tidegate {words}"), words
