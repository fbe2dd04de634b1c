"""A flow asks while its cell runs: the question is on the page, and the answer from the page reaches the flow."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_ext.driving import HTML, ask, graph, newest_run, views, wait_state
from kernel_ext.shapes import misfits
from support.front_end import FrontEnd
from support.messages import Comm, Content
from tidegate_widgets import protocol

pytestmark = pytest.mark.kernel

SETUP = """
from typing import Literal
import pydantic
from tidegate import NotPaused, ask, resume_flow_run

class Approval(pydantic.BaseModel):
    reason: str
    rows: int = 3
    level: Literal['low', 'high'] = 'low'

    @pydantic.field_validator('reason')
    @classmethod
    def no_crash(cls, text):
        if text == 'crash': raise LookupError('no such reason')
        return text

@task
def quick(i): return i

@flow
def checked(name):
    return name, ask(Approval).reason

@flow
async def checked_async(name):
    return name, (await ask(Approval)).reason

@flow
def above(name):
    return checked(name)
"""

CELLS = {
    "sync": "%%flow\nquick(1)\nanswer = ask(Approval)\n(quick(answer.rows), answer)",
    "awaiting": "%%flow\nawait asyncio.sleep(0)\nanswer = await ask(Approval)\n(quick(answer.rows), answer)",
}
RIGHT = {"reason": "fine", "rows": "7", "level": "1"}


@pytest.fixture
def ready(kernel: FrontEnd) -> FrontEnd:
    """The kernel with the model above."""
    if kernel.expr("'Approval' in globals()") != "True":
        assert kernel.run(SETUP).status == "ok"
    return kernel


def question(kernel: FrontEnd, shown: Comm, key: str = "pause-1", title: str = "", questions: int = 0) -> Content:
    """Wait for the question of that key on the page; the head that it is part of."""

    def told(_: Any) -> Content | None:
        head = views(shown)[-1] if views(shown) else {}
        asked = head.get("question")
        fits = asked and asked["key"] == key and title in ("", asked["title"])
        return head if fits and questions in (0, head["questions"]) else None

    return kernel.wait_until(told, 10, f"the question {key} {title} on the page")


def begin(kernel: FrontEnd, code: str) -> tuple[str, Comm, Content]:
    """Start a cell that asks; its id, its graph and the question."""
    running = kernel.execute(code)
    shown = graph(kernel, running)
    return running, shown, question(kernel, shown)["question"]


def give(kernel: FrontEnd, shown: Comm, typed: Any, subshell: str | None = None, key: str = "pause-1") -> Content:
    """Send the form; the kernel's answer."""
    head = views(shown)[-1]
    asker = head.get("question", {}).get("flow_run", head["number"])
    content = {"kind": "do", "verb": "resume", "flow_run": asker, "key": key, "input": typed}
    answer: Content = ask(kernel, shown, content, "ack", subshell).content
    return answer


