"""The mark `scorecard`, the fixture `trials`, and the record of a run of the scorecard, as JSON.

`TIDEGATE_RELIABILITY=ci` or `nightly` sets how often tests try, and where it is set a file tells what they did.
`TIDEGATE_TRIALS=n` has each test that is picked out by hand try n times, and `TIDEGATE_SEED` repeats what it tried.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import sqlite3
import sys
import zlib
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest

from .scorecard import VARIABLE, mode, rows
from .trials import Trials

ROOT = Path(__file__).resolve().parents[2]
TRIALS = pytest.StashKey[Trials]()
ROWS = rows()
SEED = "TIDEGATE_SEED"
COUNT = "TIDEGATE_TRIALS"
_DONE = "scorecard"


@dataclass
class Done:
    """What one test did for one row."""

    row: int
    test: str
    control: bool
    asked: int
    done: int = 0
    violations: list[str] = field(default_factory=list)
    caught: int | None = None
    seed: int | None = None
    figures: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    outcome: str = ""


def record_path(of: str) -> Path:
    """Where a run of this mode tells what it did."""
    return ROOT / ".work" / "reliability" / f"{of}.json"


def share(mark: pytest.Mark, of: str) -> int:
    """How many trials a test with this mark makes in this mode.

    `parts` tests share the count of the row; a control is tried as often as row 2 is; a `case` is tried once.
    """
    (number,) = mark.args
    if mark.kwargs.get("case"):
        return 1
    parts: int = mark.kwargs.get("parts", 1)
    asked = ROWS[2 if mark.kwargs.get("control") else number].asked(of)
    return -(-asked // parts)


def seed_of(test: str) -> int:
    """The seed of a test: its own, unless the environment says which."""
    return int(os.environ.get(SEED, zlib.crc32(test.encode())))


class Scorecard:
    """Makes the record of one run of pytest."""

    def __init__(self) -> None:
        self.records: list[Done] = []
        self.begun = datetime.datetime.now(datetime.UTC)
        if mode() == "nightly" and SEED not in os.environ:
            os.environ[SEED] = str(random.SystemRandom().randrange(2**32))  # each night tries something else

    @pytest.fixture
    def trials(self, request: pytest.FixtureRequest) -> Trials:
        """The trials of a test that carries the mark `scorecard`: as many as its row asks for."""
        marks = list(request.node.iter_markers("scorecard"))
        assert marks, "only tests with the mark `scorecard` have trials"
        test = request.node.nodeid.rpartition("/")[2]
        count = max(share(each, mode()) for each in marks)
        if not any(set(each.kwargs) & {"control", "case"} for each in marks):
            count = int(os.environ.get(COUNT, count))
        if not count:
            pytest.skip(f"Not tried here: it takes long. {COUNT}=1 tries it once.")
        made = Trials(count, seed_of(test))
        print(f"{test}: {made.count} trials, {SEED}={made.seed}")
        request.node.stash[TRIALS] = made
        return made

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """A mark that names no row is a mistake, and would count for nothing."""
        for item in items:
            for mark in item.iter_markers("scorecard"):
                if len(mark.args) != 1 or mark.args[0] not in ROWS or set(mark.kwargs) - {"parts", "control", "case"}:
                    raise pytest.UsageError(f"{item.nodeid}: `scorecard` takes the number of a row, not {mark.args}.")

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """A test whose trials had violations has failed."""
        result = yield
        made = pyfuncitem.stash.get(TRIALS, None)
        if made is not None and made.violations:
            pytest.fail(f"{len(made.violations)} violations, seed {made.seed}:\n" + "\n".join(made.violations))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note what a test of the scorecard did, in its report: it may be another process that makes the record."""
        report = yield
        if call.when == "call" or report.outcome != "passed":
            done = [asdict(_done(item, mark, report, call)) for mark in item.iter_markers("scorecard")]
            report.user_properties.append((_DONE, done))
        return report

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hear what a test did."""
        for name, done in report.user_properties:
            if name == _DONE:
                self.records.extend(Done(**each) for each in cast("list[dict[str, Any]]", done))

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the record, where a run of the scorecard was asked for, to what a run just before it has left there."""
        if not os.environ.get(VARIABLE) or hasattr(session.config, "workerinput"):
            return
        path = record_path(mode())
        path.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        seconds = (datetime.datetime.now(datetime.UTC) - self.begun).total_seconds() + before.get("seconds", 0.0)
        begun = before.get("date", self.begun.isoformat(timespec="minutes"))
        tests = [*before.get("tests", ()), *(asdict(each) for each in self.records)]
        tests = list({(each["test"], each["row"]): each for each in tests}.values())  # what was tried again counts once
        record = {"mode": mode(), "date": begun, "seconds": round(seconds, 1), "machine": machine(), "tests": tests}
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _done(item: pytest.Item, mark: pytest.Mark, report: pytest.TestReport, call: pytest.CallInfo[None]) -> Done:
    (number,) = mark.args
    asked = share(mark, mode())
    made = Done(number, item.nodeid, bool(mark.kwargs.get("control")), asked, outcome=report.outcome)
    made.seconds = round(report.duration, 2)
    found = item.stash.get(TRIALS, None)
    if found is not None:
        made.done, made.violations, made.caught = found.done, list(found.violations), found.caught
        made.seed, made.figures = found.seed, {name: round(each, 3) for name, each in found.figures.items()}
    elif report.passed:
        made.done = 1
    if hasattr(report, "wasxfail"):  # a violation that is known is one all the same
        made.outcome, made.violations = "known", [f"known: {report.wasxfail.removeprefix('reason: ')}"]
    if report.failed and not made.violations and call.excinfo is not None:
        made.violations = [call.excinfo.exconly().splitlines()[0]]
    return made


def machine() -> dict[str, str]:
    """What the run was made on."""
    names = ("tidegate", "ipykernel", "pytest")
    return {
        "python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "system": sys.platform,
        "cores": str(len(os.sched_getaffinity(0))), **{each: metadata.version(each) for each in names},
    }  # fmt: skip
