"""What a run prints lands in the cell that started it, whichever thread prints it and whatever is queued."""

from __future__ import annotations

import pytest

from kernel_ext.driving import HTML, click, graph, wait_state
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

# One write each: `print` writes text and end apart, and threads come between.
TASKS = """
import ipywidgets, logging
opener = ipywidgets.Button(description='opener')
opener.on_msg(lambda *_: gate.set())
from IPython.display import HTML, display
gate = threading.Event()
@task
def say(text): print(f'said {text}\\n', end=''); return text
@task
async def say_async(text):
    print(f'before {text}\\n', end=''); await asyncio.sleep(0.01); print(f'after {text}\\n', end=''); return text
@task
def late(text):
    gate.wait(20); print(f'late {text}\\n', end=''); return text
@task
async def late_async(text):
    await asyncio.to_thread(gate.wait, 20); print(f'late {text}\\n', end=''); return text
@task
def show(text): display(HTML(f'<b>{text}</b>'))
@task
def warn(text): print('warned', text, file=sys.stderr); logging.getLogger('mine').warning('logged %s', text)
"""

CELLS = {
    "direct": "say('a')",
    "workers": "say.map(list('abc')).result()",
    "async task of a sync cell": "say_async('a')",
    "async tasks of a sync cell, mapped": "say_async.map(list('abc')).result()",
    "awaiting": "await say_async('a')",
    "awaiting, mapped": "[await each.result() for each in say_async.map(list('abc'))]",
    "awaiting, sync tasks on workers": "await asyncio.sleep(0)\nsay.map(list('abc')).wait()",
    "the cell itself, awaiting": "print('said mine'); await asyncio.sleep(0.01); print('said mine too')",
    "subflow": "@flow\ndef inner(): return say.map(list('ab')).result()\ninner()",
}


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    if kernel.expr("'late' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    kernel.run("gate.clear()")
    return kernel


@pytest.mark.parametrize("cell", CELLS)
def test_prints_land_in_the_cell_that_started_the_run(ready: FrontEnd, cell: str) -> None:
    first = ready.execute(f"%%flow\n{CELLS[cell]}")
    queued = [ready.execute(f"print('queued {number}')") for number in range(2)]
    second = ready.execute(f"%%flow\n{CELLS[cell]}")
    replies = [ready.reply(each) for each in (first, second)]
    assert [ready.reply(each).text for each in queued] == ["queued 0\n", "queued 1\n"]
    for reply in replies:
        assert reply.status == "ok", reply.content
        words = "abc" if "map(list('abc')" in CELLS[cell] else "ab" if "subflow" in cell else "a"
        if "itself" in cell:
            assert reply.text == "said mine\nsaid mine too\n"
        elif "async(" in CELLS[cell] or "async.map" in CELLS[cell]:
            assert sorted(reply.text.split("\n")) == sorted(
                ["", *(f"{w} {x}" for x in words for w in ("before", "after"))]
            )
        else:
            assert sorted(reply.text.split("\n")) == sorted(["", *(f"said {x}" for x in words)])


def let_go(kernel: FrontEnd) -> None:
    """Open the gate that `late` waits at, while a cell runs."""
    kernel.send_comm(kernel.comm("description", description="opener").comm_id, {"event": "click"})


@pytest.mark.parametrize("wait", ["futures.result()", "[await each.result() for each in futures]"])
def test_what_is_printed_while_the_cell_waits_is_the_cell_s(ready: FrontEnd, wait: str) -> None:
    # The main thread serves clicks meanwhile, each of them a request of its own.
    task = "late_async" if "await" in wait else "late"
    running = ready.execute(f"%%flow\nfutures = {task}.map(list('ab'))\nprint('waits', flush=True)\n{wait}")
    queued = ready.execute("print('queued')")
    ready.wait_text(running, "waits")
    shown = graph(ready, running)
    click(ready, shown, "pause")
    wait_state(ready, shown, "Paused")
    click(ready, shown, "resume")
    let_go(ready)
    assert sorted(ready.reply(running).text.split()) == sorted(["waits", "late", "a", "late", "b"])
    assert ready.reply(queued).text == "queued\n"


def test_displays_of_tasks_land_there_too(ready: FrontEnd) -> None:
    # Of the main thread on all versions; a worker's on those that route displays by context.
    running = ready.execute("%%flow\nshow('direct')\nshow.submit('worker').wait()")
    queued = ready.execute("print('queued')")
    shown = ready.reply(running).displays(HTML)
    assert "<b>direct</b>" in shown
    assert "<b>worker</b>" in shown
    assert ready.reply(queued).outputs == [{"output_type": "stream", "name": "stdout", "text": "queued\n"}]


def test_standard_error_and_logging_land_there_too(ready: FrontEnd) -> None:
    running = ready.execute("%%flow\nwarn('direct')\nwarn.submit('worker').wait()")
    queued = ready.execute("print('queued')")
    reply = ready.reply(running)
    assert [each["name"] for each in reply.outputs if each["output_type"] == "stream"] == ["stderr"]
    assert sorted(reply.text.splitlines()) == sorted(
        f"{how} {who}" for how in ("warned", "logged") for who in ("direct", "worker")
    )
    assert ready.reply(queued).text == "queued\n"


def test_a_run_prints_nothing_of_its_own(ready: FrontEnd) -> None:
    for code in ("%%flow\nsay.map(range(30)).wait();", "%%flow\nfor i in range(30): await say_async(i)"):
        reply = ready.run(code)
        kinds = [each["output_type"] for each in reply.outputs]
        assert kinds.count("stream") == 1
        assert sorted(kinds) == ["display_data", "display_data", "stream"], reply.outputs
