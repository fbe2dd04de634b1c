"""What the commands of ``%tidegate`` do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from IPython.core.error import UsageError

from tidegate import Flow, requests
from tidegate.cli.runs import matching
from tidegate.comparison import compare, head
from tidegate.dead_runs import bury_all, call_off, look
from tidegate.deploy.cell_line import detached_name, is_name, without_heading
from tidegate.engine import engine
from tidegate.model.requests import Verb
from tidegate.model.views import FlowRow
from tidegate.profiles import origins
from tidegate.recording import cassette_of, default_path
from tidegate.recovery import flow_of, fork, rerun, resume, resume_plan, retry_failed
from tidegate.run.terms import OnChange
from tidegate.settings import settings

from .cell import Body, outcome
from .command_lines import COMMANDS, given, help_text, usage
from .detached import DetachedCell
from .failure import Failure
from .records import found, newest, title, told
from .session import Again, Session
from .tables import RunTable, Table

_CALLS: dict[str, Any] = {"resume": resume, "retry": retry_failed, "rerun": rerun, "fork": fork}
_NAMES = {"retry": "retry_failed"}

BY = "you"
"""Who asks, as it stands in the record."""


class Prepare(Protocol):
    """Makes the flow of a cell."""

    def __call__(
        self, line: str, cell: str, filename: str | None = None, recorded: Mapping[str, Any] | None = None
    ) -> tuple[Flow[..., Any], Body]:
        """The flow and the compiled cell.  Raises `UsageError`, and the user's own SyntaxError."""
        ...


