"""Questions as forms: which field a type gets, what is made of what was typed, and what is shown of it all."""

from __future__ import annotations

import enum
import json
from html.parser import HTMLParser
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_ext.shapes import misfits
from tidegate.errors import InvalidInput
from tidegate.model.events import FlowCreated, FlowState, InputAsked, InputGiven, TaskCreated, TaskState
from tidegate.model.states import Cancelling, Crashed, Paused, Running, State
from tidegate.questions import Question
from tidegate_widgets import protocol
from tidegate_widgets.drawing import Drawing
from tidegate_widgets.form import MAX_CHOICES, MAX_FIELDS, MAX_TEXT, Form, told
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.picture import picture
from tidegate_widgets.protocol import FieldView

HOSTILE = "</code><script>alert('x')</script><img src=x onerror=\"alert(1)\"> & \x00\n{0}%s"


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Inner(pydantic.BaseModel):
    zip: int


class Node(pydantic.BaseModel):
    children: list[Node]


class Everything(pydantic.BaseModel):
    """All kinds of fields."""

    reason: str = pydantic.Field(description="In a few words.")
    max_rows: int = 3
    share: float = 0.5
    sure: bool
    loud: bool = True
    colour: Colour = Colour.TWO
    level: Literal["low", "high"]
    maybe: int | None = None
    perhaps: bool | None
    choice: Colour | None = None
    inner: Inner
    many: list[int] = [1, 2]
    made: str = pydantic.Field(default_factory=lambda: "made")
    other: str = pydantic.Field(alias="otherName", title="Something else", default="a\nb")
    either: int | str


def asked(wanted: Any) -> tuple[Question, Form]:
    question = Question.of(wanted, "pause-1")
    return question, Form.of(question.key, question.title, question.schema)


def field(wanted: Any, *, whole: bool = True) -> FieldView:
    """The view of the only field."""
    form = asked(wanted)[1]
    assert form.whole is whole
    (found,) = form.view(1)["fields"]
    return found


def answer(wanted: Any, typed: dict[str, Any]) -> Any:
    """What the question makes of what was typed."""
    question, form = asked(wanted)
    return question.check(form.answer(typed))


def problems(wanted: Any, typed: Any) -> tuple[str, dict[str, str]]:
    """What is said of an answer that does not fit."""
    question, form = asked(wanted)
    with pytest.raises(InvalidInput) as caught:
        question.check(form.answer(typed))
    return form.explain(caught.value)


FIELDS = [
    # name, label, kind, required, default, choices
    ("reason", "Reason", "text", True, None, []),
    ("max_rows", "Max rows", "integer", True, "3", []),
    ("share", "Share", "number", True, "0.5", []),
    ("sure", "Sure", "boolean", True, None, []),
    ("loud", "Loud", "boolean", False, True, []),
    ("colour", "Colour", "choice", True, "1", ["red", "2"]),
    ("level", "Level", "choice", True, None, ["low", "high"]),
    ("maybe", "Maybe", "integer", False, None, []),
    ("perhaps", "Perhaps", "choice", False, None, ["Yes", "No"]),
    ("choice", "Choice", "choice", False, None, ["red", "2"]),
    ("inner", "Inner", "json", True, None, []),
    ("many", "Many", "json", True, "[1, 2]", []),
    ("made", "Made", "text", False, None, []),
    ("otherName", "Something else", "text", False, "a\nb", []),
    ("either", "Either", "json", True, None, []),
]


@pytest.mark.parametrize(("at", "expected"), list(enumerate(FIELDS)), ids=[each[0] for each in FIELDS])
def test_each_property_has_its_control(at: int, expected: tuple[Any, ...]) -> None:
    found = asked(Everything)[1].view(7)["fields"][at]
    assert (
        *(found["name"], found["label"], found["kind"], found["required"], found["default"], found["choices"]),
    ) == expected


def test_the_form_says_what_it_is_for_and_how_to_answer_from_code() -> None:
    view = asked(Everything)[1].view(7)
    assert (view["key"], view["title"], view["about"]) == ("pause-1", "Everything", "All kinds of fields.")
    assert view["fields"][0]["description"] == "In a few words."
    assert view["code"].startswith('resume_flow_run(7, run_input={"reason": ..., "sure": ..., "level": ...')
    assert misfits(view, protocol.QuestionView) == []


