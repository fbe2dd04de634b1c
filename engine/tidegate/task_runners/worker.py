"""A worker process: ``python -m tidegate.task_runners.worker SOCKET OWNER``, started by a `ProcessTaskRunner`.

It calls the functions that its owner sends, one at a time, on its main thread.  A second thread reads what comes, so
that an interrupt is heard during a call.  Prints and log records go to the owner as they happen.  It ends when its
owner lets go of the connection, or dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from .. import forks
from ..context import frame
from ..errors import NotSendable
from ..logs import hand_on
from .run_picture import RunPicture, frame_of
from .sending import dumps, loads, message, picture_of, read_in, result_as_bytes
from .voice import ToOwner, stream

LAST_WORDS = 2.0
"""Seconds that a worker may take to end, once it has nothing more to do."""

_PR_SET_PDEATHSIG = 1


class Worker:
    """This process as a worker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._asking = threading.Lock()
        self._functions: dict[int, Any] = {}
        self._main = threading.main_thread()
        self._number = 0
        """The present call, or the last one."""
        self._open = False
        """True while the user's function is at work: an interrupt then raises."""
        self._shut = 0
        """How deep the main thread is in our own code meanwhile: half a message would be the end of the connection."""
        self._kept = False
        self._orphaned = False
        """True in a child that the function has forked."""

    def serve(self) -> None:
        """Do what the owner asks, until it lets go."""
        self._set_up(*loads(self._connection.recv_bytes()))
        signal.signal(signal.SIGINT, self._interrupted)
        threading.Thread(target=self._read, name="tidegate-reader", daemon=True).start()
        self.send("ready")
        while (call := self._calls.get()) is not None:
            self._call(*call)
            del call

    def _set_up(self, setup: dict[str, Any]) -> None:
        sys.path[:] = setup["path"]
        sys.argv[:] = setup["argv"]
        os.environ.pop("PYTHONPATH", None)
        if setup["pythonpath"] is not None:
            os.environ["PYTHONPATH"] = setup["pythonpath"]
        streams = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = stream(self, 1), stream(self, 2)
        for name, level in setup["levels"].items():
            logging.getLogger(name).setLevel(level)
        hand_on(ToOwner(self))
        os.register_at_fork(after_in_child=lambda: self._forked(streams))

    def _forked(self, streams: Any) -> None:
        """A process that the user's code has forked is none of ours."""
        self._orphaned = True
        sys.stdout, sys.stderr = streams
        logging.getLogger().handlers.clear()
        self._connection.close()

    # Messages -------------------------------------------------------------------------------------------------------

    def send(self, *what: Any) -> None:
        """Send the owner a message whole, whatever interrupts meanwhile."""
        ours = threading.current_thread() is self._main
        self._shut += ours
        try:
            data = message(what)
            with self._sending:
                self._connection.send_bytes(data)
        finally:
            self._shut -= ours
        if ours and self._kept and self._open and not self._shut:
            self._kept = False
            raise KeyboardInterrupt

    def say(self, kind: str, *what: Any) -> None:
        """Send something that belongs to the present call; nothing once the owner has gone."""
        with contextlib.suppress(OSError):
            self.send(kind, self._number, *what)

    def ask(self, what: str) -> Any:
        """Ask the owner for something about the run of the present call."""
        with self._asking:
            self.send("ask", what)
            found, answer = self._answers.get()
        if not found:
            raise NotSendable(answer)
        return loads(answer)

    def _read(self) -> None:
        try:
            while True:
                kind, *rest = loads(self._connection.recv_bytes())
                if kind == "call":
                    self._calls.put(rest)
                elif kind == "answer":
                    self._answers.put(rest)
                elif self._open and self._main.ident is not None:
                    signal.pthread_kill(self._main.ident, signal.SIGINT)
        except (EOFError, OSError):
            pass
        if not self._open:
            self._calls.put(None)
            time.sleep(LAST_WORDS)  # not reached by a process that ends, as it is told to
        os.killpg(0, signal.SIGKILL)  # what the function has started as well

    def _interrupted(self, signum: int, here: FrameType | None) -> None:
        if not self._open:
            return
        if self._shut:
            self._kept = True
        else:
            raise KeyboardInterrupt

    # Calls ----------------------------------------------------------------------------------------------------------

    def _call(self, number: int, key: int, function: bytes | None, picture: RunPicture, inputs: bytes) -> None:
        self._number = number
        try:
            if function is not None:
                self._functions[key] = read_in("function", picture.name, function)
            made, signature = self._functions[key]
            args, kwargs = read_in("inputs", picture.name, inputs)
            token = frame.set(frame_of(picture, signature, (args, kwargs), self.ask))
            try:
                value = self._body(made, args, kwargs)
            finally:
                frame.reset(token)
                sys.stdout.flush()
                sys.stderr.flush()
            answer = ("returned", result_as_bytes(value, picture.name))
        except BaseException as error:
            if self._orphaned:
                forks.leave(picture.name, error)
            answer = ("raised", dumps(picture_of(error, picture.name)))
        if self._orphaned:
            forks.leave(picture.name, None)
        self.send(*answer)

    def _body(self, function: Any, args: Any, kwargs: Any) -> Any:
        try:
            self._open = True
            return function(*args, **kwargs)
        finally:
            self._open = self._kept = False


def _die_with(owner: int) -> None:
    """Have the system end this process with the thread that started it, even in a C call that lets no other thread run.

    That thread lives as long as the pool.  On other systems than Linux the end of the connection must do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != owner:
            sys.exit()


def main() -> None:
    """Be a worker, as the command line says."""
    descriptor, owner = map(int, sys.argv[1:3])
    _die_with(owner)
    os.set_inheritable(descriptor, False)
    try:
        Worker(Connection(descriptor)).serve()
    except (EOFError, ConnectionError):
        return  # the owner has gone


if __name__ == "__main__":
    from tidegate.task_runners.worker import main as run_here  # so that nothing of it is in the user's `__main__`

    run_here()
