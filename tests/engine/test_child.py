"""A process for a flow run that was created ahead of time: what it runs, what it says, how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.flows import SOON, states_in_store
from support.modules import forgotten
from tidegate.deploy import child
from tidegate.deploy.targets import load_with
from tidegate.engine import Engine
from tidegate.errors import UsageError
from tidegate.flow_runs import create_flow_run
from tidegate.model.views import FlowRow
from tidegate.rules.decide import RetryPolicy
from tidegate.store.sqlite import SQLiteStore

SCRIPT = """
from pathlib import Path
from tidegate import flow, task

@task
def double(x):
    return 2 * x

@flow(version="v7")
def nightly(x: int = 1):
    Path("ran").write_text(str(double(x)))

@flow(retries=2)
def failing():
    with Path("attempts").open("a") as file:
        file.write("x")
    raise ValueError("bad row")

@flow
def leaving():
    raise SystemExit(7)

@flow
def interrupted():
    raise KeyboardInterrupt

nightly(99)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a script in it."""
    (tmp_path / "etl.py").write_text(SCRIPT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(child.VARIABLE, raising=False)
    with forgotten(tmp_path):
        yield tmp_path


def row_of(engine: Engine, number: int) -> FlowRow:
    row = engine.store.flow_run(number)
    assert row is not None
    return row


def states(engine: Engine, number: int) -> list[str]:
    return states_in_store(engine.store, number)


# Run ------------------------------------------------------------------------------------------------------------------


def test_a_created_run_is_run_by_its_number(stored: Engine, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = create_flow_run("nightly", {"x": "21"}, target="etl.py:nightly")
    assert child.main([str(number)]) == 0
    assert (folder / "ran").read_text() == "42"
    assert states(stored, number) == ["Pending", "Running", "Completed"]
    assert len(stored.store.flow_runs()) == 1  # what the script calls by the way has no run
    said = capsys.readouterr().err
    assert f"INFO    tidegate.deploy.child: The flow run {number} (" in said
    assert said.endswith("ended: Completed.\n")


def test_an_argument_has_the_last_word_about_the_target(stored: Engine, folder: Path) -> None:
    number = create_flow_run("nightly", {"x": 1}, target="elsewhere.py")
    assert row_of(stored, number).target == "elsewhere.py"
    assert child.main([str(number), "--target", "etl.py:nightly"]) == 0
    assert (folder / "ran").read_text() == "2"


@pytest.mark.conforms("B051", "B129", "B292")
def test_the_run_takes_version_and_retries_from_its_flow(stored: Engine) -> None:
    with_version = create_flow_run("nightly", {"x": "ten"}, target="etl.py:nightly")
    with_retries = create_flow_run("failing", target="etl.py:failing")
    before = row_of(stored, with_version)
    assert (before.source, before.policy) == ("", None)
    assert child.main([str(with_version)]) == child.main([str(with_retries)]) == 1
    assert row_of(stored, with_version).source == "v7"
    assert row_of(stored, with_version).policy == RetryPolicy()
    assert row_of(stored, with_retries).policy == RetryPolicy(2)
    assert row_of(stored, with_retries).attempts == 3
    # Validated after that: the version is known although the body was not begun.
    assert states(stored, with_version) == ["Pending", "Failed"]
    assert "x: Input should be a valid integer" in row_of(stored, with_version).state.message


# Exit codes -----------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B290")
def test_the_process_exits_by_the_outcome(folder: Path) -> None:
    home = folder / "home"
    store = SQLiteStore(home / "store.db")
    environment = {**os.environ, "TIDEGATE_HOME": str(home)}
    environment.pop(child.VARIABLE, None)

    def run(*arguments: str, **more: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "tidegate.deploy.child", *arguments]
        done = subprocess.run(
            command, env={**environment, **more}, cwd=folder, capture_output=True, text=True, timeout=SOON, check=False
        )
        return done.returncode, done.stderr

    def created(name: str) -> str:
        with_store = f"""
