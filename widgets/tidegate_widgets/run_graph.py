"""The widget of a flow run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import anywidget
import traitlets

from tidegate.engine import Engine, engine
from tidegate.errors import NotPaused, NotRunning, StoreError
from tidegate.model.events import Event, FlowState
from tidegate.run.flow_run import FlowRun

from .artifacts import recorded
from .conversation import Conversation, Refusal
from .follow import Follower
from .form import Form
from .graph_model import GraphModel, News
from .protocol import Verb, View

_BUNDLE = Path(__file__).parent / "static" / "run_graph.js"

SNAPSHOT_SECONDS = 2.0
"""How often the synced view, which a reloaded page starts from, is renewed while the run goes on."""


class RunGraph(anywidget.AnyWidget):  # type: ignore[misc]  # anywidget has no types that mypy sees
    """The live graph of one flow run.

    Made by `follow` for a run of this process, or by `of_record` for one that has ended.  All drawing happens on the
    engine's loop; messages from the page may come in on any thread.
    """

    _esm = _BUNDLE
    _view = traitlets.Dict().tag(sync=True)
    _live = traitlets.Bool(False).tag(sync=True)

    def __init__(self, model: GraphModel, *, live: bool) -> None:
        self._model = model
        self._run: FlowRun | None = None
        self._snapped = 0.0
        self._loop = engine().portal.loop()
        # By it the kernel knows whose output this is, and ipykernel 7.0 fails without it.
        self.context = copy_context()
        self.on_question: Callable[[View], None] | None = None
        """Called on the engine's loop when what the run and its subflows ask has changed, and it has not ended."""
        self.on_final: Callable[[View], None] | None = None
        """Called on the engine's loop with the final view."""
        self._resume: Callable[[], None] | None = None
        self._call_off: Callable[[], None] | None = None
        self.conversation = Conversation(model, engine().store, self, live=live)
        super().__init__(_view=self.view, _live=live)
        self.on_msg(lambda _, content, buffers: self.conversation.hear(content))

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
        graph._run = graph.conversation.actions.run = run
        graph.conversation.subflows.follow(graph._follower(run))
        return graph

    def _follower(self, run: FlowRun) -> Follower:
        draw, write = partial(self._news_of, ref(run)), self._model.runs.write
        return Follower(run.engine, run.number, draw, self.context, write)

    def offer_resume(self, resume: Callable[[], None], call_off: Callable[[], None]) -> None:
        """Let the page go on with a run that no process has any more, or cancel one that is suspended.

        `resume` begins that and `call_off` does it, or they raise why they cannot.
        """
        self._resume, self._call_off = resume, call_off
        drawing = self.conversation.drawing
        drawing.resumable = drawing.can_call_off = self._live = True
        self._view = self.view

    def again(self, run: FlowRun) -> None:
        """Follow the same run, which has just begun once more in this process."""
        self._run = self.conversation.actions.run = run
        self.conversation.drawing.live = True
        self.soon(self.conversation.subflows.follow, self._follower(run))

    @classmethod
    def of_record(cls, engine: Engine, number: int) -> RunGraph:
        """The graph of a run as the store has it."""
        model = GraphModel()
        model.apply([event for _, event in engine.store.events(number)])
        model.apply(recorded(engine.store, number))
        return cls(model, live=False)

    def hear(self, events: Sequence[Event]) -> None:
        """What became of a run that is not followed; from any thread."""
        self.soon(self._news, events)

    @property
    def view(self) -> View:
        """The whole picture as it is now."""
        return self.conversation.view

    # The carrier of the conversation -------------------------------------------------------------------------------

    def to_pages(self, message: Mapping[str, Any]) -> None:
        """Send a message to all pages."""
        self.send(message)

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Call on the engine's loop, in the context of the cell that the graph was made in."""
        self._loop.call_soon_threadsafe(call, *arguments, context=self.context)

    def carry_out(self, verb: Verb, message: Mapping[str, Any]) -> Refusal:
        """Controls take effect here and now, in whatever thread: they only set what the run looks at."""
        if verb in ("resume", "retry") and self._model.state.is_at_rest() and self._resume is not None:
            self._resume()
        elif verb == "cancel" and self._model.state.is_suspended() and self._call_off is not None:
            self._call_off()
        elif (run := self._run) is None or verb == "retry":
            raise NotRunning("The run has ended.")
        elif verb == "resume" and "input" in message:
            return _answer(_asker(run, message.get("flow_run")), message.get("key"), message["input"])
        else:
            getattr(run, verb)()
        return None, {}

    # What the engine says, on its loop -----------------------------------------------------------------------------

    def _news_of(self, run: ref[FlowRun], events: Sequence[News]) -> None:
        self._news(events)
        # A graph lives longer than what its run holds.  What a task run says late may come to one that has just been
        # resumed, while all that is known of the run is that it rests.
        followed = run()
        if followed is None or self._run is not followed or not self._model.state.is_at_rest():
            return
        if any(isinstance(event, FlowState) and event.flow_run == followed.number for event in events):
            self._run = self.conversation.actions.run = None

    def _news(self, events: Sequence[News]) -> None:
        asked = list(self._model.questions.values())
        talk = self.conversation
        talk.news(events)
        over = self._model.state.is_at_rest()
        if list(self._model.questions.values()) != asked and not over and self.on_question is not None:
            self.on_question(self.view)
        now = time.time()
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


def _asker(above: FlowRun, number: object) -> FlowRun | None:
    """The flow run of that number, if it is this one or below it, and has not ended."""
    found = run = above.engine.live.get(number) if isinstance(number, int) else None
    while run is not None and run is not above:
        run = None if run.tracking is None else run.tracking.flow_run
    return found if run is not None else None


def _answer(run: FlowRun | None, key: object, given: object) -> Refusal:
    """Answer what a run asks with what was typed into its form.

    Raises `NotPaused` if the question of that key is not asked any more.
    """
    question = None if run is None else run.pauses.asked
    if run is None or question is None or question.key != key:
        raise NotPaused("This is not asked any more.")
    form = Form.of(question.key, question.title, question.schema)
    return form.submit(given, lambda answer: run.resume(run_input=answer))
