"""Times as people read them: the table that the page's own test reads too, so that both write the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidegate.moments import duration

TABLE = Path(__file__).resolve().parents[2] / "widgets" / "js" / "test" / "durations.json"
CASES = json.loads(TABLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("seconds", "text"), CASES, ids=[str(seconds) for seconds, _ in CASES])
def test_seconds_as_people_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
