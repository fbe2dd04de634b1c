"""The pytest plugin: tests and notebooks whose tasks are replayed from cassettes.

It is loaded by every pytest of the environment, so it imports nothing of Tidegate before a test asks for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tidegate.replay import Replay

FIXTURE = "tidegate_cassette"
FOLDER = "cassettes"
MODES = ("none", "once", "new_episodes", "all")
_REPLAY = pytest.StashKey["Replay"]()
_VARIABLES = ("TIDEGATE_CASSETTE", "TIDEGATE_RECORD_MODE", "TIDEGATE_ALLOW_PICKLE")
_ODD = re.compile(r"[^\w.\[\]-]+")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--tidegate-record`` and ``--tidegate-allow-pickle``, also as ``tidegate_record`` of the configuration."""
    group = parser.getgroup("tidegate", "cassettes of Tidegate's flows")
    group.addoption(
        "--tidegate-record",
        choices=MODES,
        metavar="MODE",
        help="What becomes of cassettes: none (the default) only replays them, once records those that are not there, "
        "new_episodes also records what is not in them, all records them anew. With --nbval, notebooks take part, too.",
    )
    group.addoption(
        "--tidegate-allow-pickle",
        action="store_true",
        help="Cassettes may hold pickles. Loading one runs what is in it.",
    )
    parser.addini("tidegate_record", "The record mode where --tidegate-record does not say one.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{FIXTURE}(path, *, allow_pickle=False): flows of the test take the results of their tasks from a cassette, "
        f"by default {FOLDER}/MODULE/TEST.json beside the test",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """The marker asks for the fixture, before all others: these may run flows, too."""
    if isinstance(item, pytest.Function) and item.get_closest_marker(FIXTURE) and FIXTURE not in item.fixturenames:
        item.fixturenames.insert(0, FIXTURE)


@pytest.fixture
def tidegate_cassette(request: pytest.FixtureRequest) -> Iterator[Replay]:
    """The cassette of this test, in use; the record of its runs is forgotten with the test."""
    from tidegate.engine import Engine, using
    from tidegate.replay import replaying
    from tidegate.store.memory import MemoryStore

    item: Any = request.node
    marker = item.get_closest_marker(FIXTURE)
    given = Path(marker.args[0]) if marker is not None and marker.args else Path(FOLDER) / _name(item)
    pickles = request.config.getoption("--tidegate-allow-pickle") or (marker and marker.kwargs.get("allow_pickle"))
    mode: Any = _mode(request.config) or "none"
    with using(Engine(MemoryStore())), replaying(item.path.parent / given, mode, allow_pickle=bool(pickles)) as replay:
        item.stash[_REPLAY] = replay
        yield replay


def _name(item: Any) -> Path:
    """Which cassette a test has by default."""
    cls = item.getparent(pytest.Class)
    name = item.name if cls is None else f"{cls.name}.{item.name}"
    return Path(item.path.stem) / f"{_ODD.sub('-', name)}.json"


def _mode(config: pytest.Config) -> str:
    """The record mode that somebody chose; empty if nobody did."""
    mode = config.getoption("--tidegate-record") or str(config.getini("tidegate_record"))
    if mode and mode not in MODES:
        raise pytest.UsageError(f"tidegate_record must be one of {', '.join(MODES)}, not {mode!r}.")
    return mode


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test whose code has swallowed the error of a call that was not recorded fails all the same."""
    result = yield
    replay = item.stash.get(_REPLAY, None)
    if replay is not None:
        replay.check()
    return result


# Notebooks that nbval runs: the kernel is a process of its own, and hears of its cassette by its environment


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before the first cell of a notebook, whose kernel is about to be started."""
    mode = _mode(item.config) if type(item).__name__ == "IPyNbCell" else ""
    if not mode:
        return
    cassette = item.path.parent / FOLDER / f"{item.path.stem}.json"
    if mode == "none" and not cassette.exists():
        return  # it runs, as any test without a cassette
    pickles = str(item.config.getoption("--tidegate-allow-pickle")).lower()
    os.environ.update(zip(_VARIABLES, (str(cassette.absolute()), mode, pickles), strict=True))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What was set for a notebook is not for the next one."""
    if type(item).__name__ == "IPyNbCell" and (nextitem is None or nextitem.parent is not item.parent):
        for name in _VARIABLES:
            os.environ.pop(name, None)
