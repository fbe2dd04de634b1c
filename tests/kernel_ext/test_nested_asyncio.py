"""`asyncio.run` in cells: refused with a line of help; allowed, clicks and interrupts reach what it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernel_ext.driving import Loaded, click, graph, newest_run, ours_in, plain, wait_state
from reliability.scorecard import within
from support.front_end import FrontEnd
from support.kernels import kernel_params
from support.messages import Comm

pytestmark = pytest.mark.kernel

ALLOW = "%config TideGate.nested_asyncio = True"
HELP = "write `await ...` in the cell or in an async task, or allow this with `%config TideGate.nested_asyncio = True`."

TASKS = """
import ipywidgets
opener = ipywidgets.Button(description='opener')
hold = threading.Event()
opener.on_msg(lambda *_: hold.set())

async def give(value):
    await asyncio.sleep(0.01)
    return value
async def held():
    print('here', flush=True)
    while not hold.is_set(): await asyncio.sleep(0.01)
    return 'held'
@task
def same(x): return x
@task
async def same_async(x): return x
@task
def runs(): return asyncio.run(give(5))
@task
async def runs_async(): return asyncio.run(give(6))
@task
async def runs_held(): return asyncio.run(held())
@flow
def nested_whole(): return runs()
@flow
async def nested_held():
    await same_async(1)
    await held()
    return await same_async('held')
