"""The header: a run, and what may be asked of it."""

from typing import Literal, NotRequired, TypedDict

from .artifact import ArtifactCount
from .question import QuestionView
from .state import Counts, StateView

Verb = Literal["pause", "resume", "suspend", "retry", "cancel"]
"""``suspend`` releases the cell; ``resume`` and ``retry`` also go on with a run that no process has any more."""


class RunView(TypedDict):
    """The header: what the run is, how far it is, what one may do."""

    id: str
    number: int
    """Of the flow run in its store."""
    flow: str
    name: str
    state: StateView
    started: float | None
    """Seconds since the epoch; null until it has started."""
    elapsed: float
    """Seconds, at the time of the message; the page lets it tick while `running` is true."""
    running: bool
    left: float | None
    """Estimated seconds left; null where nothing honest can be said."""
    counts: Counts
    total: int
    """Task runs known so far."""
    can: list[Verb]
    """What may be asked now, in the order of the buttons; without ``resume`` while the run itself has a `question`."""
    note: str
    """One line under the header (who paused it, what failed), or empty."""
    saved: bool
    durability: str
    """Whether it is saved, false while the store cannot be written, as `note` then says; its `Durability`, or empty."""
    question: NotRequired[QuestionView]
    """What is asked, by the run or by a subflow, the oldest question; missing where nothing is."""
    questions: NotRequired[int]
    """How many questions are open, with that one."""
    answered: NotRequired[str]
    """One line on the last question that was answered."""
    artifacts: NotRequired[ArtifactCount]
    """Missing while there are none."""


class Ack(TypedDict):
    """The answer to a ``do``."""

    kind: Literal["ack"]
    id: str
    ok: bool
    error: str | None
    """Why not, in one line."""
    fields: NotRequired[dict[str, str]]
    """What is wrong with an answer, by the name of the field."""
    told: NotRequired[str]
    """What was done, or would be, in one line; of an `Action`."""
