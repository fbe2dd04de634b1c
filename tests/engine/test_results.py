"""Results of runs: which are saved, where, by what; what is said of those that are not; how they are read again."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import decimal
import gc
import io
import math
import operator
import os
import pathlib
import pickle
import random
import re
import socket
import subprocess
import sys
import threading
import tracemalloc
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import numpy as np
import pandas as pd
import pytest

from reliability.trials import Trials
from support.flows import edges, engine_over, flow, in_time, opened, task
from support.tampering import tampered
from tidegate import ConcurrentTaskRunner, CrashedRun, FailedRun, InvalidOption, MissingResult, Task, quote
from tidegate import saving as saving_module
from tidegate.cache_policies import INPUTS
from tidegate.engine import Engine
from tidegate.ports import EventStore
from tidegate.results import keeper
from tidegate.results.blob import is_saved, read_head, why_unsaved
from tidegate.results.serializers import JSONSerializer, PickleSerializer
from tidegate.results.signing import Signer
from tidegate.results.storage import key_of
from tidegate.settings import temporary_settings
from tidegate.store.sqlite import SQLiteStore

LARGE = 100_000
NOISE = random.Random(5).randbytes(LARGE)
"""Bytes that cannot be compressed."""


class Still:
    """A clock by which nothing takes any time."""

    def now(self) -> float:
        return 1000.0

    monotonic = now


class Shelf:
    """A storage that counts."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.reads = 0

    def write(self, data: bytes) -> str:
        self.held[key_of(data)] = data
        return key_of(data)

    def read(self, key: str) -> bytes:
        self.reads += 1
        try:
            return self.held[key]
        except KeyError:
            raise MissingResult("It is not on the shelf.") from None

    def delete(self, key: str) -> None:
        self.held.pop(key, None)

    def describe(self) -> str:
        return "a shelf"


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key of its own for each test; the folder of the settings that it lies in."""
    monkeypatch.setattr(saving_module, "_signer", Signer(tmp_path / "config" / "tidegate"))
    return tmp_path / "config"


@pytest.fixture
def disk(make_store: Callable[[str], EventStore]) -> Iterator[SQLiteStore]:
    """A store on disk, in use by an engine for which nothing takes any time."""
    store = make_store("sqlite")
    assert isinstance(store, SQLiteStore)
    with engine_over(store, clock=Still()):
        yield store


@task
def large(x: int = 0) -> bytes:
    """What "auto" does not save, for it takes no time to make."""
    return NOISE


def blob(store: EventStore, flow_run: int = 1, task_run: int = 1) -> bytes | None:
    row = store.task_run(flow_run, task_run)
    assert row is not None
    assert row.state.is_final()
    return row.result


def read(engine: Engine, flow_run: int = 1, task_run: int = 0) -> Any:
    """The result of a run by the record alone."""
    row = engine.store.task_run(flow_run, task_run) if task_run else engine.store.flow_run(flow_run)
    assert row is not None
    return engine.saving.recorded(row).result()


def only(called: Any, *args: Any, **options: Any) -> Any:
    """The state of one task run in a flow with these options."""

    @flow(final_state="raised", **options)
    def one() -> Any:
        return quote(called(*args, return_state=True))

    return one()


# ---- whether


POLICIES = [None, True, False, "auto"]
FEATURES = ["nothing", "cache", "memory off", "retries of the flow"]


@pytest.mark.conforms("B126", "B150", "B156", "B157")
@pytest.mark.parametrize("setting", [True, False, "auto"])
@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("explicit", POLICIES)
def test_when_the_result_of_a_task_is_saved(disk: SQLiteStore, explicit: Any, feature: str, setting: Any) -> None:
    options: dict[str, Any] = {"persist_result": explicit}
    if feature == "cache":
        options["cache_policy"] = INPUTS
    if feature == "memory off":
        options["cache_result_in_memory"] = False
    made = large.with_options(**options)
    with temporary_settings({"persist_result": setting}):
        only(made, retries=1 if feature == "retries of the flow" else 0)
    wanted = explicit if explicit is not None else True if feature != "nothing" else setting
    kept = blob(disk)
    assert is_saved(kept) == (wanted is True)
    if wanted is False:
        assert kept is None
    if wanted == "auto":
        assert kept is not None
        assert why_unsaved(kept) == (
            "making it again (0 s) is quicker than saving 100 kB; persist_result=True saves it"
        )


@pytest.mark.parametrize("of_task", POLICIES)
@pytest.mark.parametrize("of_subflow", POLICIES)
@pytest.mark.parametrize("of_flow", POLICIES)
def test_what_a_flow_says_holds_for_what_it_calls(
    disk: SQLiteStore, of_flow: Any, of_subflow: Any, of_task: Any
) -> None:
    made = large.with_options(persist_result=of_task)

    @flow(persist_result=of_subflow)
    def inner() -> bytes:
        made()
        return bytes(LARGE)

    @flow(persist_result=of_flow)
    def outer() -> bytes:
        inner()
        made()
        return bytes(LARGE)

    with temporary_settings({"persist_result": False}):
        outer()

    def says(*nearest_first: Any) -> bool:
        return next((each for each in nearest_first if each is not None), False) is True

    assert is_saved(blob(disk, 1, 2)) == says(of_task, of_flow)
    assert is_saved(blob(disk, 2, 1)) == says(of_task, of_subflow, of_flow)
    for number, wanted in ((1, says(of_flow)), (2, says(of_subflow, of_flow))):
        row = disk.flow_run(number)
        assert row is not None
        assert is_saved(row.result) == wanted


def test_a_flow_whose_own_result_is_not_in_memory_says_nothing_about_its_tasks(disk: SQLiteStore) -> None:
    @flow(cache_result_in_memory=False)
    def main() -> bytes:
        return large()  # type: ignore[no-any-return]

    with temporary_settings({"persist_result": False}):
        assert main() == NOISE
    assert blob(disk) is None
    row = disk.flow_run(1)
    assert row is not None
    assert is_saved(row.result)


def test_settings_hold_where_the_flow_is_called(disk: SQLiteStore, tmp_path: Path) -> None:
    @flow
    def main() -> None:
        large()

    def saved(number: int) -> bool:
        return is_saved(blob(disk, number))

    main()
    with temporary_settings({"persist_result": True, "results_storage": str(tmp_path / "there")}):
        main()
        with temporary_settings({"persist_result": False}):
            main()
        with temporary_settings({"default_serializer": "compressed/pickle"}):
            main()
        main()
    main()
    assert [saved(number) for number in range(1, 7)] == [False, True, False, True, True, False]
    kept = [path.read_bytes() for path in (tmp_path / "there").rglob("*") if path.is_file()]
    assert sorted(read_head(each).serializer for each in kept) == ["compressed/pickle", "pickle"]
    assert not (tmp_path / "home" / "results").exists()


def test_settings_that_cannot_be_are_refused_before_a_run_exists(stored: Engine) -> None:
    @flow
    def main() -> None: ...

    with (
        temporary_settings({"default_serializer": "pikle"}),
        pytest.raises(InvalidOption, match="no serializer 'pikle'"),
    ):
        main()
    assert stored.store.flow_runs() == []
    assert stored.live == {}
    main()
    assert len(stored.store.flow_runs()) == 1


@pytest.mark.conforms("B012", "B056")
def test_with_options_null_goes_back_and_other_values_override(disk: SQLiteStore, tmp_path: Path) -> None:
    every = {
        "persist_result": True,
        "result_storage": tmp_path / "there",
        "result_serializer": "json",
        "timeout_seconds": 5,
    }
    none: dict[str, Any] = dict.fromkeys(every)

    @flow(**every)
    def main() -> bytes:
        return large()  # type: ignore[no-any-return]

    zero = {**every, "timeout_seconds": 0}
    for plain, changes in ((main.with_options(**none), none), (main.with_options(timeout_seconds=0), zero)):
        assert {name: plain.options[name] for name in every} == changes
        assert plain.timeout_seconds is None
    assert main.with_options(name="other").options["persist_result"] is True
    main.with_options(**none)()
    assert not is_saved(blob(disk))  # as a flow that never said anything

    made = task(
        lambda x: x,
        name="made",
        retries=3,
        retry_delay_seconds=4,
        cache_key_fn=lambda context, arguments: "key",
        cache_expiration=10,
        refresh_cache=True,
        **every,
    )
    reset = made.with_options(
        retries=0, retry_delay_seconds=0, cache_key_fn=None, cache_expiration=None, refresh_cache=False, **none
    )
    assert (reset.policy.retries, reset.policy.delay(1, 0.5)) == (0, 0.0)
    assert reset.caching is None
    assert reset.timeout_seconds is None
    assert [reset.options[name] for name in every] == [None] * 4
    other = made.with_options(cache_key_fn=None, cache_policy=INPUTS, cache_expiration=20, persist_result="auto")
    assert (other.caching.policy, other.caching.expiration, other.caching.refresh) == (INPUTS, 20, True)
    assert other.options["persist_result"] == "auto"
    assert (made.policy.retries, made.caching.expiration) == (3, 10)


# ---- where and how


@pytest.mark.conforms("B158", "B193")
def test_storage_and_serializer_are_inherited(disk: SQLiteStore, tmp_path: Path) -> None:
    outer_place, inner_place, own_place = tmp_path / "outer", Shelf(), tmp_path / "own"
    started: list[str] = []

    class Runner(ConcurrentTaskRunner):
        def __init__(self, of: str) -> None:
            super().__init__()
            self.of = of

        def start(self) -> Any:
            started.append(self.of)
            return super().start()

    options: dict[str, Any] = {"persist_result": True}
    plain = large.with_options(**options)
    own = large.with_options(result_storage=str(own_place), result_serializer="compressed/pickle", **options)

    @flow
    def silent() -> None:
        plain()

    @flow(result_storage=inner_place, result_serializer=PickleSerializer("pickle"), task_runner=Runner("inner"))
    def inner() -> None:
        plain.submit()

    @flow(result_storage=outer_place, result_serializer="compressed/pickle", task_runner=Runner("outer"))
    def outer() -> None:
        plain()
        own()
        silent()
        inner()

    @flow
    def elsewhere() -> None:
        plain()

    outer()

    def files(folder: Path) -> list[bytes]:
        return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]

    def serializers(blobs: list[bytes]) -> list[str]:
        return sorted(read_head(each).serializer for each in blobs)

    assert serializers(files(outer_place)) == ["compressed/pickle"]  # equal values of two runs are one file
    assert serializers(files(own_place)) == ["compressed/pickle"]
    assert serializers(list(inner_place.held.values())) == ['pickle?{"picklelib":"pickle"}']
    assert started == ["outer", "inner"]  # `silent` has the usual one
    assert files(tmp_path / "home" / "results") == []
    elsewhere()
    assert serializers(files(tmp_path / "home" / "results")) == ["pickle"]


@pytest.mark.parametrize("given", ["json", JSONSerializer(), JSONSerializer], ids=["name", "object", "class"])
def test_a_serializer_by_name_object_or_class(stored: Engine, given: Any) -> None:
    @task(result_serializer=given)
    def work() -> dict[str, Any]:
        return {"a": [1]}

    state = only(work)
    assert state.result() == {"a": [1]}
    kept = blob(stored.store)
    assert kept is not None
    assert read_head(kept).serializer == "json"
    assert read(stored, 1, 1) == {"a": [1]}


@pytest.mark.parametrize("made", [task, flow])
@pytest.mark.parametrize(
    "options", [{"result_storage": 5}, {"result_serializer": 5}, {"result_serializer": "yaml"}, {"result_storage": str}]
)
def test_what_is_no_storage_or_serializer_is_refused_at_once(made: Any, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        made(lambda: None, name="x", **options)


@pytest.mark.parametrize("wrong", ["yes", 1, 0, "AUTO"])
def test_what_is_no_policy_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(Exception, match="persist_result of 'x' must be true, false or 'auto'"):
        task(lambda: None, name="x", persist_result=wrong)


# ---- in memory or not


@pytest.mark.conforms("B160", "B174")
def test_a_result_that_is_not_in_memory_is_read_each_time(stored: Engine) -> None:
    shelf = Shelf()
    alive: list[weakref.ref[Any]] = []

    @task(cache_result_in_memory=False, result_storage=shelf)
    def work() -> Any:
        made = np.zeros(LARGE)
        alive.append(weakref.ref(made))
        return made

    @task
    def after(x: Any) -> int:
        return len(x)

    @flow
    def main() -> None:
        future = work.submit()
        future.wait()
        state = work(return_state=True)
        gc.collect()
        assert [each() for each in alive] == [None, None]
        assert shelf.reads == 0  # neither to end nor to be linked
        one, two = state.result(), state.result()
        assert one is not two
        assert (one == two).all()
        assert shelf.reads == 2
        assert after(future) == LARGE
        assert shelf.reads == 3
        assert (future.result() == one).all()
        assert shelf.reads == 4

    main()
    assert edges(stored.store) == {(1, 3)}


@pytest.mark.conforms("B160")
def test_a_result_that_is_neither_saved_nor_in_memory_is_missing(stored: Engine) -> None:
    made = task(lambda x: x, name="made", cache_result_in_memory=False, persist_result=False)
    state = only(made, [1])
    assert state.is_completed()
    with pytest.raises(MissingResult, match="persist_result and cache_result_in_memory are both false"):
        state.result()
    assert only(made, None).result() is None  # nothing costs nothing


def test_a_result_that_cannot_be_saved_stays_in_memory(stored: Engine) -> None:
    """Or the flow could not go on."""
    lock = threading.Lock()
    made = task(lambda: lock, name="made", cache_result_in_memory=False)
    assert only(made).result() is lock


def test_a_flow_whose_result_is_not_in_memory(stored: Engine) -> None:
    @flow(cache_result_in_memory=False)
    def main() -> list[int]:
        return [1]

    assert main() == [1]
    state = main(return_state=True)
    assert state.result() == [1]
    assert state.result() is not state.result()


@pytest.mark.conforms("B164")
def test_a_result_in_memory_is_the_object_itself(stored: Engine) -> None:
    shelf = Shelf()
    made: list[Any] = []

    @task(persist_result=True, result_storage=shelf)
    def work() -> Any:
        made.append([bytes(LARGE)])
        return made[0]

    state = only(work)
    assert state.result() is state.result() is made[0]
    assert len(shelf.held) == 1
    assert shelf.reads == 0


def test_an_input_that_was_saved_and_is_gone_fails_the_run_that_needs_it(stored: Engine) -> None:
    shelf = Shelf()
    work = large.with_options(cache_result_in_memory=False, result_storage=shelf)
    after = task(lambda x: len(x), name="after")

    @flow
    def main() -> str:
        future = work.submit()
        future.wait()
        shelf.held.clear()
        state = after(future, return_state=True)
        with pytest.raises(MissingResult, match="not on the shelf"):
            state.result()
        return str(state.name)

    assert main() == "Failed"


@pytest.mark.conforms("B082")
def test_get_state_asks_the_store_and_does_not_wait(stored: Engine, gate: threading.Event) -> None:
    began = threading.Event()

    @task(concurrency=1)
    def work(x: int) -> list[int]:
        began.set()
        opened(gate)
        return [x]

    @flow
    def main() -> None:
        one, two = work.submit(1), work.submit(2)
        opened(began)
        stored.store.commit_all(())
        assert one.get_state().is_running()
        assert two.get_state().is_pending()
        gate.set()
        two.wait()
        one.wait()
        kept = one.get_state()
        assert str(kept) == "Completed()"
        assert kept.result() == one.result() == [1]
        assert kept.result() is not one.result()  # out of the store

    in_time(main)


# ---- exceptions


class Kind(Exception):
    """One that comes back as it was."""


@pytest.mark.conforms("B161")
def test_what_a_run_raised_is_saved(stored: Engine) -> None:
    @task(persist_result=True)
    def work() -> None:
        raise Kind("no", 5)

    @flow(persist_result=True)
    def main() -> None:
        work()

    assert main(return_state=True).is_failed()
    for task_run in (0, 1):
        with pytest.raises(Kind) as caught:
            read(stored, 1, task_run)
        assert caught.value.args == ("no", 5)


def test_what_was_raised_and_cannot_be_saved_is_told_by_its_message(stored: Engine) -> None:
    @task
    def work() -> None:
        raise Kind(threading.Lock())

    only(work)
    with pytest.raises(FailedRun, match=r"Kind: <unlocked _thread\.lock"):
        read(stored, 1, 1)
    kept = blob(stored.store)
    assert kept is not None
    assert "lock objects belong to one process" in why_unsaved(kept)


@pytest.mark.conforms("B222")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit(3), r"^Ended by SystemExit\(3\)\.$"),
        (KeyboardInterrupt(), r"^Stopped by an interrupt\.$"),
        (GeneratorExit(), "GeneratorExit"),
    ],
    ids=["exit", "interrupt", "other"],
)
def test_the_record_of_a_crash_raises_the_error_of_a_crash(stored: Engine, error: BaseException, message: str) -> None:
    """Whoever reads the record of an exit does not exit."""

    @task(persist_result=True)
    def work() -> None:
        raise error

    @flow(persist_result=True)
    def main() -> None:
        work()

    with suppress(BaseException):
        main()
    for task_run in (0, 1):
        with pytest.raises(CrashedRun, match=message):
            read(stored, 1, task_run)


def test_an_exception_that_was_tampered_with_is_not_loaded(disk: SQLiteStore, tmp_path: Path) -> None:
    @task
    def work() -> None:
        raise Kind("no")

    only(work)
    payload = pickle.dumps(Sings(tmp_path / "sang"))
    tampered(disk.path, "UPDATE task_run SET result = ?", b"TG1 - pickle\n" + payload)
    with engine_over(disk) as engine, pytest.raises(FailedRun, match="Kind: no"):
        read(engine, 1, 1)
    assert not (tmp_path / "sang").exists()
    pickle.loads(payload)
    assert (tmp_path / "sang").exists()  # control


class Sings:
    """Makes a folder when it is loaded."""

    def __init__(self, cage: Path) -> None:
        self.cage = cage

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.cage),)


# ---- in another process


FLOW = """
import decimal, random, sys
from tidegate import flow, task

