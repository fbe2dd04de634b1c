"""The first line of a ``%%flow`` cell: the options of its flow, in an open notebook and in one that is loaded."""

from __future__ import annotations

import shlex
from argparse import SUPPRESS, ArgumentParser
from keyword import iskeyword
from typing import Any, NoReturn

from ..errors import UsageError
from ..model.durability import LEVELS
from ..task_runners.named import NAMES, runner_named


class LineParser(ArgumentParser):
    """Parses the line of a magic: says what is wrong in one line, and ends nothing."""

    def error(self, message: str) -> NoReturn:
        """Raise `ValueError`."""
        raise ValueError(message)


def _parser() -> LineParser:
    made = LineParser("%%flow", allow_abbrev=False, argument_default=SUPPRESS, add_help=False)
    add = made.add_argument
    add("--name", help="The name of the flow; cell-N by default.")
    add("--task-runner", choices=NAMES, help="Where submitted and mapped sync tasks run: on worker threads (default), "
        "in processes, or one by one.")  # fmt: skip
    add("--max-workers", type=int, help="Workers at most; by default 32 threads, or a process per processor.")
    add("--retries", type=int, help="How often the cell is run again if it fails; what completed is kept.")
    add("--retry-delay", type=float, dest="retry_delay_seconds", metavar="SECONDS", help="Seconds before each retry.")
    add("--timeout", type=float, dest="timeout_seconds", metavar="SECONDS", help="How long it may take.")
    add("--tag", action="append", dest="tags", help="A word on the run and its task runs. Repeatable.")
    add("--durability", choices=LEVELS, help="How much of it a power cut may take; see the settings.")
    add("--log-prints", action="store_true", help="What is printed goes to the log as well.")
    add("--detach", action="store_true", help="The cell returns at once, and the run goes on by itself.")
    add("-o", "--out", metavar="NAME", help="What a detached run is called in the notebook; run by default.")
    add("-h", "--help", action="store_true", help="Show this.")
    return made


PARSER = _parser()


def options_of(line: str, name: str) -> dict[str, Any]:
    """The options of a flow that is called `name`, unless the line says otherwise, as `Flow` takes them.

    Raises `ValueError`, in one line, for a line that makes no sense.
    """
    given = vars(PARSER.parse_args(shlex.split(line)))
    for of_the_notebook in ("help", "detach", "out"):
        given.pop(of_the_notebook, None)
    try:
        runner = runner_named(given.pop("task_runner", "concurrent"), given.pop("max_workers", None))
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return {"name": name, **given, "task_runner": runner}


def is_name(text: str) -> bool:
    """True for what may be the name of a variable."""
    return text.isidentifier() and not iskeyword(text)


def detaches(line: str) -> bool:
    """True for a line that asks for a detached run; a line that makes no sense asks for nothing."""
    try:
        return hasattr(PARSER.parse_args(shlex.split(line)), "detach")
    except ValueError:
        return False


def detached_name(line: str) -> str | None:
    """What a detached run is to be called in the notebook: the name given, or nothing; null if it is not detached.

    Raises `ValueError`, in one line, for a line that makes no sense.
    """
    given = PARSER.parse_args(shlex.split(line))
    name = getattr(given, "out", "")
    if name and not hasattr(given, "detach"):
        raise ValueError("-o names a detached run, and needs --detach")
    if name and not is_name(name):
        raise ValueError(f"-o takes a name, not {name!r}")
    return name if hasattr(given, "detach") else None


def without_heading(text: str) -> tuple[str, str]:
    """The line and the body of the text of a cell that was recorded; older records have the body alone."""
    if not text.startswith("%%flow"):
        return "", text
    line, _, body = text.partition("\n")
    return line.removeprefix("%%flow").strip(), body
