"""Keeping results: saved as they were, or the reason why not; never an exception of the value's own."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import io
import json
import logging
import math
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest

from support.flows import SOON
from tidegate.errors import MissingResult, StoreError, UntrustedResult
from tidegate.results import keeper as keeper_module
from tidegate.results.blob import read_head
from tidegate.results.keeper import Kept, Policy, ResultKeeper
from tidegate.results.serializers import JSONSerializer, PickleSerializer
from tidegate.results.signing import Signer
from tidegate.results.storage import FileStorage, ResultStorage

LARGE = 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path / "keys")


@pytest.fixture
def keeper(folder: Path, signer: Signer) -> ResultKeeper:
    return ResultKeeper(lambda: FileStorage(folder), signer)


def saved(kept: Kept) -> bytes:
    assert kept.reason == ""
    assert kept.blob is not None
    return kept.blob


def reason(kept: Kept) -> str:
    assert kept.blob is None
    assert 0 < len(kept.reason) <= 200
    assert "\n" not in kept.reason
    return kept.reason


# ---- kinds of value


class Colour(enum.Enum):
    RED = "red"


class Mode(enum.IntFlag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Tight:
    left: int


class Model(pydantic.BaseModel):
    name: str
    parts: list[Pair]


class Plain:
    def __init__(self) -> None:
        self.x = [1]


class Countdown:
    def __init__(self, left: int) -> None:
        self.left = left

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left + 1


Row = collections.namedtuple("Row", "a b")


class Reduces:
    """Does something when it is pickled."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act

    def __reduce__(self) -> Any:
        return self._act()


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("and this one cannot be told")


def fail(error: BaseException) -> Callable[[], Any]:
    def act() -> Any:
        raise error

    return act


def holds_itself() -> list[Any]:
    made: list[Any] = [1]
    made.append(made)
    return made


