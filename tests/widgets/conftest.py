"""A page for graphs, without a browser."""

from __future__ import annotations

import pytest

from support.drawn_page import DrawnPage


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> DrawnPage:
    """A page that shows nothing yet; no graph says anything to any other while the test lasts."""
    return DrawnPage(monkeypatch)
