"""Notebooks that nobody looks at: nbclient, papermill and nbconvert run them, nbval compares them, and what they keep
says it all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from kernel_ext.driving import HTML, WIDGET
from support.kernels import each_kernel, python_path
from tidegate.store.sqlite import SQLiteStore

pytestmark = pytest.mark.kernel

CELLS = [
    "%load_ext tidegate\nfrom tidegate import flow, task\nimport asyncio",
    "@task\ndef double(x): return 2 * x\n@task\nasync def half(x): await asyncio.sleep(0.01); return x / 2",
    "%%flow --name headless\nprint('begins')\nsum(double.map(range(5)).result())",
    "%%flow\n[await each.result() for each in half.map([2, 4])]",
    "@flow\ndef whole(): return double(21)\nwhole()",
    "%%flow\nquiet = double(4);",
]


def offer_kernel(work: Path, version: str) -> None:
    """Make `tested` the kernel of this version."""
    spec = {
        "argv": [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": version,
        "language": "python",
        "env": {"PYTHONPATH": python_path(version, os.environ.get("PYTHONPATH"))},
    }
    (work.parent / "data" / "kernels" / "tested" / "kernel.json").write_text(json.dumps(spec))


def notebook(cells: list[str]) -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "tested", "display_name": "tested", "language": "python"}
    return made


def execute(work: Path, cells: list[str]) -> nbformat.NotebookNode:
    made = notebook(cells)
    NotebookClient(made, timeout=60, kernel_name="tested", resources={"metadata": {"path": str(work)}}).execute()
    return made


def mimetypes(cell: nbformat.NotebookNode) -> list[list[str]]:
    return [sorted(output.get("data", {output["output_type"]: None})) for output in cell.outputs]


def displayed(made: nbformat.NotebookNode, mimetype: str) -> list[Any]:
    """What was displayed in this type, in order."""
    data = [output.get("data", {}) for cell in made.cells for output in cell.outputs]
    return [each[mimetype] for each in data if mimetype in each]


GRAPH = [WIDGET, "text/plain"]
PICTURE = [HTML, "text/plain"]
VALUE = ["text/plain"]


@each_kernel()
def test_a_notebook_is_run_and_keeps_graphs_pictures_and_values(jupyter: Path, version: str) -> None:
    offer_kernel(jupyter, version)
    done = execute(jupyter, CELLS)
    assert [mimetypes(cell) for cell in done.cells] == [
        [],
        [],
        [GRAPH, PICTURE, ["stream"], VALUE],
        [GRAPH, PICTURE, VALUE],
        [GRAPH, PICTURE, VALUE],
        [GRAPH, PICTURE],
    ]
    values = [o["data"]["text/plain"] for c in done.cells for o in c.outputs if o["output_type"] == "execute_result"]
    assert values == ["20", "[1.0, 2.0]", "42"]
    pictures = [
        output["data"][HTML] for cell in done.cells for output in cell.outputs if HTML in output.get("data", {})
    ]
    assert all("data-tidegate-picture" in each and "Completed" in each for each in pictures)
    assert "headless" in pictures[0]
    state = done.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    shown = [
        output["data"][WIDGET]["model_id"]
        for c in done.cells
        for output in c.outputs
        if WIDGET in output.get("data", {})
    ]
    finals = [state[each]["state"]["_view"]["run"]["state"]["name"] for each in shown]
    assert finals == ["Completed"] * 4
    nbformat.validate(done)
    assert len(nbformat.writes(done)) < 400_000


# nbval does not follow updates of a display, and a picture holds times and a number of its own.
SANITIZE = '[picture]\nregex: (?s)<div class="tidegate-picture".*\nreplace: \n'


def nbval(work: Path, saved: nbformat.NotebookNode) -> tuple[int, str]:
    """Compare a notebook with what it gives now, strictly; status and text."""
    nbformat.write(saved, work / "headless.ipynb")
    (work / "sanitize.cfg").write_text(SANITIZE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-p",
        "no:cacheprovider",
        "-q",
        "--color=no",
        "headless.ipynb",
    ]
    command += ["--nbval-sanitize-with", "sanitize.cfg", "-c", os.devnull, "--rootdir", str(work)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=work)
    return done.returncode, done.stdout


@each_kernel("6.29.5", "7.4.0")
def test_nbval_finds_nothing_that_differs(jupyter: Path, version: str) -> None:
    offer_kernel(jupyter, version)
    status, text = nbval(jupyter, execute(jupyter, CELLS))
    assert status == 0, text[-3000:]
    assert f"{len(CELLS)} passed" in text


@each_kernel("7.4.0")
def test_nbval_does_find_what_differs(jupyter: Path, version: str) -> None:
    offer_kernel(jupyter, version)
    saved = execute(jupyter, [*CELLS[:2], "%%flow --name compared\ndouble(4)"])
    saved.cells[2].source = "%%flow --name compared\ndouble(5)"
    status, text = nbval(jupyter, saved)
    assert status == 1
    assert "2 passed" in text
    assert "'8' == '10'" in text


@each_kernel("6.29.5", "7.4.0")
def test_a_notebook_that_fails_keeps_the_picture_of_the_failure(jupyter: Path, version: str) -> None:
    offer_kernel(jupyter, version)
    made = notebook([*CELLS[:2], "%%flow\n@task\ndef fails(): raise ValueError('bad row')\ndouble(1)\nfails()", "1"])
    client = NotebookClient(made, timeout=60, kernel_name="tested", resources={"metadata": {"path": str(jupyter)}})
    with pytest.raises(CellExecutionError, match="bad row"):
        client.execute()
    assert mimetypes(made.cells[2]) == [GRAPH, PICTURE, ["error"]]
    assert "ValueError: bad row" in made.cells[2].outputs[1]["data"][HTML]
    assert made.cells[3].outputs == []


# The commands that people and schedulers type

NIGHTLY = """%%flow --name nightly --param share=0.75
kinds = [type(each).__name__ for each in (day, limit, share)]
if limit > 7: raise ValueError('bad limit')
print(day, limit, share, *kinds)
double(limit)"""
OUT = "out.ipynb"
COMMANDS = {
    "papermill": ["papermill", "in.ipynb", OUT, "-k", "tested", "--no-progress-bar"],
    "nbclient": ["jupyter", "execute", "in.ipynb", f"--output={OUT}", "--kernel_name=tested"],
    "nbconvert": ["jupyter", "nbconvert", "--execute", "--to=html", "in.ipynb"],
}


def command(work: Path, host: str, limit: int, *more: str) -> subprocess.CompletedProcess[str]:
    """Have a host run the notebook, with a limit that its parameters cell sets; none of them tells a kernel of tags."""
    made = notebook([*CELLS[:2], f"# Parameters\nday = 'Monday'\nlimit: int = {limit}\nshare = 0.5", NIGHTLY, "1"])
    made.cells[2].metadata["tags"] = ["parameters"]
    nbformat.write(made, work / "in.ipynb")
    line = [sys.executable, "-m", *COMMANDS[host], *more]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=work)


def recorded(work: Path) -> tuple[str, str, dict[str, Any]]:
    """Flow, state and parameters of the newest flow run in the record."""
    store = SQLiteStore(work / ".tidegate" / "store.db")
    try:
        (row,) = store.flow_runs(1)
        return row.flow, row.state.name, json.loads(row.parameters)
    finally:
        store.close()


@pytest.mark.parametrize("host", ["papermill", "nbclient"])
@each_kernel("7.4.0")
def test_a_command_runs_a_notebook_and_keeps_its_picture(jupyter: Path, version: str, host: str) -> None:
    offer_kernel(jupyter, version)
    more, day, limit = ["-p", "day", "2026-11-24", "-p", "limit", "5"], "2026-11-24", 5
    if host != "papermill":
        more, day, limit = [], "Monday", 3
    done = command(jupyter, host, 3, *more)
    assert done.returncode == 0, done.stderr
    kept = nbformat.read(jupyter / OUT, as_version=4)
    cell = next(each for each in kept.cells if each.source == NIGHTLY)
    assert mimetypes(cell) == [GRAPH, PICTURE, ["stream"], VALUE]
    assert "Completed" in cell.outputs[1]["data"][HTML]
    assert cell.outputs[2]["text"] == f"{day} {limit} 0.75 str int float\n"
    assert cell.outputs[3]["data"]["text/plain"] == str(2 * limit)
    assert recorded(jupyter) == ("nightly", "Completed", {"day": day, "limit": limit, "share": 0.75})


@pytest.mark.parametrize("host", COMMANDS)
@each_kernel("7.4.0")
def test_a_cell_that_fails_fails_the_command(jupyter: Path, version: str, host: str) -> None:
    offer_kernel(jupyter, version)
    done = command(jupyter, host, 8)
    assert done.returncode != 0
    assert "bad limit" in done.stderr
    assert recorded(jupyter) == ("nightly", "Failed", {"day": "Monday", "limit": 8, "share": 0.75})
    if host == "papermill":  # the others write nothing
        kept = nbformat.read(jupyter / OUT, as_version=4)
        cell = next(each for each in kept.cells if each.source == NIGHTLY)
        assert mimetypes(cell) == [GRAPH, PICTURE, ["error"]]
        assert "ValueError: bad limit" in cell.outputs[1]["data"][HTML]


@each_kernel("7.4.0")
def test_a_page_that_nbconvert_makes_shows_the_picture(jupyter: Path, version: str) -> None:
    offer_kernel(jupyter, version)
    done = command(jupyter, "nbconvert", 3)
    assert done.returncode == 0, done.stderr
    page = (jupyter / "in.html").read_text(encoding="utf-8")
    drawn = page[page.index("data-tidegate-picture") :]
    assert "nightly" in drawn
    assert "Completed" in drawn
    assert "<svg" in drawn