def deep(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


def numbers() -> Iterator[int]:
    yield 1


Check = Callable[[Any], Any]
SAVED: dict[str, tuple[Callable[[], Any], Check]] = {
    "None": (lambda: None, lambda x: x is None),
    "nan": (lambda: math.nan, lambda x: type(x) is float and x != x),
    "-inf": (lambda: -math.inf, lambda x: x == -math.inf),
    "huge int": (lambda: 10**5000, lambda x: x == 10**5000),
    "huge str": (lambda: "\u00e9\ud800" * 1_000_000, lambda x: x == "\u00e9\ud800" * 1_000_000),
    "bytes": (lambda: b"\n\0", lambda x: x == b"\n\0"),
    "tuple": (lambda: (1, (2,)), lambda x: x == (1, (2,)) and type(x) is tuple),
    "keys that are no text": (lambda: {1: 2, None: (3,)}, lambda x: x == {1: 2, None: (3,)}),
    "list in itself": (holds_itself, lambda x: x[1] is x and x[0] == 1),
    "lambda": (lambda: lambda x: x + 1, lambda x: x(1) == 2),
    "closure": (lambda: (lambda y: lambda x: x + y)(5), lambda x: x(1) == 6),
    "array": (lambda: np.arange(6.0).reshape(2, 3), lambda x: (x == np.arange(6.0).reshape(2, 3)).all()),
    "array of nan": (lambda: np.array([np.nan, 1]), lambda x: np.isnan(x[0]) and x[1] == 1),
    "number of numpy": (lambda: np.float32(0.1), lambda x: x == np.float32(0.1) and type(x) is np.float32),
    "frame": (lambda: pd.DataFrame({"a": [1, None]}), lambda x: list(x.columns) == ["a"] and x.a.isna()[1]),
    "exception": (lambda: ValueError("a", 5), lambda x: type(x) is ValueError and x.args == ("a", 5)),
    "exception class": (lambda: ValueError, lambda x: x is ValueError),
    "enum": (lambda: Colour.RED, lambda x: x is Colour.RED),
    "flags": (lambda: Mode.READ | Mode.WRITE, lambda x: x == Mode(3) and type(x) is Mode),
    "dataclass": (lambda: Pair(1, Pair(2, None)), lambda x: x == Pair(1, Pair(2, None))),
    "slots": (lambda: Tight(5), lambda x: x == Tight(5)),
    "model": (lambda: Model(name="a", parts=[Pair(1, 2)]), lambda x: type(x) is Model and x.parts == [Pair(1, 2)]),
    "object": (Plain, lambda x: type(x) is Plain and x.x == [1]),
    "namedtuple": (lambda: Row(1, 2), lambda x: type(x) is Row and x.b == 2),
    "Decimal": (lambda: decimal.Decimal("0.10"), lambda x: str(x) == "0.10"),
    "time": (lambda: datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), lambda x: x.tzinfo is datetime.UTC),
    "uuid": (lambda: uuid.UUID(int=5), lambda x: x == uuid.UUID(int=5)),
    "path": (lambda: pathlib.PurePosixPath("a/b"), lambda x: str(x) == "a/b"),
    "pattern": (lambda: re.compile("a+"), lambda x: x.match("aa")),
    "random": (lambda: random.Random(5), lambda x: x.random() == random.Random(5).random()),
    "module": (lambda: math, lambda x: x is math),
    "logger": (lambda: logging.getLogger("a.b"), lambda x: x is logging.getLogger("a.b")),
    "class of a cell": (lambda: type("Made", (), {"x": 5}), lambda x: x.x == 5),
    "Ellipsis": (lambda: ..., lambda x: x is ...),
    "defaultdict": (lambda: collections.defaultdict(list, a=[1]), lambda x: x["b"] == [] and x["a"] == [1]),
    "iterator of a class": (lambda: Countdown(3), lambda x: list(x) == [3, 2, 1]),
    "image in memory": (lambda: io.BytesIO(b"abc"), lambda x: x.read() == b"abc"),
    "text buffer": (lambda: io.StringIO("abc"), lambda x: x.getvalue() == "abc"),
}  # fmt: skip
NOT_SAVED: dict[str, tuple[Callable[[], Any], str]] = {
    "lock": (threading.Lock, "cannot be pickled: lock objects belong to one process"),
    "lock in an object": (lambda: Pair(1, {"deep": [threading.RLock()]}), "RLock objects belong to one process"),
    "socket": (socket.socket, "socket objects belong to one process"),
    "thread": (lambda: threading.Thread(target=print), "cannot be pickled"),
    "generator": (numbers, "a generator can be run only once"),
    "generator in a list": (lambda: [numbers()], "generator objects belong to one process"),
    "iterator": (lambda: iter([1]), "an iterator can be read only once"),
    "open file": (lambda: open(os.devnull), "an iterator can be read only once"),  # noqa: PTH123, SIM115
    "open file in a dict": (lambda: {"log": open(os.devnull)}, "TextIOWrapper objects belong to one process"),  # noqa: PTH123, SIM115
    "event loop": (asyncio.new_event_loop, "cannot be pickled"),
    "weak reference": (lambda: weakref.ref(Plain), "objects belong to one process"),
    "frame of a call": (lambda: sys._getframe(), "frame objects belong to one process"),
    "too deep": (lambda: deep(100_000), "nested too deeply"),
    "raises": (lambda: Reduces(fail(ValueError("no\nway"))), "cannot be pickled: ValueError: no"),
    "raises at length": (lambda: Reduces(fail(ValueError("no" * 10_000))), "..."),
    "raises what cannot be told": (lambda: Reduces(fail(Mute())), "cannot be pickled: Mute"),
    "no memory": (lambda: Reduces(fail(MemoryError())), "not enough memory"),
    "recursion": (lambda: Reduces(fail(RecursionError())), "nested too deeply"),
    "leaves Python": (lambda: Reduces(fail(SystemExit(3))), "cannot be pickled: SystemExit: 3"),
    "nonsense": (lambda: Reduces(lambda: 5), "cannot be pickled"),
}


