"""The runner for Ray: submitted sync tasks run on a Ray instance."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..errors import ConflictingOptions, UsageError, WorkerDied
from ..rules.outcome import describe
from .concurrent import checked

if TYPE_CHECKING:
    from contextvars import Context

    from .cluster import ClusterPool
    from .cluster_worker import Outcome

LOOK = 1.0
"""Seconds between looks at how many processors an instance has."""

_options: ContextVar[Mapping[str, Any] | None] = ContextVar("tidegate_ray_options", default=None)


@contextmanager
def remote_options(**options: Any) -> Iterator[None]:
    """Tasks that are submitted inside go to Ray with these options: ``with remote_options(num_cpus=2): ...``.

    They are those of ``ray.remote(...).options``, such as `num_cpus`, `num_gpus`, `memory` and `resources`; around
    others they add to those.  Other runners take no notice.  An option that Ray does not know fails the task run.
    """
    token = _options.set({**(_options.get() or {}), **options})
    try:
        yield
    finally:
        _options.reset(token)


class RayTaskRunner:
    """Submitted sync tasks run on Ray; everything about their runs is decided and recorded here.

    If this process is connected to Ray, that instance is used and left as it is.  Else it is connected to the one at
    ``address``, or a temporary instance is started; both for as long as flow runs with such a runner go on.

    - ``address``: of a running instance, ``ip:port``, ``ray://...`` or ``auto``;
    - ``init_kwargs``: for `ray.init`;
    - ``max_concurrency``: calls on Ray at once; by default as many as it has processors.

    What a task needs of Ray's resources is said with `remote_options`.  Functions, inputs, results and exceptions are
    pickled, and workers need Tidegate.  Raises `UsageError` where Ray is not installed, and `ConflictingOptions` (a
    `ValueError` too) for two addresses.
    """

    inline = False

    def __init__(
        self,
        address: str | None = None,
        init_kwargs: Mapping[str, Any] | None = None,
        *,
        max_concurrency: int | None = None,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError("RayTaskRunner needs Ray. Install it: pip install 'tidegate[ray]'")
        self.init_kwargs = dict(init_kwargs or {})
        if address is not None and "address" in self.init_kwargs:
            raise ConflictingOptions("RayTaskRunner takes the address once: as `address`, or in `init_kwargs`.")
        self.address = self.init_kwargs.pop("address", address)
        self.max_concurrency = None if max_concurrency is None else checked("max_concurrency", max_concurrency)

    def start(self) -> ClusterPool:
        """A pool for one flow run; Ray is started, or connected to, when it is needed."""
        from .cluster import ClusterPool

        return ClusterPool(lambda: RayInstance(self), self.max_concurrency)


class _Connection(threading.Thread):
    """A connection to Ray, on the thread that makes it, and that lives as long as it.

    The processes of an instance that is started here end with the thread that started them: so Linux takes the "parent"
    with which Ray tells them to die.  A worker of a flow run is gone after some idle seconds, and took them along.
    """

    def __init__(self, runner: RayTaskRunner) -> None:
        super().__init__(name="tidegate-ray", daemon=True)
        self._runner = runner
        self._begun: Future[None] = Future()
        self._over = threading.Event()
        self.users = 0
        """Flow runs that use it."""
        self.start()
        self._begun.result()

    def run(self) -> None:
        """Be connected until the end."""
        import ray

        try:
            ray.init(address=self._runner.address, **self._runner.init_kwargs)
        except BaseException as error:
            self._begun.set_exception(error)
            return
        self._begun.set_result(None)
        self._over.wait()
        with suppress(Exception):  # it may be gone
            ray.shutdown()

    def end(self) -> None:
        """End it, and wait for that."""
        self._over.set()
        self.join()


_lock = threading.Lock()
_ours: _Connection | None = None
"""The connection that was made for flow runs: a process has one at a time."""


def _connect(runner: RayTaskRunner) -> _Connection | None:
    """Be connected; the connection if it is ours to end, and null if it is the user's."""
    global _ours
    import ray

    with _lock:
        if not ray.is_initialized():
            _ours = _Connection(runner)
        elif runner.address not in (None, "auto", _address()):
            raise ConflictingOptions(
                f"This process is connected to the Ray instance at {_address()}, and cannot be connected to "
                f"{runner.address} as well. Use one address, or call ray.shutdown() first."
            )
        elif _ours is None:
            return None
        _ours.users += 1
        return _ours


def _address() -> str:
    import ray

    return str(ray.get_runtime_context().gcs_address)


def _leave(connection: _Connection) -> None:
    """A flow run needs it no more; the last one ends it."""
    global _ours

    with _lock:
        connection.users -= 1
        if not connection.users:
            connection.end()
            if _ours is connection:
                _ours = None


def call_in_ray(kit: bytes, made: bytes, *upstream: Outcome) -> Outcome:
    """What Ray runs."""
    from .cluster_worker import call

    return call(kit, made, upstream)


class RayInstance:
    """An instance that is connected."""

    def __init__(self, runner: RayTaskRunner) -> None:
        self._connection = _connect(runner)
        import ray

        self._ray: Any = ray
        # Whether a function runs once more its owner decides, who counts the attempts.
        self._remote = ray.remote(max_retries=0)(call_in_ray)
        self._looked = float("-inf")
        self._processors = 1

    def slots(self) -> int | None:
        """Its processors."""
        if time.monotonic() - self._looked > LOOK:
            self._processors = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
            self._looked = time.monotonic()
        return self._processors

    def keep(self, data: bytes) -> Any:
        """Bytes in Ray's object store, which this process owns."""
        return self._ray.put(data)

    def call(self, name: str, kit: Any, call: bytes, upstream: Sequence[Any], context: Context) -> Any:
        """The reference of a call's outcome."""
        options = context.get(_options) or {}
        try:
            remote = self._remote.options(**{"name": name, **options})
        except (TypeError, ValueError) as error:
            raise UsageError(f"Ray does not take the remote_options of {name!r}: {describe(error)}.") from None
        return remote.remote(kit, call, *upstream)

    def on_done(self, future: Any, done: Callable[[], object]) -> None:
        """By a thread of Ray's."""
        future.future().add_done_callback(lambda _: done())

    def fetch(self, future: Any) -> Outcome:
        """The outcome of a call."""
        try:
            outcome: Outcome = self._ray.get(future)
        except self._ray.exceptions.WorkerCrashedError:
            raise WorkerDied("Its worker process of Ray died.") from None
        except self._ray.exceptions.RayError as error:
            if isinstance(getattr(error, "cause", None), self._ray.exceptions.ObjectLostError):
                return "lost", b"", []
            raise WorkerDied(f"Ray could not run it: {describe(error)}.") from None
        return outcome

    def cancel(self, future: Any) -> None:
        """Interrupt it."""
        self._ray.cancel(future)

    def kill(self, future: Any) -> None:
        """End the process that it runs in."""
        self._ray.cancel(future, force=True)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            _leave(self._connection)
