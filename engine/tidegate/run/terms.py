"""On what terms a flow run is resumed: what of the record may stand, and what is to run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal, TypeAlias

from ..model.record import record

OnChange: TypeAlias = Literal["rerun", "reuse", "error"]

Rerun: TypeAlias = Literal["always", "ask", "never"]


@record
class Terms:
    """What holds for one resume."""

    on_change: OnChange = "rerun"
    """What becomes of a task run that completed and whose code has changed since: it runs again, its result is taken
    all the same, or the resume fails with `NondeterminismError`."""
    strict: bool = False
    """True if every call must be one of the record as long as there are completed ones that nobody has asked for."""
    again: Mapping[int, str] = field(default_factory=dict)
    """Task runs that run again although they completed, by number, each with the reason."""
    whole: bool = False
    """True if all of them do, because somebody asked for that."""

    def why_again(self, task_run: int) -> str:
        """Why that task run is to run again, whatever became of it; empty if it is not."""
        return ASKED if self.whole else self.again.get(task_run, "")

    def of_subflow(self, task_run: int) -> Terms:
        """What holds for the subflow that a task run stands for: all of it runs again if somebody asked for that."""
        return replace(self, again={}, whole=self.why_again(task_run) == ASKED)


USUAL = Terms()
ASKED = "You asked for it."
BEHIND = "An input of it runs again."
