"""The fake front end against real kernels of every version we support."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import support.front_end
from support.free_ports import free_ports
from support.front_end import FrontEnd, KernelDied
from support.kernels import ALL_VERSIONS, each_kernel, kernel_params

pytestmark = pytest.mark.kernel

BUTTON = """
import ipywidgets, threading
clicked, clicks = threading.Event(), []
def on_click(widget, content, buffers):
    clicks.append((content, threading.current_thread() is threading.main_thread()))
    clicked.set()
    widget.send({'answer': len(clicks)}, buffers=[b'raw'])
button = ipywidgets.Button(description='Pause')
button.on_msg(on_click)
"""


@pytest.fixture(params=kernel_params(), scope="module")
def kernel(request: pytest.FixtureRequest) -> Iterator[FrontEnd]:
    with FrontEnd(request.param) as front_end:
        yield front_end


@pytest.fixture(scope="module")
def newest() -> Iterator[FrontEnd]:
    with FrontEnd() as front_end:
        yield front_end


def test_every_version_starts_as_itself(kernel: FrontEnd) -> None:
    assert kernel.value("__import__('ipykernel').__version__") == kernel.version
    print(f"ipykernel {kernel.version}: ready after {kernel.start_seconds:.2f} s")


def test_a_cell_s_outputs_are_all_there_when_it_is_answered(kernel: FrontEnd) -> None:
    reply = kernel.run("import sys\nfor i in range(3): print(i)\nprint('no', file=sys.stderr)\n6 * 7")
    assert (reply.status, reply.result) == ("ok", "42")
    assert reply.text == "0\n1\n2\nno\n"


def test_an_exception_is_in_the_reply(kernel: FrontEnd) -> None:
    reply = kernel.run("1 / 0")
    assert (reply.status, reply.ename, reply.evalue) == ("error", "ZeroDivisionError", "division by zero")
    assert any("ZeroDivisionError" in line for line in reply.traceback)


def test_a_click_on_a_stock_widget_is_heard_and_answered(kernel: FrontEnd) -> None:
    assert kernel.run(BUTTON).status == "ok"
    comm = kernel.comm("description", description="Pause")
    before = time.monotonic()
    kernel.send_comm(comm.comm_id, {"event": "mine"})
    answer = kernel.wait_until(lambda _: kernel.comm_messages(comm.comm_id))[0]
    assert (answer.content, answer.buffers) == ({"answer": 1}, [b"raw"])
    assert before < answer.at < time.monotonic()
    assert kernel.value("clicks") == [({"event": "mine"}, True)]


def test_traits_are_followed_both_ways(kernel: FrontEnd) -> None:
    kernel.run("import ipywidgets; slider = ipywidgets.IntSlider(value=7)")
    comm = kernel.comm("value", value=7)
    kernel.run("slider.value = 8")
    assert kernel.comm("value", value=8) is comm
    kernel.send_state(comm.comm_id, {"value": 9})
    assert kernel.value("slider.value") == 9
    kernel.run("slider.close()")
    assert comm.closed


def test_an_interrupt_ends_a_running_cell(kernel: FrontEnd) -> None:
    running = kernel.execute("import time; print('here'); time.sleep(60)")
    queued = kernel.execute("print('never')")
    kernel.wait_text(running, "here")
    kernel.interrupt()
    assert kernel.reply(running).ename == "KeyboardInterrupt"
    assert kernel.reply(queued).status == "aborted"
    assert kernel.run("print('alive')").text == "alive\n"


def test_subshells_exist_from_version_7_on(kernel: FrontEnd) -> None:
    subshell = kernel.subshell()
    assert (subshell is None) == (kernel.version is not None and kernel.version.startswith("6."))
    if subshell is not None:
        busy = kernel.execute("import threading; gate = threading.Event(); print('in'); gate.wait(30)")
        kernel.wait_text(busy, "in")
        assert kernel.run("gate.set()", subshell_id=subshell).status == "ok"
        assert kernel.reply(busy).result == "True"


@each_kernel("6.29.5", "7.4.0")
def test_an_interrupt_by_message_ends_a_running_cell(version: str) -> None:
    with FrontEnd(version, interrupt_mode="message") as front_end:
        running = front_end.execute("import time; print('here'); time.sleep(60)")
        front_end.wait_text(running, "here")
        front_end.interrupt()
        assert front_end.reply(running).ename == "KeyboardInterrupt"


def test_outputs_are_folded_as_a_page_shows_them(newest: FrontEnd) -> None:
    shown = newest.execute("from IPython.display import display\nh = display('first', display_id=True)")
    newest.reply(shown)
    newest.run("h.update('second')")
    assert newest.outputs(shown)[0]["data"]["text/plain"] == "'second'"
    cleared = newest.run("from IPython.display import clear_output\nprint(1)\nclear_output(wait=True)\nprint(2)")
    assert cleared.text == "2\n"


def test_input_is_answered(newest: FrontEnd) -> None:
    asking = newest.execute("print('hello', input('name? '))", allow_stdin=True)
    prompt = newest.wait_until(lambda messages: [m for m in messages if m.type == "input_request"])
    assert prompt[0].content["prompt"] == "name? "
    newest.answer("Ada")
    assert newest.reply(asking).text.endswith("hello Ada\n")


def test_a_port_that_was_taken_before_the_kernel_began_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        given = [[*free_ports(4), somebody.getsockname()[1]], free_ports(5)]
        monkeypatch.setattr(support.front_end, "free_ports", lambda many: given.pop(0))
        with FrontEnd(start_timeout=10) as front_end:
            assert (front_end.value("1 + 1"), given) == (2, [])


def test_long_values_come_over_whole(newest: FrontEnd) -> None:
    assert newest.value("list(range(5000))") == list(range(5000))
    with pytest.raises(RuntimeError, match="NameError"):
        newest.value("no_such_name")


def test_a_wait_that_fails_says_what_came_instead(newest: FrontEnd) -> None:
    newest.run("print('a clue')")
    with pytest.raises(TimeoutError, match=r"(?s)never sent.*a clue"):
        newest.wait_until(lambda _: None, 0.01, "what was never sent")


def test_environment_and_folder_reach_the_kernel(tmp_path: Path) -> None:
    with FrontEnd(env={"TIDE": "high"}, cwd=tmp_path) as front_end:
        assert front_end.value("(__import__('os').environ['TIDE'], __import__('os').getcwd())") == (
            "high",
            str(tmp_path),
        )


def test_a_killed_kernel_is_noticed_at_once() -> None:
    with FrontEnd() as front_end:
        running = front_end.execute("import time; print('here', flush=True); time.sleep(60)")
        front_end.wait_text(running, "here")
        pid = front_end.pid
        front_end.kill()
        assert not front_end.alive
        begun = time.monotonic()
        with pytest.raises(KernelDied):
            front_end.reply(running)
        assert time.monotonic() - begun < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


def test_shutdown_ends_the_kernel_in_order() -> None:
    with FrontEnd() as front_end:
        front_end.run("import atexit, pathlib; atexit.register(pathlib.Path('bye').touch)")
        left = front_end.cwd / "bye"
        front_end.shutdown()
        assert left.exists()


def test_the_list_of_versions_spans_both_major_ones() -> None:
    assert {version.split(".")[0] for version in ALL_VERSIONS} == {"6", "7"}


@each_kernel("7.3.0")
def test_a_kernel_that_stops_hearing_its_socket_is_woken(version: str) -> None:
    # ipykernel #1554: a request sent the moment a reply arrives strands in most of such runs.
    with FrontEnd(version) as front_end:

        def answered(msg_id: str) -> bool:
            return bool(front_end.wait_until(lambda messages: [m for m in messages if m.parent == msg_id], 10))

        for _ in range(60):
            assert answered(front_end.send("shell", "kernel_info_request"))
            front_end.send("shell", "comm_info_request")
        assert front_end.value("6 * 7") == 42
