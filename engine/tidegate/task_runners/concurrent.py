"""The default runner: worker threads for sync tasks."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import UsageError
from ..host import this_thread

log = logging.getLogger(__name__)

MAX_WORKERS = 32
"""Threads of a runner by default: enough for waiting on services, few enough to be cheap."""

IDLE_SECONDS = 2.0


class ConcurrentTaskRunner:
    """Up to `max_workers` sync tasks at a time, on threads made as they are needed.

    Async tasks do not count: they share a loop.
    """

    inline = False

    def __init__(self, max_workers: int = MAX_WORKERS) -> None:
        if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
            raise UsageError(f"max_workers must be a whole number from 1 on, not {max_workers!r}.")
        self.max_workers = max_workers

    def start(self) -> WorkerPool:
        """A pool for one flow run."""
        return WorkerPool(self.max_workers)


class WorkerPool:
    """Threads that run jobs in the order of their submission.

    A pool of our own, because of `lent`: the standard one has no way to let a worker that waits for another task make
    room for it, and hangs once all its workers wait.
    """

    inline = False

    def __init__(self, max_workers: int) -> None:
        self._jobs: deque[Callable[[], Any]] = deque()
        self._lock = threading.Lock()
        self._idle: deque[threading.Lock] = deque()
        self._free = max_workers
        self._closed = False

    def submit(self, job: Callable[[], Any]) -> None:
        """Queue a job; wake or make a thread if one may run."""
        self._jobs.append(job)
        self._recruit()

    def _recruit(self) -> None:
        with self._lock:
            if not self._jobs:
                return
            if self._idle:
                self._idle.pop().release()
                return
            if self._free <= 0:
                return
            self._free -= 1
        threading.Thread(target=self._work, name="tidegate-worker", daemon=True).start()

    def _work(self) -> None:
        this_thread.lender = self
        jobs = self._jobs
        while True:
            try:
                job = jobs.popleft() if self._free >= 0 else None
            except IndexError:
                job = None
            if job is None:
                if not self._rest():
                    return
                continue
            try:
                job()
            except Exception:
                log.exception("A defect of Tidegate: a job of a worker raised.")
            del job  # an idle worker must not keep the last task's data alive

    def _rest(self) -> bool:
        """Wait for work; false if this thread is to end."""
        bell = threading.Lock()
        bell.acquire()
        with self._lock:
            if self._jobs and self._free >= 0:
                return True
            if self._closed or self._free < 0:
                self._free += 1
                return False
            self._idle.append(bell)
        if bell.acquire(timeout=IDLE_SECONDS):
            return True
        with self._lock:
            try:
                self._idle.remove(bell)
            except ValueError:
                return True  # it rang just now
            self._free += 1
            return False

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """While inside, this worker waits: another one may take its place."""
        with self._lock:
            self._free += 1
        self._recruit()
        try:
            yield
        finally:
            with self._lock:
                self._free -= 1  # below zero there is one too many: the first to finish its job ends

    def close(self) -> None:
        """No more jobs will come: idle threads end now, the others when the queue is empty."""
        with self._lock:
            self._closed = True
            idle, self._idle = list(self._idle), deque()
        for bell in idle:
            bell.release()
