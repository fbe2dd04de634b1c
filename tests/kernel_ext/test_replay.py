"""Tests and notebooks that are replayed from cassettes: offline, and only what was recorded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from kernel_ext.test_headless import notebook, offer_kernel
from support.kernels import each_kernel

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

MODULE = """
import asyncio
from pathlib import Path
import pytest
from tidegate import engine, flow, task

@task
def load(name):
    with open("calls.txt", "a") as file:
        file.write(f"load {name}\\n")
    return (name, len(name))

@task
async def later(name):
    with open("calls.txt", "a") as file:
        file.write(f"later {name}\\n")
    return name.upper()

@flow
def recorded_by_plugin(names):
    return load.map(names).result()

@flow
async def recorded_by_plugin_async(name):
    return await later(name)

@pytest.fixture
def ready():
    return recorded_by_plugin(["first"])

@pytest.mark.tidegate_cassette
def test_marked(ready):
    assert ready == [("first", 5)]
    assert recorded_by_plugin(["a", "bc"]) == [("a", 1), ("bc", 2)]

@pytest.mark.tidegate_cassette("own/place.json")
@pytest.mark.parametrize("name", ["x/y", "z"])
def test_elsewhere(name):
    assert asyncio.run(recorded_by_plugin_async(name)) == name.upper()

class TestClass:
    def test_by_fixture(self, tidegate_cassette):
        assert recorded_by_plugin(["c"]) == [("c", 1)]
"""


def run_pytest(work: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Status and text of a pytest with the plugin, in a folder."""
    installed = any(each.name == "tidegate" for each in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "tidegate_kernel.pytest_plugin"]
    settled = ["-q", "--color=no", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(work)]
    command = [sys.executable, "-m", "pytest", *plugin, *settled, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=work, env={**os.environ, **env}, check=False
    )
    return done.returncode, done.stdout + done.stderr


def calls(work: Path) -> list[str]:
    """What has run since the last look."""
    file = work / "calls.txt"
    found = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return sorted(found)


def test_marked_tests_are_recorded_once_and_then_replayed(tmp_path: Path) -> None:
    (tmp_path / "test_load.py").write_text(MODULE)
    status, text = run_pytest(tmp_path)
    assert (status, calls(tmp_path)) == (1, [])
    assert "there is no cassette cassettes/test_load/test_marked.json." in text
    assert "--tidegate-record=once" in text

    status, text = run_pytest(tmp_path, "--tidegate-record=all", "-k", "not elsewhere")
    assert status == 0, text
    status, text = run_pytest(tmp_path, "--tidegate-record=new_episodes", "-k", "elsewhere")
    assert status == 0, text
    assert calls(tmp_path) == ["later x/y", "later z", "load a", "load bc", "load c", "load first"]
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json"))
    assert made == [
        "cassettes/test_load/TestClass.test_by_fixture.json",
        "cassettes/test_load/test_marked.json",
        "own/place.json",
    ]
    assert not (tmp_path / ".tidegate").exists()

    for mode in ([], ["--tidegate-record=once"]):
        status, text = run_pytest(tmp_path, *mode)
        assert (status, calls(tmp_path)) == (0, []), text
        assert "4 passed" in text


def test_a_test_that_calls_something_else_fails_and_is_told_what(tmp_path: Path) -> None:
    (tmp_path / "test_load.py").write_text(MODULE)
    run_pytest(tmp_path, "--tidegate-record=once", "-k", "fixture")
    swallowed = MODULE.replace('== [("c", 1)]', "") + (
        "\n        try:\n            recorded_by_plugin(['d'])\n        except Exception:\n            pass\n"
    )
    (tmp_path / "test_load.py").write_text(swallowed)
    calls(tmp_path)
    status, text = run_pytest(tmp_path, "-k", "fixture")
    assert (status, calls(tmp_path)) == (1, [])
    cassette = "cassettes/test_load/TestClass.test_by_fixture.json"
    assert f'load(name="d") is not in the cassette {cassette}. It has load(name="c").' in text
    assert "1 failed" in text
    assert "error" not in text.splitlines()[-1]


def test_the_plugin_brings_nothing_of_tidegate_into_a_pytest_that_does_not_use_it(tmp_path: Path) -> None:
    (tmp_path / "test_free.py").write_text("import sys\ndef test_free(): assert 'tidegate' not in sys.modules\n")
    status, text = run_pytest(tmp_path)
    assert status == 0, text


FETCH = """@task
def fetch(page):
    with urllib.request.urlopen(f"{os.environ['SERVICE']}/{page}", timeout=5) as answer:
        return json.load(answer)"""
