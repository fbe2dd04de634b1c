"""The store that the settings name, for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ..errors import StoreError, UsageError
from ..model.views import FlowRow
from ..settings import settings

if TYPE_CHECKING:
    from ..store.sqlite import SQLiteStore

RUN = click.IntRange(1, 2**63 - 1)
"""The number of a flow run."""


@contextmanager
def opened(*, make: bool = False) -> Iterator[SQLiteStore]:
    """The store; closed at the end.  Raises `StoreError` if it cannot be used, or is not there and not to be made."""
    from ..store.sqlite import SQLiteStore  # it brings SQLite, which `--help` needs not

    path = settings().store_path
    if not make and not path.exists():
        raise StoreError(f"There is no store {path}: nothing has run here. Name the folder of another with --home.")
    store = SQLiteStore(path)
    try:
        yield store
    finally:
        store.close()


def find(store: SQLiteStore, number: int) -> FlowRow:
    """The flow run of that number.  Raises `UsageError` if there is none."""
    row = store.flow_run(number)
    if row is None:
        raise UsageError(f"There is no flow run {number}. `tidegate runs` lists those that are there.")
    return row
