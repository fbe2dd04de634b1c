"""Values of parameters as they are typed: on the command line, and in the first line of a ``%%flow`` cell."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def value_of(text: str) -> Any:
    """JSON where it can be read as such, else the text."""
    try:
        return json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return text


def texts_of(given: Iterable[str]) -> dict[str, str]:
    """The texts of ``NAME=VALUE`` by name; the last one wins.  Raises `ValueError`, in one line, for what is none."""
    found = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError(f"{each!r} is no NAME=VALUE")
        found[name.strip()] = text
    return found


def _no_json(word: str) -> Any:
    raise ValueError(word)  # NaN and the like, which Python would read and JSON does not know
