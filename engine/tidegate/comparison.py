"""Two flow runs side by side: parameters, code, states, timings and results, as far as the record tells.

No result is loaded: plain data are the same if their bytes are, and of pickles whose bytes differ it cannot be told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import unified_diff
from typing import NamedTuple

from .model.states import StateType
from .model.views import FlowRow, TaskRow
from .moments import duration
from .ports import EventStore
from .results.blob import read_head
from .results.keeper import reference_of
from .results.serializers import UNSIGNED

WIDEST = 60
"""Characters of a value that are shown."""

_UNSAVED = "unsaved"


class Line(NamedTuple):
    """One thing of two runs."""

    what: str
    first: str
    second: str
    told: str
    """How they differ; empty if they do not."""


def compare(store: EventStore, first: FlowRow, second: FlowRow) -> list[Line]:
    """What there is to say of two runs: the runs as a whole, each parameter, then each task."""
    lines = [
        _line("flow", first.flow, second.flow),
        _line("state", first.state.name, second.state.name),
        Line("took", _took(first), _took(second), ""),
        _code(first, second),
        *_parameters(first, second),
        Line("result", _kept(first.result), _kept(second.result), _results([(first.result, second.result)])),
    ]
    return [*lines, *_tasks(store.task_runs(first.number), store.task_runs(second.number))]


def head(first: FlowRow, second: FlowRow) -> tuple[str, ...]:
    """The head of that as a table."""
    return ("", f"run {first.number}", f"run {second.number}", "differs")


def _line(what: str, first: str, second: str) -> Line:
    return Line(what, _short(first), _short(second), "" if first == second else "yes")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"


def _took(row: FlowRow) -> str:
    return "" if row.started is None or row.ended is None else duration(row.ended - row.started)


def _code(first: FlowRow, second: FlowRow) -> Line:
    """Of cells, how many lines changed; of functions, whether their source did."""
    if first.body and second.body:
        if first.body == second.body:
            return Line("code", "", "", "")
        lines = list(unified_diff(first.body.splitlines(), second.body.splitlines(), n=0, lineterm=""))[2:]
        gone = sum(line.startswith("-") for line in lines)
        new = sum(line.startswith("+") for line in lines)
        return Line("code", f"-{gone} lines" if gone else "", f"+{new} lines" if new else "", "yes")
    return Line("code", "", "", "" if first.source == second.source else "yes")


def _parameters(first: FlowRow, second: FlowRow) -> Iterator[Line]:
    one, two = first.recorded_parameters(), second.recorded_parameters()
    for name in dict.fromkeys([*one, *two]):
        shown = [repr(given[name]) if name in given else "" for given in (one, two)]
        yield _line(f"parameter {name}", *shown)


def _kept(blob: bytes | None) -> str:
    return "" if blob is None else "not saved" if read_head(blob).serializer == _UNSAVED else "saved"


# Results --------------------------------------------------------------------------------------------------------------


def _results(pairs: Iterable[tuple[bytes | None, bytes | None]]) -> str:
    """How many results differ, and of how many it cannot be told; empty if none."""
    counts = Counter(_differ(*pair) for pair in pairs)
    parts = []
    if counts["yes"]:
        parts.append("result" if counts["yes"] == 1 else f"{counts['yes']:,} results")
    if counts["perhaps"]:
        parts.append("perhaps a result" if counts["perhaps"] == 1 else f"perhaps {counts['perhaps']:,} results")
    return ", ".join(parts)


def _differ(first: bytes | None, second: bytes | None) -> str:
    if first is None or second is None:
        return "" if first is second else "yes"
    one, two = _content(first), _content(second)
    if one == two:
        return ""
    kinds = {one[0], two[0]}
    return "yes" if kinds <= UNSIGNED - {_UNSAVED} else "perhaps"


def _content(blob: bytes) -> tuple[str, object]:
    """The serializer and what it wrote, without the signature, which ties it to its run."""
    reference = reference_of(blob)
    if reference is not None:
        return reference.serializer, reference.key
    found = read_head(blob)
    return found.serializer, blob[found.end :]


# Tasks ----------------------------------------------------------------------------------------------------------------


def _tasks(first: Sequence[TaskRow], second: Sequence[TaskRow]) -> Iterator[Line]:
    one, two = _by_task(first), _by_task(second)
    for task in dict.fromkeys([*one, *two]):
        rows, others = one.get(task, []), two.get(task, [])
        yield Line(f"task {task}", _told(rows), _told(others), ", ".join(_differences(rows, others)))


def _by_task(rows: Iterable[TaskRow]) -> dict[str, list[TaskRow]]:
    found = defaultdict(list)
    for row in rows:
        found[row.task].append(row)
    return dict(found)


def _told(rows: Sequence[TaskRow]) -> str:
    """``30 runs, 2 failed, 4.1s``."""
    if not rows:
        return ""
    parts = ["1 run" if len(rows) == 1 else f"{len(rows):,} runs"]
    states = Counter(row.state.name for row in rows if row.state.type is not StateType.COMPLETED)
    parts += [f"{count:,} {name}" for name, count in states.items()]
    return ", ".join([*parts, duration(sum(row.ran for row in rows))])


def _differences(rows: list[TaskRow], others: list[TaskRow]) -> Iterator[str]:
    if not rows or not others:
        yield "only in one"
        return
    if {row.source for row in rows} != {row.source for row in others}:
        yield "code"
    same, changed = _paired(rows, others)
    if len(rows) != len(others):
        yield "number of runs"
    if changed:
        yield "inputs" if len(changed) == 1 else f"{len(changed):,} inputs"
    pairs = [*same, *changed]
    states = sum(one.state.name != two.state.name for one, two in pairs)
    if states:
        yield "state" if states == 1 else f"{states:,} states"
    both = [(one.result, two.result) for one, two in pairs if one.state.is_completed() and two.state.is_completed()]
    told = _results(both)
    if told:
        yield told


Pairs = list[tuple[TaskRow, TaskRow]]


def _paired(rows: list[TaskRow], others: list[TaskRow]) -> tuple[Pairs, Pairs]:
    """Runs of one task that were called with the same, and the rest, in the order of the calls."""
    known = {(row.key, row.nth): row for row in others if row.key}
    same, left = [], []
    for row in rows:
        twin = known.pop((row.key, row.nth), None) if row.key else None
        if twin is None:
            left.append(row)
        else:
            same.append((row, twin))
    taken = {twin.number for _, twin in same}
    return same, list(zip(left, [row for row in others if row.number not in taken], strict=False))
