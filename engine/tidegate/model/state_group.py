"""What a group of states comes to, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .states import TERMINAL, State, StateType


@dataclass(frozen=True, slots=True)
class StateGroup:
    """How many states there are of each type; types that do not occur may be left out."""

    type_counts: Mapping[StateType, int]

    @classmethod
    def of(cls, states: Iterable[State]) -> StateGroup:
        """The group of some states."""
        return cls(Counter(state.type for state in states))

    def _count(self, *kinds: StateType) -> int:
        return sum(self.type_counts.get(kind, 0) for kind in kinds)

    @property
    def total_count(self) -> int:
        """All of them."""
        return sum(self.type_counts.values())

    @property
    def completed_count(self) -> int:
        """Those that ended well."""
        return self._count(StateType.COMPLETED)

    @property
    def fail_count(self) -> int:
        """Those that failed or crashed."""
        return self._count(StateType.FAILED, StateType.CRASHED)

    @property
    def cancelled_count(self) -> int:
        """Those that were cancelled."""
        return self._count(StateType.CANCELLED)

    @property
    def final_count(self) -> int:
        """Those that nothing follows."""
        return self._count(*TERMINAL)

    @property
    def not_final_count(self) -> int:
        """Those that have not ended, and those that never began."""
        return self.total_count - self.final_count

    def all_completed(self) -> bool:
        """True if each ended well."""
        return self.completed_count == self.total_count

    def all_final(self) -> bool:
        """True if each has ended."""
        return not self.not_final_count

    def any_failed(self) -> bool:
        """True if one failed or crashed."""
        return self.fail_count > 0

    def any_cancelled(self) -> bool:
        """True if one was cancelled."""
        return self.cancelled_count > 0
