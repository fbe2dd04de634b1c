"""``make bench``: the table of section 9 of docs/design.md, as far as it exists.

Each figure is the median of several rounds, and each limit is measured in the same rounds, because the machine may be
busy with other things: the ratio is what holds.  Ends with 1 if a row is beyond its target.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import limits, work
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore

ROUNDS = 5


@dataclass
class Row:
    """One line of the table; times in seconds."""

    work: str
    got: str
    target: str
    limit: str
    ratio: str
    ok: bool


def rounds(*calls: Callable[[], float]) -> list[float]:
    """The medians of several calls, taken in turns so that all see the same machine."""
    seen = [[call() for call in calls] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*seen, strict=True)]


def micro(seconds: float) -> str:
    """Microseconds as text."""
    return f"{seconds * 1e6:.0f} us"


def milli(seconds: float) -> str:
    """Milliseconds as text."""
    return f"{seconds * 1e3:.1f} ms"


def chains(folder: Path, store: SQLiteStore) -> list[Row]:
    """The sync chain, durable and in memory."""
    n = 2000
    durable, memory, commit, hop = rounds(
        lambda: work.timed(lambda: work.chain(n), store) / n,
        lambda: work.timed(lambda: work.chain(n), MemoryStore()) / n,
        lambda: limits.sqlite_commits(folder, n),
        lambda: limits.pool_hops(n),
    )
    ratio = durable / commit
    return [
        Row(
            "sync chain, per task, durable",
            micro(durable),
            "120 us, 2.5x a commit",
            f"a commit {micro(commit)}",
            f"{ratio:.2f}x",
            durable <= 120e-6 and ratio <= 2.5,
        ),
        Row(
            "the same, in-memory store",
            micro(memory),
            "50 us",
            f"pool hop {micro(hop)}",
            f"{memory / hop:.2f}x",
            memory <= 50e-6,
        ),
    ]


def maps(store: SQLiteStore) -> list[Row]:
    """Maps of 1,000 and of 10,000."""
    small, large, pool = rounds(
        lambda: work.timed(lambda: work.mapped(1000), store) / 1000,
        lambda: work.timed(lambda: work.mapped(10_000), store) / 10_000,
        lambda: limits.pool_map(10_000),
    )
    limit = f"pool {micro(pool)}"
    return [
        Row("map of 1,000, per task, durable", micro(small), "100 us", limit, f"{small / pool:.2f}x", small <= 100e-6),
        Row(
            "map of 10,000, per task, durable",
            micro(large),
            "100 us, 1.2x that of 1,000",
            limit,
            f"{large / small:.2f}x",
            large <= 100e-6 and large <= 1.2 * small,
        ),
    ]


def process_runner(store: SQLiteStore) -> list[Row]:
    """A task in a worker process, one at a time."""
    hop, pool = rounds(lambda: work.process_hops(store, 500), lambda: limits.process_pool_hops(500))
    limit = f"process pool {micro(pool)}"
    return [Row("a task in a worker process, durable", micro(hop), "600 us", limit, f"{hop / pool:.2f}x", hop <= 6e-4)]


def concurrent(store: SQLiteStore) -> list[Row]:
    """Many tasks that wait."""
    import asyncio

    naps, bare, sleeps, pool = rounds(
        lambda: work.timed(lambda: asyncio.run(work.napping(1000, 0.1)), store),
        lambda: limits.gather(1000, 0.1),
        lambda: work.timed(lambda: work.sleeping(200, 0.1), store),
        lambda: limits.pool_sleeps(200, 0.1, 50),
    )
    return [
        Row(
            "1,000 async tasks of 0.1 s",
            milli(naps),
            "220 ms",
            f"asyncio {milli(bare)}",
            f"{naps / bare:.2f}x",
            naps <= 0.22,
        ),
        Row("200 tasks of 0.1 s, 50 threads", milli(sleeps), "440 ms", f"pool {milli(pool)}", f"{sleeps / pool:.2f}x",
            sleeps <= 0.44),
    ]  # fmt: skip


def arrays(store: SQLiteStore) -> list[Row]:
    """A large array through many tasks."""
    import numpy

    array = numpy.zeros(100_000_000, dtype=numpy.uint8)
    through, pool = rounds(
        lambda: work.timed(lambda: work.passing(array, 20), store),
        lambda: limits.pool_array(array, 20),
    )
    return [
        Row("100 MB array through 20 tasks", milli(through), "8 ms", f"pool {milli(pool)}", f"{through / pool:.2f}x",
            through <= 0.008)
    ]  # fmt: skip


def graphs() -> list[Row]:
    """The layout of the largest graph that is drawn."""
    nodes, edges = work.random_graph(400, seed=400)
    laid, grown, sort = rounds(
        lambda: work.laid_out(nodes, edges),
        lambda: work.laid_out(nodes, edges, known=360),
        lambda: limits.topological_sort(edges),
    )
    return [
        Row(f"layout of 400 nodes, {len(edges)} edges", milli(laid), "60 ms", f"a sort of them {milli(sort)}",
            f"{laid / sort:.0f}x", laid <= 0.06),
        Row("the same, grown by a tenth", milli(grown), "60 ms", f"a sort of them {milli(sort)}",
            f"{grown / sort:.0f}x", grown <= 0.06)
    ]  # fmt: skip


def processes(folder: Path) -> list[Row]:
    """Starting, and what stays."""
    importing = statistics.median(work.import_seconds() for _ in range(ROUNDS))
    firsts = [work.first_flow(folder / "first") for _ in range(ROUNDS)]
    start = statistics.median(seconds for seconds, _ in firsts)
    peak = max(memory for _, memory in firsts)
    memory, disk = work.kept(folder, 10_000)
    return [
        Row("import tidegate", milli(importing), "120 ms", "", "", importing <= 0.12),
        Row("process start to first flow's result", milli(start), "300 ms", "", "", start <= 0.3),
        Row("its peak memory", f"{peak:.0f} MB", "45 MB", "", "", peak <= 45),
        Row("kept per 10,000 task runs, memory", f"{memory:.1f} MB", "15 MB", "", "", memory <= 15),
        Row("kept per 10,000 task runs, disk", f"{disk:.1f} MB", "8 MB", "", "", disk <= 8),
    ]


def main() -> int:
    """Measure, print, judge."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = SQLiteStore(folder / "bench" / "store.db")
        work.timed(lambda: work.mapped(100), store)
        rows = [*chains(folder, store), *maps(store), *process_runner(store)]
        rows += [*concurrent(store), *arrays(store), *graphs(), *processes(folder)]
        store.close()
    table = Table("work", "measured", "target", "limit here and now", "ratio", "")
    for row in rows:
        table.add_row(row.work, row.got, row.target, row.limit, row.ratio, "ok" if row.ok else "[red]beyond[/]")
    Console(width=132).print(table)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
