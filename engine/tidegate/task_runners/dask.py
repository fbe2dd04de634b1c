"""The runner for Dask: submitted sync tasks run on a Dask cluster."""

from __future__ import annotations

import importlib.util
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import ConflictingOptions, UsageError, WorkerDied
from ..rules.outcome import describe
from .concurrent import checked

if TYPE_CHECKING:
    from contextvars import Context

    from .cluster import ClusterPool
    from .cluster_worker import Outcome

LARGE = 8_000_000
"""Bytes from which on inputs go to a worker by themselves; Dask's scheduler complains of graphs as large."""

GUARD = "In a script, call flows under `if __name__ == '__main__':`."

LOOK = 1.0
"""Seconds between looks at how many threads a cluster has."""


class DaskTaskRunner:
    """Submitted sync tasks run on a Dask cluster; everything about their runs is decided and recorded here.

    By default a temporary `LocalCluster` is made for each flow run that needs it, and closed at its end.

    - ``cluster``: a running cluster, or a `Client`, that is yours to close;
    - ``address``: that of the scheduler of a running cluster, ``tcp://...``;
    - ``cluster_class``: what makes the temporary cluster, or its dotted name; with ``cluster_kwargs``, and with
      ``adapt_kwargs`` for its `adapt`;
    - ``client_kwargs``: for the `Client`;
    - ``max_concurrency``: calls on the cluster at once; by default as many as it has threads, or may come to have.

    `asynchronous` among the options is ignored: that is Tidegate's affair.  Functions, inputs, results and exceptions
    are pickled, and workers need Tidegate.  Raises `UsageError` where Dask is not installed, and `ConflictingOptions`
    (a `ValueError` too) for options that contradict each other.
    """

    inline = False

    def __init__(
        self,
        cluster: Any = None,
        address: str | None = None,
        cluster_class: str | Callable[..., Any] | None = None,
        cluster_kwargs: Mapping[str, Any] | None = None,
        adapt_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
        *,
        max_concurrency: int | None = None,
    ) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise UsageError("DaskTaskRunner needs Dask. Install it: pip install 'tidegate[dask]'")
        made = {"cluster_class": cluster_class, "cluster_kwargs": cluster_kwargs, "adapt_kwargs": adapt_kwargs}
        running = [name for name, value in (("cluster", cluster), ("address", address)) if value is not None]
        given = running + [name for name, value in made.items() if value]
        if running and len(given) > 1:
            raise ConflictingOptions(
                f"DaskTaskRunner takes a running cluster or makes one, not both: {' and '.join(given)} were given. "
                "Leave out what makes one, or name no running one."
            )
        self.cluster = cluster
        self.address = address
        self.cluster_class = cluster_class
        self.cluster_kwargs = _own(cluster_kwargs)
        self.adapt_kwargs = dict(adapt_kwargs or {})
        self.client_kwargs = _own(client_kwargs)
        self.max_concurrency = None if max_concurrency is None else checked("max_concurrency", max_concurrency)

    def start(self) -> ClusterPool:
        """A pool for one flow run; its cluster is made, or connected to, when it is needed.

        Raises `UsageError` in a worker process that is about to begin and imports the script, which runs the flow.
        """
        import multiprocessing

        from .cluster import ClusterPool

        if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself looks
            raise UsageError(f"This flow would run once more in each worker process, which imports the script. {GUARD}")
        return ClusterPool(lambda: DaskCluster(self), self.max_concurrency)

    def __getstate__(self) -> dict[str, Any]:
        """A running cluster goes along as its address."""
        state = vars(self).copy()
        if self.cluster is not None:
            state.update(cluster=None, address=_address(self.cluster))
        return state


def _own(options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (options or {}).items() if name != "asynchronous"}


def _address(cluster: Any) -> str:
    """Of a cluster, or of what a client is connected to."""
    found = getattr(cluster, "scheduler_address", None) or getattr(cluster.scheduler, "address", None)
    return str(found)


