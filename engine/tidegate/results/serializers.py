"""Serializers: values as bytes, and back.

A serializer's *name* says how to get an equal one: `serializer_of` takes it, and blobs carry it.  Options that are not
the default stand in the name as JSON: ``compressed/json?{"compressionlib":"bz2"}``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from math import isfinite
from typing import Any, ClassVar, Protocol

from ..errors import InvalidOption
from .reasons import first_line


class Serializer(Protocol):
    """Turns values into bytes and back.  Any thread may call it."""

    @property
    def name(self) -> str:
        """One line of ASCII, by which a reader finds an equal serializer."""
        ...

    def dumps(self, value: Any) -> bytes:
        """The value as bytes.  Raises anything for a value that it cannot give back as it was."""
        ...

    def loads(self, data: bytes) -> Any:
        """The reverse."""
        ...


_ATOMS = frozenset({type(None), bool, int, float, str})
_COMPRESSIONS = ("zlib", "bz2", "lzma", "gzip")

# The C encoder.  Text stays as it is: two lone surrogates, escaped, would come back as the one character of a pair.
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


class JSONSerializer:
    """JSON for what JSON gives back exactly: null, booleans, numbers, text, lists, and dictionaries by text.

    Anything else raises `TypeError`, models and tuples included, unless `object_encoder` makes one of these of it.

    `jsonlib` names a module with `dumps` and `loads` (default: Python's own).  `object_encoder` is the dotted name of a
    function that is given each other object; `object_decoder` of one that is given each dictionary that was read, from
    the inside out.  The library never sees the two, so they work with any and clash with no hook of its own.
    """

    def __init__(self, jsonlib: str = "json", object_encoder: str = "", object_decoder: str = "") -> None:
        options = {"jsonlib": jsonlib, "object_encoder": object_encoder, "object_decoder": object_decoder}
        self.name = _named("json", options, JSON_DEFAULTS)
        self._encoder = _function(object_encoder, "object_encoder") if object_encoder else None
        self._decoder = _function(object_decoder, "object_decoder") if object_decoder else None
        self._lib = _library(jsonlib, "jsonlib", {"a": [1, None, "b"]}) if jsonlib != "json" else None

    def dumps(self, value: Any) -> bytes:
        """The value as UTF-8.  Raises `TypeError`, or `RecursionError` for one that contains itself."""
        exact = value if type(value) in _ATOMS and self._lib is None else self._exact(value)
        if self._lib is None:
            return _encode(exact).encode("utf-8", "surrogatepass")
        text = self._lib.dumps(exact)
        return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)

    def loads(self, data: bytes) -> Any:
        """The reverse."""
        value = _decode(data.decode("utf-8", "surrogatepass")) if self._lib is None else self._lib.loads(data)
        return value if self._decoder is None else self._decoded(value)

    def _exact(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            if self._lib is not None and kind is float and not isfinite(value):
                raise TypeError(f"{value} has no place in JSON, and libraries differ in what they make of it")
            return value
        if kind is list:
            if self._lib is None and _ATOMS.issuperset(map(type, value)):
                return value
            return [self._exact(each) for each in value]
        if kind is dict:
            for key in value:
                if type(key) is not str:
                    raise TypeError(f"a key of type {type(key).__name__} would come back as text")
            return {key: self._exact(each) for key, each in value.items()}
        if self._encoder is None:
            raise TypeError(f"JSON cannot give a {kind.__name__} back; use 'pickle', or name an object_encoder")
        return self._exact(self._encoder(value))

    def _decoded(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decoded(each) for each in value]
        if isinstance(value, dict) and self._decoder is not None:
            return self._decoder({key: self._decoded(each) for key, each in value.items()})
        return value


class PickleSerializer:
    """Pickle by cloudpickle, which takes what was defined in a notebook along by value.

    `picklelib` names another module with `dumps` and `loads`.
    """

    def __init__(self, picklelib: str = "cloudpickle") -> None:
        self.name = _named("pickle", {"picklelib": picklelib}, PICKLE_DEFAULTS)
        # Ours is imported at the first use: the import costs 10 ms.
        self._lib = _library(picklelib, "picklelib", {"a": (1, None, b"b")}) if picklelib != "cloudpickle" else None
        self._dumps: Callable[[Any], bytes] | None = self._lib.dumps if self._lib is not None else None

    def dumps(self, value: Any) -> bytes:
        """The value as bytes.  Raises whatever pickling raises."""
        if self._dumps is None:
            self._dumps = _cloud_dumps()
        return self._dumps(value)

    def loads(self, data: bytes) -> Any:
        """The reverse.  It runs what the bytes say: see `blob` for who is trusted."""
        if self._lib is not None:
            return self._lib.loads(data)
        import pickle

        return pickle.loads(data)


@cache
def cloud_pickler() -> Any:
    """cloudpickle's class, but for open files: it would make a copy of the text of each and hand that back."""
    import io
    from collections import ChainMap
    from pickle import PicklingError

    import cloudpickle

    usual = cloudpickle.Pickler.dispatch_table
    reduce_file = usual[io.TextIOWrapper]

    def refuse(file: Any) -> Any:
        if file is sys.stdout or file is sys.stderr:
            return reduce_file(file)  # by name
        raise PicklingError("cannot pickle 'TextIOWrapper' object")

    # By a class of our own: set on a pickler that is made, the table is not looked at.
    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        """Takes everything but open files."""

        dispatch_table: ClassVar[Any] = ChainMap({io.TextIOWrapper: refuse}, usual)

    return Pickler


def _cloud_dumps() -> Callable[[Any], bytes]:
    from io import BytesIO
    from pickle import HIGHEST_PROTOCOL

    pickler = cloud_pickler()

    def dumps(value: Any) -> bytes:
        with BytesIO() as file:
            pickler(file, protocol=HIGHEST_PROTOCOL).dump(value)
            return file.getvalue()

    return dumps


class CompressedSerializer:
    """Another serializer's bytes, compressed by `compressionlib`: zlib (default), bz2, lzma or gzip."""

    def __init__(self, serializer: Any = "pickle", compressionlib: str = "zlib") -> None:
        if compressionlib not in _COMPRESSIONS:
            raise InvalidOption(f"compressionlib takes one of {', '.join(_COMPRESSIONS)}, not {compressionlib!r:.60}.")
        self._inner = serializer_of(serializer)
        kind, options = _parsed(self._inner.name)
        if kind.startswith("compressed/"):
            raise InvalidOption(f"The serializer {self._inner.name!r:.60} compresses already.")
        options["compressionlib"] = compressionlib
        self.name = _named(f"compressed/{kind}", options, COMPRESSED_DEFAULTS)
        lib = import_module(compressionlib)
        # gzip writes the time of day into its bytes; without it equal values are equal bytes, and stored once.
        self._compress: Callable[[bytes], bytes] = (
            partial(lib.compress, mtime=0) if compressionlib == "gzip" else lib.compress
        )
        self._decompress: Callable[[bytes], bytes] = lib.decompress

    def dumps(self, value: Any) -> bytes:
        """The value as compressed bytes."""
        return self._compress(self._inner.dumps(value))

    def loads(self, data: bytes) -> Any:
        """The reverse."""
        return self._inner.loads(self._decompress(data))


JSON_DEFAULTS = {"jsonlib": "json", "object_encoder": "", "object_decoder": ""}
PICKLE_DEFAULTS = {"picklelib": "cloudpickle"}
COMPRESSED_DEFAULTS = {"compressionlib": "zlib"}


def serializer_of(spec: Any) -> Serializer:
    """The serializer that an option means: a name ("json", "pickle", "compressed/json", "compressed/pickle"), an object
    with `name`, `dumps` and `loads`, or its class.  Raises `InvalidOption`, a `TypeError`, for anything else.
    """
    if type(spec) is str:
        return _plain.get(spec) or _by_name(spec)
    try:
        made = spec() if isinstance(spec, type) else spec
    except Exception as error:
        raise InvalidOption(
            f"The serializer {spec.__name__} cannot be made without arguments: give an object."
        ) from error
    name = getattr(made, "name", None)
    if type(name) is not str or not all(callable(getattr(made, each, None)) for each in ("dumps", "loads")):
        raise InvalidOption(
            f"A serializer is a name ({', '.join(_plain)}) or an object with name, dumps and loads, not {spec!r:.60}."
        )
    if not (name.isascii() and name.isprintable() and 0 < len(name) <= 1000):
        raise InvalidOption(f"The name of a serializer is one line of ASCII, not {name!r:.60}.")
    kind = _parsed(name)[0]
    if (kind in _plain and not isinstance(made, OURS)) or kind == "reference":
        raise InvalidOption(f"The serializer {type(made).__name__} needs a name of its own; {name!r:.60} is taken.")
    return made  # type: ignore[no-any-return]  # looked at above


def _by_name(name: str) -> Serializer:
    kind, options = _parsed(name)
    try:
        if kind.startswith("compressed/"):
            lib = options.pop("compressionlib", "zlib")
            return CompressedSerializer(_by_name(_named(kind.removeprefix("compressed/"), options, {})), lib)
        if kind == "json":
            return JSONSerializer(**options)
        if kind == "pickle":
            return PickleSerializer(**options)
    except InvalidOption:
        raise
    except TypeError as error:
        raise InvalidOption(f"The serializer {name!r:.100} has options that nobody knows.") from error
    raise InvalidOption(f"There is no serializer {name!r:.60}; there is {', '.join(_plain)}.")


def _named(kind: str, options: dict[str, Any], defaults: dict[str, Any]) -> str:
    """A name from its parts; options that are the default are left out."""
    told = {key: value for key, value in sorted(options.items()) if value != defaults.get(key)}
    return f"{kind}?{json.dumps(told, separators=(',', ':'))}" if told else kind


def _parsed(name: str) -> tuple[str, dict[str, Any]]:
    """The reverse of `_named`; a name that is none of ours has no options."""
    kind, mark, text = name.partition("?")
    try:
        options = json.loads(text) if mark else {}
    except ValueError:
        return name, {}
    return (kind, options) if isinstance(options, dict) else (name, {})


def _function(name: str, option: str) -> Callable[[Any], Any]:
    """The function of a dotted name."""
    try:
        module, _, last = name.rpartition(".")
        found = getattr(import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidOption(f"{option} is the dotted name of a function; {name!r:.60} is none ({error}).") from error
    if not callable(found):
        raise InvalidOption(f"{option} is the dotted name of a function; {name!r:.60} cannot be called.")
    return found  # type: ignore[no-any-return]  # looked at above


def _library(name: str, option: str, probe: Any) -> Any:
    """The module of a name, after it has shown that `loads` undoes its `dumps`."""
    try:
        lib = import_module(name)
        back = lib.loads(lib.dumps(probe))
    except Exception as error:
        raise InvalidOption(
            f"{option} is a module with dumps and loads; {name!r:.60} is none ({first_line(error):.100})."
        ) from error
    if back != probe:
        raise InvalidOption(f"{option} is a module whose loads undoes its dumps; that of {name!r:.60} does not.")
    return lib


OURS = (JSONSerializer, PickleSerializer, CompressedSerializer)
JSON: Serializer = JSONSerializer()
PICKLE: Serializer = PickleSerializer()
_plain: dict[str, Serializer] = {each.name: each for each in (JSON, PICKLE)}
_plain |= {f"compressed/{inner}": CompressedSerializer(inner) for inner in ("json", "pickle")}

UNSIGNED = frozenset(
    {
        "json",
        *(_named("compressed/json", {"compressionlib": lib}, COMPRESSED_DEFAULTS) for lib in _COMPRESSIONS),
    }
)
"""Names of what is nothing but data to its reader.  Any other is code or names some, and is read only if signed."""
