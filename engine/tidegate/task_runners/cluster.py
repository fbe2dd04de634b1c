"""What the runners for clusters share: the owner decides everything, and the call of a function goes to the cluster.

A call on its way holds no thread here.  As many are on their way as the cluster can run at once, so that a run that is
shown as Running runs, and a pause lets nothing begin; the others wait here.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..concurrency import ConcurrencyLimit
from ..errors import UsageError, WorkerDied
from ..rules.outcome import describe, of_death
from ..run.drivers import settled
from .cluster_call import ClusterCall, OnCluster
from .concurrent import WorkerPool
from .run_picture import RunPicture
from .sending import dumps, function_as_bytes, inputs_as_bytes, message
from .voice import levels

if TYPE_CHECKING:
    from contextvars import Context

    from ..model.states import State
    from ..run.called import Called
    from ..run.task_run import TaskRun
    from .cluster_worker import Outcome

T = TypeVar("T")

CARRIERS = 4
"""Threads here that carry task runs on, before and after their calls."""


class Cluster(Protocol):
    """A cluster that is connected.  Every method may be called from any thread; futures are the cluster's own."""

    def slots(self) -> int | None:
        """How many calls it can run at once now; null for any number.  Raises if it is gone."""
        ...

    def keep(self, data: bytes) -> Any:
        """Put bytes where all workers get them; their future."""
        ...

    def call(self, name: str, kit: Any, call: bytes, upstream: Sequence[Any], context: Context) -> Any:
        """Have `cluster_worker.call` called with what stands behind these futures; the future of its outcome.

        `name` is no other call's, ever; `context` has the variables of the code that submitted the task.
        """
        ...

    def on_done(self, future: Any, done: Callable[[], object]) -> None:
        """Call `done` when a call is over, however that is, on some thread; it takes no time."""
        ...

    def fetch(self, future: Any) -> Outcome:
        """The outcome of a call that is over.  Raises `WorkerDied` where the cluster has none."""
        ...

    def cancel(self, future: Any) -> None:
        """Have a call end, begun or not; whoever waits for it hears of it."""
        ...

    def kill(self, future: Any) -> None:
        """The same for a function that was told and has not ended: by the end of its process, where that is its own."""
        ...

    def close(self) -> None:
        """Let go; end what was made for this flow run."""
        ...


class ClusterPool(WorkerPool):
    """The runner of one flow run, on a cluster that is connected, or made, for its first call."""

    def __init__(self, connect: Callable[[], Cluster], most: int | None) -> None:
        super().__init__(CARRIERS)
        self._connect = connect
        self._most = most
        self._cluster: Cluster | None = None
        self._begins = threading.Lock()
        self._id, self._nth = uuid.uuid4().hex[:8], count()
        self._kits: dict[Called, Any] = {}
        self.places = ConcurrencyLimit(1 if most is None else most)

    def hand_over(self, run: TaskRun, go_on: Callable[[State], object]) -> None:
        """Have the function of a task run called; `go_on` gets the state that this proposes, from a later job."""
        call = ClusterCall(run)
        over = self._end_of(run, call, go_on)
        try:
            try:
                cluster = self._connected()
            finally:
                run.entered(call)  # its time begins when the cluster is there
            self._send(run, call, cluster, _There(run, cluster), over)
        except BaseException as error:  # not sendable, no cluster, or a cancel that came first
            call.problem = error
            over()

    def _send(
        self, run: TaskRun, call: ClusterCall, cluster: Cluster, there: _There | None, over: Callable[[], object]
    ) -> None:
        place = there.place if there else None
        inputs = inputs_as_bytes(run.name, run.args, run.kwargs, run.task.names, place)
        name = f"{run.name}-{run.flow_run.number}-{run.number}-{run.run_count}-{self._id}{next(self._nth)}"
        try:
            kit = self._kit(run, cluster)
            futures = there.needed if there else []
            call.sent(cluster, cluster.call(name, kit, message((RunPicture.of(run), inputs)), futures, run.context))
            cluster.on_done(call.future, over)
        except UsageError:  # the function cannot be sent, or an option makes no sense
            raise
        except Exception as error:
            raise WorkerDied(f"The call could not be sent to the cluster: {describe(error)}.") from None

    def _end_of(self, run: TaskRun, call: ClusterCall, go_on: Callable[[State], object]) -> Callable[[], object]:
        """What is called when the call is over, by somebody whose time is not ours."""
        return partial(self.submit, partial(self._over, run, call, go_on))

    def _over(self, run: TaskRun, call: ClusterCall, go_on: Callable[[State], object]) -> None:
        if not call.fetch() and call.cluster is not None:
            try:
                self._send(run, call, call.cluster, None, self._end_of(run, call, go_on))
            except Exception as error:
                call.problem = error
            else:
                return
        death = call.problem if isinstance(call.problem, WorkerDied) else None
        state = run.context.run(settled, run, call.outcome)
        call.let_go()
        go_on(of_death(state, death))

    def _connected(self) -> Cluster:
        with self._begins:
            if self._cluster is None:
                if self._closed:
                    raise WorkerDied("No cluster begins any more: the flow run has ended.")
                self._cluster = _had(self._connect)
            slots = _had(self._cluster.slots)
            if self._most is None:
                self.places.resize(slots)
            return self._cluster

    def _kit(self, run: TaskRun, cluster: Cluster) -> Any:
        from .cluster_worker import Kit

        task = run.task
        with self._begins:
            kit = self._kits.get(task)
            if kit is None:
                try:
                    parameters = dumps(dict(run.flow_run.parameters))
                except Exception:  # whoever asks for them is told
                    parameters = b""
                function = function_as_bytes(task.name, task.body, task.signature)
                kit = self._kits[task] = cluster.keep(message(Kit(task.name, function, parameters, levels())))
            return kit

    def close(self) -> None:
        """No more jobs will come: threads end when the queue is empty, and the cluster is let go of."""
        super().close()
        with self._begins:
            cluster, self._cluster = self._cluster, None
            self._kits.clear()
        if cluster is not None:
            threading.Thread(target=cluster.close, name="tidegate-cluster-end").start()


def _had(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Exception as error:
        raise WorkerDied(f"The cluster cannot be had: {describe(error).rstrip('.')}.") from None


class _There:
    """The values of the futures among the inputs of a run that lie on its cluster as well; false if there are none."""

    def __init__(self, run: TaskRun, cluster: Cluster) -> None:
        self._known: dict[int, tuple[Any, Any]] = {}
        self._places: dict[int, int] = {}
        self.needed: list[Any] = []
        """The cluster's futures of those that were met in the inputs, by their places."""
        for each, _ in () if run.inputs is None else run.inputs.futures:
            native: OnCluster | None = each.task_run.native
            if native is not None and native.cluster is cluster:
                value = each.task_run.state.data
                self._known[id(value)] = value, native.future

    def __bool__(self) -> bool:
        return bool(self._known)

    def place(self, value: Any) -> int | None:
        """The place of a value that is there."""
        known = self._known.get(id(value))
        if known is None:
            return None
        if id(value) not in self._places:
            self._places[id(value)] = len(self.needed)
            self.needed.append(known[1])
        return self._places[id(value)]
