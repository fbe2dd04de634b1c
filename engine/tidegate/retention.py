"""Retention: which runs a store keeps, and what is deleted with those that it does not.

A run goes whole, in one transaction, with its subflows, task runs, events, logs and artifacts.  Files of results go
after that, once no row names them; those that were written within the last hour stay, because somebody may be about to
name them.  What has not ended stays, and so does the newest run: its number is not to be given twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import outputs
from .errors import MissingResult, StoreError
from .results.keeper import Reference, reference_of
from .results.storage import FileStorage
from .store.sqlite import SQLiteStore
from .store.upkeep import EndedRun

DAYS = 30.0
"""Days that a run is kept where nobody says anything else."""

GRACE = 3600.0
"""Seconds after its last writing that a file of a result stays although no row names it."""

ROOM = 0.25
"""The share of a file that may stand empty before it is given back."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a store keeps at most; a run goes if any of them says so, and none if all are null."""

    days: float | None = None
    """Days since the end of a run."""
    runs: int | None = None
    """Root flow runs, the newest first."""
    size: int | None = None
    """Bytes of the store and its results, about."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted."""

    runs: int
    files: int
    size: int
    """Bytes of the files."""


def plan(store: SQLiteStore, limits: Limits, now: float) -> list[EndedRun]:
    """The runs that are to go, the oldest first.  Raises `StoreError`."""
    ended = store.upkeep.ended_runs()
    going = set[int]()
    if limits.days is not None:
        going |= {run.number for run in ended if run.ended < now - limits.days * 86_400}
    if limits.runs is not None:
        others = store.upkeep.root_runs() - len(ended)
        going |= {run.number for run in ended[: max(0, len(ended) - max(0, limits.runs - others))]}
    if limits.size is not None:
        left = size_of(store)
        freed = _freed(store, ended)
        for run in ended:
            if run.number in going or left > limits.size:
                going.add(run.number)
                left -= freed[run.number]
    return [run for run in ended if run.number in going]


def prune(store: SQLiteStore, runs: Sequence[EndedRun], now: float) -> Pruned:
    """Delete runs, then the files that no row names; the room is given back if there is much of it.

    A run that was begun again meanwhile stays.  Raises `StoreError`; what was done until then stays done.
    """
    deleted = [run for run in runs if store.upkeep.delete(run)]
    outputs.remove(store.path.parent, (member for run in deleted for member in run.members))
    files, size = sweep(store, now)
    stats = store.upkeep.stats()
    if stats.free > ROOM * stats.size:
        store.upkeep.vacuum()
    return Pruned(len(deleted), files, size)


def sweep(store: SQLiteStore, now: float, *, pretend: bool = False) -> tuple[int, int]:
    """Remove the files of results that no row names; how many, and their bytes.

    Only in the folder beside the store: any other may be shared with other stores.
    """
    folder = store.results_folder
    if folder is None:
        return 0, 0
    named = {found.key for _, _, found in named_files(store)}
    return FileStorage(folder).sweep(named, now - GRACE, pretend=pretend)


def named_files(store: SQLiteStore) -> Iterator[tuple[int, int, Reference]]:
    """Flow run, task run (0 for the flow run itself) and place of all results that are files."""
    for flow_run, task_run, blob in store.upkeep.blobs():
        found = reference_of(blob)
        if found is not None:
            yield flow_run, task_run, found


def size_of(store: SQLiteStore) -> int:
    """Bytes that the store and its results take."""
    stats = store.upkeep.stats()
    return stats.size - stats.free + sum(sizes(store.results_folder).values())


def sizes(folder: Path | None) -> dict[str, int]:
    """The bytes of each file of a result, by its name."""
    if folder is None or not folder.is_dir():
        return {}
    return {path.name: path.lstat().st_size for path in folder.glob("??/??/*")}


def _freed(store: SQLiteStore, ended: Sequence[EndedRun]) -> Counter[int]:
    """The bytes that go with each run, if those before it go too: a file goes with the last run that names it."""
    order = {member: at for at, run in enumerate(ended) for member in run.members}
    last: dict[str, int] = {}
    for flow_run, _, found in named_files(store):
        last[found.key] = max(last.get(found.key, -1), order.get(flow_run, len(ended)))
    present = sizes(store.results_folder)
    freed = Counter({run.number: run.size for run in ended})
    for key, at in last.items():
        if at < len(ended):
            freed[ended[at].number] += present.get(key, 0)
    return freed


def problems(store: SQLiteStore) -> Iterator[str]:
    """What is damaged in a store and in the files that its rows name, a line each; results at URLs are left out."""
    yield from store.upkeep.problems()
    try:
        named = list(named_files(store))
    except StoreError as error:
        yield str(error)
        return
    for flow_run, task_run, found in named:
        folders = [each for each in (store.results_folder, Path(found.storage)) if each and each.is_absolute()]
        problem = _problem(found.key, folders)
        if problem:
            who = f"task run {task_run} of flow run {flow_run}" if task_run else f"flow run {flow_run}"
            yield f"{problem} It is the result of {who}, and counts as not saved."


def _problem(key: str, folders: Sequence[Path]) -> str:
    """What is wrong with a file, in the first of the folders; empty if one of them has it whole, or it is elsewhere."""
    told = ""
    for folder in folders:
        try:
            FileStorage(folder).read(key)
            return ""
        except MissingResult as error:
            told = told or str(error)
    return told
