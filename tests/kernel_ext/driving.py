"""What the tests of the kernel extension do with a kernel: start it loaded, find graphs, click, look at the record."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from support.front_end import FrontEnd, KernelDied
from support.messages import Comm, CommMessage, Content, Message

WIDGET = "application/vnd.jupyter.widget-view+json"
HTML = "text/html"

LOAD = """
%load_ext tidegate
import asyncio, sys, threading, time
from tidegate import Flow, allow_failure, flow, pause_flow_run, task, unmapped
from tidegate.engine import engine
"""

_ids = count(1)


class Loaded:
    """A kernel with the extension loaded, started anew if a test has left it dead or deaf."""

    def __init__(self, version: str | None, *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self._version = version
        self._env = env
        self._cwd = cwd
        self._kernel: FrontEnd | None = None

    def get(self) -> FrontEnd:
        """The kernel, ready for a cell."""
        if self._kernel is not None:
            try:
                self._kernel.run("pass", timeout=10, store_history=False)
            except (TimeoutError, KernelDied):
                self.close()
        if self._kernel is None:
            self._kernel = FrontEnd(self._version, env=self._env, cwd=self._cwd)
            loaded = self._kernel.run(LOAD)
            assert (loaded.status, loaded.outputs) == ("ok", [])
        return self._kernel

    def close(self) -> None:
        """End it."""
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


def graphs(kernel: FrontEnd, msg_id: str) -> list[Comm]:
    """The run graphs under a cell so far."""
    outputs = kernel.outputs(msg_id)
    return [kernel.comms[each["data"][WIDGET]["model_id"]] for each in outputs if WIDGET in each.get("data", {})]


def graph(kernel: FrontEnd, msg_id: str, timeout: float = 15) -> Comm:
    """Wait for the graph under a cell."""
    return kernel.wait_until(lambda _: graphs(kernel, msg_id), timeout, "a graph under the cell")[0]


def ask(
    kernel: FrontEnd, comm: Comm, content: Content, answer: str, subshell: str | None = None, *, keyed: bool = True
) -> CommMessage:
    """Send what the page may send, with an id of its own, and wait for the answer of this kind, and id if `keyed`."""
    key = f"q{next(_ids)}"
    before = len(comm.custom)
    kernel.send_comm(comm.comm_id, {**content, "id": key}, subshell)

    def answered(_: Any) -> CommMessage | None:
        for message in comm.custom[before:]:
            if message.content.get("kind") == answer and (not keyed or message.content.get("id") == key):
                return message
        return None

    return kernel.wait_until(answered, 10, f"{answer} to {content}")


def click(kernel: FrontEnd, comm: Comm, verb: str, subshell: str | None = None) -> float:
    """Click a button; the seconds until the kernel's answer, which must be a yes, was here."""
    before = time.monotonic()
    answer = ask(kernel, comm, {"kind": "do", "verb": verb}, "ack", subshell)
    assert answer.content["ok"], answer.content
    return answer.at - before


def views(comm: Comm) -> list[Content]:
    """Headers of the run as the page got them, in order."""
    found = []
    for message in comm.custom:
        content = message.content
        if content["kind"] in ("snap", "delta"):
            found.append(content.get("view") or content.get("delta"))
    return [each["run"] for each in found]


def wait_state(kernel: FrontEnd, comm: Comm, name: str, timeout: float = 15) -> None:
    """Wait until the page was told that the run is in this state."""

    def told(_: Any) -> bool:
        headers = views(comm)
        return bool(headers) and headers[-1]["state"]["name"] == name

    kernel.wait_until(told, timeout, f"the state {name} on the page")


def statuses(messages: list[Message], msg_id: str) -> list[str]:
    """What the kernel said of itself while it served a request."""
    return [m.content["execution_state"] for m in messages if m.type == "status" and m.parent == msg_id]


def newest_run(kernel: FrontEnd) -> tuple[int, str, str, str]:
    """Number, flow, state type and state name of the newest flow run in the record."""
    found: tuple[int, str, str, str] = kernel.value(
        "(lambda row: (row.number, row.flow, row.state.type.value, row.state.name))(engine().store.flow_runs(1)[0])"
    )
    return found


def plain(text: str) -> str:
    """Text without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def ours_in(text: str) -> list[str]:
    """Lines of a traceback that show code which is not the user's."""
    foreign = ("tidegate", "asyncio/", "/zmq/", "zmq.backend", "concurrent/futures", "threading.py")
    return [line for line in text.splitlines() if line.startswith("File ") and any(each in line for each in foreign)]
