"""Every private name of ipykernel, IPython and pyzmq that Tidegate leans on, and nothing else.

Messages of the front end reach the main shell through one socket.  ipykernel 6 reads it on the main thread; ipykernel 7
reads the wire on a thread of its own and hands the main shell's share over through an in-process pair.  Either way it
is one stream, whose socket can be polled and whose receive callback can be set.

What is not there, in a future ipykernel or another kernel, makes `Wire.of` return null; the main thread then simply
blocks, and clicks are heard when the cell ends, or on a subshell.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import zmq

COMM = ("comm_open", "comm_msg", "comm_close")
QUESTIONS = ("kernel_info_request", "comm_info_request")
"""What a page that is loaded anew asks first.  Until the former is answered JupyterLab sends nothing else for 3 s, and
hardly anything is left of the 4 s that widgets are waited for; when those have passed it asks the latter, and waits."""

Frames = list[Any]


class Wire:
    """The stream that feeds the main shell of a kernel."""

    def __init__(self, shell: Any, stream: Any, replies: Any) -> None:
        self._shell = shell
        self._kernel = shell.kernel
        self._stream = stream
        self._replies = replies
        """Where answers go."""
        self._cell: Any = None
        self._listeners = 0
        self._unlisten: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, shell: Any) -> Wire | None:
        """The wire of an IPython shell in a kernel; null where it is not as we know it."""
        kernel = getattr(shell, "kernel", None)
        if kernel is None:
            return None
        try:
            if getattr(kernel, "_supports_kernel_subshells", False):
                manager = kernel.shell_channel_thread.manager
                stream = manager.get_shell_channel_to_subshell_pair(None).to_stream
                replies = manager.get_subshell_to_shell_channel_socket(None)
            else:
                stream = kernel.shell_stream
                replies = stream.socket  # the stream itself would send with the next turn of the loop, after the cell
            known = callable(stream._recv_callback) and callable(kernel._publish_status)
            known = known and hasattr(stream.socket, "recv_multipart") and hasattr(kernel, "comm_manager")
            known = known and all(kind in kernel.shell_handlers for kind in QUESTIONS)
        except AttributeError:
            return None
        return cls(shell, stream, replies) if known else None

    @property
    def socket(self) -> Any:
        """The socket to poll."""
        return self._stream.socket

    def receive(self) -> Frames | None:
        """The next message, or null if there is none now."""
        try:
            frames: Frames = self._stream.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return frames

    def served(self, frames: Frames) -> str | None:
        """The type of a message that is served while a cell is at work, null for any other.

        Only the header is unpacked: the session refuses a signature that it has seen, so a message that is to be given
        back must not be deserialised.
        """
        session = self._kernel.session
        try:
            _, rest = session.feed_identities(frames, copy=False)
            kind = session.unpack(rest[1].bytes)["msg_type"]
        except Exception:
            return None  # not ours to judge: whoever gets it next will
        return str(kind) if kind in COMM or kind in QUESTIONS else None

    def serve(self, kind: str, frames: Frames) -> None:
        """Have the kernel handle a message, with busy and idle around it.

        A page stops sending state for good when it misses that idle.  But it also takes it for the kernel's own state,
        so the cell says again that it is busy.
        """
        kernel = self._kernel
        try:
            idents, rest = kernel.session.feed_identities(frames, copy=False)
            message = kernel.session.deserialize(rest, content=True, copy=False)
        except Exception:
            kernel.log.warning("Tidegate: a message could not be read.", exc_info=True)
            return
        kernel._publish_status("busy", "shell", parent=message)
        try:
            if kind in COMM:
                with quiet_events(self._shell):
                    getattr(kernel.comm_manager, kind)(self._stream, idents, message)
            else:
                _run(kernel.shell_handlers[kind](self._replies, idents, message))
        except Exception:
            kernel.log.error("Tidegate: a message (%s) failed.", kind, exc_info=True)
        finally:
            kernel._publish_status("idle", "shell", parent=message)
            self.say_busy()

    def begin_cell(self) -> None:
        """A flow run begins in the present cell."""
        self._cell = self._kernel.get_parent("shell")

    def end_cell(self) -> None:
        """It has ended."""
        self._cell = None

    def say_busy(self) -> None:
        """Tell the page that the cell is still at work, after a message has said idle."""
        if self._cell:
            self._kernel._publish_status("busy", "shell", parent=self._cell)

    def give_back(self, kept: list[Frames]) -> None:
        """Hand messages to whom they would have gone, in order, and have the stream look for what came meanwhile."""
        callback = self._stream._recv_callback
        for frames in kept:
            outcome = callback(frames)
            if inspect.isawaitable(outcome):
                _keep(asyncio.ensure_future(outcome))
        self._stream.flush(zmq.POLLIN)  # the socket's readiness is edge-triggered

    @contextlib.contextmanager
    def listening(
        self, serve: Callable[[str, Frames], None], others: Callable[[Frames], Any] | None = None
    ) -> Iterator[None]:
        """While inside, messages to be served that the loop receives go to `serve` at once, and all others to `others`;
        null is where they would go.

        Flows that are awaited side by side do not end in reverse order, so the first one in installs the callback and
        the last one out takes it away.
        """
        self._listeners += 1
        if self._listeners == 1:
            self._listen(serve, others)
        try:
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0:
                self._unlisten()

    def _listen(self, serve: Callable[[str, Frames], None], others: Callable[[Frames], Any] | None) -> None:
        stream = self._stream
        original = stream._recv_callback

        def received(frames: Frames) -> Any:
            kind = self.served(frames)
            return (others or original)(frames) if kind is None else serve(kind, frames)

        def unlisten() -> None:
            if stream._recv_callback is received:
                stream._recv_callback = original

        stream._recv_callback = received
        self._unlisten = unlisten


def keep_page_shell(comm: Any) -> None:
    """Leave the choice of the shell for a comm's messages to the page.

    ipykernel 7.4 routes them to the shell that last published on the comm, which for a graph shown by a cell is the
    main shell, just the one that is busy; a page that asked for a subshell is not heard before the cell ends.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default


@contextlib.contextmanager
def quiet_events(shell: Any) -> Iterator[None]:
    """Mute the cell hooks while a comm message is handled in the middle of a cell.

    ipykernel fires them for each comm message, and matplotlib's would show and close the figure that the cell is still
    drawing.
    """
    callbacks = shell.events.callbacks
    saved = {name: callbacks[name] for name in ("pre_execute", "post_execute") if name in callbacks}
    try:
        for name in saved:
            callbacks[name] = []
        yield
    finally:
        callbacks.update(saved)


def _run(outcome: Any) -> None:
    """Have what a handler of the kernel's gave run to its end: it is a coroutine, and yet none of these ever waits."""
    if inspect.iscoroutine(outcome):
        with contextlib.suppress(StopIteration):
            outcome.send(None)
        outcome.close()


_futures: set[Any] = set()


def _keep(future: asyncio.Future[Any]) -> None:
    """Loops hold tasks only weakly."""
    _futures.add(future)
    future.add_done_callback(_futures.discard)
