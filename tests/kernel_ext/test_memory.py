"""A graph stays in the notebook long after its run, and keeps nothing alive that the run was given or has returned."""

from __future__ import annotations

import pytest

from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

SETUP = """
import gc, weakref
class Big: pass
made = weakref.WeakSet()
def big():
    made.add(one := Big())
    return one
@task
def give(): return big()
@task
def fail(given):
    mine = big()
    raise ValueError('bad')
@flow
def both(): return give(), give.submit().result()
def left():
    end = time.monotonic() + 10
    while made and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    return len(made)
"""

FLOWS = [
    "x = both(); del x",
    "%%flow\nx = give()\ny = give.submit().result()\ndel x, y",
    "%%flow\nfail(give(), return_state=True)",
    "%%flow\nawait asyncio.sleep(0)\nx = await give.submit()\ndel x",
]


@pytest.mark.parametrize("cell", FLOWS, ids=["function", "cell", "failed", "awaiting"])
def test_what_a_run_returned_is_gone_once_nobody_has_it(newest: FrontEnd, cell: str) -> None:
    newest.run(SETUP)
    newest.run(cell)
    newest.run("%%flow --name later\nfail(1, return_state=True)")  # the inputs of the last failures are held
    assert newest.value("left()") == 0


def test_the_inputs_of_the_last_failures_are_held(newest: FrontEnd) -> None:
    newest.run(SETUP)
    newest.run(FLOWS[2])
    newest.run(FLOWS[1])
    newest.run("number = engine().store.flow_runs()[1].number")
    assert "In the notebook: given." in newest.run("%tidegate open $number").text
    assert newest.expr("type(given).__name__") == "'Big'"
