"""The call table inside real kernels: in cells with and without await, in flows that cells call, and in threads."""

from __future__ import annotations

import ast

import pytest

from kernel_ext.driving import newest_run
from support.call_table import DEFINITIONS, FLOWS, PLACES, calls, program, root, wanted
from support.front_end import FrontEnd

pytestmark = pytest.mark.kernel

ROOTS = ("sync cell", "awaiting cell", "called flow", "awaited flow", "flow in a thread")
"""What is run as the root flow; a kernel's loop runs in all but the last."""


@pytest.fixture
def cells(kernel: FrontEnd) -> FrontEnd:
    """A kernel of every version, with the tasks and flows of the table."""
    if kernel.expr("'async_flow' in globals()") != "True":
        assert kernel.run(DEFINITIONS).status == "ok"
    return kernel


def cell(kind: str, place: str) -> str:
    """A cell that runs every call of the table from this place."""
    awaiting = kind.startswith("await")
    definitions, expression = program(place, awaiting, calls(place))
    if kind == "sync cell":
        return f"%%flow\n{definitions}\n{expression}"
    if kind == "awaiting cell":
        return f"%%flow\nawait asyncio.sleep(0)\n{definitions}\n{expression}"
    text = root(definitions, expression, awaiting)
    if kind == "flow in a thread":
        return f"{text}\nawait asyncio.to_thread(root)"
    return f"{text}\n{'await root()' if awaiting else 'root()'}"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.conforms("B020", "B063")
def test_the_call_table_in_a_cell(cells: FrontEnd, kind: str, place: str) -> None:
    reply = cells.run(cell(kind, place))
    assert reply.status == "ok", reply.content
    assert ast.literal_eval(str(reply.result)) == wanted(calls(place))
    made = 1 + place.endswith("flow") + sum(f in FLOWS for f, _ in calls(place))
    runs = cells.value(
        "[(row.state.name, {each.state.name for each in engine().store.task_runs(row.number)}, bool(row.parent))"
        f" for row in engine().store.flow_runs({made})]"
    )
    assert runs == [*[("Completed", {"Completed"}, True)] * (made - 1), ("Completed", {"Completed"}, False)]


@pytest.mark.parametrize("kind", ROOTS)
def test_after_all_these_calls_the_kernel_is_as_before(cells: FrontEnd, kind: str) -> None:
    """The loop of the kernel goes on, and the next cell sees no flow."""
    cells.run(cell(kind, "root"))
    assert cells.run("sync_task(1), await async_task(2)").result == "(2, 3)"
    assert cells.run("asyncio.get_running_loop().is_running()").result == "True"
    assert newest_run(cells)[2:] == ("COMPLETED", "Completed")
