"""Lines of logs on their way to the store, in batches and within bounds.

A line costs its caller an append.  Batches go out from the engine's thread, so that where the user's code runs no store
is written and no interrupt can tear a batch; what is left goes out when the flow run ends.

A storm of lines is bounded where it rises: a task run that said its share is only counted from then on, and so is a
flow run.  Dropping the oldest instead was not chosen: the beginning tells what a run was about, and the reason why it
failed comes as an error, for which there is room of its own.
"""

from __future__ import annotations

import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from logging import ERROR, WARNING

from .errors import StoreError
from .model.events import LogLine, LogLines
from .store.codec import clean

LINE_BYTES = 65_536
"""Longer lines are cut."""

TASK_BYTES = 1_000_000
"""Of one task run, or of the flow itself; counted in UTF-8, with `OVERHEAD` for each line."""

FLOW_BYTES = 50_000_000
"""Of one flow run, with its task runs."""

RESERVE = 200_000
"""Room beyond that for errors, and for what the engine says of the run: how it ended is told even after a storm."""

OVERHEAD = 32
"""What a line takes besides its text."""

BATCH = 500
"""Lines that are not kept back any longer, and that are kept in one row of the feed at most."""

DELAY = 0.5
"""Seconds that a line is kept back at most, so that a few make one batch."""

ENDED = 1_000
"""Flow runs that have ended and whose shares are still known, for code that goes on logging."""

_CUT = " [cut: the line was longer than 64 kB]"
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


