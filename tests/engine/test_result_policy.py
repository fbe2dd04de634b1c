"""What is worth saving: told quickly, without copying, without using anything up."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import io
import itertools
import pickle
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tidegate.results import policy
from tidegate.results.policy import ALWAYS, FASTEST, estimate, measured_speed, unsavable, worth_saving

MB = 1_000_000


@pytest.mark.parametrize(
    ("size", "seconds", "speed", "worth"),
    [
        (0, 0.0, 1.0, True),
        (ALWAYS, 0.0, 1.0, True),
        (ALWAYS + 1, 0.0, 1e12, False),
        (100 * MB, 0.9, 100e6, False),
        (100 * MB, 1.1, 100e6, True),
        (100 * MB, 1.0, 100e6, False),
        (10**12, 1e9, 1e6, True),
    ],
)
def test_small_results_always_and_large_ones_if_they_took_longer_to_make(
    size: int, seconds: float, speed: float, worth: bool
) -> None:
    assert worth_saving(size, seconds, speed) is worth


# ---- estimates


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


@dataclasses.dataclass(slots=True)
class Tight:
    left: Any
    right: Any


NUMBERS = pd.DataFrame({f"c{at}": np.arange(10_000.0) for at in range(10)})
TEXTS = pd.DataFrame({"text": [f"line {at} " * 5 for at in range(10_000)], "number": range(10_000)})
ABOUT = {
    "bytes": b"x" * MB,
    "bytearray": bytearray(MB),
    "str": "x" * MB,
    "wide str": "\U0001f600" * MB,
    "list of floats": [float(at) for at in range(100_000)],
    "list of strs": [f"line {at} " * 5 for at in range(10_000)],
    "list of lists": [[float(each) for each in range(at, at + 50)] for at in range(1000)],
    "dict": {f"key {at}": f"value {at} " * 5 for at in range(10_000)},
    "set": {f"line {at} " * 5 for at in range(10_000)},
    "deque": collections.deque(f"line {at} " * 5 for at in range(10_000)),
    "rows": [{"a": f"{at} " * 20, "b": [at, float(at)]} for at in range(10_000)],
    "objects": [Pair(f"{at} " * 20, float(at)) for at in range(10_000)],
    "slots": [Tight(f"{at} " * 20, float(at)) for at in range(10_000)],
    "array": np.ones((1000, 100)),
    "view": np.ones((1000, 1000))[::10],
    "broadcast": np.broadcast_to(np.ones(1), (1000, 100)),
    "array of objects": np.array([f"{at} " * 20 for at in range(10_000)], dtype=object),
    "frame": NUMBERS,
    "frame of text": TEXTS,
    "series of text": TEXTS["text"],
    "wide frame": pd.DataFrame(np.ones((100, 1000))),
    "index": pd.Index(range(10_000)).astype(float),
    "arrays in a dict": {"a": np.ones(MB), "b": [np.ones(MB)]},
    "array in an object": Pair(np.ones(MB), None),
    "uneven list": [b"x" * 10] * 50 + [bytes(at % 7) * 5000 for at in range(1000)],
    "empty frame": pd.DataFrame(),
}


@pytest.mark.parametrize("name", ABOUT)
def test_an_estimate_is_about_right(name: str) -> None:
    """Within a factor of four of what pickling makes of it, which shares and packs what memory does not."""
    value = ABOUT[name]
    real = len(pickle.dumps(value, 5))
    assert max(real, 2000) / 4 < max(estimate(value), 2000) < max(real, 2000) * 4


class Counted:
    """Counts how often its size is asked for."""

    asked = 0

    def __sizeof__(self) -> int:
        Counted.asked += 1
        return 1000


@pytest.mark.parametrize(
    "make",
    [
        lambda: [Counted() for _ in range(100_000)],
        lambda: [[[Counted() for _ in range(20)] for _ in range(20)] for _ in range(100)],
        lambda: {Counted(): [Counted()] for _ in range(10_000)},
        lambda: Pair([Counted() for _ in range(10_000)], {Counted() for _ in range(10_000)}),
    ],
)
def test_at_most_a_hundred_members_are_looked_at(make: Any) -> None:
    value = make()
    Counted.asked = 0
    size = estimate(value)
    assert 0 < Counted.asked <= 100
    assert size > ALWAYS


def test_what_holds_itself_has_a_size() -> None:
    alone: list[Any] = []
    alone.append(alone)
    first, second = Pair(None, b"x" * MB), Pair(None, None)
    first.left, second.left = second, first
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    mutual: dict[str, Any] = {}
    mutual["self"] = {"back": mutual}
    assert estimate(alone) < 1000
    assert MB < estimate(first) < 1.1 * MB
    assert 0 < estimate(deep) < MB
    assert estimate(mutual) < 2000


class Jealous(list[Any]):
    """Runs the user's code, or loads a gigabyte, when it is looked at."""

    def _no(self, *_: Any) -> Any:
        raise AssertionError("it was touched")

    __iter__ = __len__ = __getitem__ = __getattr__ = __bool__ = __eq__ = _no
    __hash__ = None

    @property
    def nbytes(self) -> int:
        return self._no()  # type: ignore[no-any-return]