@pytest.mark.parametrize(
    ("wanted", "title", "kind"),
    [
        (int, "a whole number", "integer"),
        (float, "a number", "number"),
        (str, "a text", "text"),
        (bool, "yes or no", "boolean"),
        (Literal["a", 1], "a choice", "choice"),
        (Colour, "Colour", "choice"),
        (int | None, "a whole number", "integer"),
        (list[int], "list, as JSON", "json"),
        (dict[str, int], "dict, as JSON", "json"),
        (Any, "Any, as JSON", "json"),
        (pydantic.RootModel[int], "RootModel[int]", "integer"),
    ],
    ids=str,
)
def test_a_plain_type_is_one_field(wanted: Any, title: str, kind: str) -> None:
    found = field(wanted)
    assert (found["name"], found["label"], found["kind"]) == ("", "Answer", kind)
    assert asked(wanted)[1].view(1)["title"] == title
    assert asked(wanted)[1].code(3) == "resume_flow_run(3, run_input=...)"


def test_a_model_without_fields_is_a_button() -> None:
    class Nothing(pydantic.BaseModel):
        pass

    assert asked(Nothing)[1].view(1)["fields"] == []
    assert answer(Nothing, {}) == Nothing()


def test_a_model_that_holds_itself_is_followed_once() -> None:
    assert [each["kind"] for each in asked(Node)[1].view(1)["fields"]] == ["json"]
    assert answer(Node, {"children": '[{"children": []}]'}) == Node(children=[Node(children=[])])


TYPED = {
    "reason": "fine", "max_rows": " 7 ", "share": "1e-3", "sure": False, "loud": True, "colour": "0", "level": "1",
    "maybe": "", "perhaps": "0", "choice": "", "inner": '{"zip": 1}', "many": "[]", "made": "", "otherName": "",
    "either": '"text"',
}  # fmt: skip


def test_what_was_typed_is_what_the_model_gets() -> None:
    made = answer(Everything, TYPED)
    assert made == Everything(
        reason="fine", max_rows=7, share=0.001, sure=False, loud=True, colour=Colour.RED, level="high", maybe=None,
        perhaps=True, choice=None, inner=Inner(zip=1), many=[], made="made", otherName="", either="text",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "typed", "value"),
    [
        (int, "9" * 30, int("9" * 30)),
        (int | None, "", None),
        (Literal["a", 1, True], "2", True),
        (bool, False, False),
        (str, " as it is ", " as it is "),
        (list[str], '["é"]', ["é"]),
        (Annotated[int, pydantic.Field(strict=True)], "5", 5),
    ],
    ids=str,
)
def test_plain_answers(wanted: Any, typed: Any, value: Any) -> None:
    made = answer(wanted, {"": typed})
    assert (made, type(made)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "typed", "told_of"),
    [
        ("reason", "", "Field required."),
        ("max_rows", "many", "Input should be a valid integer"),
        ("max_rows", "", "Input should be a valid integer"),
        ("max_rows", "1.5", "Input should be a valid integer"),
        ("share", "nan", "A finite number is needed."),
        ("share", "1e999", "A finite number is needed."),
        ("sure", "", "Field required."),
        ("level", "", "Field required."),
        ("level", "2", "This is none of the choices."),
        ("level", "-1", "This is none of the choices."),
        ("level", "low", "This is none of the choices."),
        ("inner", '{"zip": "x"}', "zip: Input should be a valid integer"),
        ("inner", "{", "This is not JSON: "),
        ("inner", "[" * 19_000, "This is not JSON that can be read: "),
        ("many", "", "Input should be a valid list"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_does_not_fit_is_said_of_its_field(name: str, typed: Any, told_of: str) -> None:
    error, fields = problems(Everything, {**TYPED, name: typed})
    assert error == "One answer does not fit. The run is still paused."
    assert list(fields) == [name]
    assert fields[name].startswith(told_of)
    assert "\n" not in fields[name]


@pytest.mark.parametrize("wrong", [7, 1.5, ["x"], {"a": 1}, "x" * (MAX_TEXT + 1), True], ids=lambda v: str(v)[:9])
def test_nothing_but_text_of_a_size_is_believed(wrong: Any) -> None:
    _, fields = problems(Everything, {**TYPED, "reason": wrong})
    assert list(fields) == ["reason"]


@pytest.mark.parametrize("wrong", [None, 7, "x", [], [["reason", "x"]]], ids=str)
def test_an_answer_is_text_by_field(wrong: Any) -> None:
    assert problems(Everything, wrong) == ("An answer is text by field. The run is still paused.", {})


def test_what_is_no_field_is_not_passed_on() -> None:
    assert asked(Inner)[1].answer({"zip": "1", "__class__": "x", "": "y"}) == {"zip": 1}


def test_several_problems_and_those_of_no_field_are_all_said() -> None:
    class Range(pydantic.BaseModel):
        first: int
        last: int

        @pydantic.model_validator(mode="after")
        def in_order(self) -> Range:
            if self.first > self.last:
                raise ValueError("the first comes before the last")
            return self

    error, fields = problems(Range, {"first": "x", "last": ""})
    assert (error, list(fields)) == ("2 answers do not fit. The run is still paused.", ["first", "last"])
    error, fields = problems(Range, {"first": "2", "last": "1"})
    assert (error, fields) == ("The first comes before the last. The run is still paused.", {})


def test_a_plain_type_is_complained_of_in_its_one_field() -> None:
    assert problems(int, {"": ""})[1] == {"": "An answer is needed."}
    assert problems(list[int], {"": '[1, "x"]'})[1][""].startswith("1: Input should be a valid integer")


def test_what_is_too_large_for_a_form_is_one_json_text() -> None:
    fields: dict[str, Any] = {f"f{number}": (int, number) for number in range(MAX_FIELDS + 1)}
    large = pydantic.create_model("Large", **fields)
    assert field(large)["kind"] == "json"
    assert answer(large, {"": '{"f3": 33}'}).f3 == 33
    long = pydantic.create_model("Long", **{"n" * 101: (int, 1)})  # type: ignore[call-overload]
    assert field(long)["kind"] == "json"
    assert field(Literal[tuple(f"c{number}" for number in range(MAX_CHOICES + 1))])["kind"] == "text"

    class Letter(pydantic.BaseModel):
        text: str = "x" * (MAX_TEXT + 1)

    assert (field(Letter, whole=False)["default"], field(Letter, whole=False)["required"]) == (None, False)
    assert answer(Letter, {"text": ""}) == Letter()


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": 7},
        {"$ref": "#/$defs/None"},
        {"type": ["string", "null"]},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"enum": [[1]]}, "b": {"enum": []}, "c": {"const": None}}},
        {"anyOf": []},
        {"anyOf": [{"type": "null"}]},
        {"title": 5, "description": []},
    ],
    ids=str,
)
def test_any_schema_makes_a_form(schema: dict[str, Any]) -> None:
    # A model may write its own schema.
    view = Form.of("k", "t", schema).view(1)
    assert misfits(view, protocol.QuestionView) == []
    assert view["fields"]


