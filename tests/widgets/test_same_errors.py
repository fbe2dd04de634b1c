"""The same error is told once: in the note of the header and in the inspector of its node."""

from __future__ import annotations

from kernel_ext.shapes import misfits
from tidegate.model.events import Event, FlowCreated, TaskCreated, TaskState
from tidegate.model.states import Completed, Crashed, Failed, Running, State
from tidegate_widgets import protocol
from tidegate_widgets.graph_model import GraphModel
from tidegate_widgets.same_errors import EXAMPLES, KINDS, OTHERS
from tidegate_widgets.wording import detail, failures


def model_of(*ends: State | BaseException) -> GraphModel:
    """One mapped call, whose members end so."""
    model = GraphModel()
    model.apply([FlowCreated(1, 0.0, "u", "work", "name", "{}")])
    for number, end in enumerate(ends, 1):
        state = end if isinstance(end, State) else Failed(end, at=2.0)
        model.apply([TaskCreated(1, 1.0, number, "parse", 1, number - 1, {}), *ended(number, state)])
    return model


def ended(number: int, state: State, attempt: int = 1) -> list[Event]:
    return [TaskState(1, 1.0, number, Running(at=1.0), attempt), TaskState(1, 2.0, number, state, attempt)]


def errors(model: GraphModel) -> list[tuple[str, int, list[str]]]:
    found = detail(model, model.nodes[1])
    assert misfits(found, protocol.Detail) == []
    return [(each["error"], each["total"], [run["label"] for run in each["runs"]]) for each in found["errors"]]


def test_errors_that_differ_in_numbers_alone_are_one() -> None:
    model = model_of(ValueError("bad row 211"), Completed(at=2.0), ValueError("bad row 4,022.5"), KeyError("state"))
    assert errors(model) == [
        ("ValueError: bad row …", 2, ["parse[0]", "parse[2]"]),
        ("KeyError: 'state'", 1, ["parse[3]"]),
    ]
    assert failures(model, 3) == "parse[0], [2]: ValueError: bad row …  ·  parse[3]: KeyError: 'state'"


def test_an_error_that_is_the_same_to_the_letter_is_told_as_it_is() -> None:
    model = model_of(*[ValueError("bad row 211")] * 7)
    assert errors(model) == [("ValueError: bad row 211", 7, [f"parse[{place}]" for place in range(EXAMPLES)])]
    assert failures(model, 7) == "parse[0], [1], [2] and 4 more: ValueError: bad row 211"


def test_what_only_the_record_has_is_grouped_by_its_words() -> None:
    assert errors(model_of(Failed(message="at 0x7f3a", at=2.0), Crashed(message="at 0x11b0", at=2.0))) == [
        ("at …", 2, ["parse[0]", "parse[1]"])
    ]


def test_many_kinds_of_errors_are_bounded() -> None:
    kinds = [ValueError("x" * (at + 1)) for at in range(KINDS + 9)]
    found = errors(model_of(*kinds))
    assert len(found) == KINDS + 1
    assert found[0][:2] == (OTHERS, 9)


def test_a_failure_that_was_mended_is_told_no_more() -> None:
    model = model_of(ValueError("bad"), ValueError("bad"))
    model.apply(ended(1, Completed(at=3.0), 2))
    assert errors(model) == [("ValueError: bad", 1, ["parse[1]"])]
    model.apply(ended(2, Failed(KeyError("worse"), at=3.0), 2))
    assert errors(model) == [("KeyError: 'worse'", 1, ["parse[1]"])]
    assert model.nodes[1].ended == 2


def test_the_only_run_of_a_node_needs_no_place() -> None:
    model = model_of(ValueError("bad"))
    assert failures(model, 1) == "parse: ValueError: bad"
