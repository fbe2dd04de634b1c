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
        self.max_workers = checked("max_workers", max_workers)

    def start(self) -> WorkerPool:
        """A pool for one flow run."""
        return WorkerPool(self.max_workers)


def checked(name: str, value: Any) -> int:
    """A number of things at a time.  Raises `UsageError` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} must be a whole number from 1 on, not {value!r}.")
    return value


class _Idle:
    """A worker without a place, and what wakes it."""

    __slots__ = ("bell", "recruited")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.recruited = False


class WorkerPool:
    """Threads that run jobs in the order of their submission, never more at work than there are places.

    A pool of our own, because of `lent`: the standard one has no way to let a worker that waits for another task make
    room for it, and hangs once all its workers wait.
    """

    inline = False

    def __init__(self, max_workers: int) -> None:
        self._jobs: deque[Callable[[], Any]] = deque()
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        self._returning: deque[threading.Lock] = deque()
        """Workers that have lent their place and want one back; they go before new jobs."""
        self._free = max_workers
        self._starting = False
        """True while a worker has been recruited and has not looked for a job yet."""
        self._closed = False
        self._lending: set[int] = set()
        """Threads that have lent their place."""
        self._threads: set[int] = set()
        self._deserted: set[int] = set()

    def submit(self, job: Callable[[], Any]) -> None:
        """Queue a job; wake or make a thread if there is a place for it."""
        self._jobs.append(job)
        self._recruit()

    def close(self) -> None:
        """No more jobs will come: idle threads end now, the others when the queue is empty."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for each in idle:
            each.bell.release()

    def desert(self, thread: int) -> None:
        """The job on that thread is given up: its place goes to another worker, and it ends when the job does.

        Does nothing for a thread that is none of this pool's.
        """
        with self._lock:
            if thread not in self._threads or thread in self._deserted:
                return
            self._deserted.add(thread)
            if thread not in self._lending:
                self._give()
        self._recruit()

    def is_deserted(self) -> bool:
        """True if the job on this thread was given up."""
        return bool(self._deserted) and threading.get_ident() in self._deserted

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """While inside, this worker waits: another one may take its place.  Leaving waits for a place."""
        thread = threading.get_ident()
        with self._lock:
            if thread not in self._deserted:
                self._lending.add(thread)
                self._give()
        self._recruit()
        try:
            yield
        finally:
            self._return(thread)

    def _return(self, thread: int) -> None:
        """Take a place again; one that was given up meanwhile has none, and gets none."""
        with self._lock:
            if thread in self._deserted:
                self._lending.discard(thread)
                return
            if self._free > 0:
                self._lending.discard(thread)
                self._free -= 1
                return
            bell = threading.Lock()
            bell.acquire()
            self._returning.append(bell)
        bell.acquire()  # whoever has a place is at work, and gives it up when it ends or waits
        with self._lock:
            self._lending.discard(thread)
            late = thread in self._deserted
            if late:
                self._give()
        if late:
            self._recruit()

    def _give(self) -> None:
        """Give a place up, with the lock held."""
        if self._returning:
            self._returning.popleft().release()
        else:
            self._free += 1

    def _recruit(self) -> None:
        """Give a free place to a worker, if there is work.

        One at a time: each recruits the next as it takes its first job.  Where jobs wait for something that makes all
        of them within milliseconds; where jobs keep the interpreter busy the next one hardly gets a turn, and there is
        no crowd that fights for it, which would cost half as much again as the jobs.
        """
        with self._lock:
            if not self._jobs or self._free <= 0 or self._starting:
                return
            self._starting = True
            self._free -= 1
            if self._idle:
                idle = self._idle.pop()
                idle.recruited = True
                idle.bell.release()
                return
        threading.Thread(target=self._work, name="tidegate-worker", daemon=True).start()

    def _work(self) -> None:
        this_thread.lender = self
        thread = threading.get_ident()
        with self._lock:
            self._threads.add(thread)
        try:
            self._serve()
        finally:
            with self._lock:
                self._threads.discard(thread)
                self._deserted.discard(thread)

    def _serve(self) -> None:
        recruited = True
        while True:
            try:
                job = None if self._returning else self._jobs.popleft()
            except IndexError:
                job = None
            if recruited:
                recruited = self._starting = False
                self._recruit()
            if job is None:
                if not self._rest():
                    return
                recruited = True
                continue
            try:
                job()
            except BaseException:  # an interrupt as well: a thread that dies of it would take its place along
                log.exception("A defect of Tidegate: a job of a worker raised.")
            del job  # an idle worker must not keep the last task's data alive
            if self.is_deserted():
                return

    def _rest(self) -> bool:
        """Give the place up and wait for another one; false if this thread is to end."""
        idle = _Idle()
        with self._lock:
            if self._jobs and not self._returning:
                return True
            self._give()
            if self._closed:
                return False
            self._idle.append(idle)
        idle.bell.acquire(timeout=IDLE_SECONDS)
        with self._lock:
            if idle in self._idle:
                self._idle.remove(idle)
        return idle.recruited
