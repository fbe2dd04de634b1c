"""What is in an array or a frame, told for a digest: numpy, pandas and polars, whichever the user has loaded.

Nothing here imports them: a value of a library that is not loaded cannot exist.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeAlias

Described: TypeAlias = bytes | tuple[str, list[Any]]
"""The content of a value: all of it, or a tag and the members to look at."""


def describe(value: Any) -> Described | None:
    """What is in an array, a numpy scalar, a frame, a series or an index; null for all else."""
    for library, look in _LIBRARIES.items():
        module = sys.modules.get(library)
        if module is not None:
            described = look(module, value)
            if described is not None:
                return described
    return None


def _numpy(numpy: Any, value: Any) -> Described | None:
    # Subclasses (masked arrays, matrices) hold more than their elements, and tell it to pickle.
    if type(value) is not numpy.ndarray:
        return _scalar(value) if isinstance(value, numpy.generic) else None
    tag = f"array {value.dtype.str} {value.shape}"
    if value.dtype.names:  # the bytes between fields are whatever was in memory
        return tag, [[name, value[name]] for name in value.dtype.names]
    if value.dtype.hasobject or value.dtype.char == "T":
        return tag, [value.ravel().tolist()]
    flat = numpy.ascontiguousarray(value).reshape(-1)
    content = blake2b(flat.view(numpy.uint8) if flat.nbytes else b"", digest_size=16).digest()
    return b"\0a" + tag.encode() + content


def _scalar(value: Any) -> Described:
    tag = f"scalar {value.dtype.str}"
    return (tag, [value.item()]) if value.dtype.names else b"\0n" + tag.encode() + value.tobytes()


def _pandas(pandas: Any, value: Any) -> Described | None:
    if isinstance(value, pandas.MultiIndex):
        return "pandas levels", [list(value.names), *(value.get_level_values(i) for i in range(value.nlevels))]
    if isinstance(value, pandas.Index):
        return "pandas index", [value.name, *_column(pandas, value.array)]
    if isinstance(value, pandas.Series):
        return "pandas series", [value.name, value.index, *_column(pandas, value.array)]
    if isinstance(value, pandas.DataFrame):
        columns = (_column(pandas, value.iloc[:, at].array) for at in range(value.shape[1]))
        return "pandas frame", [value.columns, value.index, *columns]
    return None


def _column(pandas: Any, array: Any) -> list[Any]:
    dtype = array.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        return ["category", dtype.ordered, dtype.categories, array.codes]
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return [str(dtype), array.astype("int64")]
    extension = pandas.api.types.is_extension_array_dtype(dtype)
    return [str(dtype), array.to_numpy(dtype=object) if extension else array.to_numpy()]


def _polars(polars: Any, value: Any) -> Described | None:
    if isinstance(value, polars.DataFrame):
        return "polars frame", list(value.get_columns())
    if isinstance(value, polars.Series):
        whole = value.dtype.is_numeric() and not value.null_count()
        return "polars series", [value.name, str(value.dtype), value.to_numpy() if whole else value.to_list()]
    return None


_LIBRARIES: dict[str, Callable[[Any, Any], Described | None]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
}
