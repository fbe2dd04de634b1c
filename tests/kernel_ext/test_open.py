"""`%tidegate open`: the inputs of a failed task run are in the notebook, and what is not there is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_ext.driving import LOAD, Loaded, newest_run
from kernel_ext.test_cell import one_line
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

TASKS = """
@task
def same(x): return x
@task(persist_result=True)
def load(n): return list(range(n))
@task
def locate(airport, rows, lock=None, *, limit=3): raise ValueError(f"no place for {airport['iata']}")
"""
FAILED = """%%flow --name places
rows = load(100_000)
for iata in ('XYZ', 'ABC'):
    locate.submit({'iata': iata}, rows, threading.Lock())
same(1)"""


@pytest.fixture
def here(newest: FrontEnd) -> FrontEnd:
    """The newest kernel, with the tasks above."""
    if newest.expr("'locate' in globals()") != "True":
        assert newest.run(TASKS).status == "ok"
    newest.run("for name in ('airport', 'lock', 'limit', 'rows', 'x'): globals().pop(name, None)")
    return newest


def test_all_inputs_are_there_while_the_run_is_in_the_kernel(here: FrontEnd) -> None:
    here.run(FAILED)
    number = newest_run(here)[0]
    here.run("mine = rows; rows = 'mine'")
    text = here.run(f"%tidegate open {number}").text
    assert f"locate-0 of flow run {number} (" in text
    assert "failed. ValueError: no place for XYZ" in text
    assert "In the notebook: airport, rows (in place of what was there), lock, limit." in text
    assert here.value("(airport, rows is mine, limit, type(lock).__name__)") == ({"iata": "XYZ"}, True, 3, "lock")
    assert "no place for ABC" in here.run(f"%tidegate open {number} locate-1").text
    assert here.value("airport") == {"iata": "ABC"}


def test_another_kernel_has_what_was_kept_and_names_the_rest(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)
    kernel = held.get()
    kernel.run(TASKS)
    kernel.run(FAILED)
    kernel.restart(now=True)
    kernel.run(LOAD)
    text = kernel.run("%tidegate open 1 locate").text
    assert "In the notebook: airport, limit, rows (the result of load-0)." in text
    assert "Not kept: lock (cannot be pickled: lock objects belong to one process)." in text
    assert kernel.value("(airport, limit, len(rows), 'lock' in globals())") == ({"iata": "XYZ"}, 3, 100_000, False)
    assert "In the notebook: airport, limit, rows" in kernel.run("%tidegate open 1 locate-1 -o given").text
    assert kernel.value("(sorted(given), given['airport'], airport)") == (
        ["airport", "limit", "rows"],
        {"iata": "ABC"},
        {"iata": "XYZ"},
    )
    held.close()


def test_what_was_too_large_and_came_from_nowhere_is_named(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)
    kernel = held.get()
    kernel.run(TASKS)
    kernel.run("%%flow\nlocate({'iata': 'XYZ'}, list(range(100_000)))")
    kernel.restart(now=True)
    kernel.run(LOAD)
    text = kernel.run("%tidegate open 1").text
    assert "In the notebook: airport, lock, limit." in text
    assert "Not kept: rows (" in text
    assert "kB are too many to keep)." in text
    held.close()


def test_nothing_is_kept_where_nothing_is_to_be_saved(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path, env={"TIDEGATE_PERSIST_RESULT": "false"})
    kernel = held.get()
    kernel.run(TASKS)
    kernel.run(FAILED)
    kernel.restart(now=True)
    kernel.run(LOAD)
    text = kernel.run("%tidegate open 1").text
    assert "Its inputs are not to be had:" in text
    assert "In the notebook" not in text
    held.close()


def test_what_somebody_else_has_signed_is_not_loaded(tmp_path: Path) -> None:
    held = Loaded(None, cwd=tmp_path)
    held.get().run(TASKS)
    held.get().run(FAILED)
    held.close()  # the next kernel has another user's key
    text = held.get().run("%tidegate open 1").text
    assert "Its inputs are not to be had: The saved result (pickle) was not loaded" in text
    held.close()


def test_an_exception_has_nothing_more_to_show_for_it(here: FrontEnd) -> None:
    here.run("%%flow\nlocate({'iata': 'XYZ'}, [])")
    here.run("import sys")
    assert here.value("vars(sys.last_value)") == {}
    assert "In the notebook: airport, rows, lock, limit." in here.run("%tidegate open " + str(newest_run(here)[0])).text


def test_what_cannot_be_opened_is_one_line(here: FrontEnd) -> None:
    here.run("%%flow\nsame(1)")
    number = newest_run(here)[0]
    assert "has no task run that failed" in one_line(here, f"%tidegate open {number}")
    assert "has no failed task run same" in one_line(here, f"%tidegate open {number} same")
    assert "has no task run 'none'" in one_line(here, f"%tidegate open {number} none")
    assert "'1x'" in one_line(here, f"%tidegate open {number} -o 1x")
    assert "no flow run 9999" in one_line(here, "%tidegate open 9999")
