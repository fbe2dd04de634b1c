"""A store that has grown large loses its oldest runs by itself."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.test_retention import DAY, NOW, a_run, numbers
from tidegate import housekeeping, retention
from tidegate.settings import Settings
from tidegate.store.sqlite import SQLiteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "home" / "store.db")
    for days in (50, 40, 20, 10, 0):
        a_run(made, days)
    yield made
    made.close()


def test_the_oldest_go_until_it_is_small_enough(store: SQLiteStore, caplog: pytest.LogCaptureFixture) -> None:
    limits = Settings(retention_size=retention.size_of(store) - 100)
    with caplog.at_level(logging.INFO, "tidegate"):
        assert housekeeping.tidy(store, limits, NOW) is not None
    assert numbers(store) == [2, 3, 4, 5]
    assert "Deleted: 1 flow run that ended more than 30 days ago" in caplog.text


def test_what_is_younger_stays_whatever_it_takes(store: SQLiteStore) -> None:
    housekeeping.tidy(store, Settings(retention_size=1), NOW)
    assert numbers(store) == [3, 4, 5]
    housekeeping.tidy(store, Settings(retention_size=1), NOW)
    assert numbers(store) == [3, 4, 5]
    housekeeping.tidy(store, Settings(retention_size=1), NOW + 15 * DAY)
    assert numbers(store) == [4, 5]


@pytest.mark.parametrize("limits", [{}, {"retention_size": "", "retention_days": 0}, {"retention_size": "1TB"}])
def test_a_small_store_keeps_everything(store: SQLiteStore, limits: dict[str, object]) -> None:
    assert housekeeping.tidy(store, Settings(**limits), NOW + 1000 * DAY) is None
    assert numbers(store) == [1, 2, 3, 4, 5]


SCRIPT = """
import sys, threading
from tidegate import flow, housekeeping
from tidegate.engine import engine
housekeeping.FIRST, tidied, tidy = 0.0, threading.Event(), housekeeping.tidy

def tidy_and_tell(*arguments):
    tidy(*arguments)
    tidied.set()

housekeeping.tidy = tidy_and_tell

@flow
def kept():
    return 1

kept()
if sys.argv[1] == "waits":
    assert tidied.wait(30)
else:
    assert [each for each in threading.enumerate() if each.name == "tidegate-housekeeping"] == []
print([row.number for row in engine().store.flow_runs()][::-1])
"""


def test_a_process_looks_after_its_store(store: SQLiteStore) -> None:
    store.close()
    environment = {"TIDEGATE_HOME": str(store.path.parent), "TIDEGATE_RETENTION_SIZE": "1"}
    never = {"TIDEGATE_RETENTION_SIZE": ""}
    for more, what, left in ((never, "never", "[1, 2, 3, 4, 5, 6]"), ({}, "waits", "[6, 7]")):
        command = [sys.executable, "-c", SCRIPT, what]
        told = subprocess.run(command, env=environment | more, capture_output=True, text=True, timeout=60, check=False)
        assert (told.stdout.strip(), told.returncode) == (left, 0), told.stderr
    assert time.time() > NOW + 60 * DAY, "the runs above are old by now"
