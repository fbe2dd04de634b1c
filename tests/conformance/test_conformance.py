"""The conformance list: every core item has a test, or a line that says why not; the command says so too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance.report import UNEXPLAINED, Conformance, Item, lines, main, marks_in, read


@pytest.fixture(scope="module")
def found() -> Conformance:
    return read()


def test_nothing_is_wrong_with_it(found: Conformance) -> None:
    assert found.problems() == []


def test_the_list_is_whole(found: Conformance) -> None:
    assert list(found.items) == [f"B{number:03}" for number in range(1, 301)]
    levels = [item.level for item in found.items.values()]
    assert [levels.count(level) for level in ("core", "expected", "optional")] == [208, 85, 7]
    assert sum(item.starred for item in found.items.values()) == 22
    assert all(item.says.endswith(".") for item in found.items.values())


def test_every_item_without_a_test_has_a_reason(found: Conformance) -> None:
    assert [item.number for item in found.open() if found.why(item.number) == UNEXPLAINED] == []


def test_the_command_names_each_item_that_is_open(found: Conformance, capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    printed = capsys.readouterr().out
    for item in found.open():
        assert f"  {item.number} {item.level}" in printed
        assert found.why(item.number) in printed


ONE = Item("B001", "Flows", "core", False, "It works.")
TWO = Item("B002", "Flows", "expected", True, "It works well.")
GOOD = Conformance({"B001": ONE, "B002": TWO}, {"B001": ["tests/test_x.py::test_it"]}, {}, {})


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (GOOD, []),
        (replace(GOOD, tests={}), ["B001 is core and has lost its test: It works."]),
        (replace(GOOD, tests={}, exempt={"B001": "no"}), []),
        (replace(GOOD, tests={}, not_yet={"B001": "later"}), []),
        (
            replace(GOOD, not_yet={"B001": "later"}),
            ["B001 has a test, take it out of exempt.toml: tests/test_x.py::test_it"],
        ),
        (replace(GOOD, exempt={"B002": "a"}, not_yet={"B002": "b"}), ["B002 stands in both tables of exempt.toml."]),
        (replace(GOOD, tests={**GOOD.tests, "B009": ["x"]}), ["B009 is no item of the list."]),
        (replace(GOOD, exempt={"B009": "x"}), ["B009 is no item of the list."]),
        (
            replace(GOOD, misplaced=["tests/test_x.py:3"]),
            ["tests/test_x.py:3: `conforms` takes literal numbers, on a test function that runs."],
        ),
    ],
)
def test_what_is_wrong_is_told(changed: Conformance, wanted: list[str]) -> None:
    assert changed.problems() == wanted


def test_the_report_of_a_small_list() -> None:
    text = "\n".join(lines(replace(GOOD, not_yet={"B002": "not built"})))
    assert "Flows                                             2        1     1" in text
    assert "B002 expected*: It works well.\n       not built" in text
    assert "B001" not in text


@pytest.mark.parametrize(
    ("source", "marks", "astray"),
    [
        ("@pytest.mark.conforms('B001', 'B002')\ndef test_x(): ...", [("B001", "test_x"), ("B002", "test_x")], []),
        ("@mark.conforms('B001')\nasync def test_x(): ...", [("B001", "test_x")], []),
        ("class TestX:\n    @mark.conforms('B001')\n    def test_x(self): ...", [("B001", "test_x")], []),
        (
            "@mark.parametrize('x', [param(1, marks=mark.conforms('B001'))])\ndef test_x(x): ...",
            [("B001", "test_x")],
            [],
        ),
        ("@mark.conforms('B001')\ndef helper(): ...", [], [1]),
        ("pytestmark = mark.conforms('B001')", [], [1]),
        ("@mark.conforms(*numbers)\ndef test_x(): ...", [], [1]),
        ("@mark.conforms()\ndef test_x(): ...", [], [1]),
        ("@mark.xfail\n@mark.conforms('B001')\ndef test_x(): ...", [], [2]),
        ("@mark.skip(reason='x')\n@mark.conforms('B001')\ndef test_x(): ...", [], [2]),
        ("def test_x(): ...", [], []),
    ],
)
def test_where_a_mark_counts(source: str, marks: list[tuple[str, str]], astray: list[int]) -> None:
    assert marks_in(source) == (marks, astray)
