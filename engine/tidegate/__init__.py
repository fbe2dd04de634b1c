"""Tidegate: a notebook cell that can be watched, paused, fixed and resumed.

    from tidegate import flow, task

    @task(retries=3)
    def locate(airport): ...

    @flow
    def airports(rows):
        return locate.map(rows)

In Jupyter: ``%load_ext tidegate``, then ``%%flow`` on a cell.
"""

from typing import Any

from . import map_results, map_retries
from .annotations import allow_failure, quote, unmapped
from .artifacts import (
    artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from .context import get_run_context
from .control import ask, cancel_flow_run, pause_flow_run, resume_flow_run, suspend_flow_run
from .detached import DetachedRun
from .dials import set_concurrency, set_rate
from .errors import (
    CancelledRun,
    ConflictingOptions,
    ControlError,
    CrashedRun,
    DeploymentNotFound,
    FailedRun,
    FlowNotFound,
    InvalidInput,
    InvalidName,
    InvalidOption,
    LimitNotFound,
    MappingLengthMismatch,
    MappingMissingIterable,
    MissingContext,
    MissingResult,
    NondeterminismError,
    NotPaused,
    NotRecorded,
    NotRunning,
    NotSendable,
    NotStartable,
    OutsideFlow,
    ParameterBindError,
    ParameterTypeError,
    PausedRun,
    PauseTimeout,
    ReservedArgument,
    RunError,
    RunSuspended,
    ScriptError,
    SettingsError,
    SignatureMismatch,
    StoreError,
    Throttled,
    TidegateError,
    UnspecifiedFlow,
    UntrustedResult,
    UpstreamNotCompleted,
    UsageError,
    VisualizationError,
    WorkerDied,
)
from .flow import Flow, flow
from .flow_graph import FlowGraph
from .futures import AsCompleted, AsyncTaskFuture, DoneAndNotDone, TaskFuture, as_completed, wait
from .logs import get_run_logger
from .map_results import MapResult
from .model.states import State, StateType
from .recovery import ResumePlan, fork, rerun, resume, resume_plan, retry_failed
from .replay import use_cassette
from .retries import exponential_backoff
from .run.flow_run import FlowRun
from .run_deployments import DeploymentRun, run_deployment
from .settings import temporary_settings
from .tag_limits import (
    concurrency_limits,
    create_concurrency_limit,
    delete_concurrency_limit,
    read_concurrency_limit,
    reset_concurrency_limit,
)
from .tags import tags
from .task import Task, task
from .task_runners import (
    ConcurrentTaskRunner,
    DaskTaskRunner,
    ProcessTaskRunner,
    RayTaskRunner,
    SequentialTaskRunner,
    remote_options,
)

__all__ = (
    "AsCompleted",
    "AsyncTaskFuture",
    "CancelledRun",
    "ConcurrentTaskRunner",
    "ConflictingOptions",
    "ControlError",
    "CrashedRun",
    "DaskTaskRunner",
    "DeploymentNotFound",
    "DeploymentRun",
    "DetachedRun",
    "DoneAndNotDone",
    "FailedRun",
    "Flow",
    "FlowGraph",
    "FlowNotFound",
    "FlowRun",
    "InvalidInput",
    "InvalidName",
    "InvalidOption",
    "LimitNotFound",
    "MapResult",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContext",
    "MissingResult",
    "NondeterminismError",
    "NotPaused",
    "NotRecorded",
    "NotRunning",
    "NotSendable",
    "NotStartable",
    "OutsideFlow",
    "ParameterBindError",
    "ParameterTypeError",
    "PauseTimeout",
    "PausedRun",
    "ProcessTaskRunner",
    "RayTaskRunner",
    "ReservedArgument",
    "ResumePlan",
    "RunError",
    "RunSuspended",
    "ScriptError",
    "SequentialTaskRunner",
    "SettingsError",
    "SignatureMismatch",
    "State",
    "StateType",
    "StoreError",
    "Task",
    "TaskFuture",
    "Throttled",
    "TidegateError",
    "UnspecifiedFlow",
    "UntrustedResult",
    "UpstreamNotCompleted",
    "UsageError",
    "VisualizationError",
    "WorkerDied",
    "allow_failure",
    "artifact",
    "as_completed",
    "ask",
    "cancel_flow_run",
    "concurrency_limits",
    "create_concurrency_limit",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "delete_concurrency_limit",
    "exponential_backoff",
    "flow",
    "fork",
    "get_run_context",
    "get_run_logger",
    "pause_flow_run",
    "quote",
    "read_concurrency_limit",
    "remote_options",
    "rerun",
    "reset_concurrency_limit",
    "resume",
    "resume_flow_run",
    "resume_plan",
    "retry_failed",
    "run_deployment",
    "set_concurrency",
    "set_rate",
    "suspend_flow_run",
    "tags",
    "task",
    "temporary_settings",
    "unmapped",
    "update_progress_artifact",
    "use_cassette",
    "wait",
)


map_results.use(map_retries.retry)  # which starts flow runs: a list of futures knows nothing of those


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext tidegate``: the magics, and the live graph under the cell."""
    from tidegate_kernel import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext tidegate``: everything back to how it was."""
    from tidegate_kernel import unload_ipython_extension as unload

    unload(shell)
