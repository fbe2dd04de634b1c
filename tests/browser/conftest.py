"""One JupyterLab and browser for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.lab import Lab
from support.page import SHOTS


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with Lab() as running:
        yield running
