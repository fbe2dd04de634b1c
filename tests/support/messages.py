"""What the fake front end hands out: messages, replies, comms, and the outputs of a cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Content = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message from the kernel.  `at` is `time.monotonic()`, which on Linux all processes share."""

    at: float
    channel: str
    type: str
    content: Content
    parent: str
    header: Content
    parent_header: Content
    metadata: Content
    buffers: list[bytes]


@dataclass(frozen=True, slots=True)
class CommMessage:
    """A custom message of a widget in the kernel to its page."""

    at: float
    content: Any
    buffers: list[bytes]
    parent: str


@dataclass(slots=True)
class Comm:
    """A comm that the kernel opened, with the widget state as the page would know it by now."""

    comm_id: str
    target: str
    state: Content
    opened: Message
    closed: bool = False
    custom: list[CommMessage] = field(default_factory=list)

    def take(self, message: Message) -> None:
        """Fold one `comm_msg` into the state or the list of custom messages."""
        data = message.content["data"]
        method = data.get("method")
        if method == "custom":
            self.custom.append(CommMessage(message.at, data.get("content"), message.buffers, message.parent))
        elif method in ("update", "echo_update"):
            self.state = {**self.state, **widget_state(data, message.buffers)}


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request ended, and everything it put out."""

    msg_id: str
    at: float
    content: Content
    outputs: list[Content]

    @property
    def status(self) -> str:
        """`ok`, `error` or `aborted`."""
        return str(self.content["status"])

    @property
    def ename(self) -> str | None:
        """The name of the exception, if there was one."""
        return self.content.get("ename")

    @property
    def evalue(self) -> str | None:
        """The text of the exception, if there was one."""
        return self.content.get("evalue")

    @property
    def traceback(self) -> list[str]:
        """The traceback as the cell would show it, with its colours."""
        return list(self.content.get("traceback", ()))

    @property
    def text(self) -> str:
        """All that was printed, standard output and standard error together."""
        return "".join(output["text"] for output in self.outputs if output["output_type"] == "stream")

    @property
    def result(self) -> str | None:
        """The plain text of the cell's value, if it has one."""
        for output in self.outputs:
            if output["output_type"] == "execute_result":
                return str(output["data"].get("text/plain"))
        return None

    def displays(self, mimetype: str) -> list[Any]:
        """What was displayed in this type, in order."""
        return [output["data"][mimetype] for output in self.outputs if mimetype in output.get("data", ())]


def widget_state(data: Content, buffers: list[bytes]) -> Content:
    """Return the state in a comm message, with its binary parts put where they belong."""
    state: Content = dict(data.get("state") or {})
    for path, buffer in zip(data.get("buffer_paths") or (), buffers, strict=False):
        place: Any = state
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = buffer
    return state


def fold_outputs(messages: Iterable[Message], msg_id: str) -> list[Content]:
    """Return the outputs of one request as a front end shows them.

    Streams run together, `clear_output` clears, and updates reach a display whichever request sends them.
    """
    outputs: list[Content] = []
    clear_next = False
    for message in messages:
        if message.channel != "iopub":
            continue
        if message.type == "update_display_data":
            _update(outputs, message.content)
        elif message.parent != msg_id:
            continue
        elif message.type == "clear_output":
            clear_next = bool(message.content.get("wait"))
            if not clear_next:
                outputs.clear()
        elif message.type in ("stream", "display_data", "execute_result", "error"):
            if clear_next:
                outputs.clear()
                clear_next = False
            _append(outputs, message)
    return outputs


def _append(outputs: list[Content], message: Message) -> None:
    last = outputs[-1] if outputs else None
    if message.type == "stream" and last and last.get("name") == message.content["name"]:
        last["text"] += message.content["text"]
    else:
        outputs.append({"output_type": message.type, **message.content})


def _update(outputs: list[Content], content: Content) -> None:
    display_id = content.get("transient", {}).get("display_id")
    for output in outputs:
        if display_id is not None and output.get("transient", {}).get("display_id") == display_id:
            output.update(data=content["data"], metadata=content["metadata"])
