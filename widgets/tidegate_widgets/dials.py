"""The dials of a task on the page: how many of its runs may be at work, and how often one may start."""

from __future__ import annotations

from tidegate.dials import set_concurrency, set_rate
from tidegate.errors import NotRunning, UsageError
from tidegate.run.called import Called
from tidegate.run.flow_run import FlowRun

from .node import Node
from .protocol import Dial

BY = "you"
"""Who has turned a dial, as it stands in the log of the run."""


def dials(run: FlowRun | None, node: Node) -> list[Dial]:
    """The dials of a node with many task runs, as they stand; none where nobody here could turn them."""
    tasks = _tasks(run, node)
    if not tasks or len(node.members) < 2:
        return []
    limit, rate = tasks[-1].options["concurrency"], tasks[-1].options["rate"]
    return [
        {"dial": "concurrency", "label": "Concurrency limit", "value": "" if limit is None else str(limit)},
        {"dial": "rate", "label": "Rate", "value": "" if rate is None else str(rate)},
    ]


def turn(run: FlowRun | None, node: Node, dial: object, value: object) -> str:
    """Set a dial to what was typed, nothing for no limit; the line that says so.

    Raises `UsageError` for what makes no sense, and `NotRunning` once the run has ended.
    """
    if not _tasks(run, node):
        raise NotRunning("The run has ended: its dials turn nothing any more.")
    text = value.strip() if isinstance(value, str) else ""
    if dial == "concurrency":
        set_concurrency(node.task, _limit(text), by=BY)
        return f"{text} at a time from now on." if text else "Any number at a time from now on."
    if dial != "rate":
        raise UsageError("There is no such dial.")
    set_rate(node.task, _rate(text), by=BY)
    return f"Starts at {text} from now on." if text else "Starts at any rate from now on."


def _tasks(run: FlowRun | None, node: Node) -> list[Called]:
    """The tasks of that name at work in the run; none once it has ended."""
    if run is None or node.subflow or run.number not in run.engine.live:
        return []
    return [each for each in run.tasks if each.name == node.task and not each.is_flow]


def _limit(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        wanted = "a whole number from 1 on, or nothing for any number"
        raise UsageError(f"A concurrency limit is {wanted}, not {text!r:.60}.") from None


def _rate(text: str) -> str | float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text