def test_there_are_enough_kinds() -> None:
    assert len(SAVED) >= 30
    assert len(NOT_SAVED) >= 15


@pytest.mark.parametrize("policy", ["auto", True])
@pytest.mark.parametrize("name", SAVED)
def test_a_value_comes_back_as_it_was(keeper: ResultKeeper, name: str, policy: Policy) -> None:
    make, check = SAVED[name]
    value = make()
    blob = saved(keeper.keep(value, 60.0, policy))
    assert len(blob) < 70_000
    assert check(keeper.load(blob))
    assert check(keeper.load(blob)), "it can be loaded only once"


@pytest.mark.parametrize("policy", ["auto", True])
@pytest.mark.parametrize("name", NOT_SAVED)
def test_what_cannot_be_saved_says_why(keeper: ResultKeeper, folder: Path, name: str, policy: Policy) -> None:
    make, why = NOT_SAVED[name]
    value = make()
    try:
        assert why in reason(keeper.keep(value, 60.0, policy))
    finally:
        for each in [value, *(value.values() if isinstance(value, dict) else ())]:
            if hasattr(each, "close"):
                each.close()
    assert not folder.exists()


def test_what_was_not_saved_is_unharmed(keeper: ResultKeeper) -> None:
    generator = (x for x in [1, 2])
    reason(keeper.keep(generator, 60.0, True))
    assert list(generator) == [1, 2]


def test_nothing_is_saved_where_saving_is_off(keeper: ResultKeeper) -> None:
    assert "turned off" in reason(keeper.keep(5, 60.0, False))


def test_an_interrupt_is_not_a_reason(keeper: ResultKeeper) -> None:
    """It is for the run, and so is a cancel; the keeper works on after it."""
    for stop in (KeyboardInterrupt, asyncio.CancelledError):
        with pytest.raises(stop):
            keeper.keep(Reduces(fail(stop())), 1.0, True)
    assert keeper.load(saved(keeper.keep([1], 1.0, True))) == [1]


# ---- at this moment


@pytest.mark.parametrize("size", [3, LARGE])
def test_what_happens_to_a_value_later_is_not_saved(keeper: ResultKeeper, size: int) -> None:
    value: dict[str, Any] = {"list": list(range(size)), "array": np.zeros(3), "pair": Pair(1, [2])}
    blob = saved(keeper.keep(value, 60.0, True))
    value["list"].clear()
    value["array"][:] = 5
    value["pair"].right.append(3)
    value["new"] = 1
    loaded = keeper.load(blob)
    assert list(loaded) == ["list", "array", "pair"]
    assert loaded["list"] == list(range(size))
    assert (loaded["array"] == 0).all()
    assert loaded["pair"] == Pair(1, [2])
    loaded["list"].clear()
    assert keeper.load(blob)["list"] == list(range(size)), "two readers share it"


# ---- where


@pytest.mark.conforms("B154", "B155")
def test_short_results_are_inline_and_large_ones_are_referred_to(keeper: ResultKeeper, folder: Path) -> None:
    """Null and booleans are literals in the blob itself; what is too large for a row lies in the storage."""
    for value, literal in ((None, b"null"), (True, b"true"), (False, b"false")):
        blob = saved(keeper.keep(value, 0.0, "auto"))
        assert blob == b"TG1 - json\n" + literal
        assert keeper.load(blob) is value
    assert not folder.exists()
    large = bytes(range(256)) * 4000
    blob = saved(keeper.keep(large, 0.0, True))
    assert len(blob) < 1000
    head = read_head(blob)
    told = json.loads(blob[head.end :])
    assert head.serializer == "reference"
    assert told["serializer"] == "pickle"
    assert told["storage"] == str(folder)
    assert re.fullmatch("[0-9a-f]{64}", told["key"])
    (file,) = [path for path in folder.rglob("*") if path.is_file()]
    assert file.name == told["key"]
    assert told["size"] == file.stat().st_size > len(large)
    assert keeper.load(blob) == large


