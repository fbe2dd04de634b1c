"""What a task run is a run of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import Signature
from typing import TYPE_CHECKING, Any, Protocol

from ..model.durability import Durability
from ..model.states import StateType
from ..rules.decide import RetryPolicy
from ..run_names import RunName

if TYPE_CHECKING:
    from ..caching import Caching
    from ..hooks import Hooks
    from ..pace import Pace
    from .terms import Rerun


class Called(Protocol):
    """A task, or a flow called in a flow."""

    name: str
    key: str
    version: str | None
    concurrency: int | None
    pace: Pace | None
    """How often its runs may start; null for any."""
    limit_seconds: float | None
    """Seconds that one attempt may take; null for any."""
    tags: frozenset[str]
    hooks: Mapping[StateType, Hooks]
    run_name: RunName | None
    caching: Caching | None
    needs_results: bool
    rerun: Rerun
    """What a resume does with a run that was at work when its process died."""
    durability: Durability | None
    """How much of its runs may be lost with the power; null for what the flow run around says."""
    options: Mapping[str, Any]
    log_prints: bool | None
    is_async: bool
    is_flow: bool
    fn: Callable[..., Any]
    body: Callable[..., Any]
    """What runs for it."""
    names: tuple[str, ...]
    """Its parameters."""
    signature: Signature

    @property
    def policy(self) -> RetryPolicy:
        """When its runs are tried again."""
        ...

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterable[tuple[str, Any]]:
        """The arguments of a call as (parameter, value), only those given."""
        ...

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by parameter, defaults filled in."""
        ...
