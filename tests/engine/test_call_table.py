"""The call table: all kinds of tasks and flows, called in all ways, from all kinds of code, with and without a loop."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from support.call_table import DEFINITIONS, DIRECT, FLOWS, PLACES, TASKS, WAYS, calls, program, root, wanted
from support.flows import flow, in_time, task
from tidegate.engine import Engine

ROOTS = ("sync, no loop", "sync, loop running", "async")


def run(text: str, awaiting: bool, looping: bool) -> Any:
    """Define a root flow by its text and run it."""
    names: dict[str, Any] = {"task": task, "flow": flow, "asyncio": asyncio}
    exec(DEFINITIONS + text, names)
    called = names["root"]

    async def cell() -> Any:
        return called()  # a sync call in a running loop blocks and gives the value

    if awaiting:
        return in_time(lambda: asyncio.run(called()))
    return in_time(lambda: asyncio.run(cell()) if looping else called())


TABLE = [
    pytest.param(kind, place, f, way, id=f"{kind}-{place}-{f}-{way}")
    for kind, place in itertools.product(ROOTS, PLACES)
    for f, way in calls(place)
]


@pytest.mark.parametrize(("kind", "place", "f", "way"), TABLE)
@pytest.mark.conforms("B019", "B020", "B029", "B030", "B032", "B063", "B064", "B073", "B100")
def test_the_call_table(stored: Engine, kind: str, place: str, f: str, way: str) -> None:
    awaiting = kind == "async"
    text = root(*program(place, awaiting, [(f, way)]), awaiting)
    assert run(text, awaiting, kind.endswith("running")) == wanted([(f, way)])

    runs = stored.store.flow_runs()
    assert {row.state.name for row in runs} == {"Completed"}
    assert len(runs) == 1 + place.endswith("flow") + (f in FLOWS)
    rows = [row for each in runs for row in stored.store.task_runs(each.number)]
    assert {row.state.name for row in rows} == {"Completed"}
    ours = [row for row in rows if row.name.startswith(f.replace("_flow", "_task"))]
    assert [row.index for row in ours] == list(range(3 if way.startswith("map") else 1))


@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.conforms("B033", "B063")
def test_all_calls_in_one_flow(engine: Engine, kind: str, place: str) -> None:
    awaiting = kind == "async"
    chosen = calls(place)
    text = root(*program(place, awaiting, chosen), awaiting)
    assert run(text, awaiting, kind.endswith("running")) == wanted(chosen)


@pytest.mark.parametrize("place", ["sync task", "async task"])
@pytest.mark.parametrize("f", FLOWS)
@pytest.mark.parametrize("kind", ROOTS)
@pytest.mark.conforms("B026")
def test_flows_in_tasks_are_refused(engine: Engine, kind: str, place: str, f: str) -> None:
    awaiting = kind == "async"
    text = root(*program(place, awaiting, [(f, "call")]), awaiting)
    with pytest.raises(RuntimeError, match="inner-0") as caught:
        run(text, awaiting, kind.endswith("running"))
    assert "\n" not in str(caught.value)
    assert len(engine.store.flow_runs()) == 1


def test_the_table_is_whole() -> None:
    assert {f for _, _, f, _ in (each.values for each in TABLE)} == {*TASKS, *FLOWS}
    assert len(TABLE) == len(ROOTS) * (3 * (2 * len(WAYS) + 2 * len(DIRECT)) + 2 * 2 * len(WAYS))
