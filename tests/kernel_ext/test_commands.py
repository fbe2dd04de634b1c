"""What `%tidegate` does to runs, what it says, and what Tab offers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_ext.driving import HTML, Loaded, graph, newest_run, wait_state
from kernel_ext.test_cell import one_line
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

TASKS = """
gate = threading.Event()
began = threading.Event()
@task
def same(x): return x
@task
def fails(x): raise ValueError(f'bad {x}')
"""
LOOP = "for i in range(10**6):\n    same(i); began.set(); time.sleep(0.001)"


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel, with the tasks above."""
    return with_tasks(newest)


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks above."""
    return with_tasks(kernel)


def with_tasks(kernel: FrontEnd) -> FrontEnd:
    if kernel.expr("'fails' in globals()") != "True":
        assert kernel.run(TASKS).status == "ok"
    kernel.run("gate.clear(); began.clear()\nglobals().pop('run', None);")
    return kernel


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[FrontEnd, FrontEnd]]:
    """Two kernels with one store."""
    first, second = Loaded(None, cwd=tmp_path), Loaded(None, cwd=tmp_path)
    first.get().run(TASKS)
    yield first.get(), second.get()
    first.close()
    second.close()


def offered(kernel: FrontEnd, code: str) -> list[str]:
    """What Tab offers at the end of a line."""
    asked = kernel.send("shell", "complete_request", {"code": code, "cursor_pos": len(code)})
    matches: list[str] = kernel.reply(asked).content["matches"]
    return matches


# Control


def test_a_detached_run_is_paused_resumed_and_cancelled_by_name_and_number(here: FrontEnd) -> None:
    cell = here.run(f"%%flow --detach\n{LOOP}")
    shown = graph(here, cell.msg_id)
    assert here.value("began.wait(20)") is True
    number, name = here.value("(run.number, run.name)")
    assert here.run("%tidegate pause").text == (
        f"Flow run {number} ({name}) is paused. `%tidegate resume {number}` lets it go on.\n"
    )
    wait_state(here, shown, "Paused")
    assert one_line(here, f"%tidegate pause {number}").endswith("cannot be paused: it is Paused.")
    assert here.run(f"%tidegate resume {name}").text == f"Flow run {number} ({name}) goes on.\n"
    wait_state(here, shown, "Resuming")
    assert one_line(here, f"%tidegate resume {name}").endswith("is not paused: it is Resuming.")
    assert here.run(f"%tidegate cancel {name}").text == f"Flow run {number} ({name}) is being cancelled.\n"
    assert here.value("run.wait(20).name") == "Cancelled"
    assert "it is Cancelled" in one_line(here, f"%tidegate cancel {number}")


def test_without_a_run_to_mean_it_asks_which(here: FrontEnd) -> None:
    for verb in ("pause", "cancel"):
        assert one_line(here, f"%tidegate {verb}").startswith(f"No flow run goes on here: `%tidegate {verb} RUN`")
    here.run("%%flow --detach -o one\ngate.wait(20)")
    here.run("%%flow --detach -o two\ngate.wait(20)")
    assert one_line(here, "%tidegate pause").startswith("Several flow runs go on here")
    here.run("gate.set(); one.wait(), two.wait()")


def test_a_run_of_another_kernel_is_controlled_too(both: tuple[FrontEnd, FrontEnd]) -> None:
    owner, other = both
    cell = owner.run(f"%%flow --detach\n{LOOP}")
    shown = graph(owner, cell.msg_id)
    assert owner.value("began.wait(20)") is True
    assert "is paused" in other.run("%tidegate pause 1").text
    wait_state(owner, shown, "Paused")
    assert "goes on" in other.run("%tidegate resume 1").text
    wait_state(owner, shown, "Resuming")
    assert "being cancelled" in other.run("%tidegate cancel 1").text
    assert owner.value("run.wait(20).name") == "Cancelled"


def test_a_suspended_run_is_called_off(here: FrontEnd) -> None:
    here.run("from tidegate import suspend_flow_run")
    here.run("%%flow\nsuspend_flow_run()\nsame(1)")
    number = newest_run(here)[0]
    assert "is cancelled." in here.run(f"%tidegate cancel {number}").text
    assert newest_run(here)[3] == "Cancelled"


def test_retry_is_for_a_run_that_failed(here: FrontEnd) -> None:
    here.run("%%flow --name retried\nsame(1)\nfails(2)")
    number = newest_run(here)[0]
    here.run("@task\ndef fails(x): return x")
    reply = here.run(f"%tidegate retry {number}")
    assert (reply.status, reply.result) == ("ok", "2"), reply.content
    assert "1 task run is kept. Again: 1 Failed." in reply.text
    assert one_line(here, f"%tidegate retry {number}").endswith("has not failed: it is Completed.")
    here.run(TASKS)


# What is listed


def test_runs_are_listed_by_state_and_flow(here: FrontEnd) -> None:
    here.run("%%flow --name good\nsame(1)")
    here.run("%%flow --name poor\nfails(1)")
    assert [line.split()[1] for line in str(here.run("%tidegate runs --flow poor").result).splitlines()[1:]] == ["poor"]
    listed = str(here.run("%tidegate runs --state failed --limit 1").result).splitlines()
    assert (len(listed), listed[1].split()[1]) == (2, "poor")
    assert "from 1" in one_line(here, "%tidegate runs --limit 0")


def test_settings_are_shown_with_what_set_them(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path, env={"TIDEGATE_LOG_LEVEL": "DEBUG", "TIDEGATE_AUTO_DISPLAY": "false"})
    kernel = held.get()
    reply = kernel.run("%tidegate config")
    lines = [line.split() for line in str(reply.result).splitlines()]
    assert lines[0] == ["setting", "value", "from"]
    assert ["log_level", "DEBUG", "TIDEGATE_LOG_LEVEL"] in lines
    assert ["log_prints", "false", "default"] in lines
    assert reply.displays(HTML)[0].count("<tr>") == len(lines)
    assert kernel.run("%config TideGate.auto_display").result == "False"
    assert not any(each.startswith("TideGate") for each, *_ in lines)
    kernel.run("%config TideGate.auto_display = True")
    lines = [line.split() for line in str(kernel.run("%tidegate config").result).splitlines()]
    assert ["TideGate.auto_display", "true", "%config"] in lines
    held.close()


def test_two_runs_are_compared(here: FrontEnd) -> None:
    here.run("%%flow --name compared\nsame.map(range(3)).wait()\nsame('x')\n1")
    first = newest_run(here)[0]
    here.run("%%flow --name compared\nsame.map(range(3)).wait()\nsame('y')\n2")
    second = newest_run(here)[0]
    reply = here.run(f"%tidegate diff {first} {second}")
    lines = str(reply.result).splitlines()
    assert lines[0].split() == ["run", str(first), "run", str(second), "differs"]
    code, result, task = (next(line for line in lines if line.startswith(word)) for word in ("code", "result", "task"))
    assert code.split() == ["code", "-2", "lines", "+2", "lines", "yes"]
    assert result.split()[-1] == "result"
    assert task.startswith("task same  4 runs, ")
    assert task.endswith("inputs, result")
    assert reply.displays(HTML)[0].count("<tr>") == len(lines)
    again = str(here.run(f"%tidegate diff {first} {first}").result).splitlines()
    assert [line for line in again[1:] if line.endswith(("yes", "result", "inputs"))] == []


def test_help_lists_the_commands(here: FrontEnd) -> None:
    text = here.run("%tidegate -h").text
    (page,) = here.run("%tidegate?").content["payload"]
    for name in (
        "runs",
        "show",
        "attach",
        "resume",
        "retry",
        "rerun",
        "fork",
        "pause",
        "cancel",
        "open",
        "diff",
        "config",
    ):
        assert f"`%tidegate {name}" in text
        assert f"`%tidegate {name}" in page["data"]["text/plain"]


def test_a_command_that_is_not_there_is_one_line_that_names_those_that_are(here: FrontEnd) -> None:
    assert "There are runs, show" in one_line(here, "%tidegate nope")
    assert "`%tidegate rerun RUN TASK`" in one_line(here, "%tidegate rerun 1")
    assert "quot" in one_line(here, "%tidegate show 'x").lower()


# Tab


def test_tab_offers_commands_flags_runs_and_tasks(kernel: FrontEnd) -> None:
    kernel.run(TASKS)
    kernel.run("%%flow --name tabbed\nsame(1)\ntry: fails(1)\nexcept ValueError: pass\n1")
    number, name = kernel.value("(lambda row: (row.number, row.name))(engine().store.flow_runs(1)[0])")
    assert {"runs", "resume", "cancel"} <= set(offered(kernel, "%tidegate "))
    assert offered(kernel, "%tidegate can") == ["cancel"]
    assert {str(number), name} <= set(offered(kernel, "%tidegate show "))
    assert offered(kernel, f"%tidegate show {name[:-2]}") == [name]
    assert offered(kernel, f"%tidegate rerun {number} ") == ["fails-0", "same", "fails", "same-0"]
    assert offered(kernel, f"%tidegate rerun {name} sam") == ["same", "same-0"]
    assert offered(kernel, "%tidegate runs --st") == ["--state"]
    assert offered(kernel, "%%flow --det") == ["--detach"]
    assert "--task-runner" in offered(kernel, "%%flow --detach --t")
    assert {"process", "sequential"} <= set(offered(kernel, "%%flow --task-runner "))
    assert offered(kernel, "%%flow --durability po") == ["power"]


def test_record_makes_a_cassette_of_the_newest_run_or_of_a_named_one(ready: FrontEnd, tmp_path: Path) -> None:
    ready.run("%%flow --name taped\nsame.map([1, (2, 3)]).wait()")
    out = tmp_path / "tape.json"
    for words in ("", "taped "):
        out.unlink(missing_ok=True)
        said = ready.run(f"%tidegate record {words}-o {out}")
        assert said.text == f"{out} has 2 calls of tasks.\n"
        assert '{"returned": {"$tuple": [2, 3]}}' in out.read_text()
    replayed = ready.run(
        f"from tidegate import use_cassette\nwith use_cassette({str(out)!r}, 'none'):\n"
        "    [flow(lambda: same(1), name='taped-again')(), flow(lambda: same(9), name='taped-again')()]"
    )
    assert replayed.ename == "NotRecorded"
    assert "same(x=9) is not in the cassette" in f"{replayed.evalue}"
