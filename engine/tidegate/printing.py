"""What `print` says in a scope, line by line, and nothing that it says elsewhere.

No builtin is patched.  While at least one scope listens, a stream that looks up a context variable stands in place of
``sys.stdout``; what is written goes on to the stream below in any case, so that it appears in the cell or in the
terminal as it would without us.  Text printed to another file is no business of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from itertools import count
from typing import Any, TextIO, cast

KEPT = 65_537
"""Characters of an unfinished line that are kept: one more than what a line of the log may have."""

_listener: ContextVar[PrintCapture | None] = ContextVar("tidegate_prints", default=None)
_lock = threading.Lock()


class PrintStream:
    """Stands in for a text stream: passes everything on, and lets the scope that the text comes from have it too.

    It is otherwise the stream below: in a notebook, the kernel goes on telling it which cell its output belongs to.
    """

    def __init__(self, below: TextIO) -> None:
        self.below = below
        self.users = 0
        self.write = _heard(below.write)
        """Write, and let the scope around the writing code have it."""

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.below, name)


def _heard(write: Callable[[str], int]) -> Callable[[str], int]:
    """A function that writes and lets the scope have it; no method, which would look up everything with each call."""
    get = _listener.get

    def write_and_tell(text: str) -> int:
        written = write(text)
        listener = get()
        if listener is not None:
            if listener.wanted:
                listener.take(text)
            elif text == "\n":  # mostly: `print` writes the end of a line by itself
                listener.miss()
            elif "\n" in text:
                listener.miss_many(text.count("\n"))
        return written

    return write_and_tell


class PrintCapture:
    """A scope whose prints are heard; used with ``with``, once, from any thread.

    ``line(text)`` gets each finished line, without its newline; it returns false once it wants no more text, and from
    then on lines are only counted, and ``missed(n)`` gets their number at the end.  Threads and asyncio tasks of the
    scope each finish their own lines.
    """

    __slots__ = ("_line", "_missed", "_open", "_partial", "_stream", "_token", "miss", "wanted")

    def __init__(self, line: Callable[[str], bool], missed: Callable[[int], object]) -> None:
        self._line = line
        self._missed = missed
        self.miss = count().__next__  # which, unlike a sum, threads can share without a lock
        """Call it for a line that is only counted."""
        self._partial: dict[object, str] = {}
        self.wanted = True
        """False once lines are only counted."""
        self._open = False
        self._stream: PrintStream | None = None
        self._token: Token[PrintCapture | None]

    def __enter__(self) -> PrintCapture:
        self._open = True
        self._stream = _take_stdout()
        self._token = _listener.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        _listener.reset(self._token)
        _give_back(self._stream)
        unfinished, self._partial = self._partial, {}
        for text in unfinished.values():
            self._finish(text)
        lines = self.miss()
        if lines:
            self._missed(lines)

    def take(self, text: str) -> None:
        """Text was printed in this scope, which still wants it."""
        if not self._open:
            return  # by a thread or a task that has outlived it
        writer = _writer()
        before = self._partial.pop(writer, "")
        if "\n" not in text:
            self._partial[writer] = before if len(before) >= KEPT else (before + text[:KEPT])[:KEPT]
            return
        lines = (before + text).split("\n")
        unfinished = lines.pop()
        if unfinished:
            self._partial[writer] = unfinished[:KEPT]
        for line in lines:
            self._finish(line)

    def _finish(self, line: str) -> None:
        if not self.wanted:
            self.miss()
            return
        if "\r" in line:
            line = line.rstrip("\r").rpartition("\r")[2]  # a progress bar: what is left standing in the end
        # Whoever shows the line may print, and must not be heard again.
        token = _listener.set(None)
        try:
            self.wanted = self._line(line)
        finally:
            _listener.reset(token)

    def miss_many(self, lines: int) -> None:
        """Count as many lines."""
        for _ in range(lines):
            self.miss()


def anybody_hears() -> bool:
    """True while there is any scope, in any thread, whose prints are heard."""
    return isinstance(sys.stdout, PrintStream)


def hearing() -> bool:
    """True if prints of this code are heard, or would be if their scope had not ended."""
    return _listener.get() is not None


def unheard() -> contextlib.AbstractContextManager[object]:
    """A scope whose prints are prints and nothing else, whatever the scope around it is."""
    return NOTHING if _listener.get() is None else _Unheard()


class _Unheard:
    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token = _listener.set(None)

    def __exit__(self, *_: object) -> None:
        _listener.reset(self._token)


NOTHING: contextlib.AbstractContextManager[object] = contextlib.nullcontext()


def _writer() -> object:
    """Who writes: an asyncio task, else a thread."""
    loop = asyncio._get_running_loop()
    task = None if loop is None else asyncio.current_task(loop)
    return threading.get_ident() if task is None else task


def _take_stdout() -> PrintStream | None:
    """Be in place of ``sys.stdout``; null where there is none."""
    with _lock:
        out: Any = sys.stdout
        if out is None:
            return None
        if not isinstance(out, PrintStream):
            out = PrintStream(out)
            sys.stdout = cast("TextIO", out)
        out.users += 1
        return cast("PrintStream", out)


def _give_back(stream: PrintStream | None) -> None:
    """The last one puts the stream below back, unless somebody has replaced us meanwhile."""
    with _lock:
        if stream is not None:
            stream.users -= 1
            if not stream.users and cast("Any", sys.stdout) is stream:
                sys.stdout = stream.below