class Raising:
    def __sizeof__(self) -> int:
        raise RuntimeError("no size")


def test_no_code_of_the_value_runs() -> None:
    jealous = Jealous()
    list.extend(jealous, [bytes([at]) * 1000 for at in range(100)])
    assert 90_000 < estimate(jealous) < 110_000
    assert unsavable(jealous) == ""
    assert estimate(Raising()) > 0
    assert estimate([Raising()]) > 0


@pytest.mark.parametrize("value", [np.ones(10 * MB), NUMBERS, TEXTS, [np.ones(10 * MB)], "x" * MB], ids=range(5))
def test_nothing_is_copied_to_tell_a_size(value: Any) -> None:
    estimate(value)  # what is imported or cached the first time is not meant
    tracemalloc.start()
    try:
        estimate(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


# ---- what can be read only once


def numbers() -> Iterator[int]:
    yield from range(3)


async def anumbers() -> AsyncIterator[int]:
    yield 1


async def answer() -> int:
    return 5


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (numbers, "a generator can be run only once"),
        (lambda: iter([0, 1, 2]), "an iterator can be read only once"),
        (lambda: map(int, "012"), "an iterator can be read only once"),
        (lambda: itertools.chain([0], [1, 2]), "an iterator can be read only once"),
        (lambda: (int(line) for line in io.StringIO("0\n1\n2")), "a generator can be run only once"),
    ],
)
def test_what_can_be_read_once_is_not_read(make: Any, why: str) -> None:
    value = make()
    assert why in unsavable(value)
    assert estimate(value) >= 0
    assert list(value) == [0, 1, 2]


def test_what_has_to_be_awaited_is_not() -> None:
    coroutine = answer()
    assert "has to be awaited" in unsavable(coroutine)
    assert asyncio.run(coroutine) == 5
    assert "has to be awaited" in unsavable(anumbers())
    loop = asyncio.new_event_loop()
    assert "has to be awaited" in unsavable(loop.create_future())
    loop.close()


@pytest.mark.parametrize(
    "value", [None, 5, "x", [], {}, range(3), np.ones(3), NUMBERS, Pair(1, 2), numbers, Pair], ids=range(11)
)
def test_nothing_is_known_against_what_can_be_read_again(value: Any) -> None:
    assert unsavable(value) == ""


# ---- the speed of the disk


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_speeds", {})


def test_the_speed_is_measured_once_for_each_folder(tmp_path: Path) -> None:
    times = iter([0.0, 0.5, 10.0, 10.25])
    first = measured_speed(tmp_path / "a", clock=lambda: next(times))
    assert first == pytest.approx(4 * 1024 * 1024 / 0.5)
    assert measured_speed(tmp_path / "a", clock=lambda: next(times)) == first
    assert measured_speed(tmp_path / "b", clock=lambda: next(times)) == pytest.approx(2 * first)
    assert list((tmp_path / "a").iterdir()) == [], "the probe is left"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_the_speed_of_a_real_disk_is_a_number(tmp_path: Path) -> None:
    assert 0 < measured_speed(tmp_path) < sys.float_info.max


def test_a_folder_that_cannot_be_written_counts_as_quick(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert measured_speed(tmp_path / "file" / "below") == FASTEST
