"""The command line: what it runs, shows and says, and how it exits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from support.flows import SOON, states_in_store
from support.modules import forgotten
from tidegate.cli import main
from tidegate.model.events import FlowState
from tidegate.store.sqlite import SQLiteStore

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import asyncio, sys, time
from pathlib import Path
from tidegate import cancel_flow_run, flow, get_run_logger, task
from tidegate.context import frame

@task
def load(row):
    get_run_logger().warning("row %s", row)
    if row == 3:
        raise ValueError("bad row")
    return row

@flow(final_state="raised")
def rows(count: int = 2, note="none"):
    import beside  # found where the script is, also while it runs
    print(f"note {note!r}")
    load.map(range(count)).wait()

@flow
def failing():
    with Path("attempts").open("a") as file:
        file.write("x")
    raise ValueError("broken\\nin two lines")

@flow
def leaving():
    sys.exit(5)

@flow
def cancelling():
    cancel_flow_run(frame.get().flow_run)

@task
def wait():
    print("ready", flush=True)
    while not Path("go").exists():
        time.sleep(0.01)

@flow
def waiting():
    wait()
    return load(1)

@flow
async def awaiting():
    print("ready", flush=True)
    await asyncio.sleep(60)

@flow
async def quick(x):
    print("twice", 2 * x)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a script in it, and profiles of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "etl.py").write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEGATE_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    with forgotten(tmp_path):
        yield tmp_path


@pytest.fixture
def home(folder: Path) -> Path:
    return folder / "home"


@pytest.fixture
def store(home: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(home / "store.db")
    yield made
    made.close()


def call(*arguments: str) -> Result:
    """The command in this process, over the store in the folder ``home``."""
    return CliRunner().invoke(main, ["--home", "home", *arguments])


def told(result: Result, code: int = 1) -> str:
    """The one line of an error."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    line: str = result.stderr
    assert line.count("\n") == 1, line
    return line.strip()


