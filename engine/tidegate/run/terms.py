"""On what terms a flow run is resumed: what of the record may stand, and what is to run again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

OnChange: TypeAlias = Literal["rerun", "reuse", "error"]

Rerun: TypeAlias = Literal["always", "never"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one resume."""

    on_change: OnChange = "rerun"
    """What becomes of a task run that completed and whose code has changed since: it runs again, its result is taken
    all the same, or the resume fails with `NondeterminismError`."""
    strict: bool = False
    """True if every call must be one of the record as long as there are completed ones that nobody has asked for."""
    again: Mapping[int, str] = field(default_factory=dict)
    """Task runs that run again although they completed, by number, each with the reason."""

    def of_subflow(self, task_run: int, inner: Iterable[int]) -> Terms:
        """What holds for the subflow that a task run stands for: all of it runs again if somebody asked for that."""
        again = dict.fromkeys(inner, ASKED) if self.again.get(task_run) == ASKED else {}
        return replace(self, again=again)


USUAL = Terms()
ASKED = "You asked for it."
BEHIND = "An input of it runs again."
