"""The scorecard: the list is whole, a run is told as it was, and what is wrong with it is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.report import TESTS
from reliability import plugin
from reliability.plugin import Done, Scorecard, share
from reliability.report import Line, Report, made, page, table
from reliability.scorecard import MODES, Row, mode, promises, rows
from reliability.trials import TOO_MANY, Trials

FILES = sorted(TESTS.rglob("test_*.py"))
ROW = Row(1, "kill", "It is killed.", "Nothing is lost.", (2, 20, 200), ("G1",))
OTHER = Row(2, "cut", "The power goes.", "Little is lost.", (1, 1, 1), ("G1", "G2"), "Not built.")
GOOD = Done(1, "tests/test_x.py::test_it[a]", False, 20, 20, seed=7, figures={"seconds": 0.2}, outcome="passed")
CONTROL = Done(1, "tests/test_x.py::test_control", True, 4, 4, caught=3, outcome="passed")
MACHINE = {"tidegate": "0", "python": "3", "sqlite": "3", "ipykernel": "7", "cores": "2", "system": "linux"}


def record(*tests: Done, of: str = "ci") -> dict[str, Any]:
    told = [{**vars(each)} for each in tests]
    return {"mode": of, "date": "2024-02-29T00:00+00:00", "seconds": 60.0, "machine": MACHINE, "tests": told}


def report(*tests: Done, of: str = "ci") -> Report:
    return made(record(*tests, of=of), {1: ROW, 2: OTHER})


def test_the_list_is_whole() -> None:
    found = rows()
    assert list(found) == list(range(1, 41))
    assert len({row.name for row in found.values()}) == 40
    assert list(promises()) == [f"G{number}" for number in range(1, 9)]
    assert {name for row in found.values() for name in row.promises} == set(promises())
    assert all(row.counts == tuple(sorted(row.counts)) for row in found.values())
    assert all(text.endswith(".") for row in found.values() for text in (row.fault, row.holds))


def test_each_row_has_a_test_or_says_why_not() -> None:
    """Found in the texts: whatever is not marked was never meant to be one of them."""
    marked = "\n".join(path.read_text(encoding="utf-8") for path in FILES if path.name != "test_report.py")
    for number, row in rows().items():
        has = f"mark.scorecard({number})\n" in marked or any(
            f"mark.scorecard({number}, {each}" in marked for each in ("parts=", "case=")
        )
        assert has != bool(row.open), f"row {number} {row.name}"


@pytest.mark.parametrize(
    ("tests", "wanted"),
    [
        ([GOOD, CONTROL], []),
        ([replace(GOOD, done=19)], ["1 kill: 19 trials of 20"]),
        ([replace(GOOD, done=0, outcome="skipped")], ["1 kill: 0 trials of 20, 1 skipped"]),
        ([replace(GOOD, violations=["trial 3: lost\nmore"])], ["1 kill: trial 3: lost"]),
        ([GOOD, replace(CONTROL, outcome="failed")], ["1 kill: its control fails"]),
        ([CONTROL], ["1 kill: no test of it ran"]),
        ([GOOD, replace(GOOD, row=2)], ["2 cut has a test, take its `open` out of rows.toml"]),
    ],
)
def test_what_is_wrong_is_told(tests: list[Done], wanted: list[str]) -> None:
    assert report(*tests).problems() == wanted


def test_the_table() -> None:
    text = "\n".join(table(report(GOOD, replace(GOOD, done=5, figures={"seconds": 0.5}), CONTROL)))
    assert " 1 kill                      20     25           0      0.0  3 of 4 found      seconds 0.5" in text
    assert "Without a test:\n2 cut: Not built." in text


def test_the_page() -> None:
    text = "\n".join(page(report(replace(GOOD, violations=["lost"]), CONTROL), {"G1": "Promised.", "G2": "Too."}))
    broken = "1 kill (**broken in this run**)"
    assert f"- **G1** Promised.\n  Checked by: {broken}.\n  Not checked in this run: 2 cut." in text
    assert "- **G2** Too.\n  Checked by: nothing yet.\n  Not checked in this run: 2 cut." in text
    assert "| 1 | kill | It is killed. | Nothing is lost. | 20 | 20 | 1 | 0 | 7 | 3 of 4 found | seconds 0.2 |" in text
    assert "- 1 kill: `tests/test_x.py::test_it`.\n  Controls: `tests/test_x.py::test_control`." in text
    assert "- 2 cut: The power goes. Not built." in text
    assert "## What this run found\n\n- 1 kill: lost" in text


def test_a_control_without_a_count_has_passed() -> None:
    assert Line(ROW, 20, [GOOD], [replace(CONTROL, caught=None)]).control == "1 pass"
    assert Line(ROW, 20, [GOOD]).control == ""


def test_how_often_a_test_tries() -> None:
    def asked(*row: int, **options: Any) -> list[int]:
        mark = pytest.mark.scorecard(*row, **options).mark
        return [share(mark, each) for each in MODES]

    all_of_it = list(rows()[1].counts)
    assert asked(1) == all_of_it
    assert asked(1, parts=3) == [-(-each // 3) for each in all_of_it]
    assert asked(1, case=True) == [1, 1, 1]
    assert asked(1, control=True) == list(rows()[2].counts)


def test_an_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_RELIABILITY", "sometimes")
    with pytest.raises(ValueError, match="must be one of plain, ci, nightly"):
        mode()


def test_violations_are_counted_and_do_not_stop_the_trials() -> None:
    trials = Trials(5, 1)
    for at in trials:
        with trials.judged():
            assert at % 2
    assert (trials.done, len(trials.violations)) == (5, 3)
    assert trials.violations[1].startswith("trial 2: AssertionError")
    with pytest.raises(AssertionError, match="one too many"):
        fail_often(trials)


def fail_often(trials: Trials) -> None:
    for _ in range(TOO_MANY):
        with trials.judged():
            raise AssertionError("one too many")


INNER = """
import pytest

