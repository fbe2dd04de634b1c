"""What is known of the run around the code that asks, anywhere, without passing it along.

    from tidegate import runtime

    runtime.flow_run.name       "brave-otter"
    runtime.task_run.run_count  2

Where no flow or task runs, nothing is raised: names, numbers and times are null, tags and parameters empty.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .context import frame

if TYPE_CHECKING:
    from .run.flow_run import FlowRun
    from .run.task_run import TaskRun


class PresentFlowRun:
    """The flow run around the code that asks; in a subflow the subflow's."""

    @property
    def id(self) -> int | None:
        """Its number in the store."""
        run = _flow_run()
        return None if run is None else run.number

    @property
    def name(self) -> str | None:
        """The readable name, ``brave-otter``."""
        run = _flow_run()
        return None if run is None else run.name

    @property
    def flow_name(self) -> str | None:
        """The name of its flow."""
        run = _flow_run()
        return None if run is None else run.flow.name

    @property
    def tags(self) -> list[str]:
        """Its tags, sorted."""
        run = _flow_run()
        return [] if run is None else sorted(run.tags)

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters by name, validated, defaults filled in."""
        run = _flow_run()
        return {} if run is None else dict(run.parameters)

    @property
    def run_count(self) -> int | None:
        """How often its function was begun: 1 in the first attempt."""
        run = _flow_run()
        return None if run is None else run.attempts

    @property
    def scheduled_start_time(self) -> datetime | None:
        """When it was to begin, in UTC: for a run that was not scheduled, when it was made."""
        run = _flow_run()
        return None if run is None else datetime.fromtimestamp(run.scheduled, UTC)

    @property
    def parent_flow_run_id(self) -> int | None:
        """The number of the flow run that called it; null if none did."""
        run = _flow_run()
        return None if run is None or run.created.parent is None else run.created.parent[0]

    def __repr__(self) -> str:
        return f"<flow run {self.id}: {self.name}>" if self.id is not None else "<no flow run>"


class PresentTaskRun:
    """The task run around the code that asks; null in the flow itself."""

    @property
    def id(self) -> int | None:
        """Its number within the flow run."""
        run = _task_run()
        return None if run is None else run.number

    @property
    def name(self) -> str | None:
        """The readable name, ``locate-17``."""
        run = _task_run()
        return None if run is None else run.name

    @property
    def task_name(self) -> str | None:
        """The name of its task."""
        run = _task_run()
        return None if run is None else run.task.name

    @property
    def tags(self) -> list[str]:
        """Its tags, sorted; those of the flow run are among them."""
        run = _task_run()
        return [] if run is None else sorted(run.tags)

    @property
    def parameters(self) -> dict[str, Any]:
        """Its arguments by parameter, futures replaced by their results, defaults filled in."""
        run = _task_run()
        return {} if run is None else run.task.arguments(run.args, run.kwargs)

    @property
    def run_count(self) -> int | None:
        """How often it was begun, in all attempts of its flow run: 1 the first time."""
        run = _task_run()
        return None if run is None else run.run_count

    def __repr__(self) -> str:
        return f"<task run {self.id}: {self.name}>" if self.id is not None else "<no task run>"


def _flow_run() -> FlowRun | None:
    here = frame.get()
    return None if here is None else here.flow_run


def _task_run() -> TaskRun | None:
    here = frame.get()
    return None if here is None else here.task_run


flow_run = PresentFlowRun()
task_run = PresentTaskRun()
