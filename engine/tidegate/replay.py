"""Replay: flow runs whose tasks do not run, but end as a cassette says; and the recording of such a cassette.

A call is looked for as the same task with the same inputs, called with them as often before (`run.identity`), never by
its place among the calls.  Bodies of flows and subflows run as ever, and tasks that a task calls do not: what counts is
how the outer one ended.  Each end is kept, so that what is retried, by a flow or by `MapResult.retry`, fails first.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from .engine import Engine, engine
from .errors import InvalidOption, NotRecorded, UsageError
from .futures import TaskFuture
from .hits import Hit
from .model.events import InputGiven
from .model.record_modes import RECORD_MODES, RecordMode
from .model.states import Failed, State, StateType
from .rules.outcome import of_error
from .settings import settings

if TYPE_CHECKING:
    from .cassette import Answer, Call, Cassette
    from .questions import Question
    from .run.flow_run import FlowRun
    from .run.task_run import TaskRun

Asked: TypeAlias = tuple[Path, RecordMode, bool]

NAMED = 3
"""Calls that an error names; the others are counted."""


@contextmanager
def use_cassette(
    path: str | os.PathLike[str], record_mode: RecordMode = "once", *, allow_pickle: bool = False
) -> Iterator[Replay]:
    """Have flow runs inside, in all threads, replay the results of their tasks from a file, or record them to it.

    - ``record_mode``: ``"none"`` only replays, and a call that is not in the file raises `NotRecorded`; ``"once"``, the
      default, does so too if the file is there, and else records it; ``"new_episodes"`` runs and records what is not in
      it; ``"all"`` runs everything and records it anew.
    - ``allow_pickle``: true to keep results that are no plain data as pickles, and to load such.  Loading one runs what
      is in it: allow it for files that you trust as you trust your code.

    Raises `UsageError` for a file that cannot be read or written, or would hold a secret, and `NotRecorded` at the end
    once more for a call that was not to be had, so that code which handles errors cannot hide it, or if a result could
    not be recorded.
    """
    with replaying(path, record_mode, allow_pickle=allow_pickle) as made:
        yield made
    made.check()


@contextmanager
def replaying(
    path: str | os.PathLike[str], record_mode: RecordMode = "once", *, allow_pickle: bool = False
) -> Iterator[Replay]:
    """As `use_cassette`, for who makes the check at the end himself."""
    here = engine()
    before, made = here.replay, Replay(Path(path), record_mode, allow_pickle)
    here.replay = made
    try:
        yield made
    finally:
        here.replay = before
        made.write()


def name_of_root(flow: str, which: int) -> str:
    """What a root run is called in a cassette: the first of its flow, the second, ..."""
    return f"{flow}#{which}"


def name_of_subflow(above: str, flow: str, key: str, nth: int) -> str:
    """What the run of a subflow is called there, by that of the run above and the call."""
    return f"{above} > {flow}#{key[:8]}.{nth + 1}"


def look(here: Engine) -> None:
    """Replay or record as the settings say that hold here, unless a cassette is in use.  Raises `UsageError`."""
    now, known = settings(), here.replay
    asked = None if now.cassette is None else (now.cassette, now.record_mode, now.allow_pickle)
    if known is None or known.asked is not None:
        if asked is None:
            here.replay = None
        elif known is None or known.asked != asked:
            here.replay = Replay(*asked, asked=asked)


class Replay:
    """A cassette in use.  Safe from any thread."""

    def __init__(self, path: Path, mode: RecordMode, allow_pickle: bool = False, *, asked: Asked | None = None) -> None:
        from .cassette import Cassette  # brings what reads and writes values: only for who replays

        if mode not in get_args(RecordMode):
            raise InvalidOption(f"record_mode must be one of {', '.join(map(repr, RECORD_MODES))}, not {mode!r}.")
        path = path.absolute()
        there = path.exists()
        self.allow_pickle = allow_pickle
        self.plays = mode == "none" or (mode != "all" and there)
        self.records = mode in ("all", "new_episodes") or not self.plays
        self.cassette: Cassette = Cassette.read(path) if self.plays and there else Cassette(path)
        self._is_there = there
        self.unmet: list[NotRecorded] = []
        """The calls that were not to be had."""
        self.asked = asked
        """The settings that ask for it; null if somebody has it in use.  Nobody closes the former, so they warn."""
        self._lock = Lock()
        self._parts: dict[int, RunReplay] = {}
        self._roots: Counter[str] = Counter()

    def of(self, run: FlowRun, tracking: TaskRun | None) -> RunReplay:
        """What there is for a flow run; the same for one that goes on."""
        with self._lock:
            made = self._parts.get(run.number)
            if made is None:
                made = self._parts[run.number] = RunReplay(self, self._name(run, tracking))
        if tracking is None and self.records:
            run.finished.on_done(self._save)
        return made

    def _name(self, run: FlowRun, tracking: TaskRun | None) -> str:
        """Which run of the program it is; not by its number, which is another one each time."""
        if tracking is not None and tracking.flow_run.number in self._parts:
            above, call = self._parts[tracking.flow_run.number].name, tracking.identity
            return name_of_subflow(above, run.flow.name, call.key, call.nth)
        self._roots[run.flow.name] += 1
        return name_of_root(run.flow.name, self._roots[run.flow.name])

    def keep(self, name: str, call: Call, before: int, end: dict[str, Any]) -> None:
        """A call of that run has ended so, after as many ends as there were before."""
        with self._lock:
            ends = self.cassette.call(name, call).ends
            ends[before : before + 1] = [end]  # one that could not be recorded may be there

    def keep_answer(self, name: str, answer: Answer) -> None:
        """A pause of that run was passed."""
        with self._lock:
            self.cassette.answer(name, answer)

    def _save(self) -> None:
        """Keep what there is, after each root run: a kernel that is tested is killed at the end."""
        try:
            self.write()
            problem = self._left_out()
        except UsageError as error:
            problem = str(error)
        if problem and self.asked is not None:
            warnings.warn(problem, stacklevel=2)

    def _left_out(self) -> str:
        from .cassette import Answer

        left = list(self.cassette.missing()) if self.records else []
        if not left:
            return ""
        (what, why), more = left[0], f" Neither are {len(left) - 1} more." if len(left) > 1 else ""
        told = f"{what} is not in the cassette {self.cassette}: {why}.{more}"
        if isinstance(what, Answer):
            return told
        return f"{told} Return plain data, or keep it as a pickle with allow_pickle=True."

    def write(self) -> None:
        """Write what was recorded.  Raises `UsageError`."""
        with self._lock:
            if self.records and (self._is_there or not self.cassette.is_empty()):
                self.cassette.write()

    def check(self) -> None:
        """Raise `NotRecorded` for what was not to be had, or could not be recorded."""
        if self.unmet:
            raise self.unmet[0]
        left = self._left_out()
        if left:
            raise NotRecorded(left)

    def miss(self, call: Call) -> NotRecorded:
        """The error of a call that is not in the cassette."""
        if not self._is_there:
            return self._unmet(f"{call} cannot be replayed: there is no cassette {self.cassette}. {_how('once')}")
        there = list(self.cassette.calls(call.task))
        if any(each.key == call.key and call.key for each in there):
            known = "It was recorded fewer times."
        elif there:
            told = list(dict.fromkeys(map(str, there)))
            more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
            known = f"It has {', '.join(told[:NAMED])}{more}."
        else:
            tasks = sorted({each.task for calls in self.cassette.runs.values() for each in calls.values()})
            known = f"It has no call of that task, but of {', '.join(tasks[:NAMED])}." if tasks else "It is empty."
        return self._unmet(f"{call} is not in the cassette {self.cassette}. {known} {_how('new_episodes')}")

    def unanswered(self, question: Question, known: Answer | None) -> NotRecorded:
        """The error of a question to which the cassette has no answer, or, if that pause is `known`, none that fits."""
        if not self._is_there:
            told = f"{question.title!r} cannot be answered: there is no cassette {self.cassette}."
            return self._unmet(f"{told} {_how('once')}")
        why = "it was not asked" if known is None else known.missing or "another question was asked"
        told = f"The answer to {question.title!r} is not in the cassette {self.cassette}: {why}."
        return self._unmet(f"{told} {_how('new_episodes')}")

    def unusable(self, call: Call, why: str) -> NotRecorded:
        """The error of a call whose result cannot be had."""
        return self._unmet(f"The result of {call} in the cassette {self.cassette} cannot be used. {why}")

    def _unmet(self, text: str) -> NotRecorded:
        error = NotRecorded(text)
        self.unmet.append(error)
        return error


class RunReplay:
    """The part of a cassette that is of one flow run."""

    def __init__(self, replay: Replay, name: str) -> None:
        self.name = name
        """Which run it is in the cassette."""
        self._replay = replay
        self._calls: dict[int, Call] = {}
        """The calls that are replayed or recorded, by the number of the task run."""
        self._ended: Counter[int] = Counter()
        """How often the task run of that number has ended."""
        self._now: set[int] = set()
        """Task runs that end as the cassette says."""

    def called(self, run: TaskRun, given: Sequence[tuple[str, Any]], parent: TaskRun | None) -> None:
        """A task is called.  Raises `NotRecorded` if that is to be replayed, and cannot be."""
        if parent is not None or run.task.is_flow or run.is_kept:
            return
        from .cassette import Call, told_input

        key, nth = run.identity
        inputs = {name: f"<{value.name}>" if isinstance(value, TaskFuture) else value for name, value in given}
        call = Call(run.task.name, None, key, nth, order=run.number)
        replay = self._replay
        known = replay.plays and replay.cassette.find(self.name, (call.task, key, nth)) is not None
        if not known:
            call.inputs = {name: told_input(name, value) for name, value in inputs.items()}
        self._calls[run.number] = call
        if not (known or replay.records):
            raise replay.miss(call)

    def paused(self, run: FlowRun, key: str, question: Question | None) -> None:
        """The flow comes to a pause; one that is in the cassette is passed at once.

        Raises `NotRecorded` for a question that is to be answered from there, and cannot be.
        """
        replay, pauses = self._replay, run.pauses
        if not replay.plays or pauses.has_passed(key, question):
            return
        known = replay.cassette.answers.get(self.name, {}).get(key)
        if known is not None and not known.missing:
            text = json.dumps(known.given)
            pauses.remember(key, InputGiven(run.number, run.now(), key, text, "the cassette") if known.title else None)
        if question is not None and not pauses.has_passed(key, question) and not replay.records:
            raise replay.unanswered(question, known)

    def passed(self, key: str, question: Question | None, answer: Any) -> None:
        """The flow has passed a pause: record it."""
        if self._replay.records:
            from .cassette import Answer

            made = Answer(key, "") if question is None else Answer.of(key, question.title, *question.to_json(answer))
            self._replay.keep_answer(self.name, made)

    def hit(self, run: TaskRun) -> Hit | None:
        """How a task run is to end without running, or what there was for it before.  Raises `NotRecorded`."""
        call = self._calls.get(run.number)
        if call is None or not self._replay.plays or run.is_kept:
            return run.cached
        found = self._replay.cassette.find(self.name, (call.task, call.key, call.nth))
        if found is None or not found.ends:
            return run.cached
        before, last = self._ended[run.number], len(found.ends) - 1
        end = found.ends[min(before, last)]  # a cassette that was made of a record has the last end alone
        if self._replay.records and (before > last or "missing" in end):
            return run.cached
        self._now.add(run.number)
        run.attempts += end.get("attempts", 1)
        return Hit(self._state(found, end, run), b"")

    def _state(self, call: Call, end: dict[str, Any], run: TaskRun) -> State:
        from .cassette import read

        if "missing" in end:
            raise self._replay.unusable(call, f"It was not recorded: {end['missing']}.")
        how = "returned" if "returned" in end else "raised"
        try:
            value = read(how, end[how], self._replay.allow_pickle) if how in end else None
        except UsageError as error:
            raise self._replay.unusable(call, f"{error}") from None
        now = run.now()
        if how == "returned":
            return State(
                StateType.COMPLETED, end.get("state", "Completed"), end.get("message", "Replayed."), now, value
            )
        state = of_error(value, False, now) if isinstance(value, BaseException) else Failed(at=now)
        return state.copy(name=end.get("state", state.name), message=end.get("message", state.message))

    def ended(self, run: TaskRun, state: State) -> None:
        """A task run has ended: record it, if it ran."""
        call = self._calls.get(run.number)
        if call is None:
            return
        before = self._ended[run.number]
        self._ended[run.number] += 1
        if run.number in self._now:
            self._now.discard(run.number)
        elif self._replay.records:
            from .cassette import end_of

            end = end_of(state, run.attempts, self._replay.allow_pickle)
            if end is not None:
                self._replay.keep(self.name, call, before, end)


def _how(mode: RecordMode) -> str:
    return (
        f"Record it with record_mode={mode!r}, pytest --tidegate-record={mode}, or the environment variable "
        f"TIDEGATE_RECORD_MODE={mode}."
    )
