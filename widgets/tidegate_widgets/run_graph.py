"""The widget of a flow run."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any, get_args

import anywidget
import traitlets

from tidegate.engine import Engine, engine
from tidegate.errors import ControlError, InvalidInput, NotPaused, NotRunning, StoreError, TidegateError
from tidegate.model.events import Event
from tidegate.rules.outcome import describe
from tidegate.run.flow_run import FlowRun

from .artifacts import recorded
from .drawing import Drawing
from .follow import Follower
from .form import Form, sentence
from .graph_model import GraphModel
from .member import Record, look, told
from .members import page
from .protocol import Ack, Verb, View
from .timeline import timeline
from .wording import detail

_BUNDLE = Path(__file__).parent / "static" / "run_graph.js"

SNAPSHOT_SECONDS = 2.0
"""How often the synced view, which a reloaded page starts from, is renewed while the run goes on."""


KNOWN_IDS = 200
"""Ids of the last requests that are known: one that is sent again is carried out once."""

MAX_ID = 100
"""Characters of a message's id at most; it is sent back."""


class RunGraph(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget has no types that mypy sees
    """The live graph of one flow run.

    Made by `follow` for a run of this process, or by `of_record` for one that has ended.  All drawing happens on the
    engine's loop; messages from the page may come in on any thread and are only checked and handed on.
    """

    _esm = _BUNDLE
    _view = traitlets.Dict().tag(sync=True)
    _live = traitlets.Bool(False).tag(sync=True)

    def __init__(self, model: GraphModel, *, live: bool) -> None:
        self._model = model
        self._drawing = Drawing(model, live)
        self._run: FlowRun | None = None
        self._snapped = 0.0
        self._loop, self._store = engine().portal.loop(), engine().store
        # By it the kernel knows whose output this is, and ipykernel 7.0 fails without it.
        self.context = copy_context()
        self.on_question: Callable[[View], None] | None = None
        """Called on the engine's loop when what the run and its subflows ask has changed, and it has not ended."""
        self.on_final: Callable[[View], None] | None = None
        """Called on the engine's loop with the final view."""
        self._resume: Callable[[], None] | None = None
        self._known: dict[str, object] = {}
        super().__init__(_view=self._drawing.view(time.time()), _live=live)
        self.on_msg(self._heard)

    @classmethod
    def follow(cls, run: FlowRun) -> RunGraph:
        """The graph of a run that has just begun, or begins once more: then with all that is known of it."""
        model = GraphModel()
        model.apply([run.created])
        if run.reopened:
            with suppress(StoreError):
                model.apply([event for _, event in run.engine.store.events(run.number)])
                model.apply(recorded(run.engine.store, run.number))
        graph = cls(model, live=True)
        graph._run = run
        Follower(run.engine, run.number, graph._news, graph.context)
        return graph

    def offer_resume(self, resume: Callable[[], None]) -> None:
        """Let the page go on with a run that no process has any more: `resume` begins that, or raises why it cannot."""
        self._resume = resume
        self._drawing.resumable = self._live = True
        self._view = self.view

    def again(self, run: FlowRun) -> None:
        """Follow the same run, which has just begun once more in this process."""
        self._run = run
        self._drawing.live = True
        Follower(run.engine, run.number, self._news, self.context)

    @classmethod
    def of_record(cls, engine: Engine, number: int) -> RunGraph:
        """The graph of a run as the store has it."""
        model = GraphModel()
        model.apply([event for _, event in engine.store.events(number)])
        model.apply(recorded(engine.store, number))
        return cls(model, live=False)

    @property
    def view(self) -> View:
        """The whole picture as it is now."""
        return self._drawing.view(time.time())

    # What the page says --------------------------------------------------------------------------------------------

    def _heard(self, _: Any, content: Any, buffers: Any) -> None:
        """Check a message and hand it to the engine's loop; this may be a thread that must not wait."""
        if not isinstance(content, dict):
            return
        kind, key = content.get("kind"), content.get("id")
        if kind in ("hello", "resync"):
            self._soon(self._snap)
        elif not isinstance(key, str) or len(key) > MAX_ID:
            return
        elif kind == "do" and content.get("verb") in get_args(Verb):
            if self._is_new(key):
                self._do(key, content["verb"], content)
        elif kind == "get":
            self._get(key, content)

    def _get(self, key: str, content: dict[str, Any]) -> None:
        match content:
            case {"node": int(number)}:
                self._soon(self._tell, key, number)
            case {"artifacts": int(version)}:
                self._soon(self._tell_artifacts, key, version)
            case {"timeline": True}:
                self._soon(self._tell_timeline, key)
            case {"members": int(number), "first": int(first), "only": str(only)}:
                self._soon(self._tell_members, key, number, first, only)
            case {"member": int(number)}:
                self._soon(self._look_up, key, number)
            case {"failed_after": int(number)}:
                self._soon(self._look_up_failed, key, number)

    def _is_new(self, key: str) -> bool:
        """True for the first of the messages with this id, on whatever thread it comes in."""
        mine = object()
        new = self._known.setdefault(key, mine) is mine
        if len(self._known) > KNOWN_IDS:
            self._known.pop(next(iter(self._known)), None)
        return new

    def _do(self, key: str, verb: str, content: dict[str, Any]) -> None:
        """Controls take effect here and now, in whatever thread: they only set what the run looks at."""
        error: str | None = None
        fields: dict[str, str] = {}
        try:
            if verb in ("resume", "retry") and self._model.state.is_at_rest() and self._resume is not None:
                self._resume()
            elif self._run is None or verb == "retry":
                raise NotRunning("The run has ended.")
            elif verb == "resume" and "input" in content:
                error, fields = _answer(self._asker(content.get("flow_run")), content.get("key"), content["input"])
            else:
                getattr(self._run, verb)()
        except TidegateError as refused:
            error = str(refused)
        answer: Ack = {"kind": "ack", "id": key, "ok": error is None, "error": error}
        if fields:
            answer["fields"] = fields
        self._soon(self.send, answer)

    def _asker(self, number: object) -> FlowRun | None:
        """The flow run of that number, if it is this one or below it, and has not ended."""
        found = run = self._run.engine.live.get(number) if self._run and isinstance(number, int) else None
        while run is not None and run is not self._run:
            run = None if run.tracking is None else run.tracking.flow_run
        return found if run is not None else None

    def tell(self, problem: str) -> None:
        """Say in the page that something could not be done; from any thread."""
        self._soon(self.send, {"kind": "problem", "error": problem})

    def _soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Call on the engine's loop, in the context of the cell that the graph was made in."""
        self._loop.call_soon_threadsafe(call, *arguments, context=self.context)

    # What the page is told, always from the engine's loop ----------------------------------------------------------

    def _snap(self) -> None:
        self.send({"kind": "snap", "view": self.view})

    def _tell(self, key: str, number: int) -> None:
        node = self._model.nodes.get(number)
        if node is not None:
            self.send({"kind": "detail", "id": key, "detail": detail(self._model, node, number)})

    def _tell_artifacts(self, key: str, version: int) -> None:
        artifacts = self._model.artifacts
        told = {"version": artifacts.version, "artifacts": artifacts.since(version)}
        self.send({"kind": "artifacts", "id": key, **told})

    def _tell_timeline(self, key: str) -> None:
        told = timeline(self._model, self._drawing.drawn(), time.time())
        self.send({"kind": "timeline", "id": key, "timeline": told})

    def _tell_members(self, key: str, number: int, first: int, only: str) -> None:
        node = self._model.nodes.get(number)
        if node is not None:
            self.send({"kind": "members", "id": key, "page": page(self._model, node, first, only)})

    def _look_up_failed(self, key: str, after: int) -> None:
        number = self._model.failed_after(after)
        if number is not None:
            self._look_up(key, number)

    def _look_up(self, key: str, number: int) -> None:
        """Have the record of a task run read, on a thread of its own: async tasks must not wait for the disk."""
        node, created = self._model.node_of(number), self._model.created
        if node is None or created is None:
            return
        kind = "flow" if node.subflow else "task"

        def read() -> None:
            record = look(self._store, created.flow_run, number, kind, node.task)
            self._soon(self._tell_member, key, number, record)

        threading.Thread(target=read, name="tidegate-look", daemon=True).start()

    def _tell_member(self, key: str, number: int, record: Record) -> None:
        self.send({"kind": "member", "id": key, "member": told(self._model, number, record)})

    def _news(self, events: Sequence[Event]) -> None:
        asked = list(self._model.questions.values())
        self._model.apply(events)
        now = time.time()
        over = self._model.state.is_at_rest()
        if over:
            self._drawing.live = False
        self.send({"kind": "delta", "delta": self._drawing.delta(now)})
        if list(self._model.questions.values()) != asked and not over and self.on_question is not None:
            self.on_question(self.view)
        if over or now - self._snapped >= SNAPSHOT_SECONDS:
            self._snapped = now
            view = self.view
            self._view = view
            if over and self.on_final is not None:
                self.on_final(view)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and for whoever cannot show it the static picture and a line of text."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        if data is None:
            return None
        return {**data, "text/plain": repr(self)}, metadata

    def __repr__(self) -> str:
        # Without a time, a run's name or a name that was made up from the cell's number, so that a notebook under test
        # shows the same text each time.
        created = self._model.created
        name = created.flow if created and not re.fullmatch(r"cell-\d+", created.flow) else ""
        return f"RunGraph({name!r})" if name else "RunGraph()"


def _answer(run: FlowRun | None, key: object, given: object) -> tuple[str | None, dict[str, str]]:
    """Answer what a run asks with what was typed into its form; what is wrong with that, in all and by field.

    Raises `NotPaused` if the question of that key is not asked any more.
    """
    question = None if run is None else run.pauses.asked
    if run is None or question is None or question.key != key:
        raise NotPaused("This is not asked any more.")
    form = Form.of(question.key, question.title, question.schema)
    try:
        run.resume(run_input=form.answer(given))
    except InvalidInput as refused:
        return form.explain(refused)
    except ControlError:
        raise
    except Exception as broken:
        # A validator of the user's may raise anything, and whoever has answered should hear of it.
        return f"{sentence(describe(broken))} The run is still paused.", {}
    return None, {}
