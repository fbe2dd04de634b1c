"""Task runs that were at work when their process died: perhaps they had done their work, and twice would do harm."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from ..errors import NotRunning
from ..questions import Question
from .effects import Lifecycle, Wait

if TYPE_CHECKING:
    from ..model.states import State
    from ..model.views import TaskRow
    from .called import Called
    from .flow_run import FlowRun
    from .task_run import TaskRun

IN_DOUBT = "InDoubt"
"""What a task run is reopened for, about which somebody is to be asked first."""

LEAVE_IT = "leave it crashed"
RunAgain: TypeAlias = Literal["run it again", "leave it crashed"]


def is_doubtful(row: TaskRow, task: Called) -> bool:
    """True for one that is not to run again just like that."""
    return row.state.is_crashed() and (task.rerun != "always" or row.state.name == "Quarantined")


def left_crashed(state: State, flow_run: int, name: str) -> State:
    """The state of one that is left as it is, which says how it is run all the same."""
    call = f"`tidegate.rerun({flow_run}, {name!r})` runs it all the same."
    return replace(state, message=f"{state.message} {call}".strip())


def settle(run: TaskRun) -> Lifecycle:
    """Pause the flow run until a person has said whether this runs again, or until it goes no further anyway."""
    flow_run = run.flow_run
    key = f"{run.name}, after {run.earlier}"  # a death while it runs again is another question
    question = _question(run.name, key)
    while not flow_run.pauses.has_passed(key, question):
        if flow_run.told_to_end or flow_run.suspending:
            return
        _pause(flow_run, key, question)
        yield Wait(flow_run.moved)
    if flow_run.pauses.answer(key) == LEAVE_IT:
        run.state, run.reopened = left_crashed(run.state, flow_run.number, run.name), ""
    else:
        run.reopened = "Retrying"


def _question(name: str, key: str) -> Question:
    from pydantic import Field  # 0.2 s: only for those who ask

    told = f"{name} was at work when its process ended, and may have done its work."
    return Question.of(Annotated[RunAgain, Field(title=f"a decision on {name}", description=told)], key)


def _pause(flow_run: FlowRun, key: str, question: Question) -> None:
    try:
        flow_run.pause("a task run that may have done its work", key, question)
    except NotRunning:
        flow_run.wait_in(key, question)  # it is paused already, or ends
