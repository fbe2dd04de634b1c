"""What the processes that agents start write to the standard streams: a file for each flow run, beside the store."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FOLDER = "output"


def output_of(home: Path, flow_run: int) -> Path:
    """Where it is, in the folder of the store; there is none for a run that no agent has started."""
    return home / FOLDER / f"{flow_run}.txt"


def remove(home: Path, flow_runs: Iterable[int]) -> None:
    """Remove those of flow runs that are not in the store any more."""
    for each in flow_runs:
        with suppress(OSError):
            output_of(home, each).unlink(missing_ok=True)