# What is shown of it ------------------------------------------------------------------------------------------------


def paused(title: str, schema: dict[str, Any]) -> GraphModel:
    model = GraphModel()
    model.apply(
        [
            FlowCreated(7, 0.0, "0f3c", "reports", "amber-otter", "{}"),
            FlowState(7, 1.0, Running(at=1.0)),
            FlowState(7, 2.0, Paused(at=2.0), "the flow"),
            InputAsked(7, 2.0, "pause-1", title, json.dumps(schema)),
        ]
    )
    return model


def given_to(model: GraphModel, text: str) -> None:
    model.apply(
        [
            InputGiven(7, 3.0, "pause-1", text, "you"),
            FlowState(7, 3.0, Running(at=3.0), "you"),
        ]
    )


def test_a_question_takes_the_place_of_the_resume_button_until_it_is_answered() -> None:
    model = paused("Approval", Question.of(Inner, "pause-1").schema)  # type: ignore[arg-type]
    drawing = Drawing(model, live=True)
    run = drawing.run(2.5)
    assert run["can"] == ["suspend", "cancel"]
    assert run["question"]["fields"][0]["name"] == "zip"
    assert "answered" not in run
    assert drawing.run(2.6)["question"] is run["question"]
    given_to(model, '{"zip": 1}')
    run = drawing.delta(3.0)["run"]
    assert run["can"] == ["pause", "cancel"]
    assert "question" not in run
    assert run["answered"].startswith("Approval was answered by you at ")
    assert run["answered"].endswith(": zip 1")
    assert misfits(run, protocol.RunView) == []


@pytest.mark.parametrize("end", [Cancelling(), Running("Resuming"), Crashed()], ids=str)
def test_a_question_that_nobody_answered_is_asked_no_more(end: State) -> None:
    model = paused("Approval", {})
    model.apply([FlowState(7, 3.0, end, "you")])
    run = Drawing(model, live=True).run(3.0)
    assert "question" not in run
    assert "answered" not in run


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"reason": "fine", "rows": 7}', 'reason "fine", rows 7'),
        ("7", "7"),
        ("null", "null"),
        (json.dumps({"a": "x" * 100}), 'a "' + "x" * 38 + "…"),
        (json.dumps({f"f{n}": n for n in range(9)}), "f0 0, f1 1, f2 2, f3 3, f4 4, f5 5, …"),
        (json.dumps("a\nb\x00"), '"a\\nb\\u0000"'),
    ],
)
def test_an_answer_is_told_in_a_few_words(text: str, line: str) -> None:
    assert told(text) == line


