"""A fake front end: it starts a kernel, talks the Jupyter protocol to it, and remembers everything that comes back.

Nothing here sleeps.  All waits end when a message arrives or the kernel dies, and the one time limit is for failing.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from support.free_ports import free_ports
from support.kernels import goes_deaf, python_path
from support.messages import Comm, CommMessage, Content, Message, Reply, fold_outputs, widget_state
from support.wire import Wire

T = TypeVar("T")
WIDGETS = "jupyter.widget"


class KernelDied(RuntimeError):
    """The kernel ended while something was expected of it."""


class FrontEnd:
    """One kernel and the page that talks to it.

    `version` picks an overlay made by `scripts/kernels.py`; None is the environment's own ipykernel.  The kernel gets
    folders of its own for IPython, Jupyter and user data, and a working folder of its own unless `cwd` is given.
    """

    def __init__(
        self,
        version: str | None = None,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        interrupt_mode: Literal["signal", "message"] = "signal",
        python: str = sys.executable,
        start_timeout: float = 60.0,
    ) -> None:
        self.version = version
        self.messages: list[Message] = []
        self.comms: dict[str, Comm] = {}
        self.start_seconds = 0.0
        self._changed = threading.Condition()
        self._replies: dict[str, Message] = {}
        self._idle: set[str] = set()
        self._gone = False
        self._wire: Wire | None = None
        self._home = Path(tempfile.mkdtemp(prefix="front-end-"))
        self.cwd = Path(cwd) if cwd is not None else self._home / "cwd"
        self.cwd.mkdir(exist_ok=True)
        self._interrupt_mode = interrupt_mode
        self._spec = KernelSpec(
            argv=[python, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            interrupt_mode=interrupt_mode,
            display_name=f"ipykernel {version}",
            language="python",
        )
        self._manager = self._new_manager()
        begun = time.monotonic()
        try:
            self._launch(self._environment(env or {}), start_timeout, tries=3)
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.monotonic() - begun

    # -- asking

    def send(
        self,
        channel: str,
        msg_type: str,
        content: Content | None = None,
        *,
        metadata: Content | None = None,
        buffers: list[bytes] | None = None,
        subshell_id: str | None = None,
    ) -> str:
        """Send any message on `shell`, `control` or `stdin` and return its id."""
        if self._wire is None:
            raise RuntimeError("this front end has no kernel")
        return self._wire.send(
            channel, msg_type, content or {}, metadata=metadata, buffers=buffers, subshell_id=subshell_id
        )

    def execute(
        self,
        code: str,
        *,
        subshell_id: str | None = None,
        allow_stdin: bool = False,
        stop_on_error: bool = True,
        store_history: bool = True,
        silent: bool = False,
        user_expressions: Mapping[str, str] | None = None,
        metadata: Content | None = None,
    ) -> str:
        """Send a cell and return at once, with the id of the request.  `metadata` may name a `cellId`."""
        content = {
            "code": code,
            "silent": silent,
            "store_history": store_history,
            "user_expressions": dict(user_expressions or {}),
            "allow_stdin": allow_stdin,
            "stop_on_error": stop_on_error,
        }
        return self.send("shell", "execute_request", content, metadata=metadata, subshell_id=subshell_id)

    def reply(self, msg_id: str, timeout: float = 30.0) -> Reply:
        """Wait until a request has been answered and all its output is here."""
        message = self._wait(
            lambda: self._replies.get(msg_id) if msg_id in self._idle else None, timeout, f"the reply to {msg_id}"
        )
        return Reply(msg_id, message.at, message.content, self.outputs(msg_id))

    def run(self, code: str, timeout: float = 30.0, **options: Any) -> Reply:
        """Run a cell to its end; an exception in it is in the reply, and is not raised."""
        return self.reply(self.execute(code, **options), timeout)

    def expr(self, code: str, timeout: float = 30.0) -> str:
        """Return the representation of an expression in the user's namespace."""
        asked = self.execute("", store_history=False, user_expressions={"value": code})
        value = self.reply(asked, timeout).content["user_expressions"]["value"]
        if value["status"] != "ok":
            raise RuntimeError(f"{code}: {value['ename']}: {value['evalue']}")
        return str(value["data"]["text/plain"])

    def value(self, code: str, timeout: float = 30.0) -> Any:
        """Return the value of an expression whose representation is a literal."""
        # By way of `repr`, because IPython's pretty printer shortens long collections.
        return ast.literal_eval(ast.literal_eval(self.expr(f"repr({code})", timeout)))

    def control(self, msg_type: str, content: Content | None = None, timeout: float = 10.0) -> Content:
        """Ask on the control channel, which a busy kernel answers too, and return the content of the answer."""
        msg_id = self.send("control", msg_type, content)
        return self._wait(lambda: self._replies.get(msg_id), timeout, f"the reply to {msg_type}").content

    def subshell(self) -> str | None:
        """Create a subshell and return its id; None where the kernel has none (ipykernel 6)."""
        if "kernel subshells" not in self.kernel_info.get("supported_features", ()):
            return None
        return str(self.control("create_subshell_request")["subshell_id"])

    def answer(self, text: str) -> None:
        """Answer an `input()` of a cell that was sent with `allow_stdin`."""
        self.send("stdin", "input_reply", {"value": text})

    # -- comms

    def send_comm(self, comm_id: str, content: Any, subshell_id: str | None = None) -> str:
        """Send a custom message to a widget, as its page does on a click."""
        data = {"method": "custom", "content": content}
        return self.send("shell", "comm_msg", {"comm_id": comm_id, "data": data}, subshell_id=subshell_id)

    def send_state(self, comm_id: str, state: Content, subshell_id: str | None = None) -> str:
        """Send changed traits to a widget, as its page does on `save_changes`."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        return self.send("shell", "comm_msg", {"comm_id": comm_id, "data": data}, subshell_id=subshell_id)

    def open_comm(self, target: str, data: Content, metadata: Content | None = None) -> str:
        """Open a comm from the page's side, as ipywidgets does when it restores a page, and return its id."""
        comm_id = os.urandom(16).hex()
        content = {"comm_id": comm_id, "target_name": target, "data": data}
        message_id = self.send("shell", "comm_open", content, metadata=metadata)
        opened = Message(time.monotonic(), "shell", "comm_open", content, "", {"msg_id": message_id}, {}, {}, [])
        with self._changed:
            self.comms[comm_id] = Comm(comm_id, target, {}, opened)
        return comm_id

    def comm(self, key: str, timeout: float = 30.0, **state: Any) -> Comm:
        """Wait for an open widget whose state has this key, and these values if any; the newest one wins."""

        def found() -> Comm | None:
            for comm in reversed(self.comms.values()):
                fits = all(comm.state.get(name) == value for name, value in state.items())
                if key in comm.state and fits and not comm.closed:
                    return comm
            return None

        return self._wait(found, timeout, f"a widget with {key!r} {state or ''} in its state")

    def comm_messages(self, comm_id: str) -> list[CommMessage]:
        """Return the custom messages that the kernel has sent to this widget's page so far."""
        with self._changed:
            return list(self.comms[comm_id].custom)

    # -- looking

    def outputs(self, msg_id: str) -> list[Content]:
        """Return the outputs of a request so far, as the page would show them."""
        with self._changed:
            return fold_outputs(self.messages, msg_id)

    def wait_until(
        self, predicate: Callable[[Sequence[Message]], T | None], timeout: float = 30.0, what: str = ""
    ) -> T:
        """Wait until `predicate(messages)` is true and return what it returned.

        It is called again after every message, with all messages so far, and must not wait for anything itself.
        """
        return self._wait(
            lambda: predicate(self.messages), timeout, what or getattr(predicate, "__name__", "a message")
        )

    def wait_text(self, msg_id: str, text: str, timeout: float = 30.0) -> None:
        """Wait until a running request has printed this."""

        def printed(messages: Sequence[Message]) -> bool:
            return text in Reply(msg_id, 0.0, {}, fold_outputs(messages, msg_id)).text

        self.wait_until(printed, timeout, f"{text!r} printed by {msg_id}")

    def wait_busy(self, msg_id: str, timeout: float = 30.0) -> None:
        """Wait until the kernel has begun this request."""
        self.wait_until(
            lambda messages: any(m.type == "status" and m.parent == msg_id for m in messages), timeout, "busy"
        )

    # -- the process

    @property
    def pid(self) -> int:
        """The process id of the kernel."""
        return int(self._manager.provisioner.pid)

    @property
    def alive(self) -> bool:
        """Whether the kernel's process is there."""
        return not self._gone

    def interrupt(self) -> None:
        """Press the stop button."""
        if self._interrupt_mode == "message":
            self.send("control", "interrupt_request")
        else:
            self._manager.interrupt_kernel()

    def kill(self, timeout: float = 10.0) -> None:
        """Kill the kernel with SIGKILL, and return when it is gone."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
        self.wait_gone(timeout)

    def restart(self, *, now: bool, timeout: float = 30.0) -> None:
        """Restart the kernel as the button does, politely unless `now`, and return when the new one answers."""
        assert self._wire is not None
        self._wire.close()
        with (self._home / "kernel.log").open("ab") as log:
            self._manager.restart_kernel(now=now, stdout=log, stderr=log)
        with self._changed:
            self._gone = False
            self._replies.clear()
            self._idle.clear()
            self.comms.clear()
            self.messages.clear()
        self._connect(timeout)

    def shutdown(self, timeout: float = 30.0) -> None:
        """Ask the kernel to end, as closing a notebook does, and return when it is gone."""
        self.send("control", "shutdown_request", {"restart": False})
        self.wait_gone(timeout)

    def wait_gone(self, timeout: float = 30.0) -> None:
        """Wait until the process has ended, for whatever reason."""
        self._wait(lambda: self._gone or None, timeout, "the end of the kernel")

    def log(self) -> str:
        """Return what the kernel's process wrote outside of cells."""
        try:
            return (self._home / "kernel.log").read_text(errors="replace")
        except OSError:
            return ""

    def close(self) -> None:
        """End the kernel if it still runs and remove its folders."""
        self._close_kernel()
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- inside

    def _close_kernel(self) -> None:
        # The wire first: shutting the manager down closes the sockets of its context under the thread that polls them.
        if self._wire is not None:
            self._wire.close()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)

    def _launch(self, environment: dict[str, str], timeout: float, tries: int) -> None:
        with (self._home / "kernel.log").open("wb") as log:
            self._manager.start_kernel(env=environment, cwd=str(self.cwd), stdout=log, stderr=log)
        try:
            self._connect(timeout)
        except (KernelDied, TimeoutError):  # some versions stay there without the socket
            if tries == 1 or "Address already in use" not in self.log():
                raise
            self._close_kernel()
            self._manager, self._gone = self._new_manager(), False
            self._launch(environment, timeout, tries - 1)

    def _new_manager(self) -> KernelManager:
        names = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
        ports: dict[str, Any] = dict(zip(names, free_ports(len(names)), strict=True))
        manager = KernelManager(connection_file=str(self._home / "connection.json"), cache_ports=False, **ports)
        manager._kernel_spec = self._spec
        return manager

    def _connect(self, timeout: float) -> None:
        self._wire = Wire(
            self._manager,
            self.pid,
            on_message=self._take,
            on_exit=self._exited,
            nudge=goes_deaf(self.version),
        )
        deadline = time.monotonic() + timeout
        asked = self.send("shell", "kernel_info_request")
        self.kernel_info = self._wait(lambda: self._replies.get(asked), timeout, "the kernel's start").content
        self._wire.wait_for_stdin(timeout)
        # A subscription has no answer of its own: until something came over IOPub, ask for something.
        while not self._idle:
            try:
                self._wait(lambda: self._idle or None, 0.2, "IOPub")
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                self.send("shell", "kernel_info_request")

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        home = self._home
        environment = {
            **os.environ,
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "XDG_CONFIG_HOME": str(home / "xdg-config"),
            "XDG_DATA_HOME": str(home / "xdg-data"),
            "XDG_STATE_HOME": str(home / "xdg-state"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **extra,
        }
        environment["PYTHONPATH"] = python_path(self.version, environment.get("PYTHONPATH"))
        return environment

    def _take(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            if message.channel in ("shell", "control"):
                self._replies[message.parent] = message
            elif message.type == "status" and message.content["execution_state"] == "idle":
                self._idle.add(message.parent)
            elif message.type.startswith("comm_"):
                self._take_comm(message)
            self._changed.notify_all()

    def _take_comm(self, message: Message) -> None:
        comm_id = message.content["comm_id"]
        if message.type == "comm_open":
            state = widget_state(message.content["data"], message.buffers)
            self.comms[comm_id] = Comm(comm_id, message.content["target_name"], state, message)
        elif comm_id in self.comms:
            if message.type == "comm_close":
                self.comms[comm_id].closed = True
            else:
                self.comms[comm_id].take(message)

    def _exited(self) -> None:
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _wait(self, check: Callable[[], T | None], timeout: float, what: str) -> T:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (found := check()):
                left = deadline - time.monotonic()
                if self._gone:
                    raise KernelDied(f"the kernel died before {what}\n{self._story()}")
                if left <= 0:
                    raise TimeoutError(f"waited {timeout} s for {what}\n{self._story()}")
                self._changed.wait(left)
            return found

    def _story(self) -> str:
        lines = [f"  {m.channel} {m.type} <- {m.parent[-6:]} {str(m.content)[:160]}" for m in self.messages[-12:]]
        return "\n".join(
            [f"ipykernel {self.version or 'of the environment'}, last messages:", *lines, self.log()[-2000:]]
        )
