"""What a run of the scorecard came to: ``make reliability``.

A run of pytest with `TIDEGATE_RELIABILITY` set leaves a record, see `plugin.py`; this prints its table, row by row, and
writes it to `docs/reliability.md` below what is promised.  Nothing in the page is from anywhere else than a run that
was made, the list of the rows and that of the promises.

It fails if there was a violation, if a test failed, if a control found nothing, or if a row was tried less than asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .plugin import ROOT, Done, record_path
from .scorecard import Row, mode, promises, rows

LONGEST = 200
"""Characters of a violation that are told; the test tells all of it."""
PAGE = ROOT / "docs" / "reliability.md"


@dataclass(frozen=True)
class Line:
    """A row and what was done for it."""

    row: Row
    asked: int
    tests: Sequence[Done] = ()
    controls: Sequence[Done] = ()

    @property
    def done(self) -> int:
        """Trials that came to their end."""
        return sum(each.done for each in self.tests)

    @property
    def violations(self) -> list[str]:
        """What was found, of the tests; a control that fails is a problem of its own."""
        return [told for each in self.tests for told in each.violations]

    @property
    def seconds(self) -> float:
        """Of tests and controls."""
        return sum(each.seconds for each in (*self.tests, *self.controls))

    @property
    def skipped(self) -> int:
        """Tests that could not be made here."""
        return sum(each.outcome == "skipped" for each in self.tests)

    @property
    def seeds(self) -> str:
        """Of the tests, one by one if there are few."""
        known = sorted({each.seed for each in self.tests if each.seed is not None})
        return ", ".join(map(str, known)) if len(known) < 3 else f"{known[0]} and {len(known) - 1} more"

    @property
    def figures(self) -> str:
        """The largest of each figure that a test gave."""
        found: dict[str, float] = {}
        for each in self.tests:
            for name, figure in each.figures.items():
                found[name] = max(figure, found.get(name, figure))
        return ", ".join(f"{name} {figure:g}" for name, figure in found.items())

    @property
    def control(self) -> str:
        """How often the controls found the fault that was put in."""
        if not self.controls:
            return ""
        if any(each.outcome == "failed" for each in self.controls):
            return "fails"
        counted = [each for each in self.controls if each.caught is not None]
        if not counted:
            return f"{len(self.controls)} pass"
        return f"{sum(each.caught or 0 for each in counted)} of {sum(each.done for each in counted)} found"

    def problems(self) -> Iterator[str]:
        """What must not be, a line each."""
        name = f"{self.row.number} {self.row.name}"
        for told in self.violations:
            yield f"{name}: {told.splitlines()[0][:LONGEST]}"
        if self.control == "fails":
            yield f"{name}: its control fails"
        if self.tests and self.done < self.asked and not self.violations:
            yield f"{name}: {self.done} trials of {self.asked}" + (f", {self.skipped} skipped" if self.skipped else "")
        if not self.tests and not self.row.open:
            yield f"{name}: no test of it ran"
        if self.tests and self.row.open:
            yield f"{name} has a test, take its `open` out of rows.toml"


@dataclass(frozen=True)
class Report:
    """A run, row by row."""

    of: Mapping[str, Any]
    lines: Sequence[Line] = field(default_factory=list)

    def problems(self) -> list[str]:
        """What must not be."""
        return [told for line in self.lines for told in line.problems()]


def made(record: Mapping[str, Any], scorecard: Mapping[int, Row]) -> Report:
    """The report of a record."""
    tests = [Done(**each) for each in record["tests"]]
    lines = []
    for number, row in scorecard.items():
        mine = [each for each in tests if each.row == number]
        controls = [each for each in mine if each.control]
        real = [each for each in mine if not each.control]
        lines.append(Line(row, row.asked(record["mode"]), real, controls))
    return Report(record, lines)


def table(report: Report) -> Iterator[str]:
    """The lines of the table as they are printed."""
    yield f"{'row':24}{'asked':>7}{'done':>7}{'violations':>12}{'seconds':>9}  {'control':18}figures"
    for line in report.lines:
        if line.tests:
            name = f"{line.row.number:2} {line.row.name}"
            counts = f"{line.asked:7}{line.done:7}{len(line.violations):12}{line.seconds:9.1f}"
            yield f"{name:24}{counts}  {line.control:18}{line.figures}".rstrip()
    yield from ("", "Without a test:")
    for line in report.lines:
        if not line.tests:
            yield f"{line.row.number} {line.row.name}: {line.row.open or 'not in this run'}"


def page(report: Report, promised: Mapping[str, str]) -> Iterator[str]:
    """The lines of docs/reliability.md."""
    of, machine = report.of, report.of["machine"]
    yield from ("# What you can rely on", "")
    yield "Written by `make reliability`; edit `tests/reliability/*.toml`, and run it again."
    for name, text in promised.items():
        rows_of = [line for line in report.lines if name in line.row.promises]
        tested = ", ".join(
            f"{each.row.number} {each.row.name}{' (**broken in this run**)' * bool(each.violations)}"
            for each in rows_of
            if each.tests
        )
        untested = ", ".join(f"{each.row.number} {each.row.name}" for each in rows_of if not each.tests)
        yield from ("", f"- **{name}** {text}", f"  Checked by: {tested or 'nothing yet'}.")
        if untested:
            yield f"  Not checked in this run: {untested}."
    yield from ("", "## The scorecard", "")
    yield (
        f"The run of {of['date']} ({of['mode']} counts): {of['seconds'] / 60:.0f} minutes on {machine['cores']} cores, "
        f"Tidegate {machine['tidegate']}, Python {machine['python']}, SQLite {machine['sqlite']}, "
        f"ipykernel {machine['ipykernel']}, {machine['system']}. A control puts the fault in on purpose: the test must "
        "find it. A violation is a trial in which what must hold did not."
    )
    yield from ("", "| | row | fault | must hold | asked | done | violations | s | seed | control | at worst |")
    yield "|" + "---|" * 11
    for line in report.lines:
        if line.tests:
            row = line.row
            cells: list[object] = [row.number, row.name, row.fault, row.holds, line.asked, line.done]
            cells += [len(line.violations), f"{line.seconds:.0f}", line.seeds, line.control, line.figures]
            yield "| " + " | ".join(map(str, cells)) + " |"
    yield from ("", "## The tests of each row", "")
    for line in report.lines:
        if line.tests:
            yield f"- {line.row.number} {line.row.name}: {_places(line.tests)}"
            if line.controls:
                yield f"  Controls: {_places(line.controls)}"
    yield from ("", "## Without a test", "")
    for line in report.lines:
        if not line.tests:
            yield f"- {line.row.number} {line.row.name}: {line.row.fault} {line.row.open or 'Not in this run.'}"
    if report.problems():
        yield from ("", "## What this run found", "")
        yield from (f"- {told}" for told in report.problems())


def _places(tests: Sequence[Done]) -> str:
    return ", ".join(f"`{each}`" for each in dict.fromkeys(each.test.partition("[")[0] for each in tests)) + "."


def main(path: Path | None = None) -> int:
    """Print the table, write the page; 1 if something was found."""
    path = path or record_path(mode())
    if not path.exists():
        print(f"There is no record of a run: {path.relative_to(ROOT)}. Run `make reliability`.")
        return 1
    report = made(json.loads(path.read_text(encoding="utf-8")), rows())
    print("\n".join(table(report)))
    PAGE.write_text("\n".join(page(report, promises())) + "\n", encoding="utf-8")
    found = report.problems()
    if found:
        print("\n".join(["", *found]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
