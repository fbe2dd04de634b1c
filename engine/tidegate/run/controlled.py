"""What may be asked of a flow run from outside: to pause, to resume, to be cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..errors import NotPaused, NotRunning, PausedRun, RunSuspended
from ..latch import Latch, block
from ..model.events import FlowState, InputAsked, InputGiven
from ..model.states import Cancelling, Paused, Running, State, StateType, Suspended, Suspending
from ..rules import decide as rules
from .bodies import interrupt
from .terms import USUAL

if TYPE_CHECKING:
    from ..engine import Engine
    from ..questions import Question
    from .flow_run import FlowRun
    from .pauses import Pauses
    from .task_run import TaskRun


PATIENCE = 0.1
"""Seconds that code of a paused run waits at most for the pause to be shown; the store may be slow, or gone."""


class Controlled:
    """The controls of a flow run.  Each may be called from any thread; the first of several that contradict wins."""

    engine: Engine
    number: int
    name: str
    state: State
    attempts: int
    reopened: str
    gate: StateType
    suspending = False
    """True once its code is to go no further, and the run is to be resumed later."""
    _cut = False
    """True once its code was ended for that."""
    _shown: Latch | None = None
    """Opens when the last pause is shown; null once nobody waits for that any more."""
    terms = USUAL
    """On what terms it is resumed."""
    lock: Lock
    moved: Latch
    stopped: Latch
    finished: Latch
    beginning: set[TaskRun]
    bodies: dict[int, TaskRun]
    handle: Any = None
    now: Callable[[], float]
    tracking: TaskRun | None
    subflows: set[FlowRun]
    pauses: Pauses

    def event(self, state: State, by: str = "", result: bytes | None = None, pause: str = "") -> FlowState:
        """The event of entering a state."""
        return FlowState(self.number, state.timestamp, state, by, self.attempts, result, pause)

    def pause(self, by: str = "you", key: str = "", question: Question | None = None) -> None:
        """Start no new task run; those that have started go on.  Raises `NotRunning` if the run has ended.

        `key` names a pause that the body itself makes, `question` is what it asks.
        """
        now = self.now()
        with self.lock:
            decision = rules.decide(self, Paused(f"Paused by {by}.", at=now), rules.RetryPolicy(), now)
            if self.gate is StateType.CANCELLING or not isinstance(decision, rules.Accept):
                raise NotRunning(f"The flow run {self.name!r} cannot be paused: it is {self._told}.")
            self.moved = Latch()  # before the gate is closed: whoever finds it closed waits for this one
            shown = self._shown = Latch()  # which whoever waits lets go of when that takes too long
            self._close(StateType.PAUSED)
            self._ask(decision.state, by, shown.set)
            self._wait_in(key, question)
        for subflow in list(self.subflows):
            with suppress(NotRunning):
                subflow.pause(by)

    def _close(self, gate: StateType) -> None:
        """Let no task run begin from now on; to be called under the lock.

        Those that found the gate open are waited for: what follows in the record is to follow their begin.  They take
        no lock, because each task would (see `Children`), and are gone within microseconds.
        """
        self.gate = gate
        for run in list(self.beginning):
            while run in self.beginning:
                time.sleep(0.0001)

    def wait_in(self, key: str, question: Question | None) -> None:
        """The body has come to a pause of its own while the run was paused already; one question is asked at a time."""
        with self.lock:
            if self.state.type is StateType.PAUSED and not self.suspending and self.pauses.asked is None:
                self._wait_in(key, question)

    def _wait_in(self, key: str, question: Question | None) -> None:
        self.pauses.at, self.pauses.asked = key, question
        if question is not None:
            asked = (question.key, question.title, question.schema_json())
            self.engine.commit_soon(InputAsked(self.number, self.now(), *asked), lambda: None)

    def resume(self, by: str = "you", run_input: Any = None, *, unanswered: bool = False) -> None:
        """Go on after a pause; this is no new attempt.

        `run_input` answers what the run asks; `unanswered` goes on without.  A subflow whose caller is paused stays
        paused with it; one that asks something of its own waits for that answer.  Raises `NotPaused` if the run is not
        paused, and `InvalidInput`, with the run still paused, for an answer that does not fit.
        """
        now = self.now()
        question = self.pauses.asked
        answer = None
        answered = question is not None and not unanswered and self.state.type is StateType.PAUSED
        if question is not None and answered:
            answer = question.check(run_input)
        with self.lock:
            paused = self.state.type is StateType.PAUSED and self.gate is StateType.PAUSED and not self.suspending
            if not paused or self.pauses.asked is not question:
                raise NotPaused(f"The flow run {self.name!r} is not paused: it is {self._told}.")
            if question is not None and answered:
                text, whole = question.to_json(answer)
                given = InputGiven(self.number, now, question.key, text, by, whole)
                self.engine.commit_soon(given, lambda: None)
            passed = self.pauses.pass_on(answer, answered=answered)
            above = None if self.tracking is None else self.tracking.flow_run
            held = above is not None and above.gate is StateType.PAUSED
            self.gate = StateType.PAUSED if held else StateType.RUNNING
            moved, kept = self.moved, Latch()
            self._ask(Running("Resuming", at=now), by, kept.set, pause=passed)
            if held:
                self.moved = Latch()
                self._ask(Paused("Paused by the flow that called it.", at=now))
        # Not before it is kept and shown: what the run does next would be shown first, its end at worst.
        kept.on_done(moved.set)
        for subflow in [] if held else list(self.subflows):
            with subflow.lock:  # or it could be answered just now, and have seen this run paused
                asks = subflow.pauses.asked is not None
            if not asks:
                with suppress(NotPaused):
                    subflow.resume(by)

    def suspend(self, by: str = "you") -> None:
        """Let go of the run: its code goes no further than the next call that the engine sees, and it can be resumed
        later, here or in another process.  What has started goes on to its end.

        Raises `NotRunning` if the run has ended or is about to.
        """
        now = self.now()
        with self.lock:
            may = self.state.type in (StateType.RUNNING, StateType.PAUSED) and self.gate is not StateType.CANCELLING
            if not may or self.suspending:
                raise NotRunning(f"The flow run {self.name!r} cannot be suspended: it is {self._told}.")
            self.suspending = True
            self._close(StateType.PAUSED)
            self._ask(Suspending(f"Suspended by {by}.", at=now), by)
            woken, self.stopped = self.stopped, Latch()  # whoever waits takes a look; the new one is for a cancel
            moved = self.moved
        for subflow in list(self.subflows):
            with suppress(NotRunning):
                subflow.suspend(by)
        woken.set()
        moved.set()

    def go_no_further(self) -> None:
        """Called where its code meets the engine: ends the code if the run is to be suspended."""
        if self.suspending:
            self._cut = True
            over = self.finished.done()
            told = f"The flow run {self.name!r} is {'suspended' if over else 'being suspended'}."
            raise PausedRun(told) if over else RunSuspended(told)

    def give_way(self) -> None:
        """Called where its code makes a task run although the run is paused: wait until that is shown.

        Who pauses wants to see it, and a thread that goes on making task runs by the thousand would take the
        interpreter from those that keep it and show it.
        """
        shown = self._shown
        if shown is not None:
            block(shown, PATIENCE)
            self._shown = None

    def suspended(self) -> State:
        """The state that it is left in."""
        by = self._root.state.message
        return Suspended(f"{by} {self.goes_on}".strip(), at=self.now())

    @property
    def goes_on(self) -> str:
        """What goes on with it, once no process has it."""
        return f"`tidegate.resume({self._root.number})` goes on with it."

    @property
    def _root(self) -> Controlled:
        return self if self.tracking is None else self.tracking.flow_run._root

    def leave(self, key: str) -> None:
        """Its code suspends the run, and with it those that have called it; `key` names that pause.

        Always raises: what ends the code, or `NotRunning`.
        """
        try:
            self._root.suspend("the flow")
        except NotRunning:
            if not self.suspending:
                raise
        else:
            self.pauses.at = key
        self.go_no_further()

    def cancel(self, by: str = "you") -> None:
        """End the run: nothing new starts, what is at work is told to end.  Raises `NotRunning` if it has ended."""
        now = self.now()
        with self.lock:
            decision = rules.decide(self, Cancelling(f"Cancelled by {by}.", at=now), rules.RetryPolicy(), now)
            if self.gate is StateType.CANCELLING or not isinstance(decision, rules.Accept):
                raise NotRunning(f"The flow run {self.name!r} cannot be cancelled: it is {self._told}.")
            self._close(StateType.CANCELLING)
            self._ask(decision.state, by)
        self._end_subflows(by)
        interrupt(self)  # before its tasks end, or it would go on with their ends for a moment
        self._end_bodies()

    def stop(self) -> None:
        """The body has ended before its time: nothing new starts, what is at work is told to end."""
        with self.lock:
            self._close(StateType.CANCELLING)
        self._end_subflows("the flow that called it")
        self._end_bodies()

    def _end_subflows(self, by: str) -> None:
        """To be called before their callers are interrupted: on one thread that hits their code."""
        for subflow in list(self.subflows):
            with suppress(NotRunning):
                subflow.cancel(by)

    @property
    def _told(self) -> str:
        """Its state as a refused control tells it; the gate closes before an end is kept and shown."""
        open_ = self.gate is not StateType.CANCELLING or self.state.type is StateType.CANCELLING
        return self.state.name if open_ or self.state.is_final() else "ending"

    def _ask(self, state: State, by: str = "", kept: Callable[[], None] = lambda: None, pause: str = "") -> None:
        """Be in a state, which is in force at once, and shown once it is kept; then `kept` is called."""
        self.state = state
        self.engine.commit_soon(self.event(state, by, pause=pause), kept)
        if self.tracking is not None:
            self.tracking.mirror(state)

    def _end_bodies(self) -> None:
        self.moved.set()
        self.stopped.set()
        for run in list(self.bodies.values()):
            run.interrupt_body()
