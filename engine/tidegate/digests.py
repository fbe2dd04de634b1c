"""Digests of values and of functions: short texts that are equal where the content is, in any process.

A value is described by its type and what it holds, never by an address, a hash or the order of a set, so a digest
holds across processes, days and machines.  Pickles would not do: they spell out the order of sets, which each process
draws anew, and whether two equal strings happen to be one object.

What can be pickled has a digest: a value that is no plain data is described by what it would tell pickle.  Equal
means equal of the same type: ``1``, ``1.0`` and ``True`` differ, and so do ``0.0`` and ``-0.0``.
"""

from __future__ import annotations

import copyreg
import dataclasses
import operator
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from hashlib import blake2b
from itertools import chain
from marshal import dumps
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, TypeAlias

from .sources import ATOMS, Sources, closure, qualified

Leaf: TypeAlias = Callable[[Any], str | None]

_ORDER = 2
"""The version of marshal that has binary floats and does not yet note which objects are the same one."""
_SORTABLE: tuple[frozenset[type], ...] = (frozenset({str}), frozenset({int}), frozenset({bytes}))
_ROWS = frozenset({list, tuple})
_CELLS = 20_000_000
"""Rows of atoms with more cells than this in all are described one by one, not at once in memory."""
_DEEPEST = 200_000
"""Levels of nesting after which a value counts as endless."""
_PLAIN_MODULES = frozenset({"datetime", "decimal", "fractions", "uuid", "re", "pathlib", "pathlib._local", "zoneinfo"})
"""Where the types come from that count as plain data although they are no builtins."""
_SMALL = 65_536
"""Arrays of fewer bytes count as plain data, too: as constants that somebody wrote."""


def digest(value: Any, leaf: Leaf | None = None, most: int | None = None) -> str | None:
    """32 hex digits that tell the content of a value; null if it cannot be told (a lock, a connection, a generator).

    Sets and dictionaries count without their order; a value may hold itself, and be nested as deeply as it likes.
    Functions count by their code, classes and modules by their name, arrays and frames by every element.

    `leaf` is asked about every object that is no atom before it is described (but not about the rows of a table of
    atoms); a text that it returns stands for the object.  With `most`, a value of more objects than that, atoms not
    counted, has no digest.
    """
    if type(value) in ATOMS:
        return blake2b(dumps(value, _ORDER), digest_size=16).hexdigest()
    return _digest(value, leaf, plain=False, most=most)


def source_digest(fn: Callable[..., Any]) -> str:
    """32 hex digits that tell what a function does: its code, and what of the user's it relies on.

    Comments, formatting, docstrings and its own decorators do not count.  Defaults, closures and global constants do,
    as far as they are plain data (a frame or a connection is not).  So do the functions and classes that it names, and
    those they name, if they live in its module or in ``__main__``; what is in libraries counts by name.  A function
    whose source is not at hand, or is no longer what runs, counts by its bytecode.
    """
    return _sources(fn).digest


def source_parts(fn: Callable[..., Any]) -> Mapping[str, str]:
    """The digest of each part that `source_digest` counts, by a name such as ``"helper clean"``.

    The names begin with "source of", "helper", "constant", "default", "closure" or "global" (a library's).
    """
    return _sources(fn).parts


_known: weakref.WeakKeyDictionary[FunctionType, Sources] = weakref.WeakKeyDictionary()


def _sources(fn: Callable[..., Any]) -> Sources:
    if not isinstance(fn, FunctionType):
        return Sources(fn, _literal)
    found = _known.get(fn)
    if found is None or not found.hold():
        found = _known[fn] = Sources(fn, _literal)
    return found


def _literal(value: Any) -> str | None:
    """The digest of plain data; null for all else."""
    return _digest(value, None, plain=True)


def _digest(value: Any, leaf: Leaf | None, *, plain: bool, most: int | None = None) -> str | None:
    try:
        token = _Walk(leaf, plain, most).over(value)
    except (Exception, SystemExit, GeneratorExit):  # whatever a stranger's __reduce__ raises: it has no digest
        return None
    return (token[1:] if token[:1] == _HASHED else _hash(token)).hex()


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