class Point:
    def __init__(self, x): self.x = x

@task(persist_result=True)
def point(): return [Point(decimal.Decimal("0.5")), bytes(100_000)]

@task(result_serializer="compressed/json", result_storage=sys.argv[1], persist_result=True)
def large(): return random.Random(5).randbytes(100_000).hex()

@flow
def main():
    large()
    return point()[0]

main()
"""
READER = """
import random
from tidegate.engine import engine
saving, store = engine().saving, engine().store
a, (b, noise), c = [saving.recorded(row).result() for row in (*store.task_runs(1), store.flow_run(1))]
print(a == random.Random(5).randbytes(100_000).hex(), b.x, len(noise), c.x, type(c).__name__)
"""


@pytest.mark.conforms("B165")
def test_results_are_read_where_nothing_is_known_of_the_flow(tmp_path: Path, keys: Path) -> None:
    env = {**os.environ, "TIDEGATE_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(keys)}
    script = tmp_path / "script.py"
    script.write_text(FLOW)

    def run(*args: Any) -> str:
        done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(script, tmp_path / "elsewhere")
    assert any((tmp_path / "elsewhere").iterdir())
    script.unlink()
    assert run("-c", READER).split() == ["True", "0.5", "100000", "0.5", "Point"]


# ---- strange results


class Hostile:
    """Does not want to be looked at."""

    def refuse(self, *args: Any) -> Any:
        raise RuntimeError("leave me alone")

    __eq__ = __bool__ = __len__ = __iter__ = __hash__ = __contains__ = __getitem__ = refuse
    __repr__ = __str__ = __sizeof__ = __getattr__ = refuse


class Lies:
    """Is not what it says."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return dict


