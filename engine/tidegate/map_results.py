"""What `.map()` gives back: a list of futures that is a table of outcomes, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, cast, overload

from . import host, map_table
from .errors import UsageError
from .futures import AsCompleted, TaskFuture, as_completed, wait_async
from .latch import AllOf
from .map_table import MapRow

if TYPE_CHECKING:
    from pandas import DataFrame

    from .model.states import State

R = TypeVar("R")

Retry = Callable[[Sequence[TaskFuture[Any]]], Any]
"""Has task runs begin once more: null at once, or, where that is to be awaited, an awaitable."""

_retry: Retry | None = None


def use(retry: Retry) -> None:
    """Put in place what `MapResult.retry` does: it starts flow runs, of which this module knows nothing."""
    global _retry
    _retry = retry


class MapResult(list[TaskFuture[R]]):
    """What `.map()` returns: the futures of its children in the order of the items.

    In a notebook it shows itself as a table of what became of each; `df` has all of it.
    """

    __slots__ = ("_places",)

    def __init__(self, futures: Iterable[TaskFuture[R]] = (), places: Sequence[int] | None = None) -> None:
        super().__init__(futures)
        self._places = places

    def wait(self, timeout: float | None = None) -> list[State] | None:
        """Block until all have ended; their final states in order, or null if `timeout` (seconds) passed first."""
        return [each.state for each in self] if host.wait(AllOf(each.latch for each in self), timeout) else None

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:
        """Block until all have ended; what they returned, in order.

        Raises the first failure in order; with ``raise_on_failure=False`` exceptions stand in the list instead.
        """
        __tracebackhide__ = True
        runs = [each.task_run for each in self]
        if not host.wait(AllOf(runs), timeout):
            raise TimeoutError(f"{self._left()} of {len(self)} have not ended after {timeout:g} s.")
        return [cast(R, run.value(raise_on_failure)) for run in runs]

    def _left(self) -> int:
        return sum(not each.done() for each in self)

    @property
    def states(self) -> list[State]:
        """The present states in order; does not wait."""
        return [each.state for each in self]

    @property
    def places(self) -> Sequence[int]:
        """The place of each in the map that it comes from, counted from 0: `failed` and slices know them still."""
        known = self._places
        return range(len(self)) if known is None or len(known) != len(self) else known

    @property
    def failed(self) -> MapResult[R]:
        """Those that have ended and did not complete; does not wait."""
        found = [
            (place, each)
            for place, each in zip(self.places, self, strict=True)
            if each.done() and not each.state.is_completed()
        ]
        return type(self)([each for _, each in found], [place for place, _ in found])

    def as_completed(self, timeout: float | None = None) -> AsCompleted[R]:
        """The futures in the order in which they end, for ``for`` and ``async for``.

        Raises `TimeoutError` if not all have ended after `timeout` seconds.
        """
        return as_completed(self, timeout)

    def retry(self) -> MapResult[R]:
        """Run those that have ended and did not complete once more, and return them; whatever else there is, is kept.

        They are the same task runs with the same inputs, and may use all their retries again; the futures, here and
        wherever else they are, stand for what becomes of them now.

        - While their flow run goes on, they begin again in it, and this returns at once: ``found.retry().wait()``.
        - Once it has ended, it is taken up again, and this returns at its end.  As with `tidegate.rerun`, the function
          of the flow runs from the top and hands back what had completed; what needs the results of those that are
          retried runs anew, and so does what else had failed.  Of an async flow it is to be awaited:
          ``await found.retry()``.

        Raises `NotStartable` where the flow run cannot be taken up, and `CancelledRun` if it is being cancelled.
        """
        failed = self.failed
        if not failed:
            return failed
        if _retry is None:
            raise UsageError("Import tidegate as a whole to retry task runs.")
        later = _retry(failed)
        return failed if later is None else cast("MapResult[R]", _after(later, failed))

    @property
    def df(self) -> DataFrame:
        """All of it as a pandas DataFrame, as it is now: a row for each, indexed by its place in the map.

        The columns are ``name``, ``status``, ``attempts``, ``seconds`` (of the last attempt), ``error`` (a text) and
        ``value`` (what it returned).  Does not wait.  Raises `UsageError` if pandas is not installed.
        """
        return map_table.frame(self._rows(values=True))

    def _rows(self, chosen: Iterable[int] | None = None, *, values: bool = False) -> list[MapRow]:
        places = self.places
        return [map_table.row(places[at], self[at], values=values) for at in chosen or range(len(self))]

    @overload
    def __getitem__(self, key: SupportsIndex) -> TaskFuture[R]: ...
    @overload
    def __getitem__(self, key: slice) -> MapResult[R]: ...
    def __getitem__(self, key: SupportsIndex | slice) -> TaskFuture[R] | MapResult[R]:
        if isinstance(key, slice):
            return type(self)(super().__getitem__(key), self.places[key])
        return super().__getitem__(key)

    def __repr__(self) -> str:
        name = self[0].name.rpartition("-")[0] if self else "nothing"
        return f"MapResult({name!r}, {len(self)} task runs)"

    def _repr_html_(self) -> str:
        """The table, for a notebook."""
        return map_table.html(*self._table())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The table as text, without times, so that what compares notebooks finds the same; one line within others."""
        alone = not cycle and len(printer.stack) <= 1
        printer.text(map_table.text(*self._table()) if alone else repr(self))

    def _table(self) -> tuple[str, list[MapRow], int]:
        """A title, the rows that are drawn, and how many there are beside those."""
        states = self.states
        chosen = map_table.shown([each.is_completed() or not each.is_final() for each in states])
        rows = self._rows(chosen) if states else []
        counts = Counter(map_table.status(each) for each in states)
        title = f"{self!r}: {map_table.told(counts)}" if states else repr(self)
        return title, rows, len(states) - len(rows)


async def _after(later: Any, failed: MapResult[R]) -> MapResult[R]:
    await later
    return failed


class AsyncMapResult(MapResult[R]):
    """The futures of async tasks mapped by async code: the same, to be awaited; see `AsyncTaskFuture`."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, AsyncMapResult[R]]:
        yield from ()  # as for AsyncTaskFuture
        return self

    async def wait(self, timeout: float | None = None) -> list[State] | None:  # type: ignore[override]
        """Wait until all have ended; their final states in order, or null if `timeout` (seconds) passed first."""
        ended = await wait_async(AllOf(each.latch for each in self), timeout)
        return [each.state for each in self] if ended else None

    async def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:  # type: ignore[override]
        """Wait until all have ended; what they returned, in order.  Raises as `MapResult.result`."""
        __tracebackhide__ = True
        runs = [each.task_run for each in self]
        if not await wait_async(AllOf(runs), timeout):
            raise TimeoutError(f"{self._left()} of {len(self)} have not ended after {timeout:g} s.")
        return [cast(R, run.value(raise_on_failure)) for run in runs]