FLOW = """%%flow --name pages
pages = fetch.map(range(3))
pages.wait()"""
CELLS = [
    "%load_ext tidegate\nimport json, os, urllib.request\nfrom tidegate import task",
    FETCH,
    FLOW,
    "pages.failed",
    "[page.state.name for page in pages], pages[1].result(), str(pages[2].result(raise_on_failure=False))",
]


class Service(BaseHTTPRequestHandler):
    """Knows pages 0 and 1."""

    def do_GET(self) -> None:
        page = int(self.path[1:])
        self.send_response(200 if page < 2 else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"number": page}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.kernel
@each_kernel("7.4.0")
def test_nbval_replays_a_notebook_whose_service_is_gone(jupyter: Path, version: str) -> None:
    offer_kernel(jupyter, version)
    made = notebook(CELLS)
    nbformat.write(made, jupyter / "pages.ipynb")
    with service() as url:
        status, text = run_pytest(jupyter, "--nbval-lax", "pages.ipynb", "--tidegate-record=once", SERVICE=url)
        assert status == 0, text
    cassette = (jupyter / "cassettes" / "pages.json").read_text()
    assert '"returned": {"number": 1}' in cassette
    assert '"type": "urllib.error:HTTPError"' in cassette

    text = "(['Completed', 'Completed', 'Failed'],\n {'number': 1},\n 'HTTP Error 404: Not Found')"
    last = made.cells[4]
    last.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=5)]
    last.execution_count, last.metadata["tags"] = 5, ["nbval-check-output"]
    nbformat.write(made, jupyter / "pages.ipynb")
    status, text = run_pytest(jupyter, "--nbval-lax", "pages.ipynb", "--tidegate-record=none", SERVICE=url)
    assert status == 0, text
    status, text = run_pytest(jupyter, "--nbval-lax", "pages.ipynb", SERVICE=url)
    assert status == 1, "the control: without the cassette there is no service"
    assert "refused" in text


@pytest.mark.kernel
@each_kernel("7.4.0")
def test_a_call_that_was_not_recorded_is_an_error_in_its_cell(jupyter: Path, version: str) -> None:
    offer_kernel(jupyter, version)
    nbformat.write(notebook(CELLS), jupyter / "pages.ipynb")
    with service() as url:
        run_pytest(jupyter, "--nbval-lax", "pages.ipynb", "--tidegate-record=once", SERVICE=url)
    nbformat.write(notebook([cell.replace("range(3)", "range(4)") for cell in CELLS[:3]]), jupyter / "pages.ipynb")
    status, text = run_pytest(jupyter, "--nbval-lax", "pages.ipynb", "--tidegate-record=none", SERVICE=url)
    assert status == 1
    assert (
        "fetch(page=3) is not in the cassette cassettes/pages.json. It has fetch(page=0), fetch(page=1), fetch(page=2)."
        in text
    )


NO_SERVICE = """
class Gone:
    url = "http://127.0.0.1:9"  # where nobody listens
    def stats(self): return {}
    def stop(self): pass

def start(**_): return Gone()
"""


def quickstart(work: Path) -> list[list[str]]:
    """Run the quickstart; what its cells give as text, where it is to be the same each time."""
    made = nbformat.read(NOTEBOOKS / "quickstart.ipynb", 4)
    cell = next(cell for cell in made.cells if "flaky_api.start" in cell.source)
    cell.source = cell.source.partition("client.get")[0]  # which is no task
    NotebookClient(made, timeout=120, kernel_name="tested", resources={"metadata": {"path": str(work)}}).execute()
    steady = [cell for cell in made.cells if "nbval-ignore-output" not in cell.metadata.get("tags", [])]
    return [
        [output.data.get("text/plain", "") for output in cell.get("outputs", []) if "data" in output] for cell in steady
    ]


@pytest.mark.kernel
@each_kernel("7.4.0")
def test_the_quickstart_is_replayed_without_its_service(
    jupyter: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_kernel(jupyter, version)
    shutil.copy(NOTEBOOKS / "flaky_api.py", jupyter)
    monkeypatch.setenv("TIDEGATE_CASSETTE", str(jupyter / "quickstart.json"))
    monkeypatch.setenv("TIDEGATE_RECORD_MODE", "once")
    recorded = quickstart(jupyter)
    assert sum(map(len, recorded)) > 3
    (jupyter / "flaky_api.py").write_text(NO_SERVICE)
    monkeypatch.setenv("TIDEGATE_RECORD_MODE", "none")
    assert quickstart(jupyter) == recorded
