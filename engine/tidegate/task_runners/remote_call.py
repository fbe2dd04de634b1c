"""A call of a task's function in a worker process."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import WorkerDied
from ..printing import NOTHING, unheard
from ..rules.outcome import describe
from .run_picture import RunPicture
from .sending import dumps, exception_of, inputs_as_bytes, read_back
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..portal import Timer
    from ..run.task_run import TaskRun

LATE = 0.08
"""Seconds that a function has to end, once its time is up; it is to be over on time."""

ASKED = 0.4
"""The same after a cancel or an interrupt: time to tidy up, and less than an interrupted flow waits."""


class RemoteCall:
    """One call: what stands for the function where it is called, and for its thread where it is interrupted."""

    __slots__ = ("_lock", "_run", "_timer", "at_work", "death", "ended", "function", "told", "worker")

    def __init__(self, run: TaskRun, worker: WorkerProcess, function: tuple[int, bytes]) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._timer: Timer | None = None
        self.worker = worker
        self.function = function
        self.ended = False
        self.at_work = False
        """True from the moment in which the call is sent until the function has ended."""
        self.told = False
        """True once it was told to end."""
        self.death: WorkerDied | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function there; what it returns or raises.

        Raises `NotSendable` for what cannot go there or come back, and `WorkerDied` if the process ends meanwhile.
        """
        __tracebackhide__ = True
        run, worker = self._run, self.worker
        if self.told:
            raise KeyboardInterrupt
        inputs = inputs_as_bytes(run.name, args, kwargs, run.task.names)
        key, function = self.function
        worker.calls += 1
        self.at_work = True
        try:
            try:
                first = None if key in worker.known else function
                worker.send("call", worker.calls, key, first, RunPicture.of(run), inputs)
                worker.known.add(key)
                del inputs
                kind, data = self._listen()
            finally:
                self._end()
        except (EOFError, OSError):
            how = worker.see_end()
            if self.told:
                raise KeyboardInterrupt from None
            self.death = WorkerDied(f"Its worker process {how}.")
            raise self.death from None
        if kind == "returned":
            return read_back("What {} returned", run.name, data)
        raise exception_of(read_back("What {} raised", run.name, data))

    @property
    def leaves_a_worker(self) -> bool:
        """True if the worker can be used again: its function has ended, and no interrupt is on its way to the next."""
        return not self.at_work and not self.told

    def _listen(self) -> tuple[str, bytes]:
        """Serve the worker until the function has ended."""
        worker, number = self.worker, self.worker.calls
        while True:
            kind, *rest = worker.receive()
            if kind in ("returned", "raised"):
                self.at_work = False
                return kind, rest[0]
            if kind == "ask":
                worker.send("answer", *self._answer(rest[0]))
            else:
                # What a thread says that an earlier function has left behind is none of this one's.
                with suppress(Exception), NOTHING if rest[0] == number else unheard():
                    worker.echo.say(kind, *rest[1:])  # and a stream that is closed here is no matter of the function's

    def _answer(self, what: str) -> tuple[bool, Any]:
        """What is asked of the run: its flow's parameters, so far."""
        assert what == "parameters", what
        try:
            return True, dumps(dict(self._run.flow_run.parameters))
        except Exception as error:
            return False, f"The parameters of the flow run cannot be sent to a worker process: {describe(error)}."

    # Ending it ------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        with self._lock:
            self.ended = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def interrupt(self) -> None:
        """Have the function end: by an interrupt, and where that does not do, by the end of its process."""
        run = self._run
        with self._lock:
            if self.ended or self.told:
                return
            self.told = True
            late = run.overdue or run.flow_run.timed_out
            self._timer = run.flow_run.engine.portal.after(LATE if late else ASKED, self.kill)
        self.worker.interrupt()

    def kill(self) -> None:
        """End the process of the function, if it is still at work."""
        with self._lock:
            if not self.ended:
                self.told = True
                self.worker.kill()
