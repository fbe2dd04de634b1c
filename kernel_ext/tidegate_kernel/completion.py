"""Tab completion of ``%tidegate`` and of the first line of ``%%flow``."""

from __future__ import annotations

from argparse import Action, ArgumentParser
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from tidegate.deploy.cell_line import PARSER
from tidegate.engine import engine

from .command_lines import COMMANDS, OTHER, RUN, TASK
from .records import found

OFFERED = 30
"""Newest runs that are offered; task runs as many."""


class Completion:
    """Offers commands, flags and their choices, the newest runs by number and name, and tasks of a run.

    By a matcher and not by a hook: beside a hook's offers, those that Python would have are shown, too.
    """

    def __init__(self, shell: Any) -> None:
        self._matchers: list[Any] = shell.Completer.custom_matchers

    def start(self) -> None:
        """From now on."""
        self._matchers.append(self._offered)

    def stop(self) -> None:
        """No more."""
        self._matchers.remove(self._offered)

    @context_matcher()  # type: ignore[untyped-decorator]
    def _offered(self, context: CompletionContext) -> SimpleMatcherResult:
        before = context.text_until_cursor
        words = before.split()
        word = "" if not words or before[-1].isspace() else words.pop()
        fitting = [each for each in _offers(words, word) if each.startswith(word)]
        return {
            "completions": [SimpleCompletion(each) for each in fitting],
            "matched_fragment": word,
            "suppress": bool(fitting),
            "ordered": True,
        }


def _offers(words: list[str], word: str) -> list[str]:
    """What may stand in the place of `word`, behind `words`."""
    if words[:1] == ["%%flow"]:
        return _flags(PARSER, words[1:])
    if words[:1] != ["%tidegate"]:
        return []
    if len(words) == 1:
        return list(COMMANDS)
    made = COMMANDS.get(words[1])
    if made is None:
        return []
    arguments = words[2:]
    if word.startswith("-") or not _is_place(arguments):
        return _flags(made, arguments)
    places = [each.metavar for each in made._actions if not each.option_strings]
    wanted = places[len(arguments)] if len(arguments) < len(places) else None
    try:
        if wanted in (RUN, OTHER):
            return _runs()
        return _tasks(arguments[0]) if wanted == TASK else _flags(made, arguments)
    except Exception:  # a store that cannot be read has nothing to offer, and Tab is no place to say so
        return []


def _is_place(words: list[str]) -> bool:
    """True where an argument stands, and not a flag or its value."""
    return not any(word.startswith("-") for word in words)


def _flags(made: ArgumentParser, words: list[str]) -> list[str]:
    """The values of the flag before, if they are known, else all flags that are not there yet."""
    known: dict[str, Action] = made._option_string_actions
    last = known.get(words[-1]) if words else None
    if last is not None and last.nargs != 0:
        return [str(each) for each in last.choices or ()]
    return [flag for flag in known if flag.startswith("--") and flag not in words]


def _runs() -> list[str]:
    rows = engine().store.flow_runs(OFFERED)
    return [*(str(row.number) for row in rows), *dict.fromkeys(row.name for row in rows)]


def _tasks(run: str) -> list[str]:
    rows = engine().store.task_runs(found(run).number)
    failed = [row.name for row in rows if row.state.is_failed() or row.state.is_crashed()]
    rest = [row.name for row in rows[:OFFERED]]
    return list(dict.fromkeys([*failed[:OFFERED], *dict.fromkeys(row.task for row in rows), *rest]))
