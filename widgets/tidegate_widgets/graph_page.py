"""The graph of a flow run as a page of its own, outside of any notebook: what it is told comes from the store."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any

from tidegate import requests
from tidegate.dead_runs import call_off, look
from tidegate.engine import Engine
from tidegate.errors import NotPaused, NotRunning, StoreError
from tidegate.model.views import FlowRow
from tidegate.ports import EventStore

from .conversation import Conversation, Refusal
from .form import Form
from .graph_model import GraphModel
from .protocol import Verb
from .stored_run import StoredRun

LOOK = 0.2
"""Seconds between two looks into the store while the run goes on and somebody watches it."""

SLOW_LOOK = 1.0
"""Seconds between two looks at artifacts, at whether its process is still there, and at a run that has ended: another
process may resume it."""

BACKLOG = 500
"""Messages that may wait for one page; one that is further behind is let go, and begins anew when it comes back."""

BY = "the browser"
"""Who asks, as it stands in the record."""

Told = tuple[str, str]
"""What a page is told: the kind, ``message`` or ``live``, and JSON."""


class GraphPage:
    """The pages that show one flow run, and the look into the store that feeds them.

    `run` does everything on the thread that calls it, until `end`; that, `open`, `close` and `hear` may be called on
    any thread.
    """

    def __init__(self, store: EventStore, number: int) -> None:
        self._engine = Engine(store)
        self._store = store
        self._number = number
        self._stored = StoredRun(store, number)
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._pages: set[Queue[Told | None]] = set()
        self._problem = ""
        self._ended = False
        self._looked_slowly = 0.0
        model = GraphModel()
        look(self._engine, self._row())
        model.apply(self._stored.news())
        self._conversation = Conversation(model, store, self, live=True)
        self._conversation.subflows.follow(self._stored)
        drawing = self._conversation.drawing
        drawing.can_call_off = True
        drawing.advice = _advice(self._row())
        self._live = self._is_live

    def _row(self) -> FlowRow:
        row = self._store.flow_run(self._number)
        if row is None:
            raise NotRunning(f"There is no flow run {self._number} in this store any more.")
        return row

    @property
    def _is_live(self) -> bool:
        """True while there is something to be asked of the run."""
        state = self._conversation.model.state
        return not state.is_at_rest() or state.is_suspended()

    # The pages -----------------------------------------------------------------------------------------------------

    def open(self) -> Queue[Told | None]:
        """A page begins to listen; what it is told comes out of the queue, and null once it has to begin anew."""
        page: Queue[Told | None] = Queue(BACKLOG)
        self.soon(self._begin, page)
        return page

    def _begin(self, page: Queue[Told | None]) -> None:
        self._look()
        page.put_nowait(("live", json.dumps(self._live)))
        self._pages.add(page)

    def close(self, page: Queue[Told | None]) -> None:
        """It listens no more."""
        self.soon(self._pages.discard, page)

    def hear(self, message: object) -> None:
        """A page says something; this waits until what it asks of the run is done or refused."""
        self._conversation.hear(message)

    def run(self) -> None:
        """Serve the pages, and look into the store while there are any, until the end."""
        while not self._ended:
            due = time.monotonic() + (LOOK if self._live else SLOW_LOOK)
            while not self._ended and (call := self._next_call(due if self._pages else None)) is not None:
                call()
            if self._pages and not self._ended:
                self._look()

    def end(self) -> None:
        """Have `run` return; the pages begin anew where there is one."""
        self.soon(self._end)

    def _end(self) -> None:
        self._ended = True
        for page in list(self._pages):
            with suppress(Full):
                page.put_nowait(None)

    def _next_call(self, due: float | None) -> Callable[[], object] | None:
        """What is to be called next; null once it is due, and never if there is nothing that could be."""
        try:
            return self._calls.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
        except Empty:
            return None

    def _look(self) -> None:
        now = time.monotonic()
        slowly = now - self._looked_slowly >= SLOW_LOOK
        try:
            if slowly:
                self._looked_slowly = now
                look(self._engine, self._row())
            news = self._stored.news(artifacts=slowly)
        except (StoreError, NotRunning) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._conversation.tell(self._problem)
            return
        self._problem = ""
        if not news:
            return
        self._conversation.news(news)
        live = self._is_live
        if live is not self._live:
            self._live = live
            self._tell("live", live)

    # The carrier of the conversation -------------------------------------------------------------------------------

    def to_pages(self, message: Mapping[str, Any]) -> None:
        """Send a message to all pages."""
        self._tell("message", message)

    def _tell(self, kind: str, content: Any) -> None:
        told = kind, json.dumps(content)
        for page in list(self._pages):
            try:
                page.put_nowait(told)
            except Full:
                self._pages.discard(page)
                page.get_nowait()
                page.put_nowait(None)

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Call on the thread of `run`."""
        self._calls.put(lambda: call(*arguments))

    def carry_out(self, verb: Verb, message: Mapping[str, Any]) -> Refusal:
        """Ask the process that has the run, and wait for its answer."""
        if verb == "retry":
            raise NotRunning("The run has ended.")
        if verb == "resume" and "input" in message:
            return self._answer(message.get("flow_run"), message.get("key"), message["input"])
        if verb == "cancel" and call_off(self._engine, self._row(), BY):
            return None, {}
        requests.ask(self._store, self._number, verb, by=BY)
        return None, {}

    def _answer(self, flow_run: Any, key: object, given: object) -> Refusal:
        asked = self._conversation.model.questions.get(flow_run) if isinstance(flow_run, int) else None
        if asked is None or asked.key != key:
            raise NotPaused("This is not asked any more.")

        def resume(answer: Any) -> None:
            requests.ask(self._store, asked.flow_run, "resume", by=BY, detail={"input": answer})

        return Form.of(asked.key, asked.title, json.loads(asked.schema)).submit(given, resume)


def _advice(row: FlowRow) -> str:
    """How to go on with a run: in a process that has its code, which this one has not."""
    if row.body:
        return f"Go on with it in its notebook: %tidegate resume {row.number}"
    where = shlex.quote(row.target) if row.target else "FILE[:FLOW]"
    return f"Go on with it: tidegate run {where} --resume {row.number}"