def test_the_line_between_short_and_large_is_64_kb(keeper: ResultKeeper, folder: Path) -> None:
    for policy in ("auto", True):
        assert keeper.load(saved(keeper.keep(b"x" * 65_000, 0.0, policy))) == b"x" * 65_000
        assert not folder.exists()
    assert "quicker" in reason(keeper.keep(b"x" * 66_000, 0.0, "auto"))
    saved(keeper.keep(b"x" * 66_000, 0.0, True))
    assert folder.exists()


def test_equal_large_results_are_one_file(keeper: ResultKeeper, folder: Path) -> None:
    first, second = (saved(keeper.keep(b"x" * LARGE, 60.0, True, context=name)) for name in ("run 1", "run 2"))
    assert first != second
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1
    assert keeper.load(first, "run 1") == keeper.load(second, "run 2") == b"x" * LARGE


def test_the_storage_is_made_once_and_only_if_needed(folder: Path, signer: Signer) -> None:
    made: list[ResultStorage] = []

    def make() -> ResultStorage:
        made.append(FileStorage(folder))
        return made[-1]

    keeper = ResultKeeper(make, signer)
    keeper.load(saved(keeper.keep([1], 60.0, "auto")))
    reason(keeper.keep(np.ones(LARGE), 0.0, "auto"))
    assert made == []
    for _ in range(3):
        keeper.load(saved(keeper.keep(np.ones(LARGE), 60.0, True)))
    assert len(made) == 1


@pytest.mark.usefixtures("hectic")
def test_threads_may_keep_at_once(folder: Path, signer: Signer) -> None:
    keeper = ResultKeeper(lambda: FileStorage(folder), signer)
    wrong: list[Any] = []
    together = threading.Barrier(6)

    def keep(number: int) -> None:
        together.wait(SOON)
        for at in range(10):
            for value in (number, [number, at], bytes([number, at]) * LARGE):
                kept = keeper.keep(value, 60.0, True)
                if kept.blob is None or keeper.load(kept.blob) != value:
                    wrong.append((number, at, kept.reason))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert wrong == []


# ---- whether


