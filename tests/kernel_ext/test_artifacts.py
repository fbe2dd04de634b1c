"""What a run keeps is on its page: while the cell runs, after its end, and when the run is shown from the record."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_ext.driving import ask, graph, newest_run, views, wait_state
from kernel_ext.shapes import misfits
from support.front_end import FrontEnd
from support.messages import Comm, Content
from tidegate_widgets import protocol

pytestmark = pytest.mark.kernel

SETUP = """
from tidegate import create_markdown_artifact, create_progress_artifact, create_table_artifact, update_progress_artifact

@task
def report(day):
    create_markdown_artifact(f"# Day {day}", key=f"day-{day}")

@flow
def inner():
    create_table_artifact([{"day": 1}])
"""
CELL = """%%flow
bar = create_progress_artifact(10)
report.map([1, 2]).wait()
inner()
pause_flow_run()
update_progress_artifact(bar, 90)
pause_flow_run()
"""


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """The kernel with the tasks above."""
    if kernel.expr("'inner' in globals()") != "True":
        assert kernel.run(SETUP).status == "ok"
    return kernel


def get(kernel: FrontEnd, shown: Comm, version: int) -> Content:
    """The artifacts that came after a version."""
    answer: Content = ask(kernel, shown, {"kind": "get", "artifacts": version}, "artifacts").content
    assert [misfits(each, protocol.ArtifactView) for each in answer["artifacts"]] == [[]] * len(answer["artifacts"])
    return answer


def wait_version(kernel: FrontEnd, shown: Comm, version: int) -> None:
    """Until the head of the page has said that the artifacts are of that version."""

    def told(_: Any) -> bool:
        return bool(views(shown)) and views(shown)[-1].get("artifacts", {}).get("version") == version

    kernel.wait_until(told, 10, f"artifacts of version {version}")


def test_a_page_is_told_that_there_are_some_and_gets_those_that_it_asks_for(ready: FrontEnd) -> None:
    running = ready.execute(CELL)
    shown = graph(ready, running)
    wait_state(ready, shown, "Paused")
    wait_version(ready, shown, 4)
    first = get(ready, shown, 0)
    assert first["version"] == 4
    found = {(each["kind"], each["title"], each["maker"].partition(" ")[0]) for each in first["artifacts"]}
    days = {("text", "day-1", "report[0]"), ("text", "day-2", "report[1]")}
    assert found == {("progress", "Progress", ""), ("table", "Table", "inner")} | days
    assert ask(ready, shown, {"kind": "do", "verb": "resume"}, "ack").content["ok"]
    wait_version(ready, shown, 5)
    (news,) = get(ready, shown, first["version"])["artifacts"]
    assert (news["kind"], news["progress"]) == ("progress", 90.0)
    assert ask(ready, shown, {"kind": "do", "verb": "resume"}, "ack").content["ok"]
    assert ready.reply(running).status == "ok"
    wait_state(ready, shown, "Completed")
    assert len(get(ready, shown, 0)["artifacts"]) == 4

    number = next(each["number"] for each in views(shown)[::-1])
    recorded = graph(ready, ready.execute(f"%tidegate show {number}"))
    of_record = get(ready, recorded, 0)["artifacts"]
    assert sorted(each["title"] for each in of_record) == ["Progress", "Table", "day-1", "day-2"]
    assert {each["progress"] for each in of_record if each["kind"] == "progress"} == {90.0}
    assert newest_run(ready)[2] == "COMPLETED"


def test_nonsense_gets_no_answer_and_does_no_harm(ready: FrontEnd) -> None:
    running = ready.execute("%%flow\nreport(3)")
    shown = graph(ready, running)
    assert ready.reply(running).status == "ok"
    strange: list[Any] = [None, "0", [0], {}, 1.5]
    for nonsense in strange:
        ready.send_comm(shown.comm_id, {"kind": "get", "id": "x", "artifacts": nonsense})
    assert len(get(ready, shown, -7)["artifacts"]) == 1
    assert get(ready, shown, 10**9)["artifacts"] == []
    assert [each.content for each in shown.custom if each.content.get("id") == "x"] == []


def test_a_resumed_run_shows_what_was_made_before(ready: FrontEnd) -> None:
    failed = ready.execute("%%flow\nreport(4)\nreport(next_day)")
    shown = graph(ready, failed)
    assert ready.reply(failed).ename == "NameError"
    number = views(shown)[-1]["number"]
    resumed = ready.execute(f"next_day = 5\n%tidegate resume {number}")
    shown = graph(ready, resumed)
    assert ready.reply(resumed).status == "ok"
    wait_state(ready, shown, "Completed")
    assert [each["title"] for each in get(ready, shown, 0)["artifacts"]] == ["day-4", "day-5"]
