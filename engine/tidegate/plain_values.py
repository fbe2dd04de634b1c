"""Values as plain data that a person can read, a diff can show and nobody can be harmed by, and back.

What JSON has stands as it is.  Anything else is an object with one key that begins with a dollar: ``{"$tuple": [1]}``,
``{"$datetime": "2026-11-24T17:00:00"}``.  Nothing of it is code: reading makes no object of a class that the program
has not loaded by itself, and of those only enums, named tuples, dataclasses, models and exceptions.

Whether a form gives the value back is not taken on trust: `to_plain` reads what it wrote and compares the digests.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import UUID

from .digests import digest
from .errors import UsageError
from .sources import ATOMS

Plain = Any
"""What JSON has: null, booleans, numbers, text, lists, and dictionaries by text."""

_DEEPEST = 100
_LARGEST = 10_000
"""Bits of a whole number; Python refuses to read or write much longer ones as text."""


class NotPlain(UsageError):
    """A value has no form as plain data; the text says of which type the part is that has none."""


def to_plain(value: Any) -> Plain:
    """The value as plain data.  Raises `NotPlain` for one that does not come back as it was."""
    made = _plain(value, 0)
    if type(value) in ATOMS:
        return made
    known = digest(value)
    try:
        same = known is not None and digest(from_plain(json.loads(json.dumps(made)))) == known
    except (UsageError, ValueError, TypeError, ImportError):
        same = False
    if not same:
        raise NotPlain(type(value).__name__)
    return made


def from_plain(data: Plain) -> Any:
    """The value of plain data.  Raises `UsageError` for what is none, or needs a class that is not loaded."""
    if isinstance(data, list):
        return [from_plain(each) for each in data]
    if not isinstance(data, dict):
        return data
    if len(data) == 1:
        ((tag, content),) = data.items()
        if tag.startswith("$"):
            read = _READERS.get(tag)
            if read is None:
                raise UsageError(f"There is no form {tag!r:.40}: it is damaged, or of a newer Tidegate.")
            return read(content)
    return {key: from_plain(each) for key, each in data.items()}


def error_to_plain(error: BaseException) -> Plain:
    """An exception as plain data: its class, what it was made from, and those of its attributes that have a form.

    Raises `NotPlain` for one that would be another.
    """
    try:
        made: dict[str, Any] = {"type": _name_of(type(error)), "args": [to_plain(each) for each in _made_from(error)]}
    except NotPlain:
        raise NotPlain(type(error).__name__) from None
    attributes = {}
    for name, value in vars(error).items():
        if name.startswith("__") and name != "__notes__":
            continue  # such as the inputs that a saved failure has with it
        try:
            attributes[name] = to_plain(value)
        except NotPlain:  # a response, a client: who looks at the text and the class does not miss it
            continue
    if attributes:
        made["attributes"] = attributes
    again = error_from_plain(json.loads(json.dumps(made)))
    if type(again) is not type(error) or _text(again) != _text(error):
        raise NotPlain(type(error).__name__)
    return made


def error_from_plain(data: Plain) -> BaseException:
    """The exception of plain data, made without calling code of its class.  Raises `UsageError`."""
    kind = _class_of(data["type"])
    if not issubclass(kind, BaseException):
        raise UsageError(f"{data['type']} is no exception.")
    args = [from_plain(each) for each in data["args"]]
    if kind.__module__ == "builtins":
        error = kind(*args)
    else:
        error = kind.__new__(kind, *args)
        if not isinstance(error, OSError):  # which has taken the file's name out of them
            error.args = tuple(args)
    for name, value in data.get("attributes", {}).items():
        object.__setattr__(error, name, from_plain(value))
    return error


def _made_from(error: BaseException) -> tuple[Any, ...]:
    if isinstance(error, OSError) and error.filename is not None:
        return (error.errno, error.strerror, error.filename)
    return error.args


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # of its own `__str__`, which may miss an attribute
        return ""


# Writing ------------------------------------------------------------------------------------------------------------


def _plain(value: Any, depth: int) -> Plain:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str or kind is int:
        return _checked(value)
    if kind is float:
        return value if isfinite(value) else {"$float": str(value)}
    if depth > _DEEPEST:
        raise NotPlain("a value that is nested too deeply, or contains itself")
    if kind in (list, tuple, set, frozenset):
        members = [_plain(each, depth + 1) for each in value]
        if kind is list:
            return members
        return {f"${kind.__name__}": members if kind is tuple else sorted(members, key=json.dumps)}
    if kind is dict:
        if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)).startswith("$")):
            return {key: _plain(each, depth + 1) for key, each in value.items()}
        return {"$dict": [[_plain(key, depth + 1), _plain(each, depth + 1)] for key, each in value.items()]}
    write = _WRITERS.get(kind)
    if write is not None:
        return {f"${kind.__name__}": write(value)}
    if isinstance(value, Path):
        return {"$path": str(value)}
    return _object(value, kind, depth) or _table(value, kind, depth)


def _checked(value: str | int) -> str | int:
    """A text or a number, if a file can hold it."""
    if isinstance(value, int):
        if value.bit_length() > _LARGEST:
            raise NotPlain("a whole number of thousands of digits")
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotPlain("a text with half a character") from None
    return value


def _object(value: Any, kind: type, depth: int) -> Plain:
    """The form of a member of an enum, a named tuple, a dataclass or a model; null for any other object."""
    if isinstance(value, Enum):
        return {"$member": [_name_of(kind), value.name]}
    fields: Mapping[str, Any] | None = None
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return {"$named": [_name_of(kind), *(_plain(each, depth + 1) for each in value)]}
    if dataclasses.is_dataclass(kind):
        fields = {
            each.name: getattr(value, each.name) for each in dataclasses.fields(kind) if hasattr(value, each.name)
        }
    elif hasattr(kind, "__pydantic_fields__"):
        fields = vars(value)
    if fields is None:
        return None
    made = {"type": _name_of(kind), "fields": {name: _plain(each, depth + 1) for name, each in fields.items()}}
    given = getattr(value, "__pydantic_fields_set__", None)
    if given is not None:
        made["given"] = sorted(given)
    return {"$object": made}


def _table(value: Any, kind: type, depth: int) -> Plain:
    """The form of an array, a number of numpy or a frame."""
    module = kind.__module__.partition(".")[0]
    if module == "numpy" and hasattr(value, "dtype") and hasattr(value, "tolist"):
        if kind.__name__ == "ndarray":
            shape = {} if value.ndim == 1 else {"shape": list(value.shape)}
            return {"$array": {"dtype": value.dtype.str, **shape, "values": _plain(value.ravel().tolist(), depth + 1)}}
        return {"$number": [value.dtype.str, _plain(value.item(), depth + 1)]}
    if module == "pandas" and kind.__name__ == "DataFrame":
        columns = [_column(value.iloc[:, at], depth) for at in range(value.shape[1])]
        return {"$frame": {"columns": _axis(value.columns, depth), "index": _axis(value.index, depth), "data": columns}}
    if module == "pandas" and kind.__name__ == "Series":
        name = _plain(value.name, depth + 1)
        return {"$series": {"name": name, "index": _axis(value.index, depth), "data": _column(value, depth)}}
    raise NotPlain(kind.__name__)


def _axis(index: Any, depth: int) -> dict[str, Plain]:
    name = {} if index.name is None else {"name": _plain(index.name, depth + 1)}
    if type(index).__name__ == "RangeIndex":
        return {"range": [index.start, index.stop, index.step], **name}
    if index.nlevels > 1:
        raise NotPlain("MultiIndex")
    return {**_column(index.to_series(), depth), **name}


def _column(series: Any, depth: int) -> dict[str, Plain]:
    dtype = str(series.dtype)
    values = series.tolist()
    if dtype.startswith("datetime64"):
        values = [None if each != each else each.isoformat() for each in values]
    return {"dtype": dtype, "values": _plain(values, depth + 1)}


def _name_of(kind: type) -> str:
    """A class by name, where it is found again.  Raises `NotPlain` for one that is not."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        if _class_of(name) is kind:
            return name
    except UsageError:
        pass
    raise NotPlain(kind.__name__)


