"""Values as plain data: they come back as they were, or it is said that they cannot."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, SecretStr

from tidegate.digests import digest
from tidegate.errors import UsageError
from tidegate.plain_values import NotPlain, error_from_plain, error_to_plain, from_plain, to_plain


class Colour(enum.Enum):
    RED = "r"


class Pair(NamedTuple):
    left: int
    right: str


@dataclass(frozen=True, slots=True)
class Spot:
    x: float
    tags: tuple[str, ...] = ()
    more: dict[str, int] = field(default_factory=dict)


class Model(BaseModel):
    spot: Spot
    when: datetime.datetime | None = None


VALUES: list[Any] = [
    None,
    True,
    2**70,
    float("nan"),
    float("-inf"),
    -0.0,
    "ümläut\n",
    [1, [2, (3, {4})]],
    {"a": {"$b": 1}, "$c": 2},
    {"$tuple": [1]},
    {1: "x", (2, 3): None},
    frozenset({b"\0\xff"}),
    bytearray(b"ab"),
    2j,
    datetime.datetime(2026, 11, 24, 17, 0, tzinfo=datetime.UTC),
    datetime.date(2026, 11, 24),
    datetime.timedelta(days=-1, seconds=5),
    decimal.Decimal("1.10"),
    uuid.UUID(int=5),
    Path("a/b"),
    range(2, 9, 3),
    Colour.RED,
    Pair(1, "r"),
    Spot(1.5, ("a",), {"k": 1}),
    Model(spot=Spot(0.0)),
    np.arange(6.0).reshape(2, 3),
    np.float32(0.1),
    pd.DataFrame({"n": [1, 2], "t": ["x", None], "f": [0.5, float("nan")]}),
    pd.DataFrame({"r": ["a", "a", "b"], "n": [1, 2, 3]}).groupby("r").sum(),
    pd.DataFrame([[1, 2.0]]),
    pd.Series([1.5, 2], index=["a", "b"], name="s"),
    pd.DataFrame({"d": pd.to_datetime(["2026-01-02", "NaT"])}, index=["p", "q"]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    back = from_plain(json.loads(json.dumps(to_plain(value))))
    assert type(back) is type(value)
    assert digest(back) == digest(value)


def endless() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 1, SecretStr("x"), endless(), {"a": object()}, "\ud800", 1 << 20_000, pd.Series([object()])],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(NotPlain):
        to_plain(value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 3),
        KeyError("k"),
        FileNotFoundError(2, "No such file", "x.csv"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ],
)
def test_an_exception_comes_back_with_its_text(error: BaseException) -> None:
    back = error_from_plain(json.loads(json.dumps(error_to_plain(error))))
    assert (type(back), str(back)) == (type(error), str(error))


@pytest.mark.parametrize(
    "data",
    [
        {"$member": ["builtins:eval", "x"]},
        {"$object": {"type": "subprocess:Popen", "fields": {}}},
        {"$named": ["not_loaded_module:Thing", 1]},
        {"$unheard": 1},
    ],
)
def test_reading_makes_nothing_but_data(data: Any) -> None:
    with pytest.raises(UsageError):
        from_plain(data)