@pytest.mark.parametrize("way", ["without", "with"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_person_answers_while_the_cell_runs(ready: FrontEnd, cell: str, way: str) -> None:
    subshell = ready.subshell() if way == "with" else None
    if way == "with" and subshell is None:
        pytest.skip("this kernel has no subshells")
    running, shown, asked = begin(ready, CELLS[cell])
    assert misfits(asked, protocol.QuestionView) == []
    assert [each["name"] for each in asked["fields"]] == ["reason", "rows", "level"]
    head = question(ready, shown)
    assert (head["state"]["name"], head["can"]) == ("Paused", ["suspend", "cancel"])

    refused = give(ready, shown, {"reason": "", "rows": "many", "level": "7"}, subshell)
    assert refused["ok"] is False
    assert refused["fields"] == {"level": "This is none of the choices."}
    refused = give(ready, shown, {**RIGHT, "reason": "", "rows": "many"}, subshell)
    assert refused["error"] == "2 answers do not fit. The run is still paused."
    assert list(refused["fields"]) == ["reason", "rows"]
    assert question(ready, shown)["state"]["name"] == "Paused"

    taken = give(ready, shown, RIGHT, subshell)
    assert (taken["ok"], taken["error"]) == (True, None)
    reply = ready.reply(running)
    assert reply.result == "(7, Approval(reason='fine', rows=7, level='high'))", reply.content
    wait_state(ready, shown, "Completed")
    final = views(shown)[-1]
    assert "question" not in final
    assert 'reason "fine", rows 7, level "high"' in final["answered"]
    assert newest_run(ready)[2] == "COMPLETED"


@pytest.mark.parametrize("cell", CELLS)
def test_where_no_form_can_be_drawn_the_picture_says_what_to_do(ready: FrontEnd, cell: str) -> None:
    running, shown, asked = begin(ready, CELLS[cell])

    def pictures(_: Any) -> list[str]:
        return [text for each in ready.outputs(running) if "Asks for" in (text := each.get("data", {}).get(HTML, ""))]

    (picture,) = ready.wait_until(pictures, 10, "the picture of the question")
    assert "Asks for <b>Approval</b> (Reason, Rows, Level)." in picture
    assert asked["code"].startswith("resume_flow_run(")
    assert asked["code"].endswith('{"reason": ...})')
    assert asked["code"].replace('"', "&quot;") in picture
    assert give(ready, shown, RIGHT)["ok"]
    assert ready.reply(running).status == "ok"
    final = [each["data"][HTML] for each in ready.outputs(running) if HTML in each.get("data", {})]
    assert len(final) == 1
    assert "Completed" in final[0], final[0][600:1800]
    assert "Approval was answered by you at" in final[0]


def test_one_question_after_the_other_and_no_answer_to_one_that_is_gone(ready: FrontEnd) -> None:
    running, shown, _ = begin(ready, "%%flow\n(ask(int), ask(bool))")
    assert give(ready, shown, {"": "5"})["ok"]
    question(ready, shown, "pause-2")
    late = give(ready, shown, {"": "6"})
    assert (late["ok"], late["error"]) == (False, "This is not asked any more.")
    assert give(ready, shown, {"": False}, key="pause-2")["ok"]
    assert ready.reply(running).result == "(5, False)"
    ended = give(ready, shown, {"": True}, key="pause-2")
    assert ended["ok"] is False
    assert ended["error"]


def test_nonsense_from_the_page_leaves_it_asked(ready: FrontEnd) -> None:
    running, shown, _ = begin(ready, CELLS["sync"])
    nonsense: list[Any] = [
        None,
        7,
        [],
        "x",
        {"reason": {"a": 1}},
        {"reason": ["x"]},
        {"reason": "x" * 30_000},
        {"reason": 5},
    ]
    for typed in nonsense:
        refused = give(ready, shown, typed)
        assert refused["ok"] is False
        assert "\n" not in refused["error"]
    number = views(shown)[-1]["number"]
    for asker, key in [(number, key) for key in (None, 7, ["pause-1"], "pause-2")] + [
        (asker, "pause-1") for asker in (None, "1", [number], number + 1, number - 1, -1)
    ]:
        content = {"kind": "do", "verb": "resume", "flow_run": asker, "key": key, "input": RIGHT}
        assert ask(ready, shown, content, "ack").content["ok"] is False
    plain = ask(ready, shown, {"kind": "do", "verb": "resume"}, "ack").content
    assert "reason: Field required" in plain["error"]
    assert question(ready, shown)["state"]["name"] == "Paused"
    broken = give(ready, shown, {**RIGHT, "reason": "crash"})
    assert broken["error"] == "LookupError: no such reason. The run is still paused."
    assert give(ready, shown, RIGHT)["ok"]
    assert ready.reply(running).status == "ok"


def test_a_run_that_asks_can_be_cancelled(ready: FrontEnd) -> None:
    running, shown, _ = begin(ready, CELLS["awaiting"])
    assert ask(ready, shown, {"kind": "do", "verb": "cancel"}, "ack").content["ok"]
    assert ready.reply(running).ename == "CancelledRun"
    wait_state(ready, shown, "Cancelled")
    assert "question" not in views(shown)[-1]


def test_code_of_another_thread_may_answer_too(ready: FrontEnd) -> None:
    # It asks again and again, because the question may not be there yet.
    code = """%%flow
number = max(engine().live)
def answer():
    while True:
        try: return resume_flow_run(number, {'reason': 'from code'})
        except NotPaused: time.sleep(0.01)
threading.Thread(target=answer).start()
ask(Approval).reason"""
    running = ready.execute(code)
    assert ready.reply(running).result == "'from code'"


SUBFLOWS = {
    "sync": ("%%flow\nchecked('north')", "checked"),
    "nested": ("%%flow\nabove('north')", "checked"),
    "awaiting": ("%%flow\nawait checked_async('north')", "checked-async"),
}


@pytest.mark.parametrize("cell", SUBFLOWS)
def test_a_subflow_asks_on_the_page_of_the_run_and_gets_the_answer(ready: FrontEnd, cell: str) -> None:
    code, asker = SUBFLOWS[cell]
    running, shown, asked = begin(ready, code)
    head = question(ready, shown)
    assert misfits(head, protocol.RunView) == []
    assert (head["state"]["name"], head["can"], head["questions"]) == ("Running", ["pause", "cancel"], 1)
    assert asked["asker"].startswith(f"{asker} '")
    assert asked["flow_run"] > head["number"]
    assert asked["code"].startswith(f"resume_flow_run({asked['flow_run']}, ")
    again = ask(ready, shown, {"kind": "hello"}, "snap", keyed=False).content["view"]["run"]
    assert again["question"] == asked  # which is what a page that is reloaded gets

    refused = give(ready, shown, {**RIGHT, "rows": "many"})
    assert (refused["ok"], list(refused["fields"])) == (False, ["rows"])
    assert give(ready, shown, RIGHT)["ok"]
    assert ready.reply(running).result == "('north', 'fine')"
    wait_state(ready, shown, "Completed")
    final = views(shown)[-1]
    assert "question" not in final
    assert final["answered"].startswith(f"Approval of {asker} '")


TWO = """%%flow
async def first():
    return await checked_async('first')
async def second():
    while not any(run.pauses.asked for run in list(engine().live.values())): await asyncio.sleep(0.01)
    return await checked_async('second')
async def third():
    while sum(run.pauses.asked is not None for run in list(engine().live.values())) < 2: await asyncio.sleep(0.01)
    return await ask(int)
await asyncio.gather(first(), second(), third())
"""


def test_several_questions_are_shown_one_after_the_other_the_oldest_first(ready: FrontEnd) -> None:
    running = ready.execute(TWO)
    shown = graph(ready, running)
    first = question(ready, shown, questions=3)
    assert (first["question"]["title"], first["can"]) == ("Approval", ["suspend", "cancel"])
    assert give(ready, shown, {**RIGHT, "reason": "one"})["ok"]
    second = question(ready, shown, questions=2)["question"]
    assert second["flow_run"] != first["question"]["flow_run"]
    late = {"kind": "do", "verb": "resume", "flow_run": first["question"]["flow_run"], "key": "pause-1", "input": RIGHT}
    assert ask(ready, shown, late, "ack").content["error"] == "This is not asked any more."
    assert give(ready, shown, {**RIGHT, "reason": "two"})["ok"]
    third = question(ready, shown, questions=1)["question"]
    assert (third["asker"], third["title"]) == ("", "a whole number")
    assert give(ready, shown, {"": "5"})["ok"]
    assert ready.reply(running).result == "[('first', 'one'), ('second', 'two'), 5]"


def test_a_run_whose_subflow_asks_can_be_paused_resumed_and_cancelled(ready: FrontEnd) -> None:
    running, shown, _ = begin(ready, SUBFLOWS["sync"][0])
    assert ask(ready, shown, {"kind": "do", "verb": "pause"}, "ack").content["ok"]
    wait_state(ready, shown, "Paused")
    assert views(shown)[-1]["can"] == ["resume", "suspend", "cancel"]
    assert question(ready, shown)["question"]["title"] == "Approval"
    assert ask(ready, shown, {"kind": "do", "verb": "resume"}, "ack").content["ok"]
    wait_state(ready, shown, "Resuming")
    assert question(ready, shown)["question"]["title"] == "Approval"
    assert ask(ready, shown, {"kind": "do", "verb": "cancel"}, "ack").content["ok"]
    assert ready.reply(running).ename == "CancelledRun"
    wait_state(ready, shown, "Cancelled")
    assert "question" not in views(shown)[-1]


def test_the_question_of_another_run_cannot_be_answered_from_this_one(ready: FrontEnd) -> None:
    code = """%%flow
other = threading.Thread(target=lambda: flow(lambda: ask(Approval), name='other')())
other.start()
while not any(run.pauses.asked for run in list(engine().live.values())): time.sleep(0.01)
strange = max(engine().live)
print('stranger', strange, flush=True)
ask(int)
resume_flow_run(strange, {'reason': 'end'})
other.join()"""
    running, shown, _ = begin(ready, code)
    strange = int(next(each["text"] for each in ready.outputs(running) if "text" in each).split()[1])
    content = {"kind": "do", "verb": "resume", "flow_run": strange, "key": "pause-1", "input": RIGHT}
    assert ask(ready, shown, content, "ack").content["error"] == "This is not asked any more."
    assert give(ready, shown, {"": "5"})["ok"]
    assert ready.reply(running).status == "ok"