class Meta(type):
    """Of classes that cannot be told apart."""

    def __eq__(cls, other: object) -> bool:
        return True

    __hash__ = type.__hash__


def reducing(act: Callable[[], Any]) -> Any:
    return type("Reduces", (), {"__reduce__": lambda self: act()})()


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def in_itself() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def deep() -> list[Any]:
    made: list[Any] = []
    for _ in range(50_000):
        made = [made]
    return made


def endless() -> Iterator[int]:
    while True:
        yield 1


STRANGE: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "nan": lambda: math.nan,
    "huge int": lambda: 10**5000,
    "lone surrogate": lambda: "\ud800",
    "bytes": lambda: b"\0\xff",
    "memoryview": lambda: memoryview(b"abc"),
    "Ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "list in itself": in_itself,
    "very deep": deep,
    "generator": endless,
    "iterator": lambda: iter([1]),
    "lambda": lambda: lambda x: x,
    "class": lambda: type("Made", (), {}),
    "class of a strange kind": lambda: Meta("Made", (), {}),
    "object of a strange kind": lambda: Meta("Made", (), {})(),
    "module": lambda: math,
    "exception": lambda: ValueError("not raised"),
    "exit that is not raised": lambda: SystemExit(3),
    "hostile": Hostile,
    "lies": Lies,
    "mock": MagicMock,
    "mock of a dict": lambda: Mock(spec=dict),
    "array": lambda: np.arange(5.0),
    "array of objects": lambda: np.array([None, object()]),
    "frame": lambda: pd.DataFrame({"a": [1, None]}),
    "frame without anything": pd.DataFrame,
    "NaT": lambda: pd.NaT,
    "lock": threading.Lock,
    "thread": lambda: threading.Thread(target=print),
    "socket": socket.socket,
    "open file": lambda: open(os.devnull),  # noqa: PTH123, SIM115
    "frame of a call": sys._getframe,
    "code": lambda: in_itself.__code__,
    "context": contextvars.copy_context,
    "weak proxy": lambda: weakref.proxy(Still),
    "mapping proxy": lambda: types.MappingProxyType({"a": 1}),
    "time": lambda: datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
    "Decimal": lambda: decimal.Decimal("NaN"),
    "pattern": lambda: re.compile("a"),
    "path": lambda: pathlib.PurePosixPath("a"),
    "buffer": lambda: io.BytesIO(b"abc"),
    "operator": lambda: operator.itemgetter(1),
    "a task": lambda: large,
    "a flow": lambda: flow(lambda: None, name="inner"),
    "pickling raises": lambda: reducing(raising(ValueError("no\nway"))),
    "pickling leaves Python": lambda: reducing(raising(SystemExit(3))),
    "pickling has no memory": lambda: reducing(raising(MemoryError())),
    "pickling gives nonsense": lambda: reducing(lambda: 5),
}  # fmt: skip


