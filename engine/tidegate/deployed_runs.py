"""Runs of deployments as they are made: the deployment by its name, its run for an agent, and that run once more."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .errors import DeploymentNotFound, NotStartable, UsageError
from .flow_runs import slug
from .model.deployments import Deployment, Dispatch
from .model.events import FlowCreated
from .model.states import AwaitingRetry, Scheduled
from .model.views import FlowRow
from .ports import EventStore
from .rules.agents import Recorded
from .rules.decide import NEVER, Accept, decide
from .run.task_run import TaskRun
from .tags import NONE, current_tags


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody asks of a deployment."""

    engine: Engine
    deployment: Deployment
    due: float | None = None
    name: str | None = None
    tags: frozenset[str] = NONE
    key: str | None = None
    timeout: float | None = None

    def number_of(self, parameters: Mapping[str, Any], tracking: TaskRun | None = None) -> int:
        """The number of the run that is made for it, or was made for its key.  Raises `UsageError`, `StoreError`."""
        found, now = self.deployment, self.engine.now()
        due = now if self.due is None else self.due
        whole = {**found.recorded_parameters(), **parameters}
        labels = self.tags | current_tags() | (NONE if tracking is None else tracking.tags)
        created = new_run(found, self.name or slug(), now, whole, labels, _place_of(tracking))
        dispatch = Dispatch(0, found.full_name, found.queue, due, found.folder, key=self.key)
        number, _ = self.engine.store.deployments.create_run(created, dispatch, Scheduled(due, at=now))
        return number


def _place_of(tracking: TaskRun | None) -> tuple[int, int] | None:
    return None if tracking is None else (tracking.flow_run.number, tracking.number)


def new_run(
    deployment: Deployment,
    name: str,
    now: float,
    parameters: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: tuple[int, int] | None = None,
) -> FlowCreated:
    """The first event of a run of a deployment.  Raises `UsageError` for parameters that have no JSON form."""
    try:
        recorded = deployment.parameters if parameters is None else json.dumps(dict(parameters))
    except (TypeError, ValueError) as error:
        raise UsageError(f"The parameters of a run that another process begins must be JSON: {error}.") from None
    labels = tuple(sorted({*deployment.tags, *tags}))
    head = (0, now, uuid.uuid4().hex, deployment.flow, name, recorded, parent)
    return FlowCreated(*head, tags=labels, target=deployment.target)


def deployment_named(store: EventStore, name: str) -> Deployment:
    """The deployment of that name, ``flow/name``, or ``name`` where there is only one of it.

    Raises `DeploymentNotFound`, which lists those that there are, and `StoreError`.
    """
    found = store.deployments.get(name) if "/" in name else None
    if found is not None:
        return found
    there = store.deployments.all()
    fitting = [each for each in there if name in (each.name, each.full_name)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(each.full_name for each in fitting or there)
    if not known:
        raise DeploymentNotFound("There are no deployments here. `tidegate deploy FILE:FLOW --name NAME` makes one.")
    if fitting:
        raise DeploymentNotFound(f"There are several deployments {name!r}: {known}. Give the whole name.")
    raise DeploymentNotFound(f"There is no deployment {name!r}. There are: {known}.")


def try_again(here: Engine, flow_run: int) -> FlowRow:
    """Have an agent run a run of a deployment once more that did not complete: what did is kept, as for `resume`.

    Raises `NotStartable` for a run that came from no deployment, that completed or that has not ended, and
    `StoreError`.
    """
    row = here.store.flow_run(flow_run)
    if row is None:
        raise NotStartable(f"There is no flow run {flow_run}.")
    told = f"The flow run {flow_run} ({row.name})"
    if here.store.deployments.dispatch(flow_run) is None:
        raise NotStartable(f"{told} came from no deployment. `tidegate run FILE[:FLOW] --resume {flow_run}` goes on.")
    now = here.now()
    facts = Recorded(row.state, row.attempts)
    decision = decide(facts, AwaitingRetry(now, message=row.state.message, at=now), NEVER, now, deployed=True)
    if row.state.is_completed() or not isinstance(decision, Accept):
        raise NotStartable(f"{told} is {row.state.name}: there is nothing to try again.")
    if not here.store.deployments.move(row, decision.state):
        raise NotStartable(f"{told} has just been gone on with by somebody else.")
    return row
