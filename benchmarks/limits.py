"""Raw limits: the same work without Tidegate, as little of it as can be done."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from tidegate.store import checksums, schema


def sqlite_commits(folder: Path, n: int) -> float:
    """Seconds per task of one commit of four rows per task: its row and three of the log, WAL, synchronous=NORMAL."""
    connection = sqlite3.connect(folder / f"limit-{time.monotonic_ns()}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript("".join(schema.STEPS))
    row = schema.TASK_INSERT
    events = f"INSERT INTO event({checksums.TABLES['event']}) VALUES (?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?)"
    ran = (0.001, None, None, "0" * 32, 0, "0" * 32, None, None, b"TG1 - json\n12345", 0)
    begun = time.perf_counter()
    for i in range(n):
        now = time.time()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            row, (schema.task_id(1, i), 1, i, "inc", 1, i, 0, 0, None, 5, None, None, 1, now, now, now, now, None, *ran)
        )
        values = (1, 3 * i, i, 2, now, None, 1, 3 * i + 1, i, 12, now, None, 1, 3 * i + 2, i, 15, now, None)
        connection.execute(events, values)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds / n


def pool_hops(n: int) -> float:
    """Seconds per task of a thread pool, one task at a time."""
    with ThreadPoolExecutor(8) as pool:
        begun = time.perf_counter()
        for i in range(n):
            pool.submit(_increment, i).result()
        return (time.perf_counter() - begun) / n


def process_pool_hops(n: int) -> float:
    """Seconds per task of a process pool, one task at a time, once a process is there."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        pool.submit(_increment, 0).result()
        begun = time.perf_counter()
        for i in range(n):
            pool.submit(_increment, i).result()
        return (time.perf_counter() - begun) / n


def pool_map(n: int) -> float:
    """Seconds per task of a thread pool, all tasks at once."""
    with ThreadPoolExecutor(32) as pool:
        begun = time.perf_counter()
        sum(pool.map(_increment, range(n)))
        return (time.perf_counter() - begun) / n


def gather(n: int, seconds: float) -> float:
    """Seconds in all of `n` coroutines that sleep, on bare asyncio."""

    async def all_of_them() -> None:
        await asyncio.gather(*(asyncio.sleep(seconds) for _ in range(n)))

    begun = time.perf_counter()
    asyncio.run(all_of_them())
    return time.perf_counter() - begun


def pool_sleeps(n: int, seconds: float, threads: int) -> float:
    """Seconds in all of `n` sleeps on a thread pool."""
    with ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        list(pool.map(lambda _: time.sleep(seconds), range(n)))
        return time.perf_counter() - begun


def pool_array(array: Any, n: int) -> float:
    """Seconds in all of handing an array through `n` calls on a thread pool."""
    with ThreadPoolExecutor(1) as pool:
        begun = time.perf_counter()
        for _ in range(n):
            array = pool.submit(_same, array).result()
        return time.perf_counter() - begun


def standard_imports() -> float:
    """Seconds that a process takes to import what ``import tidegate`` imports of the standard library, and no more."""
    code = "import sys; before = set(sys.modules); import tidegate; print(*(set(sys.modules) - before))"
    found = sorted(each for each in _said(code).split() if each.partition(".")[0] in sys.stdlib_module_names)
    begin = f"import importlib, time; t = time.perf_counter(); [importlib.import_module(each) for each in {found}]"
    return float(_said(f"{begin}; print(time.perf_counter() - t)"))


def _said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def _increment(x: int) -> int:
    return x + 1


def _same(x: Any) -> Any:
    return x


def topological_sort(edges: list[tuple[int, int]]) -> float:
    """Seconds to sort the nodes of a graph so that each comes after its sources."""
    begun = time.perf_counter()
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for source, target in edges:
        sorter.add(target, source)
    list(sorter.static_order())
    return time.perf_counter() - begun