def test_there_are_enough_strange_results() -> None:
    assert len(STRANGE) >= 30


@pytest.mark.parametrize("way", ["call", "submit", "async"])
@pytest.mark.parametrize("policy", ["auto", True])
@pytest.mark.scorecard(27)
def test_a_strange_result_completes_its_run_and_is_saved_or_says_why_not(
    stored: Engine, policy: Any, way: str, capsys: pytest.CaptureFixture[str], trials: Trials
) -> None:
    given: dict[str, Any] = {}
    got: dict[str, Any] = {}

    def make(name: str) -> Any:
        given[name] = STRANGE[name]()
        return given[name]

    async def make_async(name: str) -> Any:
        return make(name)

    after = task(lambda x: None, name="after")

    work = task(make_async if way == "async" else make, name="work", persist_result=policy)

    @flow(final_state="raised")
    def main() -> None:
        for name in STRANGE:
            future = work.submit(name) if way == "submit" else None
            got[name] = future.result() if future is not None else work(name)
        for name, each in got.items():
            after(None if name == "generator" else each)  # which would be drained for its items, and has no end

    in_time(main, 60)
    for each in given.values():
        if isinstance(each, (socket.socket, io.TextIOWrapper)):
            each.close()
    rows = [row for row in stored.store.task_runs(1) if row.task == "work"]
    assert [row.state.name for row in stored.store.task_runs(1) if row.task == "after"] == ["Completed"] * len(rows)
    assert [row.state.name for row in rows] == ["Completed"] * len(STRANGE)
    kept, unsaved = [], {}
    for name, row in zip(STRANGE, rows, strict=True):
        trials.did(1)
        assert got[name] is given[name]
        assert row.result is not None
        if is_saved(row.result):
            kept.append(name)
            with suppress(MissingResult):  # which is all that reading may raise
                stored.saving.recorded(row).result()
        else:
            unsaved[name] = why_unsaved(row.result)
            with pytest.raises(MissingResult, match=re.escape(f"The result was not saved: {unsaved[name]}.")):
                stored.saving.recorded(row).result()
    assert {"None", "lone surrogate", "lambda", "array", "frame", "exception", "list in itself"} <= set(kept)
    assert {"lock", "generator", "socket", "frame of a call", "pickling raises"} <= set(unsaved)
    assert all(0 < len(each) <= 200 and "\n" not in each for each in unsaved.values())