from tidegate.flow_runs import create_flow_run
print(create_flow_run({name!r}, target="etl.py:{name}"))
"""
        made = subprocess.run([sys.executable, "-c", with_store], env=environment, capture_output=True, check=True)
        return made.stdout.decode().strip()

    for bad, told in (("twelve", "'twelve' is no number"), ("99", "There is no flow run 99"), ("", "No flow run was")):
        code, said = run(*([bad] if bad else []))
        assert (code, len(said.splitlines())) == (1, 1)
        assert told in said
    number = created("nightly")
    code, said = run(TIDEGATE_FLOW_RUN_ID=number)
    assert (code, (folder / "ran").read_text()) == (0, "2"), said
    code, said = run(number)  # it has ended: nothing is left to do, and that is no error
    assert code == 0
    assert "INFO" in said
    assert "cannot be started: it is Completed" in said
    code, said = run(created("failing"))
    assert code == 1
    assert "ERROR" in said
    assert "ValueError: bad row" in said
    assert "Traceback" in said
    code, said = run(created("leaving"))
    assert code == 7
    code, said = run(created("interrupted"))
    assert code in (-2, 130)
    assert [row.state.name for row in store.flow_runs()] == ["Interrupted", "Crashed", "Failed", "Completed"]
    store.close()


def test_a_run_that_is_cancelled_is_no_failure(stored: Engine, folder: Path) -> None:
    (folder / "own.py").write_text(
        "from tidegate import flow, cancel_flow_run\nfrom tidegate.context import frame\n"
        "@flow\ndef stopping():\n    cancel_flow_run(frame.get().flow_run)\n"
    )
    number = create_flow_run("stopping", target="own.py")
    assert child.main([str(number)]) == 0
    assert states(stored, number)[-1] == "Cancelled"


# Loading --------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B291")
@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("broken.py", "ScriptError: broken.py raised ZeroDivisionError while it was loaded."),
        ("etl.py", "UnspecifiedFlow: There are several flows"),
        ("etl.py:weekly", "FlowNotFound: There is no flow 'weekly'"),
        ("gone.py", "FlowNotFound: There is no file gone.py"),
        (None, "UsageError: It is not known where its flow is."),
    ],
)
def test_a_flow_that_cannot_be_loaded_makes_the_run_failed(
    stored: Engine, folder: Path, capsys: pytest.CaptureFixture[str], target: str | None, told: str
) -> None:
    (folder / "broken.py").write_text("from tidegate import flow\n@flow\ndef nightly(): open('ran', 'w')\n1 / 0\n")
    number = create_flow_run("nightly", target=target)
    assert child.main([str(number)]) == 1
    assert states(stored, number) == ["Pending", "Failed"]
    assert row_of(stored, number).state.message.startswith(f"The flow could not be loaded. {told}")
    assert row_of(stored, number).started is None
    assert not (folder / "ran").exists()
    said = capsys.readouterr().err
    assert f"The flow of the flow run {number} (" in said
    assert "Traceback" in said


def test_a_run_that_has_ended_is_not_made_failed_by_a_flow_that_is_gone(stored: Engine, folder: Path) -> None:
    number = create_flow_run("nightly", target="etl.py:nightly")
    assert child.main([str(number)]) == 0
    (folder / "etl.py").unlink()
    assert child.main([str(number)]) == 0
    assert states(stored, number)[-1] == "Completed"


# Parameters of notebooks ----------------------------------------------------------------------------------------------


@pytest.fixture
def notebook(folder: Path) -> Callable[..., str]:
    def write(*cells: str) -> str:
        made = [
            {"cell_type": "code", "source": cell, "metadata": {"tags": ["parameters"] if at == 0 else []}}
            for at, cell in enumerate(cells)
        ]
        (folder / "night.ipynb").write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4}))
        return "night.ipynb"

    return write


def test_parameters_of_a_cell_go_to_the_notebook(stored: Engine, folder: Path, notebook: Callable[..., str]) -> None:
    target = notebook(
        "rows = 1\nday = 'Monday'", "%%flow\nfrom pathlib import Path\nPath('ran').write_text(f'{rows} {day}')"
    )
    number = create_flow_run("night", {"rows": 5}, target=target)
    assert child.main([str(number)]) == 0
    assert (folder / "ran").read_text() == "5 Monday"
    assert row_of(stored, number).parameters == '{"rows": 5}'


def test_parameters_of_a_function_in_a_notebook_go_where_they_are_known(notebook: Callable[..., str]) -> None:
    source = "from tidegate import flow\n@flow\ndef load(rows, limit=3): return rows, limit, day"
    target = notebook("rows = 1\nday = 'Monday'", source)
    flow, left = load_with(target, {"rows": 5, "day": "Friday", "limit": 9})
    assert left == {"rows": 5, "limit": 9}
    assert flow.fn(**left) == (5, 9, "Friday")


def test_a_parameter_that_a_notebook_does_not_have(notebook: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match=r"night.ipynb has no parameter 'row'. It has rows\.$"):
        load_with(notebook("rows = 1", "%%flow\nrows"), {"row": 1})
    with pytest.raises(UsageError, match=r"has no parameter 'row'. Give the cell that assigns it the tag parameters"):
        load_with(notebook("", "%%flow\n1"), {"row": 1})


def test_what_is_no_notebook_is_loaded_as_ever() -> None:
    flow, left = load_with("etl.py:nightly", {"x": 4, "y": 5})
    given: dict[str, Any] = left
    assert (flow.name, given) == ("nightly", {"x": 4, "y": 5})
