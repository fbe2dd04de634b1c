"""An interrupt is heard at once, also in the moment before the main thread falls asleep; Python's own is not."""

from __future__ import annotations

import ctypes
import operator
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from functools import partial

import pytest

from support.flows import flow
from tidegate import task
from tidegate.interrupts import OWN, guard

pytestmark = pytest.mark.skipif(OWN is None, reason="there is no signal of our own here")


@task
def nap(seconds: float) -> None:
    # Both are called by C: there is no bytecode between them, before which Python would look for signals.
    interrupt = partial(ctypes.PyDLL(None)["raise"], int(signal.SIGINT))
    deque(map(operator.call, (interrupt, partial(time.sleep, seconds))), maxlen=0)


@flow
def work(seconds: float) -> None:
    nap(seconds)


def slept(seconds: float) -> float:
    """How long a task slept in which an interrupt came just before."""
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work(seconds)
    return time.monotonic() - begun


def test_an_interrupt_in_the_moment_before_a_sleep_ends_it() -> None:
    assert slept(60.0) < 60.0


def test_control_python_alone_sleeps_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard._unheard, "_wake", lambda: None)
    assert slept(0.5) >= 0.5


@pytest.fixture
def written() -> Iterator[socket.socket]:
    """Where the signals of this process are written, for somebody else."""
    out, into = socket.socketpair()
    into.setblocking(False)
    before = signal.set_wakeup_fd(into.fileno())
    try:
        yield out
        assert signal.set_wakeup_fd(before) == into.fileno()
    finally:
        signal.set_wakeup_fd(before)
        out.close()
        into.close()


def test_who_has_signals_written_keeps_them(written: socket.socket) -> None:
    assert slept(0.2) >= 0.2
    assert written.recv(1) == bytes([signal.SIGINT])


def test_a_child_that_is_forked_writes_no_signals() -> None:
    @flow
    def fork() -> int:
        child = os.fork()
        if child == 0:
            os._exit(signal.set_wakeup_fd(-1) != -1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert fork() == 0
    assert signal.set_wakeup_fd(-1) == -1
