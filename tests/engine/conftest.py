"""An engine of its own for every test, over each store."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.flows import Feed, Start, Started, engine_over
from support.ray_instance import nothing_left_of_ray
from tidegate import logs, run_logs
from tidegate.engine import Engine
from tidegate.ports import EventStore
from tidegate.settings import read_settings
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore

BOTH = ("memory", "sqlite")


@pytest.fixture(scope="module", autouse=True)
def modules_by_themselves() -> Iterator[None]:
    """No module finds what another one has left."""
    with nothing_left_of_ray():
        yield


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[[str], EventStore]]:
    """Makes stores by kind and closes them."""
    made: list[EventStore] = []

    def make(kind: str) -> EventStore:
        store: EventStore = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "home" / "store.db")
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], EventStore]) -> EventStore:
    """Each store in turn."""
    return make_store(request.param)


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine over a memory store, in use."""
    with engine_over(MemoryStore()) as made:
        yield made


@pytest.fixture
def stored(store: EventStore) -> Iterator[Engine]:
    """An engine over each store in turn, in use."""
    with engine_over(store) as made:
        yield made


@pytest.fixture
def feed(request: pytest.FixtureRequest) -> Feed:
    """What is shown of the runs of the test's engine."""
    name = "stored" if "stored" in request.fixturenames else "engine"
    return Feed(request.getfixturevalue(name))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What is set in it holds at once, although a process reads its settings once."""
    for module in (logs, run_logs):
        monkeypatch.setattr(module, "settings", read_settings)
    return monkeypatch


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """An event that bodies may wait for; opened at the end at the latest, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def start(feed: Feed) -> Start:
    """Starts a flow on a thread of its own."""
    return lambda call: Started(feed, call)


@pytest.fixture
def hectic() -> Iterator[None]:
    """Threads change places as often as they can, so that narrow races are met."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
