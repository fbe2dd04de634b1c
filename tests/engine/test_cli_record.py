"""`tidegate record`: a cassette of a run of the record, or of a flow that is run for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.modules import forgotten
from tidegate.cli import main

SCRIPT = """
from collections import Counter
from pathlib import Path
from tidegate import flow, task

@task
def load(row):
    with Path("calls").open("a") as file:
        file.write("x")
    if row == 2:
        raise ValueError("bad row", row)
    return {"row": row, "pair": (row, row)}

@task
def odd():
    return Counter(a=1)

@flow
def below(row):
    return load(row)["row"]

@flow(final_state="raised")
def recorded_rows(count: int = 2):
    load.map(range(count)).wait()
    return below(count + 5)

@flow
def recorded_odd():
    odd()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "steps.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEGATE_PROFILES_PATH", str(tmp_path / "profiles.toml"))
    with forgotten(tmp_path):
        yield tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", "home", *arguments])


def calls() -> int:
    """How often the task has run since the last look."""
    file = Path("calls")
    found = len(file.read_text()) if file.exists() else 0
    file.unlink(missing_ok=True)
    return found


def test_a_flow_is_run_and_recorded_and_replayed() -> None:
    done = call("record", "steps.py:recorded_rows", "-p", "count=3", "-o", "rows.json")
    assert (done.exit_code, calls()) == (0, 4), done.output
    assert "The cassette: rows.json" in done.output
    again = call("record", "steps.py:recorded_rows", "-p", "count=3", "-o", "rows.json", "--record-mode", "none")
    assert (again.exit_code, calls()) == (0, 0), again.output
    other = call("record", "steps.py:recorded_rows", "-p", "count=4", "-o", "rows.json", "--record-mode", "none")
    assert (other.exit_code, calls()) == (2, 0)
    assert "load(row=3) is not in the cassette rows.json. It has load(row=0)" in other.stderr.splitlines()[-1]


def test_a_run_of_the_record_becomes_a_cassette_that_replays_it() -> None:
    assert call("run", "steps.py:recorded_rows", "-p", "count=3").exit_code == 0
    assert calls() == 4
    done = call("record", "1")
    assert (done.exit_code, done.output) == (
        0,
        "cassettes/recorded_rows.json has 4 calls of tasks.\n".replace("_", "-"),
    )
    made = json.loads(Path("cassettes/recorded-rows.json").read_text())
    assert [each["ends"] for each in made["runs"]["recorded-rows#1"]] == [
        [{"returned": {"row": 0, "pair": {"$tuple": [0, 0]}}}],
        [{"returned": {"row": 1, "pair": {"$tuple": [1, 1]}}}],
        [{"raised": {"type": "builtins:ValueError", "args": ["bad row", 2]}}],
    ]
    again = call(
        *("record", "steps.py:recorded_rows", "-p", "count=3", "--record-mode", "none"),
    )
    assert (again.exit_code, calls()) == (0, 0), again.output


def test_what_cannot_be_recorded_is_told() -> None:
    call("run", "steps.py:recorded_odd")
    done = call("record", "1", "-o", "odd.json")
    assert (done.exit_code, done.stderr) == (
        1,
        "tidegate: odd(...) is not in it: it returned Counter, of which Counter is no plain data.\n",
    )
    done = call("record", "1", "-o", "odd.json", "--allow-pickle")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["record", "7"], "There is no flow run 7"),
        (["record", "2"], "is a subflow. Record flow run 1, which called it."),
        (["record", "1", "-p", "a=1"], "-p is for a flow that is run"),
        (
            ["record", "steps.py:recorded_rows", "--record-mode", "none", "-o", "no.json"],
            "there is no cassette no.json.",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(words: list[str], said: str) -> None:
    call("run", "steps.py:recorded_rows")
    done = call(*words)
    assert done.exit_code == 2
    assert said in done.stderr.splitlines()[-1]
