"""The lines that ``%tidegate`` understands: its commands, what each takes, and what it is for."""

from __future__ import annotations

from typing import Any, get_args

from tidegate.deploy.cell_line import LineParser
from tidegate.run.terms import OnChange

RUN, OTHER, TASK = "RUN", "OTHER", "TASK"
"""What an argument is called: a run by its number or its name, a task run likewise, or a task."""


def _made(name: str, about: str, *arguments: str) -> LineParser:
    """A command; an argument in brackets may be left out."""
    made = LineParser(f"%tidegate {name}", description=about, allow_abbrev=False, add_help=False)
    for each in arguments:
        word = each.strip("[]")
        made.add_argument(word.lower(), metavar=word, nargs="?" if each.startswith("[") else None)
    return made


def _runs() -> LineParser:
    made = _made("runs", "lists the newest flow runs.")
    made.add_argument("--limit", type=int, default=30, metavar="N", help="Flow runs at most; 30 by default.")
    made.add_argument("--state", metavar="STATE", help="Only those in this state, such as Failed.")
    made.add_argument("--flow", metavar="NAME", help="Only those of this flow.")
    return made


def _open() -> LineParser:
    made = _made("open", "brings the inputs of a failed task run into the notebook.", RUN, f"[{TASK}]")
    made.add_argument("-o", "--out", metavar="NAME", help="A dictionary of this name, in place of a name for each.")
    return made


def _record() -> LineParser:
    made = _made("record", "keeps what the tasks of a run returned in a file, to replay it.", f"[{RUN}]")
    made.add_argument("-o", "--out", metavar="FILE", help="The cassette; cassettes/FLOW.json by default.")
    made.add_argument("--allow-pickle", action="store_true", help="Keep what is no plain data as pickles.")
    return made


def _going_on(name: str, about: str) -> LineParser:
    made = _made(name, about, RUN)
    told = "What becomes of completed task runs whose code has changed since; they run again by default."
    made.add_argument("--on-change", choices=get_args(OnChange), default="rerun", help=told)
    return made


COMMANDS: dict[str, LineParser] = {
    "runs": _runs(),
    "show": _made("show", "shows the graph of a run of the record.", RUN),
    "attach": _made("attach", "brings back the graph of a run, to resume it, and the handle of a cell.", f"[{RUN}]"),
    "pause": _made("pause", "lets no new task run begin; what has started goes on.", f"[{RUN}]"),
    "resume": _going_on("resume", "lets a paused run go on, or one that did not complete: what completed is kept."),
    "retry": _going_on("retry", "resumes a run that failed."),
    "cancel": _made("cancel", "ends a run.", f"[{RUN}]"),
    "rerun": _made("rerun", "runs a task of a run once more, and what needs its result.", RUN, TASK),
    "fork": _made("fork", "does so in a new run, and leaves that one as it is.", RUN, f"[{TASK}]"),
    "open": _open(),
    "diff": _made("diff", "compares two runs by parameters, code, states, timings and results.", RUN, OTHER),
    "record": _record(),
    "config": _made("config", "shows the settings, and what set them."),
}


def usage(name: str) -> str:
    """How a command is written."""
    words = " ".join(COMMANDS[name].format_usage().removeprefix("usage: ").split())
    return f"`{words}`"


def help_text() -> str:
    """All commands, a line each."""
    lines = [f"{usage(name)} {made.description}" for name, made in COMMANDS.items()]
    return "\n".join([*lines, "A run is named by its number or its name."])


def given(name: str, words: list[str]) -> dict[str, Any]:
    """What the words after a command say.  Raises `ValueError`, in one line, for words that make no sense."""
    return vars(COMMANDS[name].parse_args(words))
