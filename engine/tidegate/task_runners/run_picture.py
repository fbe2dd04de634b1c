"""What a task's function sees of its run in a worker.

The run itself is in the process that owns it.  Here is what `runtime` and `get_run_logger` ask for; anything else that
code may want of a run, such as to call tasks in it, is refused in one line.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from ..context import Frame
from ..errors import OutsideFlow

if TYPE_CHECKING:
    from ..run.flow_run import FlowRun
    from ..run.task_run import TaskRun


@dataclass(frozen=True, slots=True)
class RunPicture:
    """What is sent along with a call: a few numbers and names."""

    flow_run: int
    flow_run_name: str
    flow: str
    flow_tags: frozenset[str]
    flow_attempts: int
    scheduled: float
    parent: tuple[int, int] | None
    number: int
    name: str
    task: str
    tags: frozenset[str]
    run_count: int

    @classmethod
    def of(cls, run: TaskRun) -> RunPicture:
        """The picture of a task run, as it is now."""
        above = run.flow_run
        return cls(
            *(above.number, above.name, above.flow.name, above.tags, above.attempts, above.scheduled),
            above.created.parent,
            *(run.number, run.name, run.task.name, run.tags, run.run_count),
        )


class _There:
    """What has few properties here: anything else is refused."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python asks any object for
            raise AttributeError(name)
        raise OutsideFlow(
            "This cannot be done in a task that runs in a worker (ProcessTaskRunner, DaskTaskRunner, RayTaskRunner): "
            "its run is in another process. Call tasks and flows, make artifacts and control runs from the flow."
        )


class EngineThere(_There):
    """The engine, for loggers: lines go to the owner of the run before they come here."""

    def __init__(self) -> None:
        self.logs = SimpleNamespace(counts_only=lambda *_: False, drop=lambda *_: None)

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def log(self, *line: Any, **options: Any) -> None:
        """Nothing: where the function runs in the process of its owner, the handler of the store is there as well."""


class FlowRunThere(_There):
    """The flow run that a picture tells of; `ask` gets its parameters from the owner."""

    engine = EngineThere()
    orphaned = False

    def __init__(self, picture: RunPicture, ask: Callable[[str], Any]) -> None:
        self.number = picture.flow_run
        self.name = picture.flow_run_name
        self.flow = SimpleNamespace(name=picture.flow, is_async=False)
        self.tags = picture.flow_tags
        self.attempts = picture.flow_attempts
        self.scheduled = picture.scheduled
        self.created = SimpleNamespace(parent=picture.parent)
        self._ask = ask

    @property
    def parameters(self) -> Any:
        """The parameters by name; they are asked for, because they may be large."""
        return self._ask("parameters")


class TaskThere:
    """The task, as far as a run needs it."""

    is_async = False
    is_flow = False

    def __init__(self, name: str, signature: inspect.Signature) -> None:
        self.name = name
        self._signature = signature

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by parameter, defaults filled in."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments


class TaskRunThere(_There):
    """The task run that a picture tells of, with its inputs."""

    def __init__(self, picture: RunPicture, signature: inspect.Signature, args: Any, kwargs: Any) -> None:
        self.number = picture.number
        self.name = picture.name
        self.task = TaskThere(picture.task, signature)
        self.tags = picture.tags
        self.run_count = picture.run_count
        self.args, self.kwargs = args, kwargs
        self.frame: Frame

    def __repr__(self) -> str:
        return f"<task run {self.number}: {self.name}>"


def frame_of(picture: RunPicture, signature: inspect.Signature, inputs: Any, ask: Callable[[str], Any]) -> Frame:
    """What the function sees as the innermost run."""
    args, kwargs = inputs
    flow_run, task_run = FlowRunThere(picture, ask), TaskRunThere(picture, signature, args, kwargs)
    here = Frame(cast("FlowRun", flow_run), cast("TaskRun", task_run))
    task_run.frame = here
    return here
