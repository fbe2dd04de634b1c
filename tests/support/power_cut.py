"""Power cuts, played back: what a process wrote to a store is recorded, and cut off at any point.

What was synced is there after a cut.  Of what was not, any sectors may be, in any order: disks and systems write when
they like, so a random part of them is taken.  That a file exists counts as kept at once.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .preloaded import library

SECTOR = 512
SHIM = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class Operation:
    """One thing that the process did to a file."""

    kind: str
    """``w`` writes at `offset`, ``a`` appends, ``t`` cuts to `offset` bytes, ``s`` syncs, ``d`` removes."""
    name: str
    offset: int
    at: float
    """Seconds of the monotonic clock."""
    data: bytes


def recorded(folder: Path, script: str, *args: object) -> list[Operation]:
    """Run a script whose store is ``home/store.db`` in `folder`; what it did to that, and what it wrote to ``said``."""
    made, home, log = library(SHIM, folder), folder / "home", folder / "log"
    home.mkdir()
    variables = {**os.environ, "LD_PRELOAD": str(made), "CUT_FOLDER": str(home), "CUT_LOG": str(log)}
    command = [sys.executable, "-c", script, str(home), *map(str, args)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return list(_parsed(log.read_bytes()))


def _parsed(log: bytes) -> Sequence[Operation]:
    found = []
    at = 0
    while at < len(log):
        kind, length = chr(log[at]), log[at + 1]
        name = log[at + 2 : at + 2 + length].decode()
        at += 2 + length
        offset, size, seconds = struct.unpack_from("=qId", log, at)
        at += 20
        found.append(Operation(kind, name, offset, seconds, log[at : at + size]))
        at += size
    return found


def said(operations: Sequence[Operation]) -> list[tuple[str, float]]:
    """What the process told the world, and when."""
    words = [(each.data.decode().split(), each.at) for each in operations if each.name == "said"]
    return [(word, at) for found, at in words for word in found]


def cut(operations: Sequence[Operation], chance: random.Random, folder: Path) -> None:
    """Put the files into `folder` as a power cut after these operations may have left them."""
    files: dict[str, bytearray] = {}
    waiting: dict[str, list[Operation]] = {}
    for each in operations:
        if each.name == "said":
            continue
        file, unsynced = files.setdefault(each.name, bytearray()), waiting.setdefault(each.name, [])
        if each.kind == "d":
            del files[each.name], waiting[each.name]
        elif each.kind == "s":
            for one in unsynced:
                _apply(file, one)
            unsynced.clear()
        else:
            unsynced.append(each)
    share = chance.choice([0.0, 0.0, 0.5, 0.9, 1.0])
    for name, unsynced in waiting.items():
        for each in unsynced:
            for piece in _sectors(each):
                if chance.random() < share:
                    _apply(files[name], piece)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _sectors(each: Operation) -> list[Operation]:
    if each.kind == "t":
        return [each]
    starts = range(0, len(each.data), SECTOR)
    return [Operation("w", each.name, each.offset + at, each.at, each.data[at : at + SECTOR]) for at in starts]


def _apply(file: bytearray, each: Operation) -> None:
    if each.kind == "t":
        del file[each.offset :]
        return
    file.extend(bytes(max(0, each.offset + len(each.data) - len(file))))
    file[each.offset : each.offset + len(each.data)] = each.data
