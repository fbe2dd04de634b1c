"""What the tests of resume share."""

from __future__ import annotations

from typing import Any

import tidegate
from support.flows import task
from tidegate.engine import Engine
from tidegate.model.events import TaskState
from tidegate.model.states import State


def resumed(flow_run: int, *flow: Any, **parameters: Any) -> Any:
    """The result of a run that is resumed here."""
    final = tidegate.resume(flow_run, *flow, parameters=parameters)
    assert isinstance(final, State)
    return final.result()


class Bodies:
    """What ran, in order; `fails` are the names that raise."""

    def __init__(self, *fails: str) -> None:
        self.fails = set(fails)
        self.ran: list[str] = []

    def __call__(self, name: str) -> None:
        self.ran.append(name)
        if name in self.fails:
            raise ValueError(name)


def noting(bodies: Bodies) -> Any:
    """A task that notes the name it is given, and returns it."""

    @task
    def step(name: str) -> str:
        bodies(name)
        return name

    return step


def message(engine: Engine, task_run: int, name: str) -> str:
    """What the state of this name of a task run says."""
    [said] = [
        event.state.message
        for _, event in engine.store.events(1)
        if isinstance(event, TaskState) and event.task_run == task_run and event.state.name == name
    ]
    return said
