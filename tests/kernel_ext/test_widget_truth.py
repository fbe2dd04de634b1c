"""What the page shows at the end is what the record holds, whatever pages were reloaded or opened meanwhile."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from kernel_ext.driving import ask, graph, views
from reliability.trials import Trials
from support.front_end import FrontEnd
from support.messages import Comm, Content

pytestmark = pytest.mark.kernel

TASKS = """
import random
chance = random.Random(1)
@task
def works(x):
    time.sleep(chance.uniform(0, 0.004))
    return x
@task
def may_fail(x):
    if x % 7 == 3: raise ValueError(x)
    return x
@task(retries=1)
async def tries(x):
    await asyncio.sleep(0.001)
    if chance.random() < 0.3: raise ValueError(x)
    return x
"""
CELL = """%%flow --max-workers 3
many = may_fail.map(works.map(range({many})))
some = tries.map(range({some}))
for x in range({few}): works(x)
many.wait(); some.wait(); 'over'
"""
RECORD = """(lambda store: (lambda row: (
    row.state.name, [each.state.type.value for each in store.task_runs(row.number)]
))(store.flow_runs(1)[0]))(engine().store)"""
SECONDS = 1.0
"""After the end, until the page shows what is."""
OF = {"COMPLETED": "done", "FAILED": "failed", "CRASHED": "failed", "CANCELLED": "cancelled", "PENDING": "waiting"}


def shown_of_record(kernel: FrontEnd) -> tuple[str, dict[str, int]]:
    """What the header of the newest run must say."""
    name, kinds = kernel.value(RECORD.replace("\n", " "))
    counts = dict.fromkeys(["done", "running", "retrying", "failed", "cancelled", "waiting"], 0)
    for kind in kinds:
        counts[OF.get(kind, "running")] += 1
    return name, counts


def says(header: Content) -> tuple[str, dict[str, int]]:
    return header["state"]["name"], header["counts"]


def reloads(kernel: FrontEnd) -> None:
    """A page is reloaded: it asks for the widgets that there are."""
    control = kernel.open_comm("jupyter.widget.control", {}, {"version": "1.0.0"})
    kernel.send("shell", "comm_msg", {"comm_id": control, "data": {"method": "request_states"}})


def looked_at(kernel: FrontEnd, chance: random.Random) -> tuple[Comm, float, Content]:
    """Run a cell, with pages that come and go; its graph, the moment of its end, and what a page saw at first."""
    cell = CELL.format(many=chance.randint(5, 60), some=chance.randint(1, 20), few=chance.randint(1, 10))
    running = kernel.execute(cell)
    shown = graph(kernel, running)
    early: Any = ask(kernel, shown, {"kind": "hello"}, "snap", keyed=False).content["view"]["run"]
    for _ in range(chance.randint(1, 3)):
        time.sleep(chance.uniform(0, 0.05))  # the moment of the reload, which is to be any
        if chance.random() < 0.5:
            reloads(kernel)
        ask(kernel, shown, {"kind": "hello"}, "snap", keyed=False)
    reply = kernel.reply(running)
    assert reply.status == "ok", reply.content
    return shown, reply.at, early


@pytest.fixture
def ready(newest: FrontEnd) -> FrontEnd:
    if newest.expr("'tries' in globals()") != "True":
        assert newest.run(TASKS).status == "ok"
    return newest


@pytest.mark.scorecard(35)
def test_the_page_comes_to_show_what_the_record_holds(ready: FrontEnd, trials: Trials) -> None:
    for trial in trials:
        with trials.judged(f"trial {trial}"):
            shown, ended, _ = looked_at(ready, random.Random(trials.chance.getrandbits(32)))
            wanted = shown_of_record(ready)
            assert sum(wanted[1].values()) > 0

            def told(_: object, shown: Comm = shown, wanted: object = wanted) -> bool:
                return says(views(shown)[-1]) == wanted

            ready.wait_until(told, 5, f"{wanted} on the page, which shows {says(views(shown)[-1])}")
            last = next(
                each.at
                for each in shown.custom
                if each.content["kind"] in ("snap", "delta") and is_last(each.content, wanted)
            )
            trials.most("seconds after the end", last - ended)
            assert last - ended < SECONDS
            fresh = ask(ready, shown, {"kind": "hello"}, "snap", keyed=False).content["view"]
            assert says(fresh["run"]) == wanted
            assert says(shown.state["_view"]["run"]) == wanted


def is_last(content: Content, wanted: object) -> bool:
    run = (content.get("view") or content.get("delta") or {}).get("run")
    return run is not None and says(run) == wanted


@pytest.mark.scorecard(35, control=True)
def test_control_what_a_page_saw_earlier_is_not_that(ready: FrontEnd, trials: Trials) -> None:
    for _ in trials:
        _, _, early = looked_at(ready, random.Random(trials.chance.getrandbits(32)))
        trials.found(says(early) != shown_of_record(ready))
    assert trials.caught  # in some of them: a cell may be over before a page has asked
