"""The runner for work that computes: worker processes for sync tasks."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, WorkerDied
from ..model.states import State
from ..rules.outcome import describe, of_death
from ..run.drivers import attempt
from .concurrent import ConcurrentTaskRunner, WorkerPool

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from ..run.called import Called
    from ..run.task_run import TaskRun
    from .remote_call import RemoteCall
    from .worker_process import WorkerProcess

LAST_WORDS = 3.0
"""Seconds that idle workers may take to end after their flow run."""


class ProcessTaskRunner(ConcurrentTaskRunner):
    """Up to `max_workers` sync tasks at a time, each function in a process of its own; by default one per processor.

    For functions that compute in Python, or may crash.  A process that dies, by a signal or an exit, crashes the one
    task run whose function it ran, which is tried again if the task has retries.  A function whose time is up, or that
    is cancelled, is ended even within a C call.

    Functions, inputs, results and exceptions are pickled, so what a function changes is changed in its process only.
    A function goes to each process once in a flow run, with the variables that it names as they are then.  In it
    prints, loggers and `runtime` work; tasks and flows cannot be called.  Async tasks, subflows and tasks that are
    called directly run where they do with the `ConcurrentTaskRunner`.

    Raises `UsageError` for a `max_workers` that is no whole number from 1 on, and on Windows.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if os.name != "posix":
            raise UsageError("ProcessTaskRunner needs Linux or macOS. Use a ConcurrentTaskRunner here.")
        super().__init__((os.cpu_count() or 1) if max_workers is None else max_workers)

    def start(self) -> ProcessPool:
        """A pool for one flow run; its processes begin when they are needed."""
        return ProcessPool(self.max_workers)


class ProcessPool(WorkerPool):
    """Worker threads as ever, which carry the task runs on; for the length of its function each takes a process."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers)
        self._processes = Processes()
        self._functions: dict[Called, tuple[int, bytes]] = {}

    def attempt(self, run: TaskRun) -> State:
        """Have the function of a task run called in a worker process; the state that it proposes."""
        try:
            call = self._call(run)
        except Exception as error:  # not sendable, or no more processes
            run.fn = partial(_raise, error)
            try:
                return of_death(attempt(run), error if isinstance(error, WorkerDied) else None)
            finally:
                run.fn = run.task.body
        run.fn = call
        try:
            return of_death(attempt(run, call), call.death)
        finally:
            run.fn = run.task.body
            self._processes.give(call.worker, again=call.leaves_a_worker)

    def _call(self, run: TaskRun) -> RemoteCall:
        from .remote_call import RemoteCall  # with what starts processes, which few need
        from .sending import function_as_bytes

        task = run.task
        function = self._functions.get(task)
        if function is None:
            made = function_as_bytes(task.name, task.body, task.signature)
            function = self._functions.setdefault(task, (id(task), made))
        return RemoteCall(run, self._processes.take(), function)

    def close(self) -> None:
        """No more jobs will come: threads end when the queue is empty, processes when they have nothing to do."""
        super().close()
        self._processes.close()


class Processes:
    """The worker processes of a pool.

    They are made and waited for by one thread that lives as long as the pool: where it ends with its own process, so do
    they.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spare: list[WorkerProcess] = []
        """Those that wait for work; the one that was used last goes first."""
        self._keeper: ThreadPoolExecutor | None = None
        self._closed = False

    def take(self) -> WorkerProcess:
        """A process that is ready, made if there is none.  Raises `WorkerDied` if it cannot begin."""
        while True:
            with self._lock:
                found = self._spare.pop() if self._spare else None
            if found is None:
                return self._begin()
            if found.is_alive:
                return found
            found.let_go()

    def _begin(self) -> WorkerProcess:
        from concurrent.futures import ThreadPoolExecutor

        from .worker_process import WorkerProcess

        try:
            with self._lock:
                if self._closed:
                    raise WorkerDied("No worker process begins any more: the flow run has ended.")
                if self._keeper is None:
                    self._keeper = ThreadPoolExecutor(1, thread_name_prefix="tidegate-keeper")
                made = self._keeper.submit(WorkerProcess)
            worker = made.result()
        except (OSError, RuntimeError) as error:  # no more processes, or the interpreter is about to end
            raise WorkerDied(f"A worker process could not begin: {describe(error)}.") from None
        worker.await_ready()
        return worker

    def give(self, worker: WorkerProcess, again: bool) -> None:
        """The process has nothing to do; it ends if it is not to be used again."""
        with self._lock:
            if again and not self._closed:
                self._spare.append(worker)
                return
        worker.kill()
        worker.see_end()
        worker.let_go()

    def close(self) -> None:
        """Let all that have nothing to do end, and be seen off."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, []
            keeper, self._keeper = self._keeper, None
        for each in spare:
            each.let_go()
        if keeper is not None:
            keeper.submit(_see_off, spare)
            keeper.shutdown(wait=False)


def _see_off(workers: list[WorkerProcess]) -> None:
    for each in workers:
        each.see_end(LAST_WORDS)


def _raise(error: Exception, *args: Any, **kwargs: Any) -> None:
    raise error
