"""Loading, unloading, settings, `%tidegate`, and where graphs and pictures appear."""

from __future__ import annotations

import re

import pytest

from kernel_ext.driving import HTML, LOAD, WIDGET, ask, click, graph, graphs, newest_run, plain
from support.front_end import FrontEnd
from support.kernels import each_kernel
from support.messages import Content, Reply

pytestmark = pytest.mark.kernel

TASKS = """
import ipywidgets
opener = ipywidgets.Button(description='opener')
hold = threading.Event()
opener.on_msg(lambda *_: hold.set())
@task
def same(x): return x
@task
async def same_async(x): return x
@task
def fails(): raise ValueError('bad')
@task
def held(): hold.wait(20)
@flow
def whole(n): return sum(same.map(range(n)).result())
@flow
async def whole_async(n): return sum([await each.result() for each in same_async.map(range(n))])
"""


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    if kernel.expr("'whole_async' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    kernel.run("hold.clear()")
    return kernel


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel: for what does not hang on the version."""
    if newest.expr("'whole_async' in globals()") != "True":
        assert newest.run(TASKS).status == "ok"
    newest.run("hold.clear()\n%config TideGate.auto_display = True")
    return newest


def pictures(reply: Reply) -> list[str]:
    return [html for html in reply.displays(HTML) if "data-tidegate-picture" in html]


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())


# Loading and unloading


STATE = """
import re, sys, IPython.extensions.autoreload
def names(found):
    return [re.sub(' at 0x[0-9a-f]+', '', repr(each)) for each in found]
def ours(found):
    return sorted(type(each).__name__ for each in found if type(each).__module__.startswith('tidegate'))
def everything():
    shell = get_ipython()
    from tidegate import host
    return (
        {kind: sorted(names) for kind, names in shell.magics_manager.magics.items()},
        names(shell.input_transformers_cleanup), names(shell.input_transformers_post), names(shell.ast_transformers),
        # IPython makes magics of its own when they are first asked for: only ours are compared.
        ours(shell.configurables), ours(shell.magics_manager.registry.values()),
        {name: names(found) for name, found in shell.events.callbacks.items()},
        len(shell.Completer.custom_matchers), len(sys.modules['IPython.extensions.autoreload'].UPDATE_RULES),
        [each for each in ('publish', 'clear_output') if each in vars(shell.display_pub)],
        type(host._main_host).__name__, len(engine().observers),
        sorted(name for name in shell.user_ns if 'tide' in name.lower()),
        sorted(name for name in shell.user_ns_hidden if 'tide' in name.lower()),
    )
from tidegate.engine import engine
"""


@each_kernel()
def test_the_extension_comes_and_goes_without_a_trace(version: str) -> None:
    with FrontEnd(version) as kernel:
        kernel.run(STATE)
        before = kernel.value("everything()")
        assert kernel.run(LOAD).outputs == []
        loaded = kernel.value("everything()")
        assert ("flow" in loaded[0]["cell"], "tidegate" in loaded[0]["line"]) == (True, True)
        again = kernel.run("%load_ext tidegate")
        assert plain(again.text) in (
            "",
            "The tidegate extension is already loaded. To reload it, use:\n  %reload_ext tidegate\n",
        )
        assert kernel.value("everything()") == loaded
        assert kernel.run("__import__('tidegate').load_ipython_extension(get_ipython())").outputs == []
        assert kernel.value("everything()") == loaded
        kernel.run(TASKS)
        assert kernel.run("%%flow\nwhole(3)").result == "3"
        assert kernel.run("%unload_ext tidegate").outputs == []
        assert kernel.value("everything()") == before
        gone = kernel.run("%%flow\n1")
        assert (gone.status, "not found" in gone.text) == ("error", True)
        assert kernel.run("whole(3)").outputs[0]["output_type"] == "execute_result", "it still shows a graph"
        assert kernel.run("%config TideGate").status == "error" or "Invalid" in kernel.run("%config TideGate").text
        for step in ("%load_ext tidegate", "%reload_ext tidegate", "%reload_ext tidegate"):
            assert kernel.run(step).outputs == []
            assert kernel.value("everything()") == loaded
        reply = kernel.run("%%flow\nawait same_async(5)")
        assert (reply.result, len(graphs(kernel, reply.msg_id))) == ("5", 1)
        running = kernel.execute("%%flow\nhold.clear(); print('here', flush=True); held.submit().wait(); 'clicked'")
        kernel.wait_text(running, "here")
        assert click(kernel, graph(kernel, running), "pause") < 1
        assert click(kernel, graph(kernel, running), "resume") < 1
        kernel.send_comm(kernel.comm("description", description="opener").comm_id, {})
        assert kernel.reply(running).result == "'clicked'"


def test_unloading_while_nothing_is_loaded_is_harmless(here: FrontEnd) -> None:
    assert here.run("__import__('tidegate_kernel').unload_ipython_extension(get_ipython())").outputs == []
    assert here.run("__import__('tidegate_kernel').unload_ipython_extension(get_ipython())").outputs == []
    assert here.run("%reload_ext tidegate").outputs == []
    assert here.run("%%flow\nsame(1)").result == "1"


def test_names_of_ours_are_not_listed(here: FrontEnd) -> None:
    here.run("%%flow\nawait same_async(1)")
    assert "tidegate_flow" not in here.run("%who").text


# Settings


def test_the_settings_are_listed_and_heeded(here: FrontEnd) -> None:
    assert "TideGate" in here.run("%config").text
    assert "auto_display" in here.run("%config TideGate").text
    assert here.run("%config TideGate.auto_display").result == "True"
    here.run("%config TideGate.auto_display = False")
    for code in ("%%flow\nsame(2)", "%%flow\nawait same_async(2)", "whole(2) + 1", "await whole_async(2) + 1"):
        reply = here.run(code)
        assert [each["output_type"] for each in reply.outputs] == ["execute_result"], code
        assert reply.result == "2"
    here.run("%config TideGate.auto_display = True")
    assert len(graphs(here, here.run("%%flow\nsame(2)").msg_id)) == 1


# %tidegate


def test_runs_are_listed(here: FrontEnd) -> None:
    here.run("%%flow --name listed\nsame(1)")
    number = newest_run(here)[0]
    for code in ("%tidegate runs", "%tidegate"):
        reply = here.run(code)
        head, first, *_ = str(reply.result).splitlines()
        assert head.split() == ["run", "flow", "name", "state", "created", "took"]
        assert first.split()[:2] == [str(number), "listed"]
        assert "Completed" in first
        (html,) = reply.displays(HTML)
        assert html.count("<tr>") == len(str(reply.result).splitlines())


def test_a_run_of_the_record_is_shown(here: FrontEnd) -> None:
    here.run("%%flow --name recorded\nsame.map(range(3)).wait()\ntry: fails()\nexcept ValueError: pass\n1")
    number = newest_run(here)[0]
    reply = here.run(f"%tidegate show {number}")
    (shown,) = graphs(here, reply.msg_id)
    run = shown.state["_view"]["run"]
    assert (run["flow"], run["state"]["name"], run["total"], run["can"]) == ("recorded", "Completed", 4, [])
    assert (run["counts"]["done"], run["counts"]["failed"]) == (3, 1)
    (picture,) = pictures(reply)
    assert "Completed" in text_of(picture)
    assert "recorded" in text_of(picture)


def test_a_shown_run_answers_the_page(here: FrontEnd) -> None:
    here.run("%%flow\nsame.map(range(3)).wait()\ntry: fails()\nexcept ValueError: pass\n1")
    reply = here.run(f"%tidegate show {newest_run(here)[0]}")
    (shown,) = graphs(here, reply.msg_id)
    assert ask(here, shown, {"kind": "hello"}, "snap", keyed=False).content["view"]["run"]["total"] == 4
    failed = next(each for each in shown.state["_view"]["nodes"] if each["name"] == "fails")
    detail = ask(here, shown, {"kind": "get", "node": failed["id"]}, "detail").content["detail"]
    assert detail["errors"][0]["error"] == "ValueError: bad"


@pytest.mark.parametrize(
    "words", ["nonsense", "show", "show x", "show -1", "show 99999", "show 1 2", "runs 3", "show ²"]
)
def test_what_is_not_understood_is_one_line(here: FrontEnd, words: str) -> None:
    reply = here.run(f"%tidegate {words}")
    assert (reply.status, reply.ename) == ("error", "UsageError")
    assert len(plain(reply.text).strip().splitlines()) == 1


# Graphs and pictures


@pytest.mark.parametrize(
    "code", ["whole(4)", "await whole_async(4)", "%%flow\nwhole(4)", "%%flow\nawait whole_async(4)"]
)
@pytest.mark.conforms("B020")
def test_a_root_flow_run_shows_one_graph_and_its_final_picture(ready: FrontEnd, code: str) -> None:
    reply = ready.run(code)
    assert (reply.status, reply.result) == ("ok", "6"), reply.content
    kinds = [sorted(each.get("data", {})) for each in reply.outputs]
    assert kinds == [[WIDGET, "text/plain"], [HTML, "text/plain"], ["text/plain"]]
    (shown,) = graphs(ready, reply.msg_id)
    run = shown.state["_view"]["run"]
    assert (run["state"]["name"], run["counts"]["done"]) == ("Completed", 4 if "%%" not in code else 1)
    (picture,) = pictures(reply)
    assert "Completed" in text_of(picture)
    assert shown.state["_view"]["run"]["id"] in picture
    assert "<script" not in picture


def test_two_runs_in_one_cell_give_two_graphs(ready: FrontEnd) -> None:
    for code in (
        "(whole(2), whole(3))",
        "(await whole_async(2), await whole_async(3))",
        "(whole(2), await whole_async(3))",
    ):
        reply = ready.run(code)
        assert reply.result == "(1, 3)"
        totals = [each.state["_view"]["run"]["counts"]["done"] for each in graphs(ready, reply.msg_id)]
        assert totals == [2, 3]
        assert len(pictures(reply)) == 2


def test_runs_that_go_on_side_by_side_each_have_their_picture(ready: FrontEnd) -> None:
    reply = ready.run("await asyncio.gather(whole_async(2), whole_async(3), whole_async(4))")
    assert reply.result == "[1, 3, 6]"
    shown = graphs(ready, reply.msg_id)
    assert sorted(each.state["_view"]["run"]["counts"]["done"] for each in shown) == [2, 3, 4]
    found = pictures(reply)
    assert len(found) == 3
    assert all("Completed" in text_of(each) for each in found)


def test_runs_side_by_side_leave_the_kernel_as_it_was(ready: FrontEnd) -> None:
    ready.run("from tidegate_kernel.wire import Wire\nstream = Wire.of(get_ipython())._stream")
    ready.run("stock = stream._recv_callback")
    assert ready.run("await asyncio.gather(whole_async(2), whole_async(3))").result == "[1, 3]"
    assert ready.run("await asyncio.gather(whole_async(2), asyncio.sleep(0.05), whole_async(9))").status == "ok"
    assert ready.value("stream._recv_callback == stock") is True


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("same(1); fails()", "Failed"),
        ("await same_async(1); fails()", "Failed"),
        ("fails.submit().wait()", "Failed"),
        ("raise KeyboardInterrupt", "Interrupted"),
        ("await asyncio.sleep(0); raise KeyboardInterrupt", "Interrupted"),
        ("same(1); raise SystemExit", "Crashed"),
    ],
)
def test_the_picture_shows_the_final_state(ready: FrontEnd, body: str, name: str) -> None:
    reply = ready.run(f"%%flow\n{body}")
    (picture,) = pictures(reply)
    assert text_of(picture).startswith(name), text_of(picture)
    assert newest_run(ready)[3] == name


def test_what_a_notebook_keeps_is_stable_between_runs(ready: FrontEnd) -> None:
    code = "%%flow --name stable\nsum(same.map(range(3)).result())"

    def texts(outputs: list[Content]) -> list[str]:
        return [each["data"]["text/plain"] for each in outputs]

    first, second = ready.run(code), ready.run(code)
    assert texts(first.outputs) == texts(second.outputs)
    assert not any("0x" in each for each in texts(first.outputs))


@pytest.mark.parametrize("way", ["without", "with"])
def test_a_click_does_not_cut_a_figure_in_two(ready: FrontEnd, way: str) -> None:
    subshell = ready.subshell() if way == "with" else None
    if way == "with" and subshell is None:
        pytest.skip("this kernel has no subshells")
    ready.run("%matplotlib inline\nimport matplotlib.pyplot as plt")
    code = """%%flow
plt.plot([1, 2, 3]); print('here', flush=True)
held.submit().wait()
plt.title('whole')
figures = [each.get_title() for each in plt.gcf().axes]"""
    running = ready.execute(code)
    ready.wait_text(running, "here")
    for verb in ("pause", "resume", "pause", "resume"):
        click(ready, graph(ready, running), verb, subshell)
    # Not on the subshell: a stock widget's message fires the cell hooks there (ipykernel #1564).
    ready.send_comm(ready.comm("description", description="opener").comm_id, {})
    reply = ready.reply(running)
    assert len(reply.displays("image/png")) == 1
    assert ready.value("figures") == ["whole"]
