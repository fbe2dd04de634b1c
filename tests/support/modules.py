"""Modules that a test has loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def forgotten(folder: Path) -> Iterator[None]:
    """At the end the modules of that folder, and those that the loader has made, are forgotten.

    Those alone: a library that was imported by the way would come twice, and its second copy know nothing of the first.
    """
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None)
        if name.startswith("__tidegate_loader") or (file and Path(file).is_relative_to(folder)):
            del sys.modules[name]