class Reader(HTMLParser):
    """The names of the elements, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_picture_says_what_is_asked_and_how_to_answer() -> None:
    question = Question.of(Everything, "pause-1")
    view = Drawing(paused(question.title, dict(question.schema)), live=False).view(3.0)
    text = Reader(picture(view)).text
    assert "Asks for Everything (Reason, Max rows, Share, Sure, Loud, Colour, Level, Maybe and 7 more)." in text
    assert 'resume_flow_run(7, run_input={"reason": ...' in text


def test_the_picture_says_what_was_answered() -> None:
    model = paused("int", {"type": "integer"})
    assert "Asks for a whole number. Answer" in Reader(picture(Drawing(model, live=False).view(3.0))).text
    given_to(model, "7")
    text = Reader(picture(Drawing(model, live=False).view(3.0))).text
    assert "Answered by you at" in text
    assert "Asks for" not in text


def with_subflows(*names: str) -> GraphModel:
    """A run whose subflows, in this order, ask for a whole number."""
    model = GraphModel()
    model.apply([FlowCreated(7, 0.0, "0f3c", "reports", "amber-otter", "{}"), FlowState(7, 1.0, Running(at=1.0))])
    for number, name in enumerate(names, 8):
        model.apply(
            [
                FlowCreated(number, 1.0, "a1", name, "grey-lynx", "{}", (7, number)),
                FlowState(number, 2.0, Paused(at=2.0), "the flow"),
                InputAsked(number, 2.0, "pause-1", "int", '{"type": "integer"}'),
            ]
        )
    return model


def test_of_several_questions_the_oldest_is_shown_and_the_others_are_counted() -> None:
    model = with_subflows("clean", "check", "send")
    drawing = Drawing(model, live=True)
    run = drawing.run(3.0)
    assert (run["question"]["flow_run"], run["question"]["asker"], run["questions"]) == (8, "clean 'grey-lynx'", 3)
    text = Reader(picture(drawing.view(3.0))).text
    assert "clean 'grey-lynx' asks for a whole number." in text
    assert "2 more questions wait." in text
    model.apply([InputGiven(9, 3.0, "pause-1", "5", "you"), FlowState(9, 3.0, Running(at=3.0), "you")])
    run = drawing.run(4.0)
    assert (run["question"]["flow_run"], run["questions"]) == (8, 2)
    assert run["answered"].startswith("The question of check 'grey-lynx' was answered by you at ")
    assert run["state"]["name"] == "Running"
    model.apply([FlowState(8, 4.0, Cancelling(at=4.0), "you")])
    assert drawing.run(4.0)["question"]["flow_run"] == 10
    model.apply([FlowState(7, 5.0, Crashed(at=5.0)), InputAsked(8, 5.0, "pause-2", "int", "{}")])
    assert "question" not in drawing.run(5.0)


def test_the_node_of_a_subflow_that_asks_is_paused() -> None:
    model = with_subflows("clean")
    model.apply([TaskCreated(7, 1.0, 8, "clean", 1, 0, {}, subflow=True)])
    model.apply([TaskState(7, at, 8, state, 1) for at, state in ((1.0, Running(at=1.0)), (2.0, Paused(at=2.0)))])
    (node,) = Drawing(model, live=True).view(3.0)["nodes"]
    assert (node["line"], node["state"]["name"], node["state"]["family"]) == ("paused", "Paused", "attention")


def test_the_run_itself_can_be_resumed_while_only_a_subflow_asks() -> None:
    model = with_subflows("clean")
    model.apply([FlowState(7, 3.0, Paused(at=3.0), "you")])
    assert Drawing(model, live=True).run(4.0)["can"] == ["resume", "suspend", "cancel"]
    model.apply([InputAsked(7, 4.0, "pause-1", "int", "{}")])
    assert Drawing(model, live=True).run(4.0)["can"] == ["suspend", "cancel"]


@given(st.text(max_size=80), st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_hostile_titles_names_and_answers_stay_text(title: str, name: str) -> None:
    plain = {"type": "object", "title": "T", "properties": {"a": {"type": "string", "title": "L"}}, "required": ["a"]}
    tags = Reader(picture(Drawing(paused("t", plain), live=False).view(3.0))).tags
    for each in (HOSTILE, title):
        schema = {**plain, "title": each, "properties": {name + HOSTILE: {"type": "string", "title": each}}}
        model = paused(each, schema)
        made = picture(Drawing(model, live=False).view(3.0))
        made.encode()
        assert Reader(made).tags == tags
        given_to(model, json.dumps({each: each}))
        assert "<script" not in picture(Drawing(model, live=False).view(3.0))
    made = picture(Drawing(with_subflows(name + HOSTILE), live=False).view(3.0))
    assert Reader(made).tags == Reader(picture(Drawing(with_subflows("clean"), live=False).view(3.0))).tags