@pytest.mark.scorecard(2)
def test_good(trials):
    for at in trials:
        trials.most("at", at)

@pytest.mark.scorecard(3, case=True)
def test_bad(trials):
    for at in trials:
        with trials.judged("here"):
            assert at == 1

@pytest.mark.scorecard(4, case=True)
def test_ugly():
    raise OSError("ugly")

@pytest.mark.scorecard(4, case=True)
def test_plain():
    pass
"""


def run(folder: Path, source: str) -> tuple[int, Scorecard]:
    """The exit code of a pytest of its own, and what the scorecard saw."""
    (folder / f"test_{folder.name}.py").write_text(source)  # a name of its own, as modules are kept by it
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  scorecard: x")
    scorecard = Scorecard()
    code = pytest.main(
        ["-q", "--import-mode=importlib", "--rootdir", str(folder), "-p", "no:cacheprovider", str(folder)],
        plugins=[scorecard],
    )
    return int(code), scorecard


def test_what_a_run_does_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    monkeypatch.setattr(plugin, "record_path", lambda of: path)
    monkeypatch.setenv("TIDEGATE_RELIABILITY", "plain")
    code, scorecard = run(tmp_path, INNER)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert made(json.loads(path.read_text()), rows()).lines[1].done == rows()[2].asked("plain")
    good, bad, ugly, plain = scorecard.records
    count = rows()[2].asked(mode())
    assert (good.row, good.asked, good.done, good.violations) == (2, count, count, [])
    assert good.figures == {"at": count - 1}
    assert good.seed is not None
    assert (bad.done, len(bad.violations), bad.outcome) == (1, 1, "failed")
    assert bad.violations[0].startswith("here: AssertionError")
    assert (ugly.done, ugly.violations) == (0, ["OSError: ugly"])
    assert (plain.done, plain.violations) == (1, [])


@pytest.mark.parametrize("wrong", ["99", "1, part=2", ""])
def test_a_mark_that_names_no_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.delenv("TIDEGATE_RELIABILITY", raising=False)
    code, _ = run(tmp_path, f"import pytest\n@pytest.mark.scorecard({wrong})\ndef test_it(): pass")
    assert code == pytest.ExitCode.USAGE_ERROR
