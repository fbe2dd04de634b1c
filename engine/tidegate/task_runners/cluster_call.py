"""A call of a task's function on a cluster, as its owner sees it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import WorkerDied
from ..rules.outcome import describe
from .remote_call import ASKED, LATE
from .sending import exception_of, read_back
from .voice import Echo

if TYPE_CHECKING:
    from ..run.task_run import TaskRun
    from .cluster import Cluster
    from .cluster_worker import Outcome

LARGE = 10_000
"""Bytes from which on a result is left on the cluster for those that need it: less is cheaper in the message itself."""


class OnCluster:
    """Where the result of a task run lies, besides here."""

    __slots__ = ("cluster", "future")

    def __init__(self, cluster: Cluster, future: Any) -> None:
        self.cluster = cluster
        self.future = future


class ClusterCall:
    """One call: what came of it, and what stands for its thread where it is interrupted."""

    __slots__ = ("_answer", "_run", "cluster", "future", "over", "problem", "told")

    def __init__(self, run: TaskRun) -> None:
        self._run = run
        self.cluster: Cluster | None = None
        self.future: Any = None
        """The cluster's own future of the call; null until it is sent."""
        self.problem: BaseException | None = None
        """Why it could not be sent, or has no outcome."""
        self._answer: Outcome | None = None
        self.told = False
        """True once it was told to end."""
        self.over = False
        """True once the cluster has ended it."""

    def sent(self, cluster: Cluster, future: Any) -> None:
        """It is on its way."""
        self.cluster, self.future = cluster, future
        if self.told:  # before there was anything to interrupt
            self.told = False
            self.interrupt()

    def interrupt(self) -> None:
        """Have the function end: by an interrupt, and where that does not do, by the end of its process."""
        if self.told or self.over:
            return
        self.told = True
        cluster, future = self.cluster, self.future
        if cluster is not None and future is not None:
            with suppress(Exception):  # the cluster may be gone, and the function with it
                cluster.cancel(future)
            run = self._run
            late = run.overdue or run.flow_run.timed_out
            run.flow_run.engine.portal.after(LATE if late else ASKED, self.kill)

    def kill(self) -> None:
        """End the process of the function, if it is still at work and that process is its own."""
        cluster, future = self.cluster, self.future
        if cluster is not None and future is not None and not self.over:
            self.told = True
            with suppress(Exception):
                cluster.kill(future)

    def fetch(self) -> bool:
        """The call is over: get what came of it.  False if it has to be sent once more, inputs and all."""
        self.over = True
        if self.problem is None and self.cluster is not None:
            try:
                self._answer = self.cluster.fetch(self.future)
            except Exception as error:
                self.problem = KeyboardInterrupt() if self.told else _death(error)
        again = self._answer is not None and self._answer[0] == "lost"
        if again:
            self.over, self._answer = False, None
        return not again

    def outcome(self) -> Any:
        """What the function returned or raised; what it said is said here.

        Raises `NotSendable` for what could not go there or come back, and `WorkerDied` if the cluster lost it.
        """
        __tracebackhide__ = True
        if self.problem is not None:
            raise self.problem
        assert self._answer is not None
        run = self._run
        kind, data, said = self._answer
        echo = Echo()
        for each in said:
            with suppress(Exception):  # a stream that is closed here is no matter of the function's
                echo.say(*each)
        if kind == "raised":
            raise exception_of(read_back("What {} raised", run.name, data))
        value = read_back("What {} returned", run.name, data)
        if len(data) >= LARGE and self.cluster is not None:
            run.native = OnCluster(self.cluster, self.future)
        return value

    def let_go(self) -> None:
        """Nobody asks any more: the cluster may forget what the call gave."""
        self.future = self._answer = None


def _death(error: Exception) -> WorkerDied:
    return error if isinstance(error, WorkerDied) else WorkerDied(f"The cluster does not give it: {describe(error)}.")
