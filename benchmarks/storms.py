"""What it costs a task to log and to print much: ``python -m benchmarks.storms``."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate import flow, get_run_logger, task
from tidegate.engine import Engine, using
from tidegate.run_logs import capture_prints
from tidegate.store.sqlite import SQLiteStore

Logger = logging.Logger | logging.LoggerAdapter[Any]


@task
def logs(n: int, logger: Logger | None) -> float:
    """Seconds of `n` lines of a log; of the run's own without a logger."""
    logger = logger or get_run_logger()
    begun = time.perf_counter()
    for i in range(n):
        logger.info("line %d of a storm", i)
    return time.perf_counter() - begun


@task
def prints(n: int, heard: bool) -> float:
    """Seconds of `n` printed lines."""
    with capture_prints(get_run_logger()) if heard else contextlib.nullcontext():
        begun = time.perf_counter()
        for i in range(n):
            print("line", i, "of a storm")
        return time.perf_counter() - begun


@flow
def storm(n: int, logger: Logger) -> dict[str, float]:
    kinds: dict[str, Callable[[], float]] = {
        "a file of the logging module": lambda: logs(n, logger),
        "the run's logger": lambda: logs(n, None),
        "print": lambda: prints(n, False),
        "print, logged": lambda: prints(n, True),
    }
    return {name: call() for name, call in kinds.items()}


def main() -> None:
    """Measure and print, in microseconds a line."""
    with tempfile.TemporaryDirectory() as name:
        plain = logging.getLogger("benchmarks.plain")
        plain.setLevel(logging.INFO)
        plain.propagate = False
        handler = logging.FileHandler(Path(name) / "plain.log")
        plain.addHandler(handler)
        store = SQLiteStore(Path(name) / "store.db")
        for n in (1_000, 100_000, 1_000_000):
            with using(Engine(store)), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                found = storm(n, plain)
            print(f"{n:9,} lines:", ", ".join(f"{each} {1e6 * s / n:.2f} us" for each, s in found.items()))
        store.close()
        handler.close()
        print(f"the store: {sum(path.stat().st_size for path in Path(name).glob('store*')) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
