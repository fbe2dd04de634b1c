"""The tasks and flows of the simulated programs.  All that they do is to play their part, which the world knows.

The world stands in a module apart from what is said about the tasks: what a task names is a part of its code.
"""

from __future__ import annotations

from typing import Any

import tidegate
from simulator import world_now


def work(node: str, *inputs: Any) -> Any:
    """A task."""
    return world_now.play(node, inputs)


def voyage(node: str, inputs: list[Any]) -> Any:
    """A flow."""
    return world_now.play(node, inputs)


class Places:
    """The task runner of the simulated flows."""

    def start(self) -> Any:
        """A runner of the process that starts a flow run."""
        return world_now.runner()


TASKS: dict[str, Any] = {
    "plain": tidegate.Task(work, name="plain"),
    "tried": tidegate.Task(work, name="tried", retries=2, retry_delay_seconds=[0, 3]),
    "never": tidegate.Task(work, name="never", rerun="never"),
    "unsaved": tidegate.Task(work, name="unsaved", persist_result=False),
    "limited": tidegate.Task(work, name="limited", concurrency=1),
}

FLOWS: dict[str, Any] = {
    name: tidegate.Flow(
        voyage,
        name=name,
        flow_run_name=name,
        retries=retries,
        retry_delay_seconds=2.0,
        task_runner=Places(),
        validate_parameters=False,
    )
    for name, retries in (("once", 0), ("twice", 1))
}