@pytest.mark.scorecard(27, control=True, case=True)
def test_control_a_result_that_is_not_saved_and_does_not_say_why_is_found(
    stored: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trials: Trials
) -> None:
    monkeypatch.setattr(keeper.ResultKeeper, "keep", lambda self, *given: keeper.Kept(None, ""))
    trials.did(1)
    with pytest.raises(AssertionError):
        test_a_strange_result_completes_its_run_and_is_saved_or_says_why_not(
            stored, True, "call", capsys, Trials(1, trials.seed)
        )
    trials.found(True)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()], ids=["interrupt", "cancel"])
@pytest.mark.parametrize("way", ["call", "submit"])
def test_an_interrupt_while_a_result_is_saved_ends_the_run(stored: Engine, error: BaseException, way: str) -> None:
    """And nobody waits for it for ever."""
    work = task(lambda: reducing(raising(error)), name="work")

    @flow
    def main() -> None:
        work() if way == "call" else work.submit().result()

    def call() -> Any:
        try:
            return main(return_state=True)
        except BaseException as raised:
            return raised

    ended = in_time(call)
    assert ended is not None
    (row,) = stored.store.task_runs(1)
    assert row.state.is_crashed()
    flow_row = stored.store.flow_run(1)
    assert flow_row is not None
    assert flow_row.state.is_final()


def test_the_result_of_a_flow_that_cannot_be_saved_says_why(stored: Engine) -> None:
    @flow
    def main() -> Any:
        return threading.Lock()

    main()
    with pytest.raises(MissingResult, match="lock objects belong to one process"):
        read(stored)


@pytest.mark.parametrize("name", STRANGE)
def test_a_flow_may_return_what_is_strange(stored: Engine, name: str) -> None:
    value = STRANGE[name]()
    main = flow(lambda: value, name="main", final_state="returned")
    state = main(return_state=True)
    assert state.name == "Completed"
    assert state.result() is value
    if isinstance(value, (socket.socket, io.TextIOWrapper)):
        value.close()


def test_a_large_result_is_not_copied_to_decide(disk: SQLiteStore) -> None:
    array = np.zeros(50_000_000, dtype=np.uint8)
    same: Task[[Any], Any] = task(lambda x: x, name="same")

    @flow
    def main() -> bool:
        return same(same(array)) is array

    tracemalloc.start()
    try:
        assert main()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    kept = blob(disk)
    assert kept is not None
    assert "quicker than saving 50 MB" in why_unsaved(kept)
