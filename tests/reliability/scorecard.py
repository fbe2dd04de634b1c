"""The rows of the scorecard, what is promised, and how often a row is tried: plain data, read from two files."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODES = ("plain", "ci", "nightly")
VARIABLE = "TIDEGATE_RELIABILITY"


@dataclass(frozen=True)
class Row:
    """One line of the scorecard."""

    number: int
    name: str
    fault: str
    holds: str
    counts: tuple[int, int, int]
    promises: tuple[str, ...]
    open: str = ""
    """Why it has no test; empty if it has."""

    def asked(self, mode: str) -> int:
        """How many trials a run of this mode is to make."""
        return self.counts[MODES.index(mode)]


def mode() -> str:
    """The mode of this process, by its environment.  Raises `ValueError` for one that there is not."""
    found = os.environ.get(VARIABLE) or "plain"
    if found not in MODES:
        raise ValueError(f"{VARIABLE} must be one of {', '.join(MODES)}, not {found!r}.")
    return found


def within(seconds: float) -> float:
    """A limit of time as the scorecard has it; ten times that where the whole suite shares the machine.

    A run of all tests beside one another says nothing about a second: what it is to find is a stop button that is
    heard after a minute, or never.
    """
    return 10 * seconds if mode() == "plain" else seconds


def rows() -> dict[int, Row]:
    """The scorecard by number."""
    return {int(number): _row(int(number), each) for number, each in _toml("rows.toml").items()}


def promises() -> dict[str, str]:
    """What is promised, by name."""
    return _toml("promises.toml")


def _row(number: int, given: dict[str, Any]) -> Row:
    plain, ci, nightly = given["counts"]
    return Row(
        number, given["name"], given["fault"], given["holds"], (plain, ci, nightly), tuple(given["promises"]),
        given.get("open", ""),
    )  # fmt: skip


def _toml(name: str) -> dict[str, Any]:
    with (HERE / name).open("rb") as file:
        return tomllib.load(file)