def test_a_large_result_is_saved_if_it_took_longer_than_that(
    keeper: ResultKeeper, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "measured_speed", lambda folder: 100e6)
    array = np.ones(10_000_000 // 8)
    told = reason(keeper.keep(array, 0.05, "auto"))
    assert told == "making it again (0.05 s) is quicker than saving 10 MB; persist_result=True saves it"
    assert not folder.exists()
    assert (keeper.load(saved(keeper.keep(array, 0.2, "auto"))) == 1).all()
    assert (keeper.load(saved(keeper.keep(array, 0.0, True))) == 1).all()


def test_a_quick_large_result_is_neither_pickled_nor_measured(
    keeper: ResultKeeper, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "measured_speed", lambda folder: pytest.fail("measured"))
    monkeypatch.setattr(PickleSerializer, "dumps", lambda *_: pytest.fail("pickled"))
    assert "100 MB" in reason(keeper.keep(np.ones(100_000_000 // 8), 0.0, "auto"))
    assert not folder.exists()


def test_a_size_that_was_misjudged_is_judged_again(keeper: ResultKeeper, folder: Path) -> None:
    told = reason(keeper.keep(Reduces(lambda: (bytes, (b"x" * 10_000_000,))), 0.0, "auto"))
    assert "10 MB" in told
    assert not folder.exists()


# ---- what can go wrong


class Broken:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def write(self, data: bytes) -> str:
        raise self._error

    def read(self, key: str) -> bytes:
        raise self._error

    def delete(self, key: str) -> None:
        raise self._error

    def describe(self) -> str:
        return "nowhere"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (StoreError("The result cannot be saved in x (No space left on device)."), "No space left on device"),
        (ConnectionError("no\nroute"), "cannot be saved: ConnectionError: no"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_a_storage_that_fails_is_a_reason(signer: Signer, error: Exception, why: str) -> None:
    keeper = ResultKeeper(lambda: Broken(error), signer)
    assert why in reason(keeper.keep(b"x" * LARGE, 60.0, "auto"))
    assert keeper.load(saved(keeper.keep(5, 60.0, "auto"))) == 5
    tried: list[int] = []

    def refuse() -> ResultStorage:
        tried.append(1)
        raise error

    refusing = ResultKeeper(refuse, signer)
    for _ in range(2):
        assert why in reason(refusing.keep(b"x" * LARGE, 60.0, True))
    assert len(tried) == 2, "it may be there the next time"


def test_a_key_that_cannot_be_used_is_a_reason(keeper: ResultKeeper, signer: Signer, folder: Path) -> None:
    signer.path.parent.mkdir()
    signer.path.write_bytes(b"short")
    signer.path.chmod(0o600)
    assert "is damaged" in reason(keeper.keep([1], 60.0, "auto"))
    assert keeper.load(saved(keeper.keep(1, 60.0, "auto"))) == 1


def test_a_large_result_that_is_gone_or_damaged_is_missing(keeper: ResultKeeper, folder: Path) -> None:
    blob = saved(keeper.keep(b"x" * LARGE, 60.0, True))
    (file,) = [path for path in folder.rglob("*") if path.is_file()]
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"!")
    with pytest.raises(MissingResult, match="is damaged"):
        keeper.load(blob)
    file.unlink()
    with pytest.raises(MissingResult, match="is gone"):
        keeper.load(blob)
    file.write_bytes(data)
    assert keeper.load(blob) == b"x" * LARGE


def test_a_storage_that_cannot_be_reached_makes_a_result_missing(
    keeper: ResultKeeper, signer: Signer, folder: Path
) -> None:
    blob = saved(keeper.keep(b"x" * LARGE, 60.0, True))
    elsewhere = ResultKeeper(lambda: Broken(StoreError("The bucket is closed.")), signer)
    assert elsewhere.load(blob) == b"x" * LARGE  # the reference says where it lies
    shutil.rmtree(folder)
    with pytest.raises(MissingResult, match=r"cannot be fetched: The bucket is closed\."):
        elsewhere.load(blob)


def test_results_cannot_be_swapped(keeper: ResultKeeper, folder: Path, tmp_path: Path) -> None:
    """Neither the blob of one run for that of another, nor the key within a reference."""
    a = b = b""
    for first, second in (([1], [2]), (b"1" * LARGE, b"2" * LARGE)):
        a, b = (saved(keeper.keep(value, 60.0, True, context=name)) for value, name in ((first, "a"), (second, "b")))
        assert keeper.load(a, "a") == first
        for blob, context in ((a, "b"), (b, "a"), (a, "")):
            with pytest.raises(UntrustedResult):
                keeper.load(blob, context)
    head, other = read_head(a), json.loads(b[read_head(b).end :])
    swapped = a[: head.end] + json.dumps(other, separators=(",", ":")).encode()
    with pytest.raises(UntrustedResult):
        keeper.load(swapped, "a")
    assert keeper.load(a, "a") == b"1" * LARGE
    stranger = ResultKeeper(lambda: FileStorage(folder), Signer(tmp_path / "another user's keys"))
    with pytest.raises(UntrustedResult):
        stranger.load(a, "a")
    assert stranger.load(a, "a", allow_untrusted=True) == b"1" * LARGE


# ---- exceptions


class Kind(Exception):
    def __init__(self, code: int, *, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Two(Exception):
    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")


class Good(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@pytest.mark.conforms("B161")
def test_exceptions_are_results_too(keeper: ResultKeeper, folder: Path) -> None:
    """Saved when saving is on, with what their own class adds; large ones in the storage."""
    error = Good(5)
    error.add_note("seen on a Monday")
    loaded = keeper.load(saved(keeper.keep(error, 0.0, "auto")))
    assert type(loaded) is Good
    assert (loaded.args, loaded.code, loaded.__notes__) == ((5,), 5, ["seen on a Monday"])
    for kind in (KeyError("x"), SystemExit(3), KeyboardInterrupt(), ExceptionGroup("many", [Good(1)])):
        assert repr(keeper.load(saved(keeper.keep(kind, 0.0, True)))) == repr(kind)
    large = keeper.load(saved(keeper.keep(ValueError("x" * LARGE), 60.0, "auto")))
    assert large.args == ("x" * LARGE,)
    assert folder.exists()
    assert "turned off" in reason(keeper.keep(Good(5), 0.0, False))


def test_an_exception_that_would_not_come_back_says_so_now(keeper: ResultKeeper) -> None:
    """Not when it is needed: pickling these works."""
    assert "could be saved but not loaded again: TypeError" in reason(keeper.keep(Two(5, "x"), 0.0, True))
    told = reason(keeper.keep(Kind(5, detail="x"), 0.0, True))
    assert told == "the exception would be another once it is loaded again: Kind: 5: x"
    assert "lock objects belong to one process" in reason(keeper.keep(ValueError(threading.Lock()), 0.0, True))


# ---- a serializer of one's own


class Shouting:
    name = "mine/shouting"

    def dumps(self, value: Any) -> bytes:
        return str(value).upper().encode()

    def loads(self, data: bytes) -> Any:
        return data.decode()


def test_a_chosen_serializer_makes_everything(folder: Path, signer: Signer) -> None:
    shouting = ResultKeeper(lambda: FileStorage(folder), signer, Shouting())
    for value in ("abc", "x" * LARGE):
        blob = saved(shouting.keep(value, 60.0, True))
        assert shouting.load(blob) == value.upper()
        with pytest.raises(MissingResult, match="There is no serializer 'mine/shouting'"):
            ResultKeeper(lambda: FileStorage(folder), signer).load(blob)
    plain = ResultKeeper(lambda: FileStorage(folder), signer)
    assert shouting.load(saved(plain.keep({"a": (1,)}, 0.0, True))) == {"a": (1,)}, "others are still read"


def test_what_a_chosen_serializer_cannot_hold_is_a_reason(folder: Path, signer: Signer) -> None:
    keeper = ResultKeeper(lambda: FileStorage(folder), signer, JSONSerializer())
    told = reason(keeper.keep(Pair(1, 2), 0.0, True))
    assert told.startswith("cannot be saved as json: TypeError: JSON cannot give a Pair back")
    assert "contains itself" in reason(keeper.keep(holds_itself(), 0.0, True))
    assert keeper.load(saved(keeper.keep({"a": [1, None]}, 0.0, True))) == {"a": [1, None]}


# ---- without the code that made it

MAKER = """
import dataclasses, datetime, sys
from tidegate.results.keeper import ResultKeeper
from tidegate.results.signing import Signer
from tidegate.results.storage import FileStorage

@dataclasses.dataclass
class Local:
    x: int
    def double(self): return self.x * 2

keeper = ResultKeeper(lambda: FileStorage(sys.argv[1]), Signer(sys.argv[2]))
for value in (datetime.date(2024, 2, 29), Local(21), [Local(1)] * 3 + ["x" * 100_000]):
    print(keeper.keep(value, 60.0, True).blob.hex())
"""


@pytest.mark.conforms("B165")
def test_a_result_needs_no_code_of_the_flow(keeper: ResultKeeper, folder: Path, signer: Signer, tmp_path: Path) -> None:
    """Only types that can be imported; those that were made in a notebook or script come along."""
    done = subprocess.run(
        [sys.executable, "-c", MAKER, str(folder), str(signer.path.parent)],
        cwd=tmp_path, capture_output=True, text=True, timeout=SOON, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    date, local, several = (keeper.load(bytes.fromhex(line)) for line in done.stdout.split())
    assert date == datetime.date(2024, 2, 29)
    assert local.double() == 42
    assert isinstance(type(local), type)
    assert [each.x for each in several[:3]] == [1, 1, 1]
    assert several[3] == "x" * LARGE
    assert isinstance(sys.modules["__main__"], types.ModuleType)
    assert not hasattr(sys.modules["__main__"], "Local")
