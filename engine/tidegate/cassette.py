"""A cassette: what the task runs of some flow runs returned or raised, in one file, so that they can be replayed.

It is JSON that is the same for the same runs: no times, no numbers of runs, calls in the order in which they were made.
What a task is called with stands in it for people; a call is found by the digest of it (see `run.identity`).
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import RunError, UsageError
from .model.states import State, StateType
from .plain_values import NotPlain, Plain, error_from_plain, error_to_plain, from_plain, to_plain
from .plurals import counted
from .results.serializers import PICKLE
from .rules.outcome import describe

FORMAT = 1
_USUAL = ("Completed", "Cached", "Failed")
HIDDEN = "<hidden>"
_WIDTH = 110
_LONGEST_INPUT = 200
_SHORTEST_SECRET = 8
_SECRET = re.compile(r"(?i)(^|_)(pass(word|wd|phrase)?|secret|token|credentials?|auth(orization)?|api_?key)($|_)")
_SECRET_VARIABLE = re.compile(r"(?i)(^|_)(pass(word|wd|phrase)?|secret|token|credentials?|key)($|_)")


@dataclass(slots=True)
class Call:
    """One call of a task, and how it ended, each time that it did."""

    task: str
    inputs: Mapping[str, Plain] | None
    """What it was called with, for people; null if nobody knows any more."""
    key: str
    """The digest of the task and its inputs; empty if they cannot be told."""
    nth: int
    """How many calls with the same key came before it in its flow run."""
    ends: list[Plain] = field(default_factory=list)
    """``{"returned": ...}``, ``{"raised": ...}`` or ``{"missing": why}``, with what else there is of the state."""
    order: int = 0
    """Its place among the calls of its run."""

    def __str__(self) -> str:
        return told_call(self.task, self.inputs)


@dataclass(slots=True)
class Answer:
    """A pause of a flow run that was passed, and what was answered if it asked."""

    key: str
    """Which pause of its flow run it is."""
    title: str
    """What was asked, for people; empty if nothing was."""
    given: Plain = None
    """The answer as JSON."""
    missing: str = ""
    """Why the answer could not be recorded; empty if it could."""

    @classmethod
    def of(cls, key: str, title: str, text: str, whole: bool) -> Answer:
        """An answer as the record has it, which is not `whole` if it cannot be read back from that."""
        if not whole:
            return cls(key, title, missing="it holds a secret, or does not come back from JSON as it was")
        return cls(key, title, json.loads(text))

    def __str__(self) -> str:
        return f"The answer to {self.title!r}"


Key = tuple[str, str, int]


class Cassette:
    """What is, or is to be, in a file: the calls of flow runs, by run and by task, key and occurrence.

    Any thread may read it; who adds to it or writes it sees to it that he is the only one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, dict[Key, Call]] = {}
        """By a name that says which flow run of a program it is: ``enrich#1`` is the first one of the flow `enrich`."""
        self.answers: dict[str, dict[str, Answer]] = {}
        """The pauses that were passed, by run and by key."""

    def __str__(self) -> str:
        """The file, from the working folder on if it lies below."""
        with suppress(ValueError, OSError):
            return str(self.path.relative_to(Path.cwd()))
        return str(self.path)

    @classmethod
    def read(cls, path: Path) -> Cassette:
        """The cassette in a file.  Raises `UsageError` if it cannot be read, and `FileNotFoundError`."""
        made = cls(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["cassette"] != FORMAT:
                raise UsageError(f"The cassette {made} is of a newer Tidegate. Update it, or record anew.")
            for name, calls in data["runs"].items():
                known = made.runs[name] = {}
                for order, each in enumerate(calls):
                    call = Call(each["task"], each["inputs"], each["key"], each["nth"], each["ends"], order)
                    known[call.task, call.key, call.nth] = call
            for name, passed in data.get("answers", {}).items():
                for each in passed:
                    made.answer(name, Answer(each["key"], each["title"], each.get("given"), each.get("missing", "")))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UsageError(f"The cassette {made} cannot be read ({error.strerror}).") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{made} is no cassette, or damaged. Record it anew.") from None
        return made

    def calls(self, task: str) -> Iterator[Call]:
        """All calls of a task, in order."""
        return (call for calls in list(self.runs.values()) for call in list(calls.values()) if call.task == task)

    def find(self, run: str, key: Key) -> Call | None:
        """A call of that run, else the first such of any other."""
        found = self.runs.get(run, {}).get(key)
        if found is not None:
            return found
        return next((calls[key] for calls in list(self.runs.values()) if key in calls), None)

    def call(self, run: str, call: Call) -> Call:
        """That call of the run, added if it is not there."""
        return self.runs.setdefault(run, {}).setdefault((call.task, call.key, call.nth), call)

    def answer(self, run: str, answer: Answer) -> None:
        """Keep that a pause of the run was passed."""
        self.answers.setdefault(run, {})[answer.key] = answer

    def missing(self) -> Iterator[tuple[Call | Answer, str]]:
        """Calls whose value could not be recorded, and answers, and why."""
        for calls in list(self.runs.values()):
            for call in list(calls.values()):
                yield from ((call, end["missing"]) for end in call.ends if "missing" in end)
        for passed in list(self.answers.values()):
            yield from ((each, each.missing) for each in list(passed.values()) if each.missing)

    def is_empty(self) -> bool:
        """True if it has no call, and no answer."""
        return not any(self.runs.values()) and not any(self.answers.values())

    def summary(self) -> str:
        """What is in it, in a line."""
        answers = sum(map(len, self.answers.values()))
        told = f"{self} has {counted(sum(map(len, self.runs.values())), 'call')} of tasks"
        return f"{told} and {counted(answers, 'passed pause')}." if answers else f"{told}."

    def write(self) -> None:
        """Replace the file in one step.

        Raises `UsageError` if it cannot be written, or if a secret of the environment would be in it.
        """
        runs = {name: _in_order(calls) for name, calls in self.runs.items()}
        whole: dict[str, Plain] = {"cassette": FORMAT, "runs": {name: runs[name] for name in runs if runs[name]}}
        if self.answers:
            whole["answers"] = {name: list(map(_told, passed.values())) for name, passed in self.answers.items()}
        text = _laid_out(whole) + "\n"
        self._check_secrets(text)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            beside.write_text(text, encoding="utf-8")
            beside.replace(self.path)
        except OSError as error:
            raise UsageError(f"The cassette {self} cannot be written ({error.strerror}).") from None

    def _check_secrets(self, text: str) -> None:
        for name, value in os.environ.items():
            if len(value) < _SHORTEST_SECRET or not _SECRET_VARIABLE.search(name):
                continue
            if json.dumps(value, ensure_ascii=False)[1:-1] in text or _is_pickled(value, self):
                raise UsageError(
                    f"The cassette {self} was not written: it would hold the value of the environment variable "
                    f"{name}. Have no task return it or take it as an input; a task can read it by itself."
                )


def _is_pickled(value: str, cassette: Cassette) -> bool:
    ends = (end for calls in cassette.runs.values() for call in calls.values() for end in call.ends)
    pickles = (end[how]["$pickle"] for end in ends for how in ("returned", "raised") if _is_pickle(end.get(how)))
    return any(value.encode() in base64.b64decode(each) for each in pickles)


def _in_order(calls: Mapping[Key, Call]) -> list[Plain]:
    ended = sorted((call for call in calls.values() if call.ends), key=lambda call: call.order)
    return [
        {"task": each.task, "inputs": each.inputs, "key": each.key, "nth": each.nth, "ends": each.ends}
        for each in ended
    ]


def _told(answer: Answer) -> Plain:
    how = {"missing": answer.missing} if answer.missing else {"given": answer.given}
    return {"key": answer.key, "title": answer.title, **(how if answer.title else {})}


def _laid_out(data: Plain, indent: int = 0) -> str:
    """JSON with a line for whatever fits into one: a row of a table stays a row in a diff."""
    whole = json.dumps(data, ensure_ascii=False)
    if len(whole) + indent <= _WIDTH or not data or not isinstance(data, (dict, list)):
        return whole
    pad = " " * (indent + 1)
    if isinstance(data, list):
        lines = [_laid_out(each, indent + 1) for each in data]
        return "[\n" + ",\n".join(pad + line for line in lines) + "\n" + " " * indent + "]"
    lines = [f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(each, indent + 1)}" for key, each in data.items()]
    return "{\n" + ",\n".join(pad + line for line in lines) + "\n" + " " * indent + "}"


# Values --------------------------------------------------------------------------------------------------------------


def told_input(name: str, value: Any) -> Plain:
    """An input as people are to see it: as plain data if it is short, else as its type; a secret not at all."""
    if _SECRET.search(name):
        return HIDDEN
    try:
        made = to_plain(value)
    except NotPlain:
        return f"<{type(value).__name__}>"
    return made if len(json.dumps(made)) <= _LONGEST_INPUT else f"<{type(value).__name__}>"


def told_call(task: str, inputs: Mapping[str, Plain] | None) -> str:
    """A call as a line of code."""
    if inputs is None:
        return f"{task}(...)"
    return f"{task}({', '.join(f'{name}={json.dumps(value, ensure_ascii=False)}' for name, value in inputs.items())})"


def written(how: str, value: Any, allow_pickle: bool) -> dict[str, Plain]:
    """The end of a call that has ``returned`` or ``raised`` a value; says what is ``missing`` if it has no form."""
    try:
        return {how: error_to_plain(value) if how == "raised" else to_plain(value)}
    except NotPlain as problem:
        if "Secret" in f"{problem}":
            return {"missing": f"it {how} {type(value).__name__}, which holds a secret"}
        if not allow_pickle:
            return {"missing": f"it {how} {type(value).__name__}, of which {problem} is no plain data"}
    try:
        return {how: {"$pickle": base64.b64encode(PICKLE.dumps(value)).decode()}}
    except Exception as error:
        return {"missing": f"it {how} {type(value).__name__}, which cannot be pickled ({type(error).__name__})"}


def end_of(state: State, attempts: int, allow_pickle: bool) -> dict[str, Plain] | None:
    """How a task run ended, in so many attempts; null for an end that is none of its own, such as a cancel."""
    if state.type is StateType.COMPLETED:
        try:
            end = written("returned", state.result(), allow_pickle)
        except RunError as gone:
            return {"missing": f"its result is gone: {gone}"}
        told = ""
    elif state.type is StateType.FAILED:
        error = state.error()
        end = written("raised", error, allow_pickle)
        told = describe(error)
    else:
        return None
    if state.name not in _USUAL:
        end["state"] = state.name
    if state.message not in ("", told):
        end["message"] = state.message
    if attempts != 1:
        end["attempts"] = attempts
    return end


def read(how: str, form: Plain, allow_pickle: bool) -> Any:
    """The reverse.  Raises `UsageError`."""
    if not _is_pickle(form):
        return error_from_plain(form) if how == "raised" else from_plain(form)
    if not allow_pickle:
        raise UsageError(
            "It is a pickle, and loading one runs what is in it. If you trust the file as you trust your code, "
            "allow it: allow_pickle=True, --tidegate-allow-pickle or TIDEGATE_ALLOW_PICKLE=1."
        )
    try:
        return PICKLE.loads(base64.b64decode(form["$pickle"]))
    except Exception as error:
        raise UsageError(f"Its pickle cannot be loaded ({type(error).__name__}: {error}).") from None


def _is_pickle(form: Plain) -> bool:
    return isinstance(form, dict) and form.keys() == {"$pickle"}
