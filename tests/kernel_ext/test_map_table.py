"""A map as the value of a cell: as IPython itself formats it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

from support.flows import engine_over, flow, task
from tidegate.store.memory import MemoryStore


@pytest.fixture
def found() -> Iterator[Any]:
    kept: list[Any] = []

    @task
    def half(x: int) -> float:
        return 1 / x

    @flow
    def work() -> None:
        kept.append(half.map([1, 0]))

    with engine_over(MemoryStore()):
        work(return_state=True)
        yield kept[0]


def test_it_is_a_table_as_html_and_as_text(found: Any) -> None:
    data, _ = DisplayFormatter().format(found)
    assert sorted(data) == ["text/html", "text/plain"]
    assert data["text/html"].count("<tr>") == 3
    assert [line.split() for line in data["text/plain"].splitlines()] == [
        ["MapResult('half',", "2", "task", "runs):", "1", "completed,", "1", "failed"],
        ["status", "value", "error", "attempts"],
        ["0", "Completed", "1.0", "1"],
        ["1", "Failed", "ZeroDivisionError:", "division", "by", "zero", "1"],
    ]
    assert [line.rstrip() for line in data["text/plain"].splitlines()] == data["text/plain"].splitlines()
