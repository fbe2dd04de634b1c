"""How the results of a flow or task are saved: whether, where, and by which serializer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from .errors import StoreError
from .model.states import UNSUCCESSFUL, State, StateType, Unloaded
from .model.views import FlowRow, TaskRow
from .results.blob import plain, unsaved
from .results.keeper import ResultKeeper
from .results.serializers import serializer_of
from .results.signing import Signer
from .results.storage import FileStorage, storage_of
from .retries import senseless
from .settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .ports import EventStore
    from .results.serializers import Serializer
    from .results.storage import ResultStorage

Persist: TypeAlias = bool | Literal["auto"]
"""``True`` saves every result, ``False`` none, ``"auto"`` the small and those that took longer to make than to save."""

_signer = Signer()


class Saved(Protocol):
    """What has options of saving."""

    name: str
    options: Mapping[str, Any]
    needs_results: bool
    """True if a feature that it uses cannot do without saved results."""


def check_saving(what: str, options: Mapping[str, Any]) -> None:
    """Raise `UsageError` (a `TypeError` for things of the wrong kind) for options of saving that make no sense."""
    persist = options["persist_result"]
    if persist is not None and persist != "auto" and not isinstance(persist, bool):
        raise senseless("persist_result", what, "true, false or 'auto'", persist)
    if options["result_storage"] is not None:
        storage_of(options["result_storage"])
    if options["result_serializer"] is not None:
        serializer_of(options["result_serializer"])


@dataclass(frozen=True, slots=True)
class Saving:
    """How the results of one flow or task are saved in one flow run."""

    keeper: ResultKeeper
    policy: Persist
    in_memory: bool
    """False if a state does not hold its result, which is fetched each time that it is asked for."""
    storage: Callable[[], ResultStorage]
    serializer: Serializer | None
    explicit: Persist | None
    """What was said about saving, here or further up; null if nothing was."""

    def keep(self, state: State, seconds: float, place: tuple[int, int]) -> tuple[State, bytes | None]:
        """Save what a final state holds, which took `seconds` to make; the state to go on with, and the blob.

        `place` is the flow run and the task run, 0 for the flow itself.
        """
        kind = state.type
        if kind is not StateType.COMPLETED and not (kind in UNSUCCESSFUL and isinstance(state.data, BaseException)):
            return state, None
        if self.plain:
            blob = plain(state.data)
            if blob is not None:
                return state, blob
        kept = self.keeper.keep(state.data, seconds, self.policy, context_of(*place))
        if kept.blob is None:
            return state, None if self.policy is False else unsaved(kept.reason)
        if not self.in_memory and kind is StateType.COMPLETED:
            state = state.with_data(SavedResult(self.keeper, kept.blob, context_of(*place)))
        return state, kept.blob

    @property
    def plain(self) -> bool:
        """True if a small atom is saved without asking anybody."""
        return self.serializer is None and self.policy is not False and self.in_memory

    def recorded(self, row: FlowRow | TaskRow) -> State:
        """The state of a run of the record, which fetches its result when it is asked for it."""
        if row.result is None:
            return row.state
        place = (row.flow_run, row.number) if isinstance(row, TaskRow) else (row.number, 0)
        return row.state.with_data(SavedResult(self.keeper, row.result, context_of(*place)))


class SavedResult(Unloaded):
    """A result that is saved, and fetched each time that it is asked for."""

    __slots__ = ("_blob", "_context", "_keeper")

    def __init__(self, keeper: ResultKeeper, blob: bytes, context: str) -> None:
        self._keeper = keeper
        self._blob = blob
        self._context = context

    def load(self) -> Any:
        """The value.  Raises `MissingResult` or `UntrustedResult`."""
        return self._keeper.load(self._blob, self._context)

    def __repr__(self) -> str:
        return f"SavedResult({len(self._blob)} bytes)"


def context_of(flow_run: int, task_run: int) -> str:
    """What ties a blob to its run."""
    return f"{flow_run}/{task_run}"


def default_saving(store: EventStore) -> Saving:
    """What holds where nobody says anything: the settings."""
    here = settings()

    def storage() -> ResultStorage:
        if here.results_storage is not None:
            return storage_of(here.results_storage)
        if store.results_folder is None:
            raise StoreError("a store in memory has no place for large results")
        return FileStorage(store.results_folder)

    serializer = None if here.default_serializer == "auto" else serializer_of(here.default_serializer)
    return Saving(ResultKeeper(storage, _signer, serializer), here.persist_result, True, storage, serializer, None)


def saving_of(face: Saved, above: Saving) -> Saving:
    """How the results of a flow or task are saved; what it does not say, the flow around it does."""
    options = face.options
    storage, serializer = options["result_storage"], options["result_serializer"]
    in_memory: bool = options["cache_result_in_memory"]
    explicit: Persist | None = options["persist_result"]
    if explicit is None:
        explicit = above.explicit
    policy = above.policy if explicit is None else explicit
    if explicit is None and (face.needs_results or not in_memory):
        policy = True
    keeper, place, how = above.keeper, above.storage, above.serializer
    if storage is not None or serializer is not None:
        place = above.storage if storage is None else lambda: storage_of(storage)
        how = above.serializer if serializer is None else serializer_of(serializer)
        keeper = ResultKeeper(place, _signer, how)
    elif policy == above.policy and in_memory and explicit == above.explicit and above.in_memory:
        return above
    return Saving(keeper, policy, in_memory, place, how, explicit)
