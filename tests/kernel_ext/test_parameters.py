"""The parameters of a notebook: the cell that papermill knows by its tag, and `%%flow --param`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernel_ext.driving import LOAD, Loaded, newest_run
from kernel_ext.test_cell import one_line
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

TASK = "@task\ndef same(x): return x"
TAGGED = "import os\ncount = 3\nday: str = 'Monday'\nrate: float = 1\nbox = object()\nnames = ['a']"


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, whose cell of parameters was run."""
    kernel.run(TASK)
    assert kernel.run(TAGGED, metadata={"tags": ["parameters"]}).status == "ok"
    return kernel


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel, whose cell of parameters was run."""
    newest.run(TASK)
    assert newest.run(TAGGED, metadata={"tags": ["parameters"]}).status == "ok"
    return newest


def recorded(kernel: FrontEnd) -> dict[str, Any]:
    """The parameters of the newest run."""
    found: dict[str, Any] = json.loads(kernel.value("engine().store.flow_runs(1)[0].parameters"))
    return found


@pytest.mark.parametrize("body", ["same(count)", "await asyncio.sleep(0)\nsame(count)"], ids=["sync", "awaiting"])
def test_a_run_has_the_parameters_of_the_notebook(ready: FrontEnd, body: str) -> None:
    assert ready.run(f"%%flow\n{body}").result == "3"
    assert recorded(ready) == {"count": 3, "day": "Monday", "rate": 1, "names": ["a"]}
    ready.run("count = 4")
    assert ready.run(f"%%flow\n{body}").result == "4"
    assert recorded(ready)["count"] == 4


@pytest.mark.parametrize("body", ["same(count)", "await asyncio.sleep(0)\nsame(count)"], ids=["sync", "awaiting"])
def test_the_first_line_sets_parameters_with_their_types(ready: FrontEnd, body: str) -> None:
    line = "--param count=7 --param day=3 --param rate=2 --param other='{\"a\": [1, null]}' --param word=plain"
    assert ready.run(f"%%flow {line}\n{body}").result == "7"
    found = {"count": 7, "day": "3", "rate": 2.0, "names": ["a"], "other": {"a": [1, None]}, "word": "plain"}
    assert recorded(ready) == found
    assert ready.value("(count, day, type(rate).__name__, other, word)") == (7, "3", "float", {"a": [1, None]}, "plain")


def test_a_parameter_of_the_wrong_type_fails_the_run_before_its_body(here: FrontEnd) -> None:
    reply = here.run("%%flow --param count=many\nbroken = same(count)")
    assert reply.ename == "ParameterTypeError"
    assert "count: " in str(reply.evalue)
    assert newest_run(here)[3] == "Failed"
    assert here.value("(count, 'broken' in globals())") == (3, False)


@pytest.mark.parametrize("given", ["count", "=3", "1x=3", "a.b=3"])
def test_what_is_no_parameter_is_one_line(here: FrontEnd, given: str) -> None:
    assert f"'{given}' is no NAME=VALUE" in one_line(here, f"%%flow --param {given}\nsame(1)")


def test_a_detached_cell_has_them_too(here: FrontEnd) -> None:
    here.run("%%flow --detach -o job --param count=9\nsame(count)")
    assert here.value("job.result()") == 9
    assert recorded(here)["count"] == 9


def test_papermill_s_own_cell_is_known_without_a_tag(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)
    kernel = held.get()
    kernel.run(TASK)
    kernel.run("# Parameters\nlimit = 5\n")
    kernel.run("unrelated = 6")
    assert kernel.run("%%flow\nsame(limit)").result == "5"
    assert recorded(kernel) == {"limit": 5}
    held.close()


def test_a_run_goes_on_with_its_own_parameters_in_a_kernel_that_has_none(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)
    kernel = held.get()
    kernel.run(TASK + "\n@task\ndef fails(x): raise ValueError(x)")
    kernel.run("count = 3\nday = 'Monday'", metadata={"tags": ["parameters"]})
    kernel.run("%%flow --name once --param count=8\nfirst = same(count)\nfails(day)")
    kernel.restart(now=True)
    kernel.run(LOAD + TASK + "\n@task\ndef fails(x): return x")
    kernel.run("count = 1")
    reply = kernel.run("%tidegate resume 1")
    assert (reply.status, reply.result) == ("ok", "'Monday'"), reply.content
    assert "1 task run is kept" in reply.text
    assert kernel.value("(count, first)") == (8, 8)
    assert recorded(kernel) == {"count": 8, "day": "Monday"}
    held.close()
