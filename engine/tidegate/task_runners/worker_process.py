"""A worker process as its owner sees it: started, talked to, ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from ..errors import WorkerDied
from .sending import loads, message
from .voice import Echo, levels

LOOK = 250
"""Milliseconds between looks at a process that says nothing: one that has forked may die with its connection open."""

MODULE = "tidegate.task_runners.worker"


class WorkerProcess:
    """One worker process.  It is talked to by one thread at a time; `interrupt` and `kill` are for any."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs.fileno())
            except BaseException:
                ours.close()
                raise
        self._connection = Connection(ours.detach())
        self._poller = select.poll()
        self._poller.register(self._connection.fileno(), select.POLLIN)
        self._sending = threading.Lock()
        self.pid = self._process.pid
        self.known: set[int] = set()
        """The functions that it has."""
        self.calls = 0
        self.echo = Echo()

    def await_ready(self) -> None:
        """Tell it where it is, and wait until it has begun.  Raises `WorkerDied`."""
        try:
            self.send(_setup())
            self.receive()
        except (EOFError, OSError):
            how = self.see_end()
            self.let_go()
            raise WorkerDied(f"A worker process could not begin: it {how}.") from None

    @property
    def is_alive(self) -> bool:
        """False once it has ended."""
        return self._process.poll() is None

    # Messages -------------------------------------------------------------------------------------------------------

    def send(self, *what: Any) -> None:
        """Send a message.  Raises `OSError` if it is gone."""
        data = message(what)
        with self._sending:
            self._connection.send_bytes(data)

    def receive(self) -> Any:
        """Wait for a message.  Raises `EOFError` or `OSError` once the process is gone and nothing is left to read."""
        while not self._poller.poll(LOOK):
            if not self.is_alive and not self._poller.poll(0):
                raise EOFError
        return loads(self._connection.recv_bytes())

    def interrupt(self) -> None:
        """Have the function that it calls end, if it hears; never waits."""
        if self._sending.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError):
                    self._connection.send_bytes(message(("interrupt",)))
            finally:
                self._sending.release()

    # End ------------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End it now, and what it has started."""
        if self.is_alive:
            self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Nothing more will come: an idle worker ends by itself."""
        with self._sending:
            self._connection.close()

    def see_end(self, seconds: float = 1.0) -> str:
        """Wait until it has ended, for so long; kill it if it has not.  How it ended: ``was killed by SIGSEGV``."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._kill_group()
            self._process.wait()
            return "let go of its connection, and was killed"
        self._kill_group()  # what it had started and not waited for
        return ended_how(code)


def ended_how(code: int) -> str:
    """What an exit code means, negative for signals: ``was killed by SIGKILL``, ``ended with exit code 3``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (", as happens where memory runs out" if name == "SIGKILL" else "")


def _start(descriptor: int) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, so that Ctrl-C and the interrupt of a kernel are for the owner alone."""
    path = os.pathsep.join(str(each) for each in sys.path if each)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(descriptor), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def _setup() -> dict[str, Any]:
    return {
        "path": list(map(str, sys.path)),
        "argv": sys.argv,
        "pythonpath": os.environ.get("PYTHONPATH"),
        "levels": levels(),
    }
