"""Makes `support` and the repository's own helpers importable, whatever folder the tests are started from."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# The key that signs results, and profiles, are the user's: tests have their own.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="tidegate-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)

TESTS = Path(__file__).resolve().parent

# In front of neither: nothing here may hide what is installed.
sys.path.extend(str(path) for path in (TESTS, TESTS.parent) if str(path) not in sys.path)

# Without the phase that explains failures: it traces every line, and Python 3.11 can spin for ever in one once
# an interrupt was raised in one of the many threads that other tests of the same process interrupt.
settings.register_profile("tidegate", phases=[each for each in Phase if each is not Phase.explain])
settings.load_profile("tidegate")


def pytest_configure(config: pytest.Config) -> None:
    """The mark `scorecard` and the fixture `trials`; failures are named at once."""
    from reliability.plugin import Scorecard

    config.pluginmanager.register(Scorecard(), "scorecard")
    config.pluginmanager.register(FailuresAtOnce(config), "failures at once")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has printed goes from one process to another, which takes no half of a surrogate pair."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


class FailuresAtOnce:
    """Names each failure as it happens: a run that is ended before its summary has told which they were."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test has ended."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")  # none in the processes that xdist starts
        if report.failed and isinstance(terminal, pytest.TerminalReporter):
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = crash.message if crash else report.longreprtext.rstrip().rpartition("\n")[2]
            first, _, _ = reason.partition("\n")
            terminal.write_line(f"\nFAILED {report.nodeid} ({report.when}, {report.duration:.0f} s): {first}")
