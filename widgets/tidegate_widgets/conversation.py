"""What is said between a flow run and the pages that show it, whatever carries it there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, get_args

from tidegate.errors import StoreError, TidegateError
from tidegate.model.events import Event, TaskCreated, TaskState
from tidegate.ports import EventStore
from tidegate.rules.outcome import describe

from .actions import Actions
from .drawing import Drawing
from .form import sentence
from .graph_model import TASK_RUNS, GraphModel, News
from .member import Record, look, told
from .members import page
from .node import Node
from .past import Past
from .protocol import Ack, Action, Sort, Verb, View
from .subflows import Subflows
from .timeline import beginning, timeline
from .wording import detail

KNOWN_IDS = 200
"""Ids of the last requests that are known: one that is sent again is carried out once."""

MAX_ID = 100
"""Characters of a message's id at most; it is sent back."""

Refusal = tuple[str | None, Mapping[str, str]]
"""Why something could not be done, or null; and what is wrong with an answer, by the name of the field."""


class Carrier(Protocol):
    """What carries a conversation, and does what the pages ask for."""

    def to_pages(self, message: Mapping[str, Any]) -> None:
        """Send a message to all pages."""
        ...

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Call on the thread that has the model, from any thread; such calls come one after the other."""
        ...

    def carry_out(self, verb: Verb, message: Mapping[str, Any]) -> Refusal:
        """Do what a page asks, in the thread that heard it.  Raises `TidegateError` if it cannot be done."""
        ...


class Conversation:
    """Draws a model for the pages and answers what they ask.

    Messages are as in `protocol`.  They may be heard on any thread, and are only checked there and handed on.
    """

    def __init__(self, model: GraphModel, store: EventStore, carrier: Carrier, *, live: bool) -> None:
        self.model = model
        self.drawing = Drawing(model, live)
        self._store = store
        self._carrier = carrier
        self._known: dict[str, object] = {}
        self._past: tuple[float | None, Past] | None = None
        """Looks back at the run as it ended at that moment."""
        self.subflows = Subflows(self.drawing.boxes, store, carrier.soon, self._redraw, self.tell)
        self.actions = Actions(self.drawing.boxes, store)
        """What the pages may have done with a task run; without a notebook nothing."""

    @property
    def view(self) -> View:
        """The whole picture as it is now."""
        return self.drawing.view(time.time())

    # What a page says ----------------------------------------------------------------------------------------------

    def hear(self, content: object) -> None:
        """Take a message of a page, on a thread that must not wait; what is none is left alone."""
        if not isinstance(content, dict):
            return
        kind, key = content.get("kind"), content.get("id")
        if kind in ("hello", "resync"):
            self._carrier.soon(self._snap)
        elif not isinstance(key, str) or len(key) > MAX_ID:
            return
        elif kind == "do" and content.get("verb") in get_args(Verb):
            if self._is_new(key):
                self._do(key, content["verb"], content)
        elif kind == "do" and content.get("verb") in get_args(Action):
            if self._is_new(key):
                self._act(key, content)
        elif kind == "get":
            self._get(key, content)
        elif kind == "open":
            self._open(content)

    def _get(self, key: str, content: dict[str, Any]) -> None:
        soon = self._carrier.soon
        match content:
            case {"node": int(number)}:
                soon(self._tell, key, number)
            case {"artifacts": int(version)}:
                soon(self._tell_artifacts, key, version)
            case {"timeline": True}:
                soon(self._tell_timeline, key)
            case {"past": int(at) | float(at)}:
                soon(self._look_back, key, at)
            case {"members": int(number), "first": int(first), "only": str(only), "sort": str(sort)}:
                if sort in get_args(Sort):
                    soon(self._tell_members, key, number, first, only, sort)
            case {"member": int(number)}:
                soon(self._look_up, key, number)
            case {"failed_after": int(number)}:
                soon(self._look_up_failed, key, number)

    def _open(self, content: dict[str, Any]) -> None:
        match content:
            case {"node": int(number), "open": bool(is_open)}:
                self._carrier.soon(partial(self.subflows.turn, number, is_open=is_open))

    def _is_new(self, key: str) -> bool:
        """True for the first of the messages with this id, on whatever thread it comes in."""
        mine = object()
        new = self._known.setdefault(key, mine) is mine
        if len(self._known) > KNOWN_IDS:
            self._known.pop(next(iter(self._known)), None)
        return new

    def _do(self, key: str, verb: Verb, content: dict[str, Any]) -> None:
        error: str | None
        fields: Mapping[str, str] = {}
        try:
            error, fields = self._carrier.carry_out(verb, content)
        except TidegateError as refused:
            error = str(refused)
        answer: Ack = {"kind": "ack", "id": key, "ok": error is None, "error": error}
        if fields:
            answer["fields"] = dict(fields)
        self._carrier.soon(self._carrier.to_pages, answer)

    def _act(self, key: str, content: dict[str, Any]) -> None:
        """Do something with a task run or a task, on a thread of its own: that takes the disk, and the user's code."""

        def carried_out() -> None:
            answer: Ack = {"kind": "ack", "id": key, "ok": True, "error": None}
            try:
                answer["told"] = self.actions.carry_out(content["verb"], content)
            except BaseException as error:  # a class that is loaded may raise anything
                told = str(error) if isinstance(error, TidegateError) else sentence(describe(error))
                answer["ok"], answer["error"] = False, told
            self._carrier.soon(self._carrier.to_pages, answer)

        threading.Thread(target=carried_out, name="tidegate-action", daemon=True).start()

    def tell(self, problem: str) -> None:
        """Say in the pages that something could not be done; from any thread."""
        self._carrier.soon(self._carrier.to_pages, {"kind": "problem", "error": problem})

    # What the pages are told, always from the thread that has the model --------------------------------------------

    def news(self, events: Sequence[News]) -> None:
        """Take in what has happened, and tell the pages what has changed by it."""
        number = self.model.created.flow_run if self.model.created else 0
        inner: list[Event] = []
        if self.subflows.were_open:
            inner = [each for each in events if each.flow_run != number and isinstance(each, (TaskCreated, TaskState))]
            events = [each for each in events if each.flow_run == number or type(each) not in TASK_RUNS]
        self.model.apply(events)
        self.subflows.take(inner)
        self.subflows.keep_up()
        self._redraw()

    def _redraw(self) -> None:
        self._carrier.to_pages({"kind": "delta", "delta": self.drawing.delta(time.time())})

    def _find(self, number: int) -> tuple[GraphModel, Node | None]:
        model = self.drawing.boxes.model_of(number)
        return model, model.nodes.get(number - model.base)

    def _snap(self) -> None:
        self._carrier.to_pages({"kind": "snap", "view": self.view})

    def _answer(self, kind: str, key: str, **answer: Any) -> None:
        self._carrier.to_pages({"kind": kind, "id": key, **answer})

    def _tell(self, key: str, number: int) -> None:
        model, node = self._find(number)
        if node is not None:
            self._answer("detail", key, detail=detail(model, node, self.actions.dials(model, node)))

    def _tell_artifacts(self, key: str, version: int) -> None:
        artifacts = self.model.artifacts
        self._answer("artifacts", key, version=artifacts.version, artifacts=artifacts.since(version))

    def _tell_timeline(self, key: str) -> None:
        now = time.time()
        told = timeline(self.model, self.drawing.drawn(), now, self.drawing.left(now))
        self._answer("timeline", key, timeline=told)

    def _look_back(self, key: str, at: float) -> None:
        """Draw the run as it was so many seconds after its timeline begins, on a thread of its own."""
        model = self.model
        if model.created is None or not model.state.is_at_rest():
            return
        if self._past is None or self._past[0] != model.ended:
            self._past = model.ended, Past(self._store, model.created.flow_run)
        past, still = self._past[1], self.drawing.still()
        moment = beginning(self.drawing.drawn(), time.time()) + at

        def look_back() -> None:
            try:
                view = past.view(still, moment)
            except StoreError as error:
                self.tell(str(error))
            else:
                self._carrier.soon(partial(self._answer, "past", key, at=at, view=view))

        threading.Thread(target=look_back, name="tidegate-look", daemon=True).start()

    def _tell_members(self, key: str, number: int, first: int, only: str, sort: Sort) -> None:
        model, node = self._find(number)
        if node is not None:
            self._answer("members", key, page=page(model, node, first, only, sort))

    def _look_up_failed(self, key: str, after: int) -> None:
        number = self.drawing.boxes.failed_after(after)
        if number is not None:
            self._look_up(key, number)

    def _look_up(self, key: str, number: int) -> None:
        """Have the record of a task run read, on a thread of its own: async tasks must not wait for the disk."""
        model = self.drawing.boxes.model_of(number)
        node, created = model.node_of(number - model.base), model.created
        if node is None or created is None:
            return
        kind = "flow" if node.subflow else "task"

        def read() -> None:
            record = look(self._store, created.flow_run, number - model.base, kind, node.task)
            self._carrier.soon(self._tell_member, key, model, number - model.base, record)

        threading.Thread(target=read, name="tidegate-look", daemon=True).start()

    def _tell_member(self, key: str, model: GraphModel, number: int, record: Record) -> None:
        actions = self.actions.of(model, number, record.row)
        self._answer("member", key, member=told(model, number, record, actions))