class _NoDigest(Exception):
    """The content of a value cannot be told."""


# A token stands for a value in its container.  An atom's is what marshal writes, which starts with a letter and ends by
# itself; the others start with one of these.
_HASHED, _ABOVE, _LEAF = b"\x01", b"\x02", b"\x03"

IN_ORDER, SET, PAIRS = 0, 1, 2


class _Node:
    """A value that is described by its members."""

    __slots__ = ("kind", "members", "tag", "tokens", "value")

    def __init__(self, tag: str, members: Iterable[Any], kind: int = IN_ORDER) -> None:
        self.tag = tag
        self.members: Iterator[Any] = iter(members)
        self.kind = kind
        self.tokens: list[bytes] = []
        self.value: Any = None

    def content(self) -> bytes:
        tokens = self.tokens
        if self.kind == SET:
            tokens.sort()
        elif self.kind == PAIRS:
            each = iter(tokens)
            tokens = sorted(map(operator.add, each, each))
        return b"".join((b"\0", dumps(self.tag, _ORDER), *tokens))


Described: TypeAlias = bytes | _Node
"""The content of a value: all of it, or the members to look at."""


class _Walk:
    """One walk over a value, without recursion.  An object that is met again is not described again."""

    __slots__ = ("_kept", "_leaf", "_left", "_open", "_plain", "_tokens")

    def __init__(self, leaf: Leaf | None, plain: bool, most: int | None) -> None:
        self._left = most
        self._leaf = leaf
        self._plain = plain
        self._tokens: dict[int, bytes] = {}
        self._kept: list[Any] = []  # so that no address in the table is used again
        self._open: dict[int, int] = {}

    def over(self, value: Any) -> bytes:
        """The token of a value.  Raises whatever describing it raises."""
        stack = [_Node("", (value,))]
        while True:
            node = stack[-1]
            tokens = node.tokens
            for member in node.members:  # goes on where it stopped
                if type(member) in ATOMS:
                    tokens.append(dumps(member, _ORDER))
                    continue
                token = self._token(member, len(stack))
                if isinstance(token, _Node):
                    stack.append(token)
                    break
                tokens.append(token)
            else:
                stack.pop()
                if not stack:
                    return tokens[0]
                del self._open[id(node.value)]
                stack[-1].tokens.append(self._keep(node.value, _HASHED + _hash(node.content())))

    def _token(self, value: Any, depth: int) -> Described:
        """The token of a value that is no atom, or a node if its members come first."""
        key = id(value)
        known = self._tokens.get(key)
        if known is not None:
            return known
        above = self._open.get(key)
        if above is not None:
            return _ABOVE + dumps(depth - above, _ORDER)
        name = None if self._leaf is None else self._leaf(value)
        if name is not None:
            return self._keep(value, _LEAF + dumps(name, _ORDER))
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise _NoDigest("too much")
        described = self._describe(value)
        if isinstance(described, bytes):
            return self._keep(value, _HASHED + _hash(described))
        if depth > _DEEPEST:
            raise _NoDigest("endless")
        described.value = value
        self._open[key] = depth
        return described

    def _keep(self, value: Any, token: bytes) -> bytes:
        self._tokens[id(value)] = token
        self._kept.append(value)
        return token

    def _describe(self, value: Any) -> Described:
        kind = type(value)
        make = _BUILTIN.get(kind)
        if make is not None:
            return make(value)
        if isinstance(value, Enum):
            return _Node(f"member {qualified(kind)}", (value.name, value.value))
        fields = _fields(kind)
        if fields is not None:
            extra = getattr(value, "__pydantic_extra__", None) or {}
            names = [name for name in fields if hasattr(value, name)]
            values = (getattr(value, name) for name in names)
            return _Node(f"data {qualified(kind)}", [names, *values, extra])
        if isinstance(value, type):
            return b"\0t" + qualified(value).encode()
        if not self._plain or (kind.__module__ == "numpy" and getattr(value, "nbytes", _SMALL) < _SMALL):
            return _other(value, kind)
        if kind.__module__ in _PLAIN_MODULES:
            return _by_pickling(value, kind)
        raise _NoDigest(qualified(kind))


