"""The task runs of one node: any of ten thousand is a page away, and its story is what the record has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kernel_ext.shapes import misfits
from support.flows import flow, task
from tidegate import get_run_logger, tags
from tidegate.engine import Engine, using
from tidegate.model.events import Event, FlowCreated, TaskCreated, TaskState
from tidegate.model.states import AwaitingRetry, Completed, Failed, Running, State
from tidegate.store.memory import MemoryStore
from tidegate_widgets import protocol
from tidegate_widgets.boxes import Boxes
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.member import LOG_LINES, look, told
from tidegate_widgets.members import page
from tidegate_widgets.run_graph import RunGraph

MANY = 10_000


@pytest.fixture(scope="module")
def many() -> GraphModel:
    """A map of ten thousand whose every 100th member from the 8th has failed."""
    events: list[Event] = [FlowCreated(1, 0.0, "u", "work", "name", "{}")]
    for number in range(1, MANY + 1):
        end: State = Failed(ValueError(f"bad row {number}"), at=3.0) if number % 100 == 8 else Completed(at=2.0)
        events += [
            TaskCreated(1, 1.0, number, "parse", 1, number - 1, {}),
            TaskState(1, 1.5, number, Running(at=1.5), 1),
            TaskState(1, end.timestamp, number, end, 1),
        ]
    model = GraphModel()
    model.apply(events)
    return model


def test_any_page_of_ten_thousand_has_a_bounded_number_of_rows(many: GraphModel) -> None:
    found = page(many, many.nodes[1], 9_990, "")
    assert misfits(found, protocol.MemberPage) == []
    assert (found["first"], found["total"], len(found["rows"])) == (9_990, MANY, 10)
    assert found["rows"][0] == {
        "number": 9_991, "label": "parse[9990]", "line": "0.5s",
        "state": {"type": "COMPLETED", "name": "Completed", "family": "done", "message": ""},
    }  # fmt: skip
    assert len(page(many, many.nodes[1], 0, "")["rows"]) == protocol.PAGE
    beyond = page(many, many.nodes[1], 10**9, "")
    assert (beyond["rows"], beyond["total"]) == ([], MANY)
    assert page(many, many.nodes[1], -5, "")["rows"][0]["number"] == 1


def test_a_page_of_the_failed_ones_says_why() -> None:
    model = GraphModel()
    model.apply([FlowCreated(1, 0.0, "u", "work", "name", "{}")])
    for number, end in enumerate([Completed(at=2.0), Failed(ValueError("bad"), at=2.0), AwaitingRetry(9.0, at=2.0)], 1):
        model.apply([TaskCreated(1, 1.0, number, "parse", 1, number - 1, {})])
        model.apply([TaskState(1, 1.0, number, Running(at=1.0), 2), TaskState(1, 2.0, number, end, 2)])
    found = page(model, model.nodes[1], 0, "failed")
    (row,) = found["rows"]
    assert (row["label"], row["line"]) == ("parse[1]", "1.0s · attempt 2 · ValueError: bad")
    assert [row["label"] for row in page(model, model.nodes[1], 0, "retrying")["rows"]] == ["parse[2]"]
    empty = page(model, model.nodes[1], 0, "cancelled")
    assert (empty["first"], empty["total"], empty["rows"]) == (0, 0, [])


def test_the_worst_or_the_longest_come_first() -> None:
    model = GraphModel()
    model.apply([FlowCreated(1, 0.0, "u", "work", "name", "{}")])
    ends: list[State | None] = [Completed(at=2.0), None, Failed(ValueError("bad"), at=1.5), Completed(at=9.0)]
    for number, end in enumerate(ends, 1):
        model.apply([TaskCreated(1, 1.0, number, "parse", 1, number - 1, {})])
        model.apply([TaskState(1, 1.0, number, Running(at=1.0), 1)])
        model.apply([TaskState(1, end.timestamp, number, end, 1)] if end else [])

    def places(sort: protocol.Sort, only: str = "") -> list[str]:
        found = page(model, model.nodes[1], 0, only, sort)
        assert misfits(found, protocol.MemberPage) == []
        assert found["sort"] == sort
        return [row["label"][6:-1] for row in found["rows"]]

    assert places("place") == ["0", "1", "2", "3"]
    assert places("state") == ["2", "1", "0", "3"]
    assert places("duration") == ["3", "0", "2", "1"]
    assert places("duration", "done") == ["3", "0"]


def test_the_next_failed_one_is_found_from_anywhere_and_around_the_end(many: GraphModel) -> None:
    assert many.runs.failed_after(0) == 8
    assert many.runs.failed_after(8) == 108
    assert many.runs.failed_after(9_999) is None
    assert Boxes(many).failed_after(9_999) == 8
    assert GraphModel().runs.failed_after(0) is None


def test_a_failed_one_knows_which_of_how_many_it_is(many: GraphModel) -> None:
    def steps(number: int) -> tuple[Any, ...]:
        found = told(many, number, look(MemoryStore(), 1, number, "task", "parse"))
        assert found is not None
        assert misfits(found, protocol.Member) == []
        return tuple(found["steps"].values())

    assert steps(108) == (2, 100, 8, 208)
    assert steps(8) == (1, 100, None, 108)
    assert steps(9_908) == (100, 100, 9_808, None)
    assert steps(100) == (0, 100, 8, 108)


@task
def load() -> list[int]:
    return [1, 2]


@task(retries=1)
def parse(row: int, all_rows: list[int]) -> int:
    get_run_logger().info("row %d", row)
    if row == 2:
        raise ValueError("bad row")
    return row * 10


@task
def odd() -> object:
    return {1, 2}


@task
def talk() -> None:
    for at in range(LOG_LINES + 5):
        get_run_logger().info("line %d", at)


@flow(name="members")
def work() -> None:
    rows = load.submit()
    with tags("daily"):
        parse.map([1, 2], all_rows=rows.result()).wait()
    odd()
    talk()


class Asked:
    """The graph of a run that has ended, as a page asks it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answers: dict[str, Any] = {}
        self._came = threading.Semaphore(0)
        monkeypatch.setattr(RunGraph, "send", self._send)
        self._engine = Engine(MemoryStore())

    def __enter__(self) -> Asked:
        self._using = using(self._engine)
        self._using.__enter__()
        work(return_state=True)
        self.graph = RunGraph.of_record(self._engine, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._using.__exit__(None, None, None)

    def _send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self._answers[content["id"]] = content
        self._came.release()

    def get(self, **what: Any) -> Any:
        self.graph.conversation.hear({"kind": "get", "id": "a", **what})
        assert self._came.acquire(timeout=5)
        return self._answers.pop("a")

    def member(self, name: str, place: int = 0) -> protocol.Member:
        node = next(node for node in self.graph._model.nodes.values() if node.task == name)
        found: protocol.Member = self.get(member=node.members[place])["member"]
        assert misfits(found, protocol.Member) == []
        return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    with Asked(monkeypatch) as graph:
        yield graph


def test_the_story_of_a_failed_member(asked: Asked) -> None:
    found = asked.member("parse", 1)
    assert (found["label"], found["place"], found["state"]["name"]) == ("parse[1]", 1, "Failed")
    facts = {fact["label"]: fact["text"] for fact in found["facts"]}
    assert facts["Attempts"].startswith("2, ")
    assert facts["Tags"] == "daily"
    assert "on average" in facts["Duration"]
    assert found["error"] == "ValueError: bad row"
    assert 'raise ValueError("bad row")' in found["traceback"]
    assert [line["level"] for line in found["logs"] if line["text"] == "row 2"] == ["INFO", "INFO"]
    assert "def parse(row: int, all_rows: list[int]) -> int:" in found["code"]
    assert (found["code_note"], found["more"]) == ("", False)
    assert [(each["parameter"], each["label"]) for each in found["inputs"]] == [("all_rows", "load")]
    assert asked.member("load")["number"] == found["inputs"][0]["member"]


def test_a_result_is_shown_where_it_is_text_and_never_loaded(asked: Asked) -> None:
    assert (asked.member("parse")["result"], asked.member("parse")["result_note"]) == ("10", "")
    found = asked.member("odd")
    assert found["result"] == ""
    assert found["result_note"].startswith("It is saved (pickle, ")
    assert found["result_note"].endswith("It is not loaded for a look.")


def test_a_long_log_is_cut_and_says_so(asked: Asked) -> None:
    found = asked.member("talk")
    assert (len(found["logs"]), found["more"]) == (LOG_LINES, True)
    assert found["logs"][0]["text"] == "line 0"


def test_code_that_is_gone_or_has_changed_is_said_to(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    other = task(name="odd")(lambda: 3)
    assert asked.member("odd")["code_note"] == "It has changed since this task run."
    del other
    monkeypatch.setattr("tidegate_widgets.member.registered", lambda kind: {})
    assert asked.member("odd")["code_note"] == "There is no task 'odd' in this kernel."


def test_pages_and_the_next_failed_one_are_asked_for_by_id(asked: Asked) -> None:
    node = next(node for node in asked.graph._model.nodes.values() if node.task == "parse")
    found = asked.get(members=node.site, first=0, only="", sort="place")["page"]
    assert [row["label"] for row in found["rows"]] == ["parse[0]", "parse[1]"]
    assert asked.get(failed_after=0)["member"]["label"] == "parse[1]"
    detail = asked.get(node=node.site)["detail"]
    assert (detail["member"], detail["errors"][0]["runs"][0]["number"]) == (None, node.members[1])
