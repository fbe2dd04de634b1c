"""What a function says in another process, prints and log records: as it goes to the owner, and is said there."""

from __future__ import annotations

import codecs
import io
import logging
import queue
import sys
from logging.handlers import QueueHandler
from typing import Any, Protocol

from .sending import dumps, loads


class Voice(Protocol):
    """Takes what is said to the owner."""

    def say(self, kind: str, *what: Any) -> None:
        """``out``, the number of a standard stream and bytes; or ``log`` and a record as bytes."""
        ...


class ToOwner(QueueHandler):
    """Sends log records to the owner, where they go to the handlers that are set up there."""

    def __init__(self, voice: Voice) -> None:
        super().__init__(queue.SimpleQueue[Any]())  # which nothing goes through: `enqueue` is ours
        self._voice = voice

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record that is prepared."""
        fields = {name: _or_text(value) for name, value in vars(record).items()}
        self._voice.say("log", dumps(fields))


def _or_text(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    try:
        dumps(value)
    except Exception:  # of the user's class: its text is as much as can go
        return repr(value)
    return value


class _Out(io.RawIOBase):
    """Sends what is written to a standard stream, as bytes."""

    def __init__(self, voice: Voice, number: int) -> None:
        self._voice = voice
        self._number = number

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Send it."""
        self._voice.say("out", self._number, bytes(data))
        return len(data)


def stream(voice: Voice, number: int) -> io.TextIOWrapper:
    """What stands in place of a standard stream, 1 or 2."""
    raw: Any = _Out(voice, number)  # with no buffer between: bytes that are written go at once, as lines do
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", newline="\n", line_buffering=True)


class Echo:
    """Says here what was said there."""

    def __init__(self) -> None:
        self._decoders = {each: codecs.getincrementaldecoder("utf-8")("replace") for each in (1, 2)}

    def say(self, kind: str, *what: Any) -> None:
        """Text that was printed goes to the stream here, a log record to the handlers here.

        Raises whatever those raise.
        """
        if kind == "out":
            number, data = what
            out = sys.stdout if number == 1 else sys.stderr
            if out is not None:
                out.write(self._decoders[number].decode(data))  # a letter may come in two parts
        elif kind == "log":
            record = logging.makeLogRecord(loads(what[0]))
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)


def levels() -> dict[str, int]:
    """The levels of all loggers that have one, by name: what is worth saying to their handlers here."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return {each.name: each.level for each in loggers if isinstance(each, logging.Logger) and each.level}
