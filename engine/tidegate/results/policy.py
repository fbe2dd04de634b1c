"""What is worth saving: ``persist_result="auto"`` saves what is small, and what took longer to make than to write.

Deciding copies nothing, iterates over nothing that iterating would use up, and looks at a hundred members at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

ALWAYS = 64 * 1024
"""Bytes up to which a result is saved whatever it took to make it, in the row of its run."""

FASTEST = 10e9
"""Bytes per second that no place of ours writes: where even this is too slow, nothing has to be measured."""

ELSEWHERE = 20e6
"""Bytes per second that a place is taken to write which cannot be measured, such as a bucket."""

_MEMBERS = 100
_WIDTH = 32
_UNSEEN = 64.0  # bytes that a member is taken for which was not looked at
_AGAIN = 3.0  # bytes of something that was there before
_OWN = 16.0  # bytes of a container without its members
_PROBE = 4 * 1024 * 1024

# Libraries whose objects know their size.  To ask just any object for its `nbytes` could run anything.
KNOW_THEIR_SIZE = frozenset({"numpy", "pandas", "polars", "pyarrow", "torch", "cupy", "xarray", "jax", "jaxlib"})
_BUFFERS = (io.StringIO, io.BytesIO)
_COLLECTIONS: tuple[Any, ...] = (set, frozenset, deque)
_NUMBERS = frozenset({bool, int, float, complex})
_LEAVES = _NUMBERS | frozenset({type(None), str, bytes, bytearray, type, types.FunctionType})


def unsavable(value: Any) -> str:
    """Why a value cannot be saved by its very kind; empty if nothing is known against it.  Never touches its items."""
    kind = type(value)
    if kind in _LEAVES:
        return ""
    if isinstance(value, types.GeneratorType):
        return "a generator can be run only once, and saving would run it"
    if isinstance(value, (types.CoroutineType, types.AsyncGeneratorType)) or hasattr(kind, "__await__"):
        return f"what has to be awaited is not saved before it was ({kind.__name__})"
    # One that is written in Python is a common object that pickling copies with its state, as are buffers in memory.
    if isinstance(getattr(kind, "__next__", None), types.WrapperDescriptorType) and not isinstance(value, _BUFFERS):
        return f"an iterator can be read only once, and saving would read it ({kind.__name__})"
    return ""


def worth_saving(size: int, seconds: float, write_speed: float) -> bool:
    """True if a result of `size` bytes that took `seconds` to make should be saved; `write_speed` is bytes a second."""
    return size <= ALWAYS or seconds * write_speed > size


def estimate(value: Any) -> int:
    """About how many bytes saving a value takes: within a factor of four where its members are alike.  Never raises."""
    return int(_Survey().size(value, 0))


class _Survey:
    """One estimate: what was looked at, and how much more may be."""

    __slots__ = ("_room", "_seen")

    def __init__(self) -> None:
        self._room = _MEMBERS
        self._seen: dict[int, Any] = {}  # with the objects, so that no address is used again meanwhile

    def size(self, value: Any, depth: int) -> float:
        """The bytes of a value.  The room bounds the depth, too."""
        kind = type(value)
        if id(value) in self._seen:
            return _AGAIN
        self._seen[id(value)] = value
        if kind in _LEAVES:
            return max(4.0, sys.getsizeof(value) - 20.0)  # without most of the head that it has in memory
        try:
            own, count, members = _look(value, max(2, _WIDTH >> 2 * depth))
        except Exception:  # of a foreign object; a size is not worth a failure
            return _UNSEEN
        looked, total = 0, 0.0
        for member in members:
            if not self._room:
                break
            self._room -= 1
            looked += 1
            if type(member) in _NUMBERS:  # the usual case, and too small to remember
                total += sys.getsizeof(member) - 20.0
            else:
                total += self.size(member, depth + 1)
        return own + count * (total / looked if looked else _UNSEEN)


def _look(value: Any, width: int) -> tuple[float, int, list[Any]]:
    """An object's own bytes, how many members it has, and some of them: `width` of a sequence.

    Containers are asked by the methods of the built-in types: those of a subclass are the user's code.
    """
    if isinstance(value, list):
        count = list.__len__(value)
        return _OWN, count, [list.__getitem__(value, at) for at in _spread(count, width)]
    if isinstance(value, tuple):
        count = tuple.__len__(value)
        return _OWN, count, [tuple.__getitem__(value, at) for at in _spread(count, width)]
    if isinstance(value, dict):
        pairs = islice(dict.items(value), _WIDTH // 2)
        return _OWN, 2 * dict.__len__(value), [each for pair in pairs for each in pair]
    for plain in _COLLECTIONS:
        if isinstance(value, plain):
            return _OWN, plain.__len__(value), list(islice(plain.__iter__(value), width))
    if any(base.__module__.partition(".")[0] in KNOW_THEIR_SIZE for base in type(value).__mro__):
        size = _told_size(value)
        if size is not None:
            return size, 0, []
    members = _attributes(value)
    return sys.getsizeof(value), len(members), members


def _spread(count: int, width: int) -> Iterable[int]:
    """Places all over a sequence, for the first members are often unlike the rest; in no order, as room may run out."""
    if count <= width:
        return range(count)
    return ((at * 13 % width) * (count - 1) // (width - 1) for at in range(width))


def _told_size(value: Any) -> float | None:
    """The bytes of an array, table or column, by its own account; none if it gives none."""
    if hasattr(value, "estimated_size"):  # polars
        return float(value.estimated_size())
    if hasattr(value, "iloc") and hasattr(value, "memory_usage"):  # pandas: text counts as one pointer until looked at
        rows = len(value)
        part = value.iloc[:_MEMBERS]
        scale = rows / max(1, min(rows, _MEMBERS))
        if getattr(value, "ndim", 1) == 2 and value.shape[1] > _MEMBERS:
            scale *= value.shape[1] / _MEMBERS
            part = part.iloc[:, :_MEMBERS]
        used = part.memory_usage(index=False, deep=True)
        return scale * float(used.sum() if hasattr(used, "sum") else used)
    size = getattr(value, "nbytes", None)
    if size is None:
        return None
    if getattr(getattr(value, "dtype", None), "hasobject", False):  # numpy, of pointers to objects
        some = [value.flat[at] for at in _spread(value.size, _WIDTH)]
        return float(size) + sum(map(sys.getsizeof, some)) / max(1, len(some)) * float(value.size)
    return float(size)


def _attributes(value: Any) -> list[Any]:
    """What an object's dictionary and slots hold, past any property and any `__getattr__`."""
    found: list[Any] = []
    with contextlib.suppress(AttributeError):
        found += islice(object.__getattribute__(value, "__dict__").values(), _WIDTH)
    for base in type(value).__mro__:
        for descriptor in vars(base).values():
            if isinstance(descriptor, types.MemberDescriptorType):
                try:
                    found.append(descriptor.__get__(value))
                except AttributeError:  # a slot that is empty
                    continue
    return found


_lock = threading.Lock()
_speeds: dict[Path, float] = {}


def measured_speed(folder: Path, clock: Callable[[], float] = perf_counter) -> float:
    """Bytes per second that can be saved in a folder, down to its disk; measured once per folder and process.

    That takes some 20 ms.  A folder that cannot be written counts as quick: trying to save then tells what is wrong.
    """
    with _lock:
        if folder not in _speeds:
            _speeds[folder] = _measure(folder, clock)
        return _speeds[folder]


def _measure(folder: Path, clock: Callable[[], float]) -> float:
    path = folder / f".speed.{os.getpid()}.{secrets.token_hex(8)}"
    data = secrets.token_bytes(_PROBE)  # zeros could be compressed away
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = clock()
        hashlib.sha256(data).digest()  # what is saved is hashed first
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return _PROBE / max(clock() - began, 1e-6)
        finally:
            path.unlink(missing_ok=True)
    except OSError:
        return FASTEST
