"""``%%time`` with a ``%%flow`` cell that awaits: around it, or as the first line of its body.

Where nothing is awaited the stock magic does it; it cannot await.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tidegate.moments import duration

_TIME = "%%time"


def untimed(lines: list[str]) -> list[str] | None:
    """The lines of such a cell with the ``%%flow`` first and a blank line for the ``%%time``; null for any other cell.

    The number of lines before the body stays what the user sees.
    """
    filled = [at for at, line in enumerate(lines) if line.strip()][:2]
    if len(filled) < 2 or filled[0] != 0:
        return None
    first, second = lines[0], lines[filled[1]]
    if first.strip() == _TIME and second.split()[0] == "%%flow":
        return [second, "\n" * filled[1], *lines[filled[1] + 1 :]]
    if first.split()[0] == "%%flow" and second.strip() == _TIME:
        return [first, *lines[1 : filled[1]], "\n", *lines[filled[1] + 1 :]]
    return None


@contextmanager
def times_told() -> Iterator[None]:
    """Say at the end how long it took."""
    wall, processor = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        print(f"CPU times: total: {duration(time.process_time() - processor)}")
        print(f"Wall time: {duration(time.perf_counter() - wall)}")
