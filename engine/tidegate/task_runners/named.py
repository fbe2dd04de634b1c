"""Task runners by the names that the first line of a ``%%flow`` cell has for them."""

from __future__ import annotations

from .concurrent import ConcurrentTaskRunner
from .process import ProcessTaskRunner
from .sequential import SequentialTaskRunner

NAMES = ("concurrent", "process", "sequential")


def runner_named(name: str | None, max_workers: int | None = None) -> ConcurrentTaskRunner | SequentialTaskRunner:
    """The runner of that name.  Raises `ValueError` for another name and for workers where there are none."""
    if name not in NAMES:
        raise ValueError(f"--task-runner is {', '.join(NAMES[:-1])} or {NAMES[-1]}, not {name}")
    if name == "sequential":
        if max_workers is not None:
            raise ValueError("--max-workers makes no sense with --task-runner sequential")
        return SequentialTaskRunner()
    if name == "process":
        return ProcessTaskRunner(max_workers)
    return ConcurrentTaskRunner() if max_workers is None else ConcurrentTaskRunner(max_workers)
