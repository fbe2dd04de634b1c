"""`%%flow --detach`: the cell is over at once, its run goes on, and the notebook holds a handle of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_ext.driving import HTML, Loaded, click, graph, graphs, newest_run, ours_in, plain, views, wait_state
from kernel_ext.test_cell import one_line
from kernel_ext.test_extension import text_of
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

# `gate` is what the bodies wait for, so that a later cell decides when they go on.
TASKS = """
import ipywidgets
opener = ipywidgets.Button(description='opener')
opener.on_msg(lambda *_: gate.set())
from IPython.display import HTML, display
gate = threading.Event()
began = threading.Event()
@task
def same(x): return x
@task
async def same_async(x): return x
@task
def fails(x): raise ValueError(f'bad {x}')
@task
def say(text):
    gate.wait(20); print(f'said {text}\\n', end=''); display(HTML(f'<b>{text}</b>')); return text
@task
async def say_async(text):
    await asyncio.to_thread(gate.wait, 20)
    print(f'said {text}\\n', end=''); display(HTML(f'<b>{text}</b>')); return text
"""

# Asleep, but never for long: a stop button pressed in the moment before a sleep wakes nobody, in any Python.
NAPS = "for _ in range(6000): time.sleep(0.01)"


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above."""
    if kernel.expr("'say_async' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    kernel.run("gate.clear(); began.clear()\nglobals().pop('run', None);")
    return kernel


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel, with the tasks above: for what does not hang on the version."""
    if newest.expr("'say_async' in globals()") != "True":
        assert newest.run(TASKS).status == "ok"
    newest.run("gate.clear(); began.clear()\nglobals().pop('run', None);")
    return newest


BODIES = {
    "direct": "x = say('a')\nx + '!'",
    "worker": "x = say.submit('a').result()\nx + '!'",
    "async task of a sync body": "x = say_async('a')\nx + '!'",
    "awaiting": "x = await say_async('a')\nx + '!'",
    "awaiting, worker": "await asyncio.sleep(0)\nx = say.submit('a').result()\nx + '!'",
}


@pytest.mark.parametrize("body", BODIES)
def test_the_cell_is_over_at_once_and_its_output_stays_its_own(ready: FrontEnd, body: str) -> None:
    cell = ready.run(f"%%flow --detach\nprint('here')\n{BODIES[body]}")
    assert (cell.status, cell.result) == ("ok", "DetachedCell()"), cell.content
    assert len(graphs(ready, cell.msg_id)) == 1
    assert ready.value("(run.done(), run.wait(0), run.state.is_final())") == (False, None, False)
    later = ready.run("gate.set(); run.wait(20); print('later'); display(HTML('<i>later</i>'))")
    assert (later.text, later.displays(HTML)) == ("later\n", ["<i>later</i>"])
    assert ready.value("(run.result(), x)") == ("a!", "a")

    def whole(_: object) -> bool:
        outputs = ready.outputs(cell.msg_id)
        shown = [each["data"].get(HTML, "") for each in outputs if "data" in each]
        text = "".join(each["text"] for each in outputs if each["output_type"] == "stream")
        return (
            "<b>a</b>" in shown
            and text == "here\nsaid a\n"
            and any(text_of(each).startswith("Completed") for each in shown)
        )

    ready.wait_until(whole, 15, "the output of the detached run, and its final picture")


@pytest.mark.parametrize("wait", ["run.result()", "await run"])
def test_the_stop_button_of_a_later_cell_is_not_for_the_run(ready: FrontEnd, wait: str) -> None:
    ready.run("%%flow --detach\nsay.submit('a').result() + '!'")
    for waits in (wait, NAPS):
        waiting = ready.execute(f"print('waits', flush=True)\n{waits}")
        ready.wait_text(waiting, "waits")
        ready.interrupt()
        # Before the cell has come to its await, the kernel makes a cancellation of it, as in any cell.
        assert ready.reply(waiting, 20).ename in ("KeyboardInterrupt", "CancelledError")
    assert ready.value("run.state.name") == "Running"
    assert ready.run(f"gate.set()\n{wait}").result == "'a!'"


@pytest.mark.parametrize("wait", ["run.wait()", "await run"])
def test_clicks_are_heard_while_a_cell_waits_for_the_run(ready: FrontEnd, wait: str) -> None:
    cell = ready.run("%%flow --detach\nbegan.set(); gate.wait(20); same('a')")
    shown = graph(ready, cell.msg_id)
    waiting = ready.execute(f"print('waits', flush=True)\n{wait}\ngate.is_set()")
    queued = [ready.execute(f"print('queued {number}')") for number in range(2)]
    ready.wait_text(waiting, "waits")
    click(ready, shown, "pause")
    wait_state(ready, shown, "Paused")
    click(ready, shown, "resume")
    gate = ready.comm("description", description="opener")
    ready.send_comm(gate.comm_id, {})
    assert ready.reply(waiting).result == "True"
    assert [ready.reply(each).text for each in queued] == ["queued 0\n", "queued 1\n"]


def test_the_handle_controls_the_run(ready: FrontEnd) -> None:
    cell = ready.run("%%flow --detach -o sums\nfor i in range(10**6):\n    same(i); began.set(); time.sleep(0.001)")
    shown = graph(ready, cell.msg_id)
    assert ready.value("(began.wait(20), 'run' in globals())") == (True, False)
    ready.run("sums.pause()")
    wait_state(ready, shown, "Paused")
    assert ready.value("sums.state.name") == "Paused"
    assert one_line_of(ready, "sums.pause()").endswith("it is Paused.")
    ready.run("sums.resume()")
    wait_state(ready, shown, "Resuming")
    ready.run("sums.cancel()")
    assert ready.value("sums.wait(20).name") == "Cancelled"
    wait_state(ready, shown, "Cancelled")
    assert ready.run("sums.result()").ename == "CancelledRun"


def one_line_of(kernel: FrontEnd, code: str) -> str:
    return str(kernel.run(code).evalue)


def test_an_edit_in_a_later_cell_is_what_the_paused_run_goes_on_with(here: FrontEnd) -> None:
    here.run("@task\ndef rate(x): return 1")
    cell = here.run("%%flow --detach\nfirst = rate(1)\nbegan.set(); gate.wait(20)\nfirst, rate(2)")
    shown = graph(here, cell.msg_id)
    assert here.value("began.wait(20)") is True
    click(here, shown, "pause")
    here.run("@task\ndef rate(x): return 2\ngate.set()")
    click(here, shown, "resume")
    assert here.run("run.result()").result == "(1, 2)"


def test_a_failure_is_shown_by_the_user_s_own_lines(here: FrontEnd) -> None:
    for call in ("fails(1)", "await same_async(1); fails(1)"):
        here.run(f"%%flow --detach\n{call}")
        reply = here.run("run.result()")
        text = plain("\n".join(reply.traceback))
        assert (reply.ename, reply.evalue) == ("ValueError", "bad 1")
        assert f"> 2 {call}" in text
        assert ours_in(text) == []
        assert here.value("repr(run.result(raise_on_failure=False))") == "ValueError('bad 1')"
    assert here.run("%%flow --detach\ngate.wait(20)").status == "ok"
    assert "has not ended after 0 s; it is Running." in str(here.run("run.result(timeout=0)").evalue)
    here.run("gate.set(); run.wait()")


def test_two_runs_at_once_and_a_flow_cell_beside_them(here: FrontEnd) -> None:
    here.run("%%flow --detach -o one\nsay.submit('a').result()")
    here.run("%%flow --detach -o two\nawait say_async('b')")
    beside = here.run("%%flow\nprint('beside'); sum(same.map(range(4)).result())")
    assert (beside.result, beside.text) == ("6", "beside\n")
    assert here.run("gate.set(); one.result(), await two").result == "('a', 'b')"
    assert here.run("%%flow --detach\none.result() + 'c'").status == "ok"
    assert here.run("%%flow\nrun.result() + 'd'").result == "'acd'"
    assert here.run("%%flow\n(await run) + 'e'").result == "'ace'"


def test_attach_gives_the_handle_of_a_run_once_more(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)  # of its own: `_` means nothing any more after this reset
    here = held.get()
    assert here.run(TASKS).status == "ok"
    here.run("%%flow --detach -o one\nsay.submit('a').result() + '!'")
    number = here.value("one.number")
    assert here.run("%%flow --detach -o one\nsame(1)").status == "ok"
    here.run("one.wait(20)\n%reset -f out\nimport gc; gc.collect();")
    again = here.run(f"first = %tidegate attach {number}")
    assert (again.status, len(graphs(here, again.msg_id))) == ("ok", 1)
    assert here.value("(first.number, first.done(), gate.set(), first.result())") == (number, False, None, "a!")
    assert here.run(f"%tidegate attach {number}").result is None, "the value of a run that has ended is in the record"
    held.close()


@pytest.mark.parametrize("wait", ["own.wait()", "await own"])
def test_a_run_that_waits_for_itself_is_told(here: FrontEnd, wait: str) -> None:
    here.run(f"%%flow --detach -o own\nwhile 'own' not in globals(): time.sleep(0.001)\n{wait}")
    reply = here.run("own.result()")
    assert (reply.ename, "cannot wait for itself" in str(reply.evalue)) == ("UsageError", True)
    here.run("del own")


def test_a_name_of_the_user_s_is_left_alone(here: FrontEnd) -> None:
    here.run("def run(): return 'mine'")
    reply = here.run("%%flow --detach\nsame(1)")
    assert "`run` is taken" in reply.text
    assert here.value("(run(), _.result())") == ("mine", 1)
    assert "taken" not in here.run("%%flow --detach -o mine\nsame(2)").text
    assert here.value("mine.result()") == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [("-o x", "--detach"), ("--detach -o", "-o"), ("--detach -o 1x", "'1x'"), ("--detach -o for", "'for'")],
)
@pytest.mark.parametrize("body", ["same(1)", "await same_async(1)"], ids=["sync", "awaiting"])
def test_a_wrong_option_is_one_line(here: FrontEnd, options: str, says: str, body: str) -> None:
    assert says in one_line(here, f"%%flow {options}\n{body}")


def test_what_a_dead_kernel_had_detached_goes_on_detached(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)
    count = "@task\ndef step(x):\n    with open('ran', 'a') as file: file.write(f'{x} ')\n    return x + 1"
    for body in (
        "x = step(0)\nbegan.set(); gate.wait(60)\nstep(x)",
        "x = step(0)\nbegan.set()\nawait asyncio.to_thread(gate.wait, 60)\nstep(x)",
    ):
        (tmp_path / "ran").unlink(missing_ok=True)
        kernel = held.get()
        kernel.run(TASKS + count)
        assert kernel.run(f"%%flow --detach -o job --name night\n{body}").status == "ok"
        assert kernel.value("began.wait(20)") is True
        number = newest_run(kernel)[0]
        kernel.kill()
        held.close()
        kernel = held.get()
        kernel.run(TASKS + count)
        reply = kernel.run(f"%tidegate resume {number}")
        assert (reply.status, reply.result) == ("ok", "DetachedCell()"), reply.content
        assert "1 task run is kept" in reply.text
        assert len(graphs(kernel, reply.msg_id)) == 1
        assert kernel.value("(job.done(), began.wait(20), gate.set(), job.result())") == (False, True, None, 2)
        assert (tmp_path / "ran").read_text() == "0 1 "
    held.close()


def test_a_released_run_goes_on_from_its_page_and_so_does_the_handle(here: FrontEnd) -> None:
    cell = here.run("%%flow --detach\nx = same(1)\nbegan.set(); gate.wait(20)\nsame(x + 1)")
    shown = graph(here, cell.msg_id)
    assert here.value("began.wait(20)") is True
    click(here, shown, "pause")
    click(here, shown, "suspend")
    assert here.value("(gate.set(), run.wait(20).name)") == (None, "Suspended")
    assert here.run("run.result()").ename == "PausedRun"
    wait_state(here, shown, "Suspended")
    click(here, shown, "resume")
    wait_state(here, shown, "Completed")
    assert here.value("run.result()") == 2


def test_a_released_run_is_cancelled_from_its_page(here: FrontEnd) -> None:
    cell = here.run("%%flow --detach\nbegan.set(); gate.wait(20)\nsame(1)")
    shown = graph(here, cell.msg_id)
    assert here.value("began.wait(20)") is True
    click(here, shown, "pause")
    click(here, shown, "suspend")
    assert here.value("(gate.set(), run.wait(20).name)") == (None, "Suspended")
    wait_state(here, shown, "Suspended")
    assert views(shown)[-1]["can"] == ["resume", "cancel"]
    click(here, shown, "cancel")
    wait_state(here, shown, "Cancelled")
    assert newest_run(here)[3] == "Cancelled"

    def pictured(_: object) -> bool:
        texts = [text_of(each["data"].get(HTML, "")) for each in here.outputs(cell.msg_id) if "data" in each]
        return any(text.startswith("Cancelled") for text in texts)

    here.wait_until(pictured, 15, "the picture of how it ended")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_submitted_flow_shows_its_graph_and_its_output_in_its_cell(ready: FrontEnd, kind: str) -> None:
    call = "say('a')" if kind == "sync" else "await say_async('a')"
    ready.run(
        f"from tidegate import flow\n@flow\n{'async ' if kind == 'async' else ''}def told_by_{kind}(): return {call}"
    )
    cell = ready.run(f"handle = told_by_{kind}.submit()\nhandle")
    assert (cell.status, cell.result) == ("ok", "DetachedRun()"), cell.content
    assert len(graphs(ready, cell.msg_id)) == 1
    assert ready.value("(handle.done(), handle.state.is_final())") == (False, False)
    later = ready.run("gate.set(); print(handle.result()); print(await handle)")
    assert later.text == "a\na\n", later.content

    def whole(_: object) -> bool:
        outputs = ready.outputs(cell.msg_id)
        shown = [each["data"].get(HTML, "") for each in outputs if "data" in each]
        text = "".join(each["text"] for each in outputs if each["output_type"] == "stream")
        pictured = any(text_of(each).startswith("Completed") for each in shown)
        return "<b>a</b>" in shown and text == "said a\n" and pictured

    ready.wait_until(whole, 15, "the output of the submitted flow, and its final picture")


def test_a_submitted_flow_is_paused_and_resumed_by_its_graph(here: FrontEnd) -> None:
    here.run("@flow\ndef clicked_by_submit():\n    began.set(); gate.wait(20); return same('a')")
    cell = here.run("handle = clicked_by_submit.submit()")
    shown = graph(here, cell.msg_id)
    click(here, shown, "pause")
    wait_state(here, shown, "Paused")
    here.run("gate.set()")
    click(here, shown, "resume")
    assert here.run("handle.result()").result == "'a'"


AWAITS = """%%flow --name awaits
value = await same_async(1)
print('here', flush=True)
await opened.wait()
value = await same_async(value + 1)
for i in range(50): same(i)
if strict: raise ValueError('strict')
value + 1"""


def test_a_released_cell_that_awaits_goes_on_on_the_kernel_s_loop(ready: FrontEnd) -> None:
    ready.run("@task\nasync def same_async(x): return x\nopened, strict = asyncio.Event(), True")
    running = ready.execute(AWAITS)
    ready.wait_text(running, "here")
    shown = graph(ready, running)
    click(ready, shown, "pause")
    click(ready, shown, "suspend")
    ready.interrupt()  # what it waits for never comes in that cell
    ready.reply(running)
    wait_state(ready, shown, "Suspended")
    click(ready, shown, "resume")
    wait_state(ready, shown, "Resuming")
    # The event belongs to the loop of the kernel, which other cells have meanwhile; their stop button is not for it.
    sleeps = ready.execute(f"print('sleeps', flush=True)\n{NAPS}")
    ready.wait_text(sleeps, "sleeps")
    ready.interrupt()
    assert ready.reply(sleeps).ename == "KeyboardInterrupt"
    click(ready, shown, "pause")
    click(ready, shown, "resume")
    assert ready.run("%%flow\nsame(1) + await same_async(1)").result == "2"
    queued = [ready.execute(f"opened.set(); {number}") for number in range(3)]
    assert [ready.reply(each).result for each in queued] == ["0", "1", "2"]
    wait_state(ready, shown, "Failed")
    ready.run("strict = False")
    click(ready, shown, "resume")
    wait_state(ready, shown, "Completed")
    assert ready.value("value") == 2


def test_cells_that_queue_behind_a_wait_outside_of_any_flow_run_after_it(ready: FrontEnd) -> None:
    ready.run("hold = threading.Event()\nopener = ipywidgets.Button(description='queue')")
    ready.run("opener.on_msg(lambda *_: hold.set())\n@task\ndef holds(): return hold.wait(20)")
    ready.run("%%flow --detach\npending = holds.submit(); began.set(); pending.wait()")
    assert ready.value("began.wait(20)") is True
    running = ready.execute("print('waits', flush=True); pending.result()")
    ready.wait_text(running, "waits")
    queued = [ready.execute(str(number)) for number in range(3)]
    ready.send_comm(ready.comm("description", description="queue").comm_id, {"event": "click"})
    assert [ready.reply(each).result for each in [running, *queued]] == ["True", "0", "1", "2"]
