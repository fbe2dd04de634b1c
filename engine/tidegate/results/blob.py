"""A blob: a value as bytes that say how to read them.

One line of ASCII, then the payload::

    TG1 - json
    5

The line holds the version of this format, the signature (``-`` where none is needed) and the serializer's name.
What is nothing but data to its reader is not signed.  Anything else, pickles above all, is: HMAC-SHA256 over the
line, the context and the payload, with a key that only the user has.  It is checked before a byte of the payload is
looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

from ..errors import MissingResult, StoreError, UntrustedResult
from .reasons import first_line
from .serializers import JSON, PICKLE, UNSIGNED, Serializer, serializer_of
from .signing import Signer

FORMAT = "TG1"
_LONGEST_LINE = 2000
_LONGEST_TEXT = 64 * 1024
_SMALLEST_INT, _LARGEST_INT = -(2**63), 2**63

_heads = {name: f"{FORMAT} - {name}\n".encode() for name in UNSIGNED}


class Head(NamedTuple):
    """The first line of a blob: what can be told without loading anything."""

    serializer: str
    signature: str
    """64 hex digits; empty for none."""
    end: int
    """Where the payload begins."""


_UNSAVED = f"{FORMAT} - unsaved\n".encode()


def unsaved(reason: str) -> bytes:
    """What stands in the place of a result that was not saved: it says why."""
    return _UNSAVED + reason.encode("utf-8", "backslashreplace")


def is_saved(blob: bytes | None) -> bool:
    """True if there is a result to be had."""
    return blob is not None and not blob.startswith(_UNSAVED)


def why_unsaved(blob: bytes) -> str:
    """Why a result was not saved; empty if it was."""
    return blob[len(_UNSAVED) :].decode() if blob.startswith(_UNSAVED) else ""


_JSON = _heads["json"]
_CONSTANTS = {None: _JSON + b"null", True: _JSON + b"true", False: _JSON + b"false"}


def plain(value: Any) -> bytes | None:
    """The blob of an exact small atom, as `pack` with `choose` would make it, at a fifth of the price; else null."""
    kind = type(value)
    if kind is int:
        return b"%b%d" % (_JSON, value) if _SMALLEST_INT <= value <= _LARGEST_INT else None
    if value is None or kind is bool:
        return _CONSTANTS[value]
    return None


def choose(value: Any) -> Serializer:
    """The serializer for a value when nobody chose one: JSON for short exact atoms, pickle for all else."""
    kind = type(value)
    if value is None or kind is bool:
        return JSON
    if kind is int:
        return JSON if _SMALLEST_INT <= value <= _LARGEST_INT else PICKLE
    if kind is str:
        return JSON if len(value) <= _LONGEST_TEXT else PICKLE
    return JSON if kind is float and isfinite(value) else PICKLE


def pack(value: Any, serializer: Serializer, signer: Signer, context: str = "") -> bytes:
    """The value as a blob.

    `context` ties a signature to one place, such as a task run: a blob that was moved to another is not trusted there.
    Raises what the serializer raises, and `StoreError` if there has to be a signature and there is no usable key.
    """
    return seal(serializer.name, serializer.dumps(value), signer, context)


def seal(name: str, payload: bytes, signer: Signer, context: str = "") -> bytes:
    """The blob of a payload that the serializer of this name made."""
    head = _heads.get(name)
    if head is not None:
        return head + payload
    signature = signer.sign(_signed_line(name, context), payload)
    return b"".join((f"{FORMAT} {signature} {name}\n".encode("ascii"), payload))


def unpack(
    blob: bytes,
    signer: Signer,
    serializer_lookup: Callable[[str], Serializer] = serializer_of,
    context: str = "",
    allow_untrusted: bool = False,
) -> Any:
    """The value of a blob.

    Raises `UntrustedResult`, before anything is loaded, if it has to be signed and was not, with your key and for this
    context; with `allow_untrusted` it is loaded nevertheless, and may run any code.  Raises `MissingResult` for one
    that is damaged, of a newer Tidegate, or made of things that can no longer be imported.
    """
    name, signature, end = read_head(blob)
    payload = blob[end:]
    if name in UNSIGNED:
        serializer_lookup = serializer_of  # plain data meets no reader but ours
    elif not allow_untrusted:
        _verify(signer, name, signature, context, payload)
    try:
        serializer = serializer_lookup(name)
    except TypeError as error:
        raise MissingResult(
            f"The saved result needs the serializer {name!r:.100}, which is not here: {error}"
        ) from error
    try:
        return serializer.loads(payload)
    except Exception as error:
        raise MissingResult(f"The saved result cannot be loaded any more ({first_line(error):.200}).") from error


def moved(blob: bytes, signer: Signer, old: str, new: str) -> bytes:
    """The blob of the same value for another context; nothing is loaded.  Raises as `unpack` does."""
    name, signature, end = read_head(blob)
    if name in UNSIGNED:
        return blob
    _verify(signer, name, signature, old, blob[end:])
    return seal(name, blob[end:], signer, new)


def read_head(blob: bytes) -> Head:
    """What a blob says of itself.  Raises `MissingResult` if it is none that we can read."""
    end = blob.find(b"\n", 0, _LONGEST_LINE)
    try:
        version, signature, name = blob[: max(end, 0)].decode("ascii").split(" ", 2)
    except ValueError as error:  # UnicodeDecodeError is one
        raise MissingResult("The saved result is damaged: it does not begin as one.") from error
    if version != FORMAT:
        raise MissingResult(f"The saved result is damaged, or of a newer Tidegate ({version!r:.20}, not {FORMAT!r}).")
    return Head(name, "" if signature == "-" else signature, end + 1)


def _verify(signer: Signer, name: str, signature: str, context: str, payload: bytes) -> None:
    try:
        trusted = bool(signature) and signer.verify(signature, _signed_line(name, context), payload)
    except StoreError as error:
        raise UntrustedResult(
            f"The saved result was not loaded, for its signature cannot be checked: {error}"
        ) from error
    if not trusted:
        raise UntrustedResult(
            f"The saved result ({name:.100}) was not loaded: it is not signed with your key for this place, and "
            "loading it could run foreign code. If you know where it is from, load it with allow_untrusted=True."
        )


def _signed_line(name: str, context: str) -> bytes:
    """All that is signed but the payload; no two pairs give the same."""
    told = context.encode("utf-8", "surrogatepass")
    return b"%s %d %s\n%s\n" % (FORMAT.encode(), len(told), name.encode(), told)