@contextmanager
def started(*arguments: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, over the same store; killed at the end if it still runs."""
    command = [sys.executable, "-u", "-m", "tidegate", "--home", "home", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    process = subprocess.Popen(command, text=True, **pipes)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


# Run ------------------------------------------------------------------------------------------------------------------


def test_a_flow_is_run_and_how_it_went_is_told(store: SQLiteStore) -> None:
    result = call("run", "etl.py:rows", "-p", "count=5", "-p", "note=ten = 10")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("note 'ten = 10'\n")
    (row,) = store.flow_runs()
    assert json.loads(row.parameters) == {"count": 5, "note": "ten = 10"}
    assert re.search(rf"^Flow run 1 \({row.name}\) of rows: Completed after \d+", result.stdout, re.MULTILINE)
    assert re.search(
        r"^  task  runs  completed  failed  other  ran\n  load     5          4       1      0", *in_lines(result)
    )
    assert re.search(r"^1 task run failed:\n.*\n  load-3  Failed  ValueError: bad row$", *in_lines(result))
    assert "tidegate show 1" in result.stdout
    title = f"Flow run 1 ({row.name}) of rows"
    assert result.stderr.splitlines() == [f"{title}: Running.", f"{title}: Completed."]


def in_lines(result: Result) -> tuple[str, re.RegexFlag]:
    return result.stdout, re.MULTILINE


@pytest.mark.parametrize(
    ("name", "code", "state"),
    [("failing", 1, "Failed"), ("leaving", 3, "Crashed"), ("cancelling", 4, "Cancelled"), ("rows", 0, "Completed")],
)
def test_the_exit_code_tells_the_outcome(store: SQLiteStore, name: str, code: int, state: str) -> None:
    result = call("run", f"etl.py:{name}")
    assert result.exit_code == code
    assert f"of {name}: {state} after" in result.stdout
    assert "Traceback" not in result.output
    assert store.flow_runs()[0].state.name == state


def test_an_async_flow_is_run_too() -> None:
    result = call("run", "etl.py:quick", "-p", "x=[1]")
    assert result.exit_code == 0
    assert "twice [1, 1]" in result.stdout


def test_retries_of_the_command_hold_for_the_flow(folder: Path) -> None:
    assert call("run", "etl.py:failing", "--retries", "2").exit_code == 1
    assert (folder / "attempts").read_text() == "xxx"


def test_a_sample_is_left_suspended_and_told_how_to_go_on(folder: Path, store: SQLiteStore) -> None:
    result = call("run", "etl.py:rows", "-p", "count=3", "--sample", "2")
    assert result.exit_code == 5
    assert "A sample. load: 2 of 3, " in result.stdout
    assert result.stdout.endswith("Go on with it: tidegate run etl.py:rows --resume 1\n")
    assert [row.state.name for row in store.task_runs(1)] == ["Completed"] * 2
    assert call("run", "etl.py:rows", "--resume", "1").exit_code == 0
    assert [row.state.name for row in store.task_runs(1)] == ["Completed"] * 3
    refused = call("run", "etl.py:rows", "--resume", "1", "--sample", "2")
    assert (refused.exit_code, "--sample is for a new run" in refused.stderr) == (2, True)


def test_a_run_of_a_notebook_keeps_its_parameters(folder: Path, store: SQLiteStore) -> None:
    body = "from pathlib import Path\nprint('rows', rows)\nassert Path('mended').exists()"
    cells = [("rows = 1\nbox = object()", ["parameters"]), (f"%%flow --param day=2\n{body}", [])]
    made = [{"cell_type": "code", "source": source, "metadata": {"tags": tags}} for source, tags in cells]
    (folder / "n.ipynb").write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4}))
    assert "rows 7" in call("run", "n.ipynb", "-p", "rows=7").stdout
    assert store.flow_runs(1)[0].recorded_parameters() == {"rows": 7, "day": 2}
    assert "rows 7" in call("run", "n.ipynb", "--resume", "1").stdout
    (folder / "mended").touch()
    result = call("run", "n.ipynb", "--resume", "1", "-p", "rows=8")
    assert (result.exit_code, "rows 8" in result.stdout) == (0, True)


def test_a_notebook_takes_parameters(folder: Path) -> None:
    cells = [("rows = 1\nday = 'Monday'", ["parameters"]), ("%%flow --name night\nprint(rows, day)", [])]
    made = [{"cell_type": "code", "source": source, "metadata": {"tags": tags}} for source, tags in cells]
    (folder / "n.ipynb").write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4}))
    result = call("run", "n.ipynb:night", "-p", "rows=7")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("7 Monday\n")
    assert told(call("run", "n.ipynb", "-p", "row=7"), 2).endswith("n.ipynb has no parameter 'row'. It has rows, day.")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["n=1"], {"n": 1}),
        (["n=1.5", "n=two"], {"n": "two"}),
        (['a={"b": [null]}', "s=", 't="1"', "u= 1 "], {"a": {"b": [None]}, "s": "", "t": "1", "u": 1}),
        (["x=NaN", "y=Infinity", "z=[NaN]", "e=a=b"], {"x": "NaN", "y": "Infinity", "z": "[NaN]", "e": "a=b"}),
        (["@more.json", "n=2"], {"n": 2, "m": 3}),
    ],
)
def test_parameters_are_json_where_they_can_be(folder: Path, given: list[str], wanted: dict[str, Any]) -> None:
    from tidegate.cli.run import parsed

    (folder / "more.json").write_text('{"n": 1, "m": 3}')
    assert parsed(given) == wanted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("n", "'n' is no KEY=VALUE"),
        ("=1", "'=1' is no KEY=VALUE"),
        ("@gone.json", "gone.json cannot be read"),
        ("@list.json", "list.json must hold an object"),
        ("@etl.py", "etl.py is not JSON"),
    ],
)
def test_a_parameter_that_cannot_be_is_bad_use(folder: Path, given: str, said: str) -> None:
    (folder / "list.json").write_text("[1]")
    result = call("run", "etl.py:rows", "-p", given)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (folder / "home").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("empty.py", "tidegate: There is no flow in empty.py. Put @flow on a function, or %%flow on a cell."),
        (
            "gone.py",
            "tidegate: There is no file gone.py. Give file.py:name, notebook.ipynb:name or package.module:name.",
        ),
        ("gone.ipynb", "tidegate: There is no file gone.ipynb."),
        ("etl.py", "tidegate: There are several flows in etl.py: rows, failing,"),
        ("etl.py:roows", "tidegate: There is no flow 'roows' in etl.py."),
        ("nothing", "tidegate: There is no module 'nothing' that can be imported from"),
        ("etl.txt", "tidegate: There is no module 'etl.txt' that can be imported from"),
    ],
)
def test_a_flow_that_is_not_there_is_one_line(folder: Path, target: str, said: str) -> None:
    (folder / "empty.py").write_text("x = 1\n")
    assert told(call("run", target), 2).startswith(said)
    assert not (folder / "home").exists()


def test_parameters_that_the_flow_does_not_have_are_one_line_and_no_run(folder: Path) -> None:
    assert told(call("run", "etl.py:rows", "-p", "cuont=5"), 2).endswith("it was given cuont.")
    assert not (folder / "home").exists()


def test_a_script_that_raises_shows_where_and_no_more(folder: Path) -> None:
    (folder / "broken.py").write_text("def f():\n    return 1 / 0\nf()\n")
    result = call("run", "broken.py")
    assert result.exit_code == 2
    assert result.stderr.startswith("tidegate: broken.py raised ZeroDivisionError while it was loaded.\n")
    assert "cli" not in result.stderr.replace(str(folder), "")


def test_a_store_that_cannot_be_used_is_one_line(home: Path) -> None:
    home.mkdir()
    (home / "store.db").write_text("no store")
    assert "is not a store" in told(call("run", "etl.py:rows"), 1)


def test_only_the_first_failures_are_listed() -> None:
    many = Path("many.py")
    many.write_text(
        "from tidegate import flow, task\n@task\ndef load(row): raise ValueError(row)\n"
        "@flow\ndef nightly(): load.map(range(30)).wait()\n"
    )
    result = call("run", "many.py")
    assert result.exit_code == 1
    assert "30 task runs failed:" in result.stdout
    assert result.stdout.count("ValueError: ") == 20
    assert "… and 10 more: tidegate show 1 --failed --limit 0" in result.stdout


def test_an_end_that_cannot_be_saved_is_told(folder: Path) -> None:
    (folder / "full.py").write_text(
        "import sqlite3\nfrom tidegate import flow\nfrom tidegate.engine import engine\n"
        "def refuse(*_): raise sqlite3.OperationalError('disk full')\n"
        "@flow\ndef nightly():\n    engine().store._file.write = refuse\n    return 1\n"
    )
    result = call("run", "full.py")
    assert result.exit_code == 0
    assert "of nightly: Completed" in result.stdout
    assert "tidegate: The end of the run could not be saved." in result.stderr.splitlines()


@pytest.mark.parametrize("name", ["waiting", "awaiting"])
def test_ctrl_c_ends_the_run_and_says_so(store: SQLiteStore, name: str) -> None:
    with started("run", f"etl.py:{name}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SOON)
    assert process.returncode == 130, err
    assert f"of {name}: Interrupted after" in out
    assert "Traceback" not in out + err
    assert store.flow_runs()[0].state.name == "Interrupted"


def test_a_terminal_gets_bars(folder: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with started("run", "etl.py:rows", "-p", "count=5", stderr=theirs, env=environment) as process:
        os.close(theirs)
        out, _ = process.communicate(timeout=SOON)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # how a terminal ends whose other side is gone
        pass
    os.close(ours)
    assert process.returncode == 0
    assert out.startswith("note 'none'\n")  # what goes to a file stays out of the terminal
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"load +━+ +5/5 +1 failed", drawn), drawn
    assert "note" not in drawn


# Look -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(folder: Path) -> None:
    """Three runs: one completed, with a failure in it, two failed."""
    for name in ("rows", "failing", "failing"):
        call("run", f"etl.py:{name}", *(["-p", "count=5"] if name == "rows" else []))


@pytest.mark.usefixtures("three")
def test_runs_lists_the_newest_first_and_takes_only_some() -> None:
    def listed(*options: str) -> list[str]:
        result = call("runs", *options)
        assert result.exit_code == 0, result.output
        return [line.split()[0] for line in result.stdout.splitlines()]

    assert listed() == ["run", "3", "2", "1"]
    assert listed("--limit", "2") == ["run", "3", "2"]
    assert listed("--state", "FAILED") == listed("--flow", "failing") == ["run", "3", "2"]
    assert listed("--state", "completed") == ["run", "1"]
    assert listed("--flow", "failing", "--limit", "1") == ["run", "3"]
    assert call("runs", "--state", "Paused").stdout == "No such flow run.\n"
    lines = call("runs").stdout.splitlines()
    assert re.fullmatch(r"run +flow +name +state +created +took", lines[0])
    assert re.fullmatch(r"1 +rows +\S+ +Completed +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +[\d.]+m?s", lines[-1])


@pytest.mark.usefixtures("three")
def test_runs_and_show_as_json() -> None:
    found = json.loads(call("runs", "--json").stdout)
    assert [(each["number"], each["flow"], each["state"]) for each in found] == [
        (3, "failing", "Failed"),
        (2, "failing", "Failed"),
        (1, "rows", "Completed"),
    ]
    assert found[-1]["parameters"] == {"count": 5, "note": "none"}
    assert found[-1]["ended"] >= found[-1]["started"] >= found[-1]["created"]
    shown = json.loads(call("show", "1", "--json").stdout)
    assert {name: shown[name] for name in found[-1]} == found[-1]
    assert [each["name"] for each in shown["task_runs"]] == [f"load-{at}" for at in range(5)]
    assert shown["task_runs"][3] | {"state": "Failed", "message": "ValueError: bad row"} == shown["task_runs"][3]


@pytest.mark.usefixtures("three")
def test_show_tells_what_is_known_of_a_run() -> None:
    text = call("show", "1").stdout
    assert re.search(r"^run +1 \(\S+\)\nflow +rows\nstate +Completed\ncreated +\d{4}", text)
    assert re.search(r'^parameters  \{"count":5,"note":"none"\}$', text, re.MULTILINE)
    assert re.search(r"^4 +load-3 +Failed +1 +\d+ms +ValueError: bad row$", text, re.MULTILINE)
    assert "… and 3 more: --limit 0 shows all." in call("show", "1", "--limit", "2").stdout
    failed = call("show", "1", "--failed").stdout
    assert "load-3" in failed
    assert "load-2" not in failed
    assert "ValueError: broken in two lines" in call("show", "2").stdout


@pytest.mark.usefixtures("three")
def test_diff_sets_two_runs_side_by_side() -> None:
    lines = call("diff", "1", "2").stdout.splitlines()
    assert lines[0].split() == ["run", "1", "run", "2", "differs"]
    assert re.fullmatch(r"flow +rows +failing +yes", lines[1])
    assert re.fullmatch(r"state +Completed +Failed +yes", lines[2])
    assert any(re.fullmatch(r"parameter count +5 +yes", line) for line in lines)
    assert re.fullmatch(r"task load +5 runs, 1 Failed, \S+ +only in one", lines[-1])
    assert "There is no flow run 9." in call("diff", "1", "9").stderr


@pytest.mark.usefixtures("three")
def test_logs_are_those_of_the_run_or_of_one_task_run() -> None:
    lines = call("logs", "1").stdout.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    \S+: Created flow run '\S+' for flow 'rows'\.", lines[0])
    assert sum("WARNING load-" in line for line in lines) == 5
    (line,) = call("logs", "1", "--task", "2").stdout.splitlines()
    assert line.endswith("WARNING load-1: row 1")
    assert "row 3" not in call("logs", "1", "--level", "error").stdout
    assert "ValueError: bad row" in call("logs", "1", "--level", "error", "--follow").stdout


def test_logs_follow_a_run_until_its_end(folder: Path, store: SQLiteStore) -> None:
    with started("run", "etl.py:waiting") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with started("logs", "1", "-f") as follower:
            assert follower.stdout is not None
            assert "Created flow run" in follower.stdout.readline()
            (folder / "go").touch()
            out, _ = follower.communicate(timeout=SOON)
    assert "WARNING load-0: row 1" in out
    assert out.splitlines()[-1].endswith("ended: Completed.")
    assert follower.returncode == 0


def test_what_is_not_there_is_one_line(folder: Path, store: SQLiteStore) -> None:
    assert call("runs").stdout == "No flow run yet.\n"
    for command in ("show", "logs", "pause", "resume", "cancel"):
        wanted = "tidegate: There is no flow run 7. `tidegate runs` lists those that are there."
        assert told(call(command, "7"), 2) == wanted
    result = CliRunner().invoke(main, ["--home", "other", "runs"])
    assert told(result) == (
        f"tidegate: There is no store {folder / 'other' / 'store.db'}: nothing has run here. "
        "Name the folder of another with --home."
    )
    assert not (folder / "other").exists()


# Control --------------------------------------------------------------------------------------------------------------


def test_a_run_of_another_process_is_paused_and_resumed(folder: Path, store: SQLiteStore) -> None:
    with started("run", "etl.py:waiting") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (row,) = store.flow_runs()
        name = f"Flow run 1 ({row.name})"
        result = call("pause", "1")
        assert result.output == f"{name} is paused. `tidegate resume 1` lets it go on.\n"
        assert states_in_store(store, 1) == ["Running", "Paused"]
        assert "is paused" not in told(call("pause", "1"))
        (folder / "go").touch()
        assert call("resume", "1").output == f"{name} goes on.\n"
        out, err = process.communicate(timeout=SOON)
    assert process.returncode == 0, err
    assert "Completed" in out
    assert f"{name} of waiting: Paused. Paused by the command line." in err.splitlines()
    asked = [event for _, event in store.events(1) if isinstance(event, FlowState) and event.by]
    assert [(each.state.name, each.by) for each in asked] == [
        ("Paused", "the command line"),
        ("Resuming", "the command line"),
    ]


@pytest.mark.parametrize("name", ["waiting", "awaiting"])
def test_a_run_of_another_process_is_cancelled(store: SQLiteStore, name: str) -> None:
    with started("run", f"etl.py:{name}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert call("cancel", "1").output.endswith("is being cancelled.\n")
        out, err = process.communicate(timeout=SOON)
    assert process.returncode == 4, err
    assert "Cancelled by the command line." in out
    refused = told(call("resume", "1"))
    assert "has ended: it is Cancelled. `tidegate run FILE[:FLOW] --resume 1` goes on where it was." in refused


@pytest.mark.parametrize("then", ["resumed", "cancelled", "forked"])
def test_a_run_of_another_process_is_suspended(store: SQLiteStore, folder: Path, then: str) -> None:
    with started("run", "etl.py:waiting") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        said = call("suspend", "1").output
        assert said.endswith("is being suspended. `tidegate run FILE[:FLOW] --resume 1` goes on with it.\n")
        (folder / "go").touch()
        out, err = process.communicate(timeout=SOON)
    assert process.returncode == 5, err
    assert "Suspended by the command line." in out
    assert [row.state.name for row in store.task_runs(1)] == ["Completed"]
    assert "has no process: it is Suspended." in told(call("resume", "1"))
    if then == "cancelled":
        assert call("cancel", "1").output == "Flow run 1 is cancelled.\n"
        assert states_in_store(store, 1)[-1] == "Cancelled"
        return
    (folder / "go").unlink()  # the task that had waited for it does not run again
    result = call("run", "etl.py:waiting", "--resume" if then == "resumed" else "--fork", "1")
    assert result.exit_code == 0, result.output
    newest = store.flow_runs()[0]
    assert (newest.number, newest.state.name) == (1 if then == "resumed" else 2, "Completed")
    first = store.task_runs(newest.number)[0]
    assert (first.task, first.state.name) == ("wait", "Completed" if then == "resumed" else "Cached")


def test_a_run_whose_process_was_killed_is_crashed_and_goes_on_in_the_next(store: SQLiteStore, folder: Path) -> None:
    with started("run", "etl.py:waiting") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert call("pause", "1").exit_code == 0
        process.kill()
        process.wait(SOON)
    assert store.flow_runs()[0].state.name == "Paused"
    assert "has ended: it is Crashed. `tidegate run FILE[:FLOW] --resume 1`" in told(call("resume", "1"))
    assert store.flow_runs()[0].state.name == "Crashed"
    (folder / "go").touch()
    result = call("run", "etl.py:waiting", "--resume", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Flow run 1 (")
    (row,) = store.flow_runs()
    assert row.state.name == "Completed"
    assert "nothing to resume" in told(call("run", "etl.py:waiting", "--resume", "1"))
    assert told(call("run", "etl.py:waiting", "--resume", "9")) == "tidegate: There is no flow run 9."


def test_runs_whose_process_was_killed_are_listed_as_crashed(store: SQLiteStore) -> None:
    with started("run", "etl.py:waiting") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert "waiting" in call("runs").stdout
        assert "Crashed" not in call("runs").stdout
        assert "Crashed" not in call("show", "1").stdout
        process.kill()
        process.wait(SOON)
    assert "Crashed" in call("runs").stdout
    assert "Its process ended before it did." in call("show", "1").stdout


def test_input_of_a_resume_must_be_json(store: SQLiteStore) -> None:
    result = call("resume", "1", "--input", "{x}")
    assert result.exit_code == 2
    assert "'{x}' is not JSON" in result.stderr


# Settings and profiles ------------------------------------------------------------------------------------------------


def test_profiles_are_made_chosen_changed_and_removed(folder: Path) -> None:
    assert call("profile", "ls").stdout == "* default\n"
    assert call("profile", "create", "work", "log_level=DEBUG", "log_prints=yes").exit_code == 0
    assert call("profile", "use", "work").stdout == "The profile work is active.\n"
    assert call("profile", "set", "work", "log_level=ERROR").exit_code == 0
    assert call("profile", "unset", "work", "log_prints").exit_code == 0
    assert call("profile", "ls").stdout == "  default\n* work\n    log_level = ERROR\n"
    assert "is the active one" in told(call("profile", "rm", "work"), 2)
    assert call("profile", "use", "default").exit_code == 0
    assert call("profile", "rm", "work").stdout == "The profile work is gone.\n"
    assert call("profile", "ls").stdout == "* default\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("use gone", "There is no profile 'gone'"),
        ("create work log_levl=DEBUG", "Did you mean log_level?"),
        ("create work log_level=LOUD", "log_level (TIDEGATE_LOG_LEVEL) must be"),
        ("create default log_level", "'log_level' sets nothing. Write SETTING=VALUE"),
        ("unset default log_level", "The profile 'default' does not set log_level."),
        ("set gone log_level=DEBUG", "There is no profile 'gone'"),
    ],
)
def test_a_profile_that_cannot_be_is_one_line(folder: Path, command: str, said: str) -> None:
    assert said in told(call("profile", *command.split()), 2)
    assert not (folder / "profiles.toml").exists()


def test_settings_say_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    call("profile", "create", "work", "log_level=DEBUG", "task_default_retries=2")
    monkeypatch.setenv("TIDEGATE_LOG_PRINTS", "1")
    monkeypatch.setenv("TIDEGATE_LOG_LEVEL", "ERROR")  # weaker than a profile that was chosen
    result = CliRunner().invoke(main, ["--profile", "work", "--home", "home", "settings"])
    lines = result.stdout.splitlines()
    assert "log_level = DEBUG    (from the profile)" in lines
    assert "task_default_retries = 2    (from the profile)" in lines
    assert "log_prints = true    (from TIDEGATE_LOG_PRINTS)" in lines
    assert "home = home    (from --home)" in lines
    assert "auto_display = true" in lines
    about = CliRunner().invoke(main, ["--profile", "work", "settings", "show", "--about"]).stdout
    assert "\n    The least level that loggers of runs let through.\n" in about
    assert "There is no profile 'gone'" in told(CliRunner().invoke(main, ["--profile", "gone", "settings"]), 2)


# Itself ---------------------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, each in main.commands.items():
        found.append((name, each))
        if isinstance(each, click.Group):
            found += [(f"{name} {below}", command) for below, command in each.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_every_command_explains_itself_and_stands_in_the_docs(name: str, command: click.Command) -> None:
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert command.help
    assert command.help.splitlines()[0].endswith(".")
    assert not command.get_short_help_str(60).endswith("...")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"
    assert f"tidegate {name}" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_help_and_version_load_nothing_heavy(folder: Path) -> None:
    script = (
        "import sys\nfrom tidegate.cli import main\n"
        "for option in ('--help', '--version'):\n    main([option], 'tidegate', standalone_mode=False)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=SOON, check=True
    )
    *_, version, modules = done.stdout.splitlines()
    assert re.fullmatch(r"tidegate \d+\.\d+\.\d+\S*", version)
    heavy = {"pydantic", "IPython", "rich", "sqlite3", "numpy", "ipykernel", "nbformat", "cloudpickle"}
    assert heavy & set(modules.split()) == set()


def test_it_is_a_command_of_the_environment(folder: Path) -> None:
    command = Path(sys.executable).with_name("tidegate")
    done = subprocess.run([command, "rnus"], cwd=folder, capture_output=True, text=True, timeout=SOON, check=False)
    assert done.returncode == 2
    assert "No such command 'rnus'" in done.stderr
