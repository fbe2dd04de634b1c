"""Keeping a result: as a short blob for the row of its run, or beside it in a storage; or saying why it is not kept."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from ..errors import MissingResult, TidegateError
from ..model.record import record
from .blob import choose, is_saved, moved, pack, read_head, seal, unpack, why_unsaved
from .policy import ALWAYS, ELSEWHERE, FASTEST, estimate, measured_speed, unsavable, worth_saving
from .reasons import first_line
from .serializers import JSON, Serializer, serializer_of
from .signing import Signer
from .storage import FileStorage, ResultStorage, storage_of

Policy = bool | Literal["auto"]

_LONGEST_REASON = 200
_CANNOT = re.compile(r"cannot pickle '(?:[\w.]*\.)?(\w+)' object")


class Kept:
    """What became of a result: either `blob`, which gives it back, or `reason`, which says why it was not saved."""

    __slots__ = ("blob", "reason")

    def __init__(self, blob: bytes | None, reason: str = "") -> None:
        self.blob = blob
        self.reason = reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 3] + "..."

    def __repr__(self) -> str:
        return f"Kept({self.reason!r})" if self.blob is None else f"Kept({len(self.blob)} bytes)"


@record
class Reference:
    """Where a large result lies; the blob that stands in its place."""

    key: str
    size: int
    """Bytes, as they lie there."""
    serializer: str
    storage: str
    """The place as it called itself, for people."""


class _References:
    """Makes a blob of a reference.  Its name is not plain data, so it is signed: a key could be swapped otherwise."""

    name = "reference"

    def dumps(self, value: Reference) -> bytes:
        """As JSON."""
        return JSON.dumps(asdict(value))

    def loads(self, data: bytes) -> Reference:
        """The reverse."""
        return Reference(**JSON.loads(data))


_REFERENCES = _References()


def reference_of(blob: bytes | None) -> Reference | None:
    """Where the result lies that a blob stands for; null if the blob holds it itself, or cannot be told.

    For finding files, not for loading them: the signature is not looked at.
    """
    if blob is None or not is_saved(blob):
        return None
    try:
        head = read_head(blob)
        return _REFERENCES.loads(blob[head.end :]) if head.serializer == _REFERENCES.name else None
    except (MissingResult, ValueError, TypeError):
        return None


class ResultKeeper:
    """Saves results and gives them back.  Any thread may use it.

    `storage_factory` is called once, when the first large result is there.  `serializer` is what all results are saved
    with; without one, short atoms are JSON and all else is pickled.
    """

    def __init__(
        self, storage_factory: Callable[[], ResultStorage], signer: Signer, serializer: Serializer | None = None
    ) -> None:
        self._storage_factory = storage_factory
        self._signer = signer
        self._serializer = serializer
        self._lock = threading.Lock()
        self._storage: ResultStorage | None = None

    def keep(self, value: Any, seconds: float, policy: Policy, context: str = "") -> Kept:
        """Save what a run returned or raised, which took `seconds` to make, as it is at this moment.

        With policy "auto" a value above 64 KB is saved only if writing it takes less time than making it did.
        Whatever is wrong with the value or the place, nothing is raised: the answer has the reason.  `context` ties
        the blob to one place, such as a run: see `blob.pack`.
        """
        if policy is False:
            return Kept(None, "saving results is turned off here")
        try:
            return self._keep(value, seconds, policy, context)
        except (Exception, SystemExit, GeneratorExit) as error:  # no interrupt or cancel, which are for the run
            return Kept(None, _reason(error))

    def load(self, blob: bytes, context: str = "", allow_untrusted: bool = False) -> Any:
        """The value of a blob.  Raises `UntrustedResult` and `MissingResult` as `blob.unpack` does."""
        if not is_saved(blob):
            raise MissingResult(f"The result was not saved: {why_unsaved(blob)}.")
        if read_head(blob).serializer != _REFERENCES.name:
            return unpack(blob, self._signer, self._lookup, context, allow_untrusted)
        reference = unpack(blob, self._signer, lambda _: _REFERENCES, context, allow_untrusted)
        return unpack(self._fetched(reference), self._signer, self._lookup, allow_untrusted=allow_untrusted)

    def moved(self, blob: bytes, old: str, new: str) -> bytes:
        """The blob of the same result for another context.  Raises `UntrustedResult` if it is not trusted in `old`."""
        return moved(blob, self._signer, old, new)

    def _fetched(self, reference: Reference) -> bytes:
        """The bytes that a reference stands for: from our storage, else from where it says that they are."""
        try:
            return self._opened().read(reference.key)
        except Exception as error:  # the storage may be the user's own
            if Path(reference.storage).is_absolute() or "://" in reference.storage:
                with contextlib.suppress(Exception):
                    return storage_of(reference.storage).read(reference.key)
            if isinstance(error, MissingResult):
                raise
            raise MissingResult(f"The saved result cannot be fetched: {_reason(error)}") from error

    def _keep(self, value: Any, seconds: float, policy: Policy, context: str) -> Kept:
        serializer = self._serializer or choose(value)
        if self._serializer is not None or serializer is not JSON:  # short atoms need no second look
            reason = unsavable(value)
            if not reason and policy == "auto":
                reason = self._not_worth(estimate(value), seconds)
            if reason:
                return Kept(None, reason)
        try:
            data = serializer.dumps(value)
        except (Exception, SystemExit, GeneratorExit) as error:
            return Kept(None, why_not_dumped(error, serializer.name))
        if isinstance(value, BaseException):
            reason = _why_not_loaded(value, data, serializer)
            if reason:
                return Kept(None, reason)
        if len(data) <= ALWAYS:
            return Kept(seal(serializer.name, data, self._signer, context))
        # Again: the estimate may have been far off.
        reason = self._not_worth(len(data), seconds) if policy == "auto" else ""
        return Kept(None, reason) if reason else Kept(self._stored(data, serializer.name, context))

    def _not_worth(self, size: int, seconds: float) -> str:
        """Why a value of this size, which took so long to make, should not be saved; empty if it should."""
        if worth_saving(size, seconds, FASTEST) and (size <= ALWAYS or worth_saving(size, seconds, self._speed())):
            return ""
        return (
            f"making it again ({seconds:.2g} s) is quicker than saving {told_size(size)}; persist_result=True saves it"
        )

    def _speed(self) -> float:
        storage = self._opened()
        return measured_speed(storage.folder) if isinstance(storage, FileStorage) else ELSEWHERE

    def _stored(self, data: bytes, name: str, context: str) -> bytes:
        """Put the data into the storage; the blob that refers to it."""
        storage = self._opened()
        # Without the context, which is in the reference: equal values of two runs are one file.
        blob = seal(name, data, self._signer)
        reference = Reference(storage.write(blob), len(blob), name, storage.describe())
        return pack(reference, _REFERENCES, self._signer, context)

    def _opened(self) -> ResultStorage:
        with self._lock:
            if self._storage is None:
                self._storage = self._storage_factory()
            return self._storage

    def _lookup(self, name: str) -> Serializer:
        """The serializer of a blob: ours if it is that one, which nobody else may know by name."""
        own = self._serializer
        return own if own is not None and own.name == name else serializer_of(name)


def why_not_dumped(error: BaseException, serializer: str) -> str:
    """Why a serializer did not take a value."""
    if isinstance(error, MemoryError):
        return "there is not enough memory to save it"
    said = "cannot be pickled" if serializer == "pickle" else f"cannot be saved as {serializer:.60}"
    text = first_line(error)
    if isinstance(error, RecursionError) or "recursion" in text:  # cloudpickle makes another error of it
        return f"{said}: it is nested too deeply, or contains itself"
    foreign = _CANNOT.search(text)
    if foreign:
        return f"{said}: {foreign[1]} objects belong to one process"
    return f"{said}: {text}"


def _why_not_loaded(error: BaseException, data: bytes, serializer: Serializer) -> str:
    """Why an exception does not come back; empty if it does.

    Only exceptions are tried out: Python makes them anew from what they gave to `Exception`, which often is not what
    their own class takes.  They are small and rare, too.
    """
    try:
        loaded = serializer.loads(data)
    except Exception as problem:
        return f"the exception could be saved but not loaded again: {first_line(problem)}"
    if isinstance(loaded, BaseException) and _simple(loaded.args) == _simple(error.args):
        return ""
    return f"the exception would be another once it is loaded again: {first_line(error)}"


def _simple(args: tuple[Any, ...]) -> list[Any]:
    """The arguments that can be compared without running anything."""
    return [each if type(each) in (str, int, bool) else type(each).__name__ for each in args]


def _reason(error: BaseException) -> str:
    if isinstance(error, TidegateError):
        return str(error).partition("\n")[0]
    if isinstance(error, MemoryError):
        return "there is not enough memory to save it"
    return f"cannot be saved: {first_line(error)}"


def told_size(size: int) -> str:
    """Bytes for people: ``3 MB``."""
    return f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