"""


def with_tasks(kernel: FrontEnd) -> FrontEnd:
    if kernel.expr("'nested_held' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    return kernel


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    return with_tasks(newest)


@pytest.fixture(params=kernel_params(), scope="module")
def loaded_nested(request: pytest.FixtureRequest) -> Iterator[Loaded]:
    held = Loaded(request.param)
    yield held
    held.close()


@pytest.fixture
def nested(loaded_nested: Loaded) -> FrontEnd:
    """A kernel of every version, of its own: what is allowed in it cannot be taken back."""
    kernel = with_tasks(loaded_nested.get())
    if kernel.run("%config TideGate.nested_asyncio").result != "True":
        assert kernel.run(ALLOW).outputs == []
    kernel.run("hold.clear()")
    return kernel


# Refused


@pytest.mark.parametrize(
    "code",
    [
        "%%flow\nasyncio.run(give(1))",
        "%%flow\nruns()",
        "%%flow\nawait same_async(1)\nasyncio.run(give(1))",
        "%%flow\nawait runs_async()",
        "%%flow\nruns_async()",
        "nested_whole()",
        "%%flow\nasyncio.get_event_loop().run_until_complete(give(1))",
        "%%flow --detach\nawait same_async(1)\nasyncio.run(give(1))",
    ],
)
def test_it_is_python_s_own_error_with_a_line_of_help(here: FrontEnd, code: str) -> None:
    reply = here.run(code)
    if "--detach" in code:
        reply = here.run("run.result()")
    assert reply.ename == "RuntimeError"
    shown = plain("\n".join(reply.traceback))
    assert shown.count(HELP) == 1, shown
    assert shown.rstrip().splitlines()[-1].endswith(HELP), shown
    assert [line for line in ours_in(shown) if "asyncio" not in line] == []


def test_other_errors_get_no_help(here: FrontEnd) -> None:
    reply = here.run("%%flow\nraise RuntimeError('asyncio.run() went wrong')")
    assert "nested_asyncio" not in "\n".join(reply.traceback)


def test_without_the_library_one_line_says_what_to_install(here: FrontEnd) -> None:
    here.run("sys.modules['nest_asyncio2'] = None")
    reply = here.run(ALLOW)
    (line,) = plain(reply.text).strip().splitlines()
    assert line.endswith("nested_asyncio needs nest-asyncio2: `%pip install 'tidegate[nest]'`, then set it again.")
    assert here.run("%config TideGate.nested_asyncio").result == "False"
    here.run("del sys.modules['nest_asyncio2']")


def test_it_can_stand_in_ipython_s_configuration() -> None:
    with FrontEnd() as kernel:
        kernel.run(
            "get_ipython().config.TideGate.nested_asyncio = True\nimport sys; sys.modules['nest_asyncio2'] = None"
        )
        reply = kernel.run("%load_ext tidegate")
        (line,) = plain(reply.text).strip().splitlines()
        assert line.endswith("nested_asyncio needs nest-asyncio2: `%pip install 'tidegate[nest]'`, then set it again.")
        kernel.run("del sys.modules['nest_asyncio2']")
        assert kernel.run("%load_ext tidegate\nimport asyncio").outputs == []
        assert kernel.run("asyncio.run(asyncio.sleep(0, 3))").result == "3"
        assert ["TideGate.nested_asyncio", "true", "%config"] in [
            line.split() for line in str(kernel.run("%tidegate config").result).splitlines()
        ]


# Allowed


VALUES = {
    "%%flow\nasyncio.run(give(1)), same(2)": "(1, 2)",
    "%%flow\nruns()": "5",
    "%%flow\nruns.submit().result()": "5",
    "%%flow\nruns_async()": "6",
    "%%flow\nawait runs_async(), await same_async(2)": "(6, 2)",
    "%%flow\nawait same_async(1)\nasyncio.run(give(2)), await same_async(3)": "(2, 3)",
    "nested_whole()": "5",
    "hold.set(); asyncio.run(nested_held())": "'held'",
    "await asyncio.gather(nested_held(), nested_held())": "['held', 'held']",
    "%%flow --detach\nasyncio.run(give(2)), await same_async(3)": "DetachedCell()",
    "run.result()": "(2, 3)",
    "%%flow\nasync def deep(n): return 0 if not n else asyncio.run(deep(n - 1)) + same(1)\nasyncio.run(deep(3))": "3",
    "asyncio.run(give(7))": "7",
}


def test_flows_run_wherever_it_is_used(nested: FrontEnd) -> None:
    for code, value in VALUES.items():
        reply = nested.run(code)
        assert (reply.status, reply.result) == ("ok", value), f"{code}: {reply.content}"
    assert nested.run("%config TideGate.nested_asyncio").result == "True"
    (line,) = plain(nested.run("%config TideGate.nested_asyncio = False").text).strip().splitlines()
    assert line.endswith("nested_asyncio cannot be taken back: restart the kernel.")


CELLS = {
    "sync cell": "%%flow\nsame(1)\nvalue = asyncio.run(held())\nsame(value)",
    "direct task": "%%flow\n@task\ndef inner(): return asyncio.run(held())\nsame(inner())",
    "awaiting cell": "%%flow\nawait same_async(1)\nvalue = asyncio.run(held())\nawait same_async(value)",
    "awaited flow": "asyncio.run(nested_held())",
}


def begin(kernel: FrontEnd, code: str) -> tuple[str, Comm]:
    """Start a cell and wait until it is in the inner loop; its id and its graph."""
    running = kernel.execute(code)
    kernel.wait_text(running, "here")
    return running, graph(kernel, running)


@pytest.mark.parametrize("cell", CELLS)
def test_clicks_are_heard_while_the_inner_loop_runs(nested: FrontEnd, cell: str) -> None:
    running, shown = begin(nested, CELLS[cell])
    queued = [nested.execute(f"print('queued {number}'); {number}") for number in range(3)]
    for verb in ("pause", "resume", "pause"):
        assert click(nested, shown, verb) < within(0.5)
    wait_state(nested, shown, "Paused")
    assert not any(m.parent in queued for m in nested.messages), "a queued cell began before its turn"
    queued.append(nested.execute("print('queued 3'); 3"))
    nested.send_comm(nested.comm("description", description="opener").comm_id, {"event": "click"})
    click(nested, shown, "resume")
    reply = nested.reply(running)
    assert (reply.status, reply.result) == ("ok", "'held'"), reply.content
    replies = [nested.reply(each) for each in queued]
    assert [each.result for each in replies] == ["0", "1", "2", "3"]
    assert sorted(each.at for each in [reply, *replies]) == [each.at for each in [reply, *replies]]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("way", ["interrupt", "cancel"])
def test_an_interrupt_or_a_cancel_ends_the_inner_loop_too(nested: FrontEnd, cell: str, way: str) -> None:
    running, shown = begin(nested, CELLS[cell])
    if way == "interrupt":
        nested.interrupt()
    else:
        click(nested, shown, "cancel")
    reply = nested.reply(running, 5)
    name, state = {"interrupt": ("KeyboardInterrupt", "Interrupted"), "cancel": ("CancelledRun", "Cancelled")}[way]
    assert (reply.ename, newest_run(nested)[3]) == (name, state), reply.content
    assert nested.run("%%flow\nasyncio.run(give(1)), same(2)").result == "(1, 2)"


@pytest.mark.parametrize("body", ["asyncio.run(held())", "asyncio.run(nested_held())", "await runs_held()"])
@pytest.mark.parametrize("way", ["page", "handle"])
def test_a_cancel_of_a_detached_cell_ends_its_inner_loop_too(nested: FrontEnd, body: str, way: str) -> None:
    cell = nested.run(f"%%flow --detach\nawait same_async(1)\n{body}")
    nested.wait_text(cell.msg_id, "here")
    if way == "page":
        click(nested, graph(nested, cell.msg_id), "cancel")
    else:
        nested.run("run.cancel()")
    assert nested.value("getattr(run.wait(8), 'name', 'at work')") == "Cancelled"
    assert nested.run("%%flow --detach\nasyncio.run(give(1)), await same_async(2)").status == "ok"
    assert nested.value("run.result()") == (1, 2)