class DaskCluster:
    """A cluster that is connected; made on a worker thread, so that Dask's own loop has a thread of its own."""

    def __init__(self, runner: DaskTaskRunner) -> None:
        from distributed import Client

        self._id = uuid.uuid4().hex
        self._made: Any = None
        """The temporary cluster."""
        self._lent = runner.cluster is not None and hasattr(runner.cluster, "submit")
        if self._lent:
            self._client: Any = runner.cluster
        else:
            there = runner.cluster if runner.cluster is not None else runner.address or self._make(runner)
            try:
                self._client = Client(there, **{"set_as_default": False, **runner.client_kwargs})
            except BaseException:
                self._end_made()
                raise
        self._adapts = runner.adapt_kwargs
        self._looked = float("-inf")
        self._threads = 1

    def _make(self, runner: DaskTaskRunner) -> Any:
        from pkgutil import resolve_name

        from distributed import LocalCluster

        kind = runner.cluster_class or LocalCluster
        kind = resolve_name(kind) if isinstance(kind, str) else kind
        try:
            self._made = kind(**runner.cluster_kwargs)
        except RuntimeError as error:
            raise UsageError(f"{describe(error).rstrip('.')}. {GUARD}") from error
        if runner.adapt_kwargs:
            self._made.adapt(**runner.adapt_kwargs)
        return self._made

    def slots(self) -> int | None:
        """Its threads; of one that adapts itself as many as it may come to have, or it would never grow."""
        if self._client.status != "running":  # asking it would take half a minute
            raise ConnectionError(f"its client is {self._client.status}")
        if self._adapts:
            most = self._adapts.get("maximum_cores", self._adapts.get("maximum"))
            return int(most) if most is not None and most < 1 << 30 else None
        if time.monotonic() - self._looked > LOOK:
            self._threads = max(1, sum(self._client.nthreads().values()))
            self._looked = time.monotonic()
        return self._threads

    def keep(self, data: bytes) -> Any:
        """Bytes as the result of a task, and not scattered: they are made again where a worker dies."""
        from .dask_worker import same

        return self._client.submit(same, data, key=f"tidegate-function-{uuid.uuid4().hex}", pure=False)

    def call(self, name: str, kit: Any, call: bytes, upstream: Sequence[Any], context: Context) -> Any:
        """The future of a call."""
        from .dask_worker import call_in_dask

        made = call if len(call) < LARGE else self._client.scatter(call, hash=False)
        return self._client.submit(call_in_dask, self._id, kit, made, *upstream, key=name, pure=False)

    def on_done(self, future: Any, done: Callable[[], object]) -> None:
        """By a thread of Dask's that all callbacks share."""
        future.add_done_callback(lambda _: done())

    def fetch(self, future: Any) -> Outcome:
        """The outcome of a call."""
        status = future.status
        if status in ("cancelled", "lost"):
            raise WorkerDied(f"The Dask cluster lost its call: it is {status} there.")
        try:
            outcome: Outcome = future.result()
        except Exception as error:  # none of the function's, which come in the outcome
            raise WorkerDied(f"The Dask cluster could not run it: {describe(error)}.") from None
        if outcome[0] == "begun before":
            raise WorkerDied("Its worker of the Dask cluster died, or was lost.")
        return outcome

    def cancel(self, future: Any) -> None:
        """Drop a call; its worker sees that, and interrupts the function."""
        future.cancel()

    def kill(self, future: Any) -> None:
        """Nothing: a thread cannot be ended, and nobody waits for it any more."""

    def close(self) -> None:
        """Close what is ours."""
        with suppress(Exception):  # the cluster may be gone
            self._client.set_metadata(["tidegate", self._id], None)
        if not self._lent:
            with suppress(Exception):
                self._client.close()
        with suppress(Exception):
            self._end_made()

    def _end_made(self) -> None:
        if self._made is not None:
            self._made.close()
