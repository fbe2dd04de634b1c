"""`%%flow` beside what else a notebook has: timing, capture, shell lines, the debugger, modules that are reloaded."""

from __future__ import annotations

import os
import time

import pytest

from kernel_ext.driving import graphs, newest_run, plain
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

TASKS = """
@task
def same(x): return x
@task
async def same_async(x): return x
@task
def fails(x):
    y = x + 1
    raise ValueError(f'bad {y}')
"""


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above."""
    if kernel.expr("'same_async' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    kernel.run("globals().pop('run', None);")
    return kernel


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel, with the tasks above: for what does not hang on the version."""
    if newest.expr("'same_async' in globals()") != "True":
        assert newest.run(TASKS).status == "ok"
    newest.run("globals().pop('run', None);")
    return newest


@pytest.mark.parametrize("body", ["x = same(20)\nx + 1", "x = await same_async(20)\nx + 1"], ids=["sync", "awaiting"])
@pytest.mark.parametrize(
    "magics", ["%%time\n%%flow", "%%time\n\n%%flow --name timed", "%%flow\n%%time", "%%flow\n\n%%time"]
)
def test_a_flow_is_timed(ready: FrontEnd, magics: str, body: str) -> None:
    reply = ready.run(f"{magics}\n{body}")
    assert (reply.status, reply.result) == ("ok", "21"), reply.content
    assert reply.text.count("Wall time: ") == 1
    assert len(graphs(ready, reply.msg_id)) == 1
    assert ready.value("x") == 20
    assert newest_run(ready)[3] == "Completed"
    assert ready.run(f"{magics}\n{body};").result is None


@pytest.mark.parametrize("magics", ["%%time\n%%flow", "%%flow\n\n%%time"])
def test_lines_of_a_timed_flow_that_awaits_are_counted_as_the_user_sees_them(here: FrontEnd, magics: str) -> None:
    reply = here.run(f"{magics}\nawait same_async(1)\nfails(1)")
    assert reply.ename == "ValueError"
    assert "Wall time: " in reply.text
    assert f"> {3 + magics.count(chr(10))} fails(1)" in plain("\n".join(reply.traceback))


def test_a_timed_flow_that_does_not_compile_is_python_s_own_report(here: FrontEnd) -> None:
    for magics in ("%%time\n%%flow", "%%flow\n%%time"):
        assert here.run(f"{magics}\nawait same_async(1)\ny = = 2").ename == "SyntaxError"


def test_time_of_other_cells_is_the_stock_one(here: FrontEnd) -> None:
    reply = here.run("%%time\ny = 3\ny")
    assert (reply.result, "Wall time: " in reply.text) == ("3", True)
    assert here.run("%%time").status == here.run("%%flow").status


def test_a_detached_flow_is_timed_until_it_is_detached(here: FrontEnd) -> None:
    reply = here.run("%%time\n%%flow --detach\nawait same_async(1)")
    assert (reply.result, "Wall time: " in reply.text) == ("DetachedCell()", True)
    assert here.value("run.result()") == 1


def test_the_output_of_a_flow_is_captured(here: FrontEnd) -> None:
    reply = here.run("%%capture out\n%%flow\nprint('said'); same(1)")
    assert reply.outputs == []
    assert here.value("out.stdout") == "said\n"


@pytest.mark.parametrize("options", ["", " --detach"])
def test_shell_lines_run_where_the_body_does(ready: FrontEnd, options: str) -> None:
    cell = ready.run(f"%%flow{options}\n!echo shouted\nwords = !echo one two\nsame(list(words))")
    if options:
        assert ready.run("print('later'); run.wait(20);").text == "later\n"
    ready.wait_text(cell.msg_id, "shouted")
    assert ready.value("list(words)") == ["one two"]
    assert newest_run(ready)[3] == "Completed"


@pytest.mark.parametrize(
    "cell", ["%%flow\nfails(1)", "%%flow\nfails.submit(1).result()", "%%flow\nawait same_async(0); fails(1)"]
)
def test_debug_after_a_failed_run_is_in_the_task(ready: FrontEnd, cell: str) -> None:
    assert ready.run(cell).ename == "ValueError"
    debugging = ready.execute("%debug", allow_stdin=True)

    def asked(count: int) -> None:
        ready.wait_until(
            lambda messages: sum(m.type == "input_request" and m.parent == debugging for m in messages) >= count,
            20,
            "the prompt of the debugger",
        )

    asked(1)
    ready.answer("p (x, y)")
    asked(2)
    ready.answer("u")
    asked(3)
    ready.answer("q")
    text = plain(ready.reply(debugging).text)
    assert "(1, 2)" in text
    assert "raise ValueError(f'bad {y}')" in text
    assert ready.run("%%flow\nsame(1)").result == "1"


def test_autoreload_brings_flows_and_tasks_up_to_date(ready: FrontEnd) -> None:
    module = ready.cwd / "steps.py"
    text = (
        "from tidegate import flow, task\n"
        "def factor(): return {0}\n"
        "@task(tags=['t{0}'])\ndef step(x): return {0} + x\n"
        "@flow\ndef whole(): return step(0) * factor()\n"
    )
    module.write_text(text.format(1))
    ready.run("import sys; sys.dont_write_bytecode = True\n%load_ext autoreload\n%autoreload 2")
    ready.run("import steps\nfrom steps import step, whole")
    assert ready.run("%%flow\nstep(0), steps.step(0), step.submit(0).result()").result == "(1, 1, 1)"
    module.write_text(text.format(20))
    os.utime(module, (time.time() + 10,) * 2)  # or a change within the same second would not be seen
    assert ready.run("%%flow\nstep(0), steps.step(0), step.submit(0).result()").result == "(20, 20, 20)"
    assert ready.run("whole()").result == "400"
    assert ready.value("sorted(step.tags)") == ["t20"]
    ready.run("%autoreload 0\nimport os\ndel sys.modules['steps']")