def _fields(kind: type) -> Iterable[str] | None:
    """The names of the fields of a dataclass or a pydantic model; null for other types."""
    if hasattr(kind, "__dataclass_fields__"):
        return [field.name for field in dataclasses.fields(kind)]
    found: Mapping[str, Any] | None = getattr(kind, "__pydantic_fields__", None)
    return found


def _other(value: Any, kind: type) -> Described:
    """Code, arrays, frames, and whatever tells pickle what it holds."""
    make = _CODE.get(kind)
    if make is not None:
        return make(value)
    if "numpy" in sys.modules or "polars" in sys.modules:
        from . import arrays  # only where there can be any

        described = arrays.describe(value)
        if described is not None:
            return described if isinstance(described, bytes) else _Node(*described)
    if isinstance(value, (set, frozenset)):  # pickle would spell out their order
        return _Node(f"set {qualified(kind)}", [*value], SET)
    return _by_pickling(value, kind)


def _by_pickling(value: Any, kind: type) -> Described:
    """What a value would tell pickle: how it is made again, from what, and its state."""
    # What an import of dask or ray registers for exceptions (tblib) takes their tracebacks along.
    reduce = None if isinstance(value, BaseException) else copyreg.dispatch_table.get(kind)
    told = value.__reduce_ex__(4) if reduce is None else reduce(value)
    if isinstance(told, str):
        return b"\0g" + f"{qualified(kind)} {told}".encode()
    call, arguments, state, items, pairs = (*told, None, None, None)[:5]
    named = isinstance(call, (type, FunctionType))
    members = [qualified(call) if named else call, arguments, state, None if items is None else list(items)]
    if pairs is not None:
        members.append(list(pairs) if hasattr(kind, "move_to_end") else dict(pairs))
    return _Node(f"object {qualified(kind)}", members)


def _sequence(value: list[Any] | tuple[Any, ...]) -> Described:
    """Lists and tuples of atoms, and tables of them, in one go; a million numbers take a few dozen milliseconds."""
    kinds = set(map(type, value))
    if kinds <= ATOMS:
        return dumps(value, _ORDER)
    if kinds <= _ROWS and sum(map(len, value)) <= _CELLS and ATOMS.issuperset(map(type, chain.from_iterable(value))):
        return dumps(value, _ORDER)
    return _Node(type(value).__name__, value)


def _dict(value: Mapping[Any, Any]) -> Described:
    if set(map(type, value)) in _SORTABLE and ATOMS.issuperset(map(type, value.values())):
        keys = sorted(value)
        return b"\0d" + dumps([*keys, *map(value.__getitem__, keys)], _ORDER)
    return _Node("dict", chain.from_iterable(value.items()), PAIRS)


def _set(value: set[Any] | frozenset[Any]) -> Described:
    tag = type(value).__name__
    if set(map(type, value)) in _SORTABLE:
        return b"\0" + tag.encode() + dumps(sorted(value), _ORDER)
    return _Node(tag, [*value], SET)


def _range(value: range) -> Described:
    return _Node("range", (len(value), value[0] if value else 0, value.step if len(value) > 1 else 1))


def _function(fn: FunctionType) -> Described:
    return _Node("function", (source_digest(fn), closure(fn), fn.__defaults__, fn.__kwdefaults__))


_BUILTIN: Mapping[type, Callable[[Any], Described]] = {
    list: _sequence,
    tuple: _sequence,
    dict: _dict,
    set: _set,
    frozenset: _set,
    bytearray: lambda value: b"\0b" + value,
    range: _range,
}

_CODE: Mapping[type, Callable[[Any], Described]] = {
    FunctionType: _function,
    MethodType: lambda value: _Node("method", (value.__func__, value.__self__)),
    BuiltinFunctionType: lambda value: _Node("builtin", (value.__qualname__, value.__self__)),
    ModuleType: lambda value: b"\0m" + value.__name__.encode(),
    MappingProxyType: lambda value: _Node("proxy", (dict(value),)),
    memoryview: lambda value: _Node("memory", (value.format, value.shape, value.tobytes())),
}
