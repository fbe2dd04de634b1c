"""Which items of the conformance list have a test, which have none, and why: ``make conformance``.

- `items.toml` is the list.
- A test that covers items says so: ``@pytest.mark.conforms("B024", "B069")``.  The marks are read from the source of
  the tests, so that nothing has to be imported, installed or run.
- `exempt.toml` says which items have no test, and why: for good (``[exempt]``), or not yet (``[no_test_yet]``).

It fails if a core item has neither a test nor a line there, and if an item that stands there has got a test.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
LEVELS = ("core", "expected", "optional")
UNEXPLAINED = "nobody says why"


@dataclass(frozen=True)
class Item:
    """One line of the list."""

    number: str
    section: str
    level: str
    starred: bool
    says: str


@dataclass(frozen=True)
class Conformance:
    """The list, what the tests cover of it, and the reasons for the rest."""

    items: Mapping[str, Item]
    tests: Mapping[str, Sequence[str]]
    """The tests of each number that a mark names."""
    exempt: Mapping[str, str]
    not_yet: Mapping[str, str]
    misplaced: Sequence[str] = ()
    """Marks that count for nothing, as ``file:line``."""

    def why(self, number: str) -> str:
        """Why an item has no test."""
        return f"exempt: {self.exempt[number]}" if number in self.exempt else self.not_yet.get(number, UNEXPLAINED)

    def open(self) -> list[Item]:
        """The items without a test."""
        return [item for item in self.items.values() if item.number not in self.tests]

    def problems(self) -> list[str]:
        """What must not be, a line each."""
        listed = {**self.exempt, **self.not_yet}
        found = [
            f"{place}: `conforms` takes literal numbers, on a test function that runs." for place in self.misplaced
        ]
        found += [f"{n} has a test, take it out of exempt.toml: {self.tests[n][0]}" for n in listed if n in self.tests]
        found += [f"{n} stands in both tables of exempt.toml." for n in self.exempt if n in self.not_yet]
        found += [f"{n} is no item of the list." for n in sorted({*self.tests, *listed} - set(self.items))]
        found += [
            f"{item.number} is core and has lost its test: {item.says}"
            for item in self.open()
            if item.level == "core" and item.number not in listed
        ]
        return found


def read() -> Conformance:
    """The list, the marks and the reasons as they are now."""
    items = {
        number: Item(number, section, each["level"], each.get("starred", False), each["says"])
        for section, rows in _toml("items.toml").items()
        for number, each in rows.items()
    }
    tests: dict[str, list[str]] = {}
    misplaced: list[str] = []
    for path in sorted(TESTS.rglob("test_*.py")):
        place = path.relative_to(TESTS).as_posix()
        marks, astray = marks_in(path.read_text(encoding="utf-8"))
        misplaced += [f"tests/{place}:{line}" for line in astray]
        for number, test in marks:
            tests.setdefault(number, []).append(f"tests/{place}::{test}")
    reasons = _toml("exempt.toml")
    return Conformance(items, tests, reasons["exempt"], reasons["no_test_yet"], misplaced)


def _toml(name: str) -> dict[str, dict[str, Any]]:
    with (HERE / name).open("rb") as file:
        return tomllib.load(file)


def marks_in(source: str) -> tuple[list[tuple[str, str]], list[int]]:
    """The (number, test) pairs of a test file, and the lines of marks that count for nothing."""
    tree = ast.parse(source)
    marks: list[tuple[str, str]] = []
    counted: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not node.name.startswith("test"):
            continue
        if any(_called(each, name) for each in node.decorator_list for name in ("skip", "xfail")):
            continue
        for call in _marks(node.decorator_list):
            numbers = [each.value for each in call.args if isinstance(each, ast.Constant)]
            if numbers and len(numbers) == len(call.args):
                counted.add(call.lineno)
                marks += [(str(number), node.name) for number in numbers]
    return marks, [call.lineno for call in _marks([tree]) if call.lineno not in counted]


def _marks(nodes: Sequence[ast.AST]) -> Iterator[ast.Call]:
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Call) and _called(each, "conforms"):
                yield each


def _called(node: ast.expr, name: str) -> bool:
    face = node.func if isinstance(node, ast.Call) else node
    return isinstance(face, ast.Attribute) and face.attr == name


def lines(found: Conformance) -> Iterator[str]:
    """The report: a table by section, the items without a test, the totals."""
    tested = Counter(item.section for item in found.items.values() if item.number in found.tests)
    yield f"{'section':44}{'items':>7}{'covered':>9}{'not':>6}"
    for section, count in Counter(item.section for item in found.items.values()).items():
        yield f"{section:44}{count:7}{tested[section]:9}{count - tested[section]:6}"
    section = ""
    for item in found.open():
        if item.section != section:
            section = item.section
            yield from ("", f"Not covered: {section}")
        yield f"  {item.number} {item.level}{'*' if item.starred else ''}: {item.says}"
        yield f"       {found.why(item.number)}"
    yield ""
    yield f"{'level':12}{'items':>7}{'covered':>9}{'exempt':>8}{'not yet':>9}"
    for level in LEVELS:
        numbers = [item.number for item in found.items.values() if item.level == level]
        have = sum(number in found.tests for number in numbers)
        let_off = sum(number in found.exempt for number in numbers)
        yield f"{level:12}{len(numbers):7}{have:9}{let_off:8}{len(numbers) - have - let_off:9}"


def main() -> int:
    """Print the report; 1 if something is wrong with it."""
    found = read()
    problems = found.problems()
    print("\n".join([*lines(found), *(["", *problems] if problems else [])]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