_WRITERS: dict[type, Callable[[Any], Plain]] = {
    bytes: lambda value: base64.b64encode(value).decode(),
    bytearray: lambda value: base64.b64encode(value).decode(),
    complex: lambda value: [value.real, value.imag],
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    Decimal: str,
    Fraction: str,
    UUID: str,
    range: lambda value: [value.start, value.stop, value.step],
}


# Reading ------------------------------------------------------------------------------------------------------------


def _class_of(name: str) -> type:
    """A class that the program has loaded.  Nothing is imported: that would run what a file names."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise UsageError(f"The class {name} is not there: import or define it first.")
    return found


def _read_object(data: Plain) -> Any:
    kind = _class_of(data["type"])
    if not (dataclasses.is_dataclass(kind) or hasattr(kind, "__pydantic_fields__")):
        raise UsageError(f"{data['type']} is no dataclass and no model.")
    made: Any = object.__new__(kind)
    for name, value in data["fields"].items():
        object.__setattr__(made, name, from_plain(value))
    if "given" in data:
        for name, value in (("fields_set", set(data["given"])), ("extra", None), ("private", None)):
            object.__setattr__(made, f"__pydantic_{name}__", value)
    return made


def _read_member(data: Plain) -> Any:
    kind = _class_of(data[0])
    if not issubclass(kind, Enum):
        raise UsageError(f"{data[0]} is no enum.")
    return kind[data[1]]


def _read_named(data: Plain) -> Any:
    kind = _class_of(data[0])
    if not issubclass(kind, tuple):
        raise UsageError(f"{data[0]} is no named tuple.")
    return tuple.__new__(kind, [from_plain(each) for each in data[1:]])


def _read_array(data: Plain) -> Any:
    import numpy as np

    values = np.array(from_plain(data["values"]), dtype=data["dtype"])
    return values.reshape(data["shape"]) if "shape" in data else values


def _read_number(data: Plain) -> Any:
    import numpy as np

    return np.dtype(data[0]).type(from_plain(data[1]))


def _read_frame(data: Plain) -> Any:
    import pandas as pd

    index = _read_axis(pd, data["index"])
    made = pd.DataFrame({at: _series(pd, each, index) for at, each in enumerate(data["data"])}, index=index)
    made.columns = _read_axis(pd, data["columns"])
    return made


def _read_series(data: Plain) -> Any:
    import pandas as pd

    return _series(pd, data["data"], _read_axis(pd, data["index"])).rename(from_plain(data["name"]))


def _series(pd: Any, data: Plain, index: Any) -> Any:
    return pd.Series(from_plain(data["values"]), index, dtype=data["dtype"])


def _read_axis(pd: Any, data: Plain) -> Any:
    name = from_plain(data.get("name"))
    if "range" in data:
        return pd.RangeIndex(*data["range"], name=name)
    return pd.Index(from_plain(data["values"]), dtype=data["dtype"], name=name)


_READERS: dict[str, Callable[[Plain], Any]] = {
    "$float": float,
    "$tuple": lambda data: tuple(map(from_plain, data)),
    "$set": lambda data: set(map(from_plain, data)),
    "$frozenset": lambda data: frozenset(map(from_plain, data)),
    "$dict": lambda data: {from_plain(key): from_plain(value) for key, value in data},
    "$bytes": base64.b64decode,
    "$bytearray": lambda data: bytearray(base64.b64decode(data)),
    "$complex": lambda data: complex(*data),
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$timedelta": lambda data: timedelta(*data),
    "$Decimal": Decimal,
    "$Fraction": Fraction,
    "$UUID": UUID,
    "$range": lambda data: range(*data),
    "$path": Path,
    "$member": _read_member,
    "$named": _read_named,
    "$object": _read_object,
    "$array": _read_array,
    "$number": _read_number,
    "$frame": _read_frame,
    "$series": _read_series,
}
