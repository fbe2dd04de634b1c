"""What values a setting may have, and how they are read from a text and written to one.

Each kind takes a text, as environment variables have it, or a value, and gives the value or raises ValueError or
TypeError.  What is written and read again is the same value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .model.record import record

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
"""Bytes of the units in which sizes are written."""

_TRUTHS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


@record
class Kind:
    """What values a setting may have."""

    wanted: str
    """Ends the sentence "it must be ..."."""
    read: Callable[[Any], Any]
    write: Callable[[Any], str] = str
    empty: bool = False
    """True if the empty text is a value, and not the same as none given."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    text = value.strip()
    if not text or "\0" in text:
        raise ValueError
    return text


def _or_null(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value in (None, "") else read(value)


def _null_or(value: Any) -> str:
    return "" if value is None else str(value)


def _url(value: Any) -> str:
    text = _text(value)
    if not text.startswith(("http://", "https://")) or len(text.split()) > 1:
        raise ValueError
    return text


def _folder(value: Any) -> Path:
    if isinstance(value, Path):
        value = str(value)
    return Path(_text(value)).expanduser()


def _place(value: Any) -> str:
    text = _text(os.fspath(value))
    return text if "://" in text else str(Path(text).expanduser())


def _level(value: Any) -> str:
    text = _text(value).upper()
    if text not in LEVELS:
        raise ValueError
    return text


def _truth(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUTHS:
        raise ValueError
    return _TRUTHS[text]


def _auto_or_truth(value: Any) -> str | bool:
    return "auto" if str(value).strip().lower() == "auto" else _truth(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    seconds = float(value)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


def size_in_bytes(value: Any) -> int:
    """Bytes as people write them: ``500MB``, ``1.5 GB``.  Raises `ValueError` for anything else."""
    if isinstance(value, bool):
        raise TypeError
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B)?", str(value).strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"{value!r} is no size")
    return int(float(found[1]) * UNITS[(found[2] or "B").upper()])


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [each for each in value.split(",") if each.strip()]
    if not isinstance(value, (list, tuple)):
        raise TypeError
    names = tuple(_text(each) for each in value)
    if any("," in each for each in names):
        raise ValueError
    return names


def one_of(*words: str) -> Kind:
    """One of a few words, in any case."""

    def read(value: Any) -> str:
        word = _text(value).lower()
        if word not in words:
            raise ValueError
        return word

    return Kind(f"one of {', '.join(words)}", read)


def whole(least: int) -> Kind:
    """Whole numbers from `least` on."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise TypeError
        number = int(value)
        if number < least:
            raise ValueError
        return number

    return Kind(f"a whole number from {least} on", read)


TEXT = Kind("a text that is not empty", _text)
URL = Kind("a URL that begins with http:// or https://", _or_null(_url), _null_or, empty=True)
FILE = Kind("a file", _or_null(_folder), _null_or, empty=True)
FOLDER = Kind("a folder", _folder)
PLACE = Kind("a folder or a URL", _or_null(_place), _null_or, empty=True)
LEVEL = Kind(f"one of {', '.join(LEVELS)}", _level)
TRUTH = Kind("true or false", _truth, lambda value: str(value).lower())
AUTO_OR_TRUTH = Kind("auto, true or false", _auto_or_truth, lambda value: str(value).lower())
SECONDS = Kind("a number of seconds from 0 on", _seconds, repr)
DAYS = Kind("a number of days from 0 on", _seconds, repr)
SIZE = Kind("a size, such as 500MB or 1.5GB", _or_null(size_in_bytes), _null_or, empty=True)
NAMES = Kind("names with commas between them", _names, ",".join, empty=True)
