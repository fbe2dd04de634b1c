"""The sockets of one kernel, owned by one thread: send from any thread, receive everything in arrival order."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from jupyter_client.manager import KernelManager
from zmq.constants import Event, PollEvent
from zmq.sugar.poll import Poller

from support.messages import Content, Message

NUDGE_AFTER_MS = 500


class Wire:
    """Connects to a running kernel and hands each of its messages to `on_message`, then `on_exit` when it is gone.

    ZeroMQ sockets must not be used by two threads, so what is to be sent goes through a queue to the thread that
    receives.  The end of the process is seen through a pidfd: nothing here looks at a clock.

    With one exception: ipykernel 7.0 to 7.3 can miss a request that arrives while it sends a reply, and then hears
    nothing on that socket until somebody connects to it (ipykernel #1554, mended in 7.4).  `nudge` is for those: when
    a request stays unheard for a while, another socket connects.
    """

    def __init__(
        self,
        manager: KernelManager,
        pid: int,
        *,
        on_message: Callable[[Message], None],
        on_exit: Callable[[], None],
        nudge: bool = False,
    ) -> None:
        self._manager = manager
        self._nudge = nudge
        self._nudger: Any = None
        self._unheard: set[str] = set()
        self._session = manager.session
        self._sockets: dict[str, Any] = _connect(manager)
        self._stdin_joined = self._sockets["stdin"].get_monitor_socket(Event.HANDSHAKE_SUCCEEDED)
        self._on_message = on_message
        self._on_exit = on_exit
        self._pidfd: int | None = os.pidfd_open(pid)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._outbox: queue.SimpleQueue[tuple[str, Content, list[bytes]] | None] = queue.SimpleQueue()
        self._open = True
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="front-end", daemon=True)
        self._thread.start()

    def send(
        self,
        channel: str,
        msg_type: str,
        content: Content,
        *,
        metadata: Content | None = None,
        parent: Content | None = None,
        buffers: list[bytes] | None = None,
        subshell_id: str | None = None,
    ) -> str:
        """Send one message and return its id."""
        with self._lock:
            if not self._open:
                raise RuntimeError("this front end is closed")
            message = self._session.msg(msg_type, content, parent=parent, metadata=metadata)
            if subshell_id is not None:
                message["header"]["subshell_id"] = subshell_id
            self._outbox.put((channel, message, buffers or []))
            os.eventfd_write(self._wake, 1)
        return str(message["header"]["msg_id"])

    def wait_for_stdin(self, timeout: float) -> None:
        """Until an `input()` can reach us: to a socket that has not connected yet the kernel sends nothing, ever."""
        if not self._stdin_joined.poll(timeout * 1000):
            raise TimeoutError(f"the kernel's stdin socket was not there in {timeout} s")

    def close(self) -> None:
        """Close the sockets; the kernel does not notice."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._outbox.put(None)
            os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _run(self) -> None:
        poller = Poller()
        poller.register(self._wake, PollEvent.POLLIN)
        poller.register(self._pidfd, PollEvent.POLLIN)
        for socket in self._sockets.values():
            poller.register(socket, PollEvent.POLLIN)
        try:
            while True:
                ready = dict(poller.poll(NUDGE_AFTER_MS if self._nudge and self._unheard else None))
                if not ready:
                    self._connect_once_more()
                self._drain()
                if self._wake in ready and not self._flush():
                    return
                if self._pidfd in ready:
                    poller.unregister(self._pidfd)
                    # What the kernel wrote before it died may still be on its way through ZeroMQ's own thread.
                    while any(socket in self._sockets.values() for socket, _ in poller.poll(100)):
                        self._drain()
                    self._on_exit()
        finally:
            self._sockets["stdin"].disable_monitor()
            self._stdin_joined.close(linger=0)
            for socket in (*self._sockets.values(), self._nudger):
                if socket is not None:
                    socket.close(linger=0)

    def _flush(self) -> bool:
        """Send all that is waiting; False when told to end."""
        os.eventfd_read(self._wake)
        while True:
            try:
                item = self._outbox.get_nowait()
            except queue.Empty:
                return True
            if item is None:
                return False
            channel, message, buffers = item
            if channel == "shell":
                self._unheard.add(message["header"]["msg_id"])
            self._session.send(self._sockets[channel], message, buffers=buffers)

    def _drain(self) -> None:
        for channel, socket in self._sockets.items():
            while True:
                _, raw = self._session.recv(socket)
                if raw is None:
                    break
                message = _message(channel, raw)
                self._unheard.discard(message.parent)
                self._on_message(message)

    def _connect_once_more(self) -> None:
        # The socket stays open until the next time, because a connection closed at once might never be made.
        previous, self._nudger = self._nudger, self._manager.connect_shell()
        if previous is not None:
            previous.close(linger=0)


def _connect(manager: KernelManager) -> dict[str, Any]:
    # The kernel answers input() to the identity that sent the request, so these three share one.
    identity = manager.session.bsession
    return {
        "iopub": manager.connect_iopub(),
        "shell": manager.connect_shell(identity=identity),
        "stdin": manager.connect_stdin(identity=identity),
        "control": manager.connect_control(identity=identity),
    }


def _message(channel: str, raw: Content) -> Message:
    return Message(
        at=time.monotonic(),
        channel=channel,
        type=raw["header"]["msg_type"],
        content=raw["content"],
        parent=raw["parent_header"].get("msg_id", ""),
        header=raw["header"],
        parent_header=raw["parent_header"],
        metadata=raw["metadata"],
        buffers=[bytes(buffer) for buffer in raw["buffers"]],
    )