class _RunLog:
    """The log of one flow run: what waits, and what was said and dropped so far."""

    __slots__ = ("dropped", "dropped_by", "ended", "full", "said", "said_by", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[LogLine] = deque()
        self.said = 0
        self.said_by: dict[int, int] = {}
        """Bytes by task run."""
        self.full = False
        self.dropped = 0
        self.dropped_by: dict[int, int] = {}
        """Lines by task run; who is in here has said its share."""
        self.ended = False

    def takes(self, line: LogLine, size: int, reserved: bool) -> bool:
        """True if there is room for the line, which is then counted in; otherwise it is counted out."""
        if not reserved and self.counts_only(line.task_run):
            self.drop(line.task_run, 1)
            return False
        room = RESERVE if reserved else 0
        said = self.said_by.get(line.task_run, 0) + size
        if said > TASK_BYTES + room:
            self.dropped_by.setdefault(line.task_run, 0)
        elif self.said + size > FLOW_BYTES + room:
            self.full = True
        else:
            self.said_by[line.task_run] = said
            self.said += size
            return True
        self.drop(line.task_run, 1)
        return False

    def counts_only(self, task_run: int) -> bool:
        """True if lines of this task run, errors excepted, are only counted from now on."""
        return self.full or task_run in self.dropped_by

    def drop(self, task_run: int, lines: int) -> None:
        """Count lines that are not kept."""
        if task_run in self.dropped_by:
            self.dropped_by[task_run] += lines
        else:
            self.dropped += lines

    def last_words(self, at: float) -> Iterator[LogLine]:
        """How many lines were dropped and nobody was told of yet."""
        for task_run, lines in self.dropped_by.items():
            if lines:
                self.dropped_by[task_run] = 0
                yield LogLine(at, task_run, WARNING, _dropped(lines, "task run", TASK_BYTES))
        if self.dropped:
            yield LogLine(at, 0, WARNING, _dropped(self.dropped, "flow run", FLOW_BYTES))
            self.dropped = 0


def _dropped(lines: int, what: str, share: int) -> str:
    return f"... {lines:,} lines more were dropped: a {what} keeps {share // 1_000_000} MB."


class LogBatches:
    """Collects lines by flow run.  Every method may be called from any thread.

    `note` shows and keeps a batch and never blocks; `after` calls something on the engine's thread in some seconds.
    """

    def __init__(
        self, note: Callable[[LogLines], None], after: Callable[[float, Callable[[], object]], object]
    ) -> None:
        self._note = note
        self._after = after
        self._lock = threading.Lock()
        # Held from taking lines until they are handed on: or the end of a run could find nothing left and be kept
        # while the engine's thread still has a batch in its hands.
        self._flushing = threading.Lock()
        self._runs: dict[int, _RunLog] = {}
        self._ended: deque[int] = deque()
        self._timed = False
        """One timer serves all flow runs: to wake the engine's thread for each would cost a short flow more than its
        log."""

    def begin_anew(self) -> None:
        """In a forked child: what waits is its parent's, and so are the locks."""
        self._lock, self._flushing = threading.Lock(), threading.Lock()
        self._runs, self._ended, self._timed = {}, deque(), False

    def add(self, flow_run: int, line: LogLine, *, reserved: bool = False) -> None:
        """Take a line; cut it if it is too long, spell out what could do harm where it is shown.

        `reserved` lines, as errors always are, may use the room that is kept for them.
        """
        text, size = fitted(line.text)
        if text is not line.text:
            line = line._replace(text=text)
        with self._lock:
            run = self._runs.get(flow_run)
            if run is None:
                run = self._runs[flow_run] = _RunLog()
            if not run.takes(line, size + OVERHEAD, reserved or line.level >= ERROR):
                return
            run.waiting.append(line)
            full = len(run.waiting) % BATCH == 0
            first = not self._timed
            self._timed = True
        if full:
            self._after(0.0, self._tick)
        elif first:
            self._after(DELAY, self._tick)

    def counts_only(self, flow_run: int, task_run: int) -> bool:
        """True if lines of this task run, errors excepted, would only be counted: then call `drop` instead."""
        run = self._runs.get(flow_run)
        return run is not None and run.counts_only(task_run)

    def drop(self, flow_run: int, task_run: int, lines: int = 1) -> None:
        """Count lines for which there is no room."""
        with self._lock:
            run = self._runs.get(flow_run)
            if run is not None:
                run.drop(task_run, lines)

    def flush(self, flow_run: int | None = None) -> bool:
        """Hand on what waits, of one flow run or of all; true if there was anything."""
        with self._flushing:
            if flow_run is not None:
                return self._flush(flow_run)
            waiting = [number for number, run in list(self._runs.items()) if run.waiting]
            return sum(self._flush(number) for number in waiting) > 0

    def end(self, flow_run: int, at: float) -> bool:
        """The flow run ends: say what was dropped, hand on what waits; true if there was anything.

        May be called more than once.  Code of the run that still goes on may log, within what is left of its bounds.
        """
        with self._lock:
            run = self._runs.get(flow_run)
            if run is None:
                return False
            run.waiting.extend(run.last_words(at))
            run.said_by.clear()  # an entry for each task run is too much to keep
            if not run.ended:
                run.ended = True
                self._ended.append(flow_run)
            while len(self._ended) > ENDED:
                self._runs.pop(self._ended.popleft(), None)
        return self.flush(flow_run)

    def _tick(self) -> None:
        self._timed = False
        self.flush()

    def _flush(self, flow_run: int) -> bool:
        with self._lock:
            run = self._runs.get(flow_run)
            if run is None or not run.waiting:
                return False
            waiting, run.waiting = run.waiting, deque()
        while waiting:
            lines = tuple(islice(waiting, BATCH))
            for _ in lines:
                waiting.popleft()
            try:
                self._note(LogLines(flow_run, lines[-1].at, lines))
            except StoreError as error:
                print(f"{len(lines)} lines of a log are lost: {error}", file=sys.stderr)
        return True


def fitted(text: str) -> tuple[str, int]:
    """The text as it can be kept and shown anywhere, and its length in UTF-8.

    Colours are left out; other control characters and lone surrogates are spelled out, so that a line can neither
    drive the terminal that shows it nor stop the store from keeping it.
    """
    too_long = len(text) > LINE_BYTES
    kept = text[:LINE_BYTES] if too_long else text
    if not kept.isprintable():  # which is rare, and told at C speed
        kept = clean(_ANSI.sub("", kept.replace("\r\n", "\n")).translate(_CONTROLS))
    size = len(kept)
    if not kept.isascii() or size > LINE_BYTES:
        encoded = kept.encode()
        size = len(encoded)
        if size > LINE_BYTES:
            too_long = True
            kept = encoded[:LINE_BYTES].decode(errors="ignore")
    return (kept + _CUT, LINE_BYTES) if too_long else (kept, size)