class Commands:
    """The commands of one shell.  Each raises `UsageError`, in one line, for what it cannot do."""

    def __init__(self, session: Session, prepare: Prepare) -> None:
        self._session = session
        self._prepare = prepare
        self._awaited: Flow[..., Any] | None = None
        """The flow of an awaiting cell that is about to be resumed; the registry does not hold what it knows."""

    def run(self, line: str) -> Any:
        """Carry out what stands behind ``%tidegate``; the value of the line."""
        __tracebackhide__ = True
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"%tidegate {line}: {error}.") from None
        name = words[0] if words else "runs"
        if name in ("-h", "--help", "help"):
            print(help_text())
            return None
        if name not in COMMANDS:
            raise UsageError(f"%tidegate {name}: there is no such command. There are {', '.join(COMMANDS)}.")
        try:
            arguments = given(name, words[1:])
        except ValueError as error:
            raise UsageError(f"%tidegate {line}: {error}. It is {usage(name)}.") from None
        return getattr(self, f"_{name}")(**arguments)

    # Look -----------------------------------------------------------------------------------------------------------

    def _runs(self, limit: int, state: str | None, flow: str | None) -> RunTable:
        def rows() -> list[FlowRow]:
            bury_all(engine())
            return matching(engine().store, limit, state, flow)

        if limit < 1:
            raise UsageError(f"%tidegate runs --limit takes a number from 1, not {limit}.")
        return RunTable(told(rows))

    def _show(self, run: str) -> None:
        self._session.show_record(found(run).number)

    def _attach(self, run: str | None) -> DetachedCell | None:
        return self._session.attach(newest("attach to") if run is None else found(run))

    def _record(self, run: str | None, out: str | None, allow_pickle: bool) -> None:
        row = newest("record") if run is None else found(run)
        path = Path(out) if out else default_path(row.flow)
        made = told(lambda: cassette_of(engine(), row, path, allow_pickle=allow_pickle))
        told(made.write)
        print(made.summary())
        for missing, why in made.missing():
            print(f"{missing} is not in it: {why}.")

    def _diff(self, run: str, other: str) -> Table:
        rows = found(run), found(other)
        return Table(head(*rows), told(lambda: compare(engine().store, *rows)))

    def _open(self, run: str, task: str | None, out: str | None) -> None:
        if out is not None and not is_name(out):
            raise UsageError(f"%tidegate open: -o takes a name, not {out!r}.")
        row = found(run)
        failure = Failure.of(row, task, self._session.failed_inputs(row.number))
        names = self._session.names
        lines = failure.lines({} if out else names)
        names.update({out: failure.inputs} if out else failure.inputs)
        print("\n".join(lines))

    def _config(self) -> Table:
        def rows() -> list[tuple[str, str, str]]:
            sources = origins()
            rows = [(name, value, sources[name] or "default") for name, value in settings().shown().items()]
            return [*rows, *self._session.settings_shown()]

        return Table(("setting", "value", "from"), told(rows))

    # Control --------------------------------------------------------------------------------------------------------

    def _pause(self, run: str | None) -> None:
        row = self._live(run, "pause")
        self._asked(row, "pause")
        print(f"{title(row)} is paused. `%tidegate resume {row.number}` lets it go on.")

    def _cancel(self, run: str | None) -> None:
        row = self._live(run, "cancel")
        if told(lambda: call_off(engine(), row, BY)):
            print(f"{title(row)} is cancelled.")
            return
        self._asked(row, "cancel")
        print(f"{title(row)} is being cancelled.")

    def _live(self, run: str | None, verb: str) -> FlowRow:
        """The run that was named, else the only one that this kernel has."""
        if run is not None:
            return found(run)
        here = [each for each in list(engine().live.values()) if each.tracking is None]
        if len(here) != 1:
            which = "No flow run goes on here" if not here else "Several flow runs go on here"
            raise UsageError(f"{which}: `%tidegate {verb} RUN` says which. `%tidegate runs` lists them.")
        return found(here[0].number)

    def _asked(self, row: FlowRow, verb: Verb) -> None:
        """Have a run do something, here or in another process."""
        live = engine().live.get(row.number)
        if live is not None:
            told(getattr(live, verb))
        else:
            told(lambda: look(engine(), row))
            told(lambda: requests.ask(engine().store, row.number, verb, by=BY))

    # Go on ----------------------------------------------------------------------------------------------------------

    def _resume(self, run: str, on_change: OnChange) -> Any:
        __tracebackhide__ = True
        row = found(run)
        told(lambda: look(engine(), row))
        live = engine().live.get(row.number)
        if live is not None or not (row.state.is_at_rest() or row.state.is_pending()):
            self._asked(row, "resume")
            print(f"{title(row)} goes on.")
            return None
        return self._go_on("resume", row.number, on_change=on_change)

    def _retry(self, run: str, on_change: OnChange) -> Any:
        __tracebackhide__ = True
        row = found(run)
        if not row.state.is_failed():
            raise UsageError(f"{title(row)} has not failed: it is {row.state.name}.")
        return self._go_on("retry", row.number, on_change=on_change)

    def _rerun(self, run: str, task: str) -> Any:
        __tracebackhide__ = True
        return self._go_on("rerun", found(run).number, int(task) if task.isdecimal() else task)

    def _fork(self, run: str, task: str | None) -> Any:
        __tracebackhide__ = True
        tasks = () if task is None else (int(task) if task.isdecimal() else task,)
        return self._go_on("fork", found(run).number, *tasks)

    def _go_on(self, verb: str, number: int, *task: str | int, on_change: OnChange = "rerun") -> Any:
        """Resume, retry, rerun or fork a run; the value of its cell, or the final state of a run that is no cell.

        The cell need not be run again: its text is in the record.  What it calls must be defined in this kernel.  The
        resume of a detached cell is detached, too.
        """
        __tracebackhide__ = True
        plan = None if verb == "fork" else told(lambda: resume_plan(number, *task, on_change=on_change))
        made, body, detached = self.flow_again(number, None)
        if detached is not None and verb in ("resume", "retry"):
            print(plan)
            return self._resumed(number, detached, on_change)
        if made.is_async:
            self._awaited = made
            more = "" if on_change == "rerun" else f", on_change={on_change!r}"
            call = f"{_NAMES.get(verb, verb)}({', '.join(map(repr, (number, *task)))}{more})"
            raise UsageError(f"Flow run {number} ({made.name}) awaits. `await tidegate.{call}` goes on with it.")
        if plan is not None:
            print(plan)
        terms = {"on_change": on_change} if verb in ("resume", "retry") else {}
        state: Any = told(lambda: _CALLS[verb](number, *task, flow=made, **terms))
        return state if body is None else outcome(state, body)

    def _resumed(self, number: int, name: str, on_change: OnChange) -> Any:
        self._session.attach(found(number))
        return self._session.bound(name, told(lambda: self._session.resume_detached(number, on_change)))

    def flow_again(self, number: int, filename: str | None = "") -> Again:
        """The flow of a run of the record, as it is now; by default for no cell, with null for the present one.

        Raises what a cell that cannot be run raises.
        """
        row = found(number)
        if not row.body:
            return Again(told(lambda: flow_of(row)), None, None)
        line, cell = without_heading(row.body)
        shown = f"<flow run {number}>" if filename == "" else filename
        made, body = self._prepare(f"{line} --name {shlex.quote(row.flow)}", cell, shown, row.recorded_parameters())
        return Again(made, body, detached_name(line))
