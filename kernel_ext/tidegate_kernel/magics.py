"""``%%flow`` and ``%tidegate``."""

from __future__ import annotations

import inspect
import re
import shlex
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, output_can_be_silenced

from tidegate import Flow
from tidegate.context import frame
from tidegate.dead_runs import bury_all
from tidegate.deploy.cell_line import PARSER, detached_name, detaches, options_of, without_heading
from tidegate.engine import engine
from tidegate.errors import StoreError, TidegateError
from tidegate.model.views import FlowRow
from tidegate.recovery import flow_of, fork, rerun, resume, resume_plan

from .cell import Body, awaits, cell_filename, cell_number, outcome
from .detached import DetachedCell
from .session import Again, Session
from .tables import RunTable

_CALLS: dict[str, Any] = {"resume": resume, "rerun": rerun, "fork": fork}

RUN = "run"
"""What a detached run is called in the notebook, unless its cell says otherwise."""

AWAITING = "__tidegate_flow__"
"""The name under which a cell that awaits finds its runner; see `AwaitingCells`."""


@magics_class
class FlowMagics(Magics):  # type: ignore[misc]  # IPython is untyped here
    """The magics of the extension."""

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self._session = session
        self._awaited: Flow[..., Any] | None = None
        """The flow of an awaiting cell that is about to be resumed; the registry does not hold what it knows."""

    @cell_magic
    @output_can_be_silenced
    def flow(self, line: str, cell: str) -> Any:
        """Run the cell as a recorded flow, with a live graph under it.

        Calls of tasks are recorded, retried and linked; Pause, Resume and Cancel work while the cell runs.  Assignments
        land in the notebook as in any cell, and the last expression is the cell's value.

        With ``--detach`` the cell returns at once, and its body runs on a thread of its own, with a loop of its own if
        it awaits.  ``run``, or the name after ``-o``, is then its handle: ``run.wait()``, ``run.result()``, ``await
        run``, ``run.state``, ``run.pause()``, ``run.resume()``, ``run.cancel()``.
        """
        __tracebackhide__ = True
        if asks_for_help(line):
            print(PARSER.format_help().strip())
            return None
        made, body = self.prepare(line, cell)
        name = detached_name(line)
        if name is not None:
            return self._bound(name, _store_call(lambda: self._session.detach(made, body)))
        try:
            state: Any = made(return_state=True)
        except StoreError as error:
            raise UsageError(str(error)) from None
        return outcome(state, body)

    def _bound(self, name: str, handle: DetachedCell) -> DetachedCell:
        """The handle of a detached run, under a name in the notebook; the usual one is left to whoever uses it."""
        names = self.shell.user_ns
        if name or isinstance(names.get(RUN, handle), DetachedCell):
            names[name or RUN] = handle
        else:
            print(f"`{RUN}` is taken: the run is the value of this cell. `%%flow --detach -o NAME` names it.")
        return handle

    def prepare(self, line: str, cell: str, filename: str | None = None) -> tuple[Flow[..., Any], Body]:
        """The flow of a cell, by default the present one.

        Raises `UsageError` for bad arguments, and the user's own SyntaxError.
        """
        if frame.get() is not None:
            raise UsageError("%%flow does not go inside a flow. Call a @flow function there instead.")
        if re.search(r"^%%flow\b", cell, re.MULTILINE):
            raise UsageError("%%flow goes on the first line of a cell, once. Put the other flow in a cell of its own.")
        filename = filename or cell_filename(self.shell)
        try:
            detached_name(line)
            options = options_of(line, f"cell-{cell_number(self.shell, filename)}")
        except ValueError as error:
            raise UsageError(f"%%flow: {error}. `%%flow -h` lists the options.") from None
        body = Body(self.shell, line, cell, filename)
        try:
            made: Flow[..., Any] = Flow(body.function, **options)
        except TidegateError as error:
            raise UsageError(str(error)) from None
        return made, body

    @line_magic
    def tidegate(self, line: str) -> Any:
        """``%tidegate runs`` lists the newest flow runs; ``%tidegate show N`` shows the graph of run N.

        ``%tidegate resume N`` goes on with a run that is suspended, failed, crashed or was cancelled: what completed is
        kept.  ``%tidegate attach`` brings the graph of the newest run back, with a button for that; ``attach N`` that
        of run N.  ``%tidegate rerun N TASK`` runs a task of run N once more, and what needs its result;
        ``%tidegate fork N [TASK]`` does so in a new run, and leaves run N as it is.
        """
        __tracebackhide__ = True
        words = line.split()
        match words:
            case [] | ["runs"]:
                return RunTable(_store_call(_newest_runs))
            case ["show", number] if number.isdecimal():
                self._session.show_record(_found(int(number)).number)
                return None
            case ["attach"]:
                newest = [row for row in _store_call(lambda: engine().store.flow_runs(100)) if row.parent is None]
                if not newest:
                    raise UsageError("There is no flow run yet: nothing to attach to.")
                return self._session.attach(newest[0])
            case ["attach", number] if number.isdecimal():
                return self._session.attach(_found(int(number)))
            case ["resume", number] if number.isdecimal():
                return self._go_on("resume", int(number))
            case ["rerun", number, task] if number.isdecimal():
                return self._go_on("rerun", int(number), int(task) if task.isdecimal() else task)
            case ["fork", number] if number.isdecimal():
                return self._go_on("fork", int(number))
            case ["fork", number, task] if number.isdecimal():
                return self._go_on("fork", int(number), int(task) if task.isdecimal() else task)
            case _:
                raise UsageError(
                    f"%tidegate {line}: not understood. "
                    "Try `%tidegate runs`, `%tidegate show N`, `%tidegate attach`, `%tidegate resume N`, "
                    "`%tidegate rerun N TASK` or `%tidegate fork N [TASK]`."
                )

    def _go_on(self, verb: str, number: int, *task: str | int) -> Any:
        """Resume, rerun or fork a run; the value of its cell, or the final state of a run that is no cell.

        The cell need not be run again: its text is in the record.  What it calls must be defined in this kernel.  The
        resume of a detached cell is detached, too.
        """
        __tracebackhide__ = True
        plan = None if verb == "fork" else _store_call(lambda: resume_plan(number, *task))
        made, body, detached = self.flow_again(number, None)
        if detached is not None and verb == "resume":
            print(plan)
            return self._resumed(number, detached)
        if made.is_async:
            self._awaited = made
            call = f"{verb}({', '.join(map(repr, (number, *task)))})"
            raise UsageError(f"Flow run {number} ({made.name}) awaits. `await tidegate.{call}` goes on with it.")
        if plan is not None:
            print(plan)
        state: Any = _store_call(lambda: _CALLS[verb](number, *task, flow=made))
        return state if body is None else outcome(state, body)

    def _resumed(self, number: int, name: str) -> Any:
        self._session.attach(_found(number))
        handle = _store_call(lambda: self._session.resume_detached(number))
        return self._bound(name, handle)

    def flow_again(self, number: int, filename: str | None = "") -> Again:
        """The flow of a run of the record, as it is now; by default for no cell, with null for the present one.

        Raises what a cell that cannot be run raises.
        """
        row = _found(number)
        if not row.body:
            return Again(_store_call(lambda: flow_of(row)), None, None)
        line, cell = without_heading(row.body)
        shown = f"<flow run {number}>" if filename == "" else filename
        made, body = self.prepare(f"{line} --name {shlex.quote(row.flow)}", cell, shown)
        return Again(made, body, detached_name(line))


# Shown by ``%%flow?``.
FlowMagics.flow.__doc__ = f"{inspect.getdoc(FlowMagics.flow)}\n\n{PARSER.format_help()}"


class AwaitingCells:
    """Turns a ``%%flow`` cell with a top-level await into one awaited call, and one that does not compile into itself.

    A magic cannot be async.  An input transformer sees the cell before the magic does; the call that it writes is
    awaited on the kernel's own loop, where objects made in earlier cells belong.
    """

    def __init__(self, shell: Any, magics: FlowMagics) -> None:
        self._shell = shell
        self._magics = magics

    def transform(self, lines: list[str]) -> list[str]:
        """The transformer, of the lines of a cell."""
        if not lines or not lines[0].startswith("%%flow") or lines[0][6:7] not in ("", " ", "\t", "\n"):
            return lines
        line, cell = lines[0][6:].strip(), "".join(lines[1:])
        if asks_for_help(line):
            return [lines[0].rstrip("\n") + "\n", "pass\n"]  # IPython refuses a cell magic without a body
        try:
            if detaches(line) or not awaits(self._shell, cell):
                return lines
        except SyntaxError:
            # Python's own report of a cell without the magic is the best there is: nothing but the line and the caret.
            return ["#" + lines[0], *lines[1:]]
        silent = ";" if DisplayHook.semicolon_at_end_of_expression(cell) else ""
        return [f"await {AWAITING}({line!r}, {cell!r}){silent}\n"]

    async def run(self, line: str, cell: str) -> Any:
        """Run the flow of an awaiting cell."""
        __tracebackhide__ = True
        made, body = self._magics.prepare(line, cell)
        try:
            state: Any = await made(return_state=True)
        except StoreError as error:
            raise UsageError(str(error)) from None
        return outcome(state, body)


def asks_for_help(line: str) -> bool:
    """True for ``%%flow -h``."""
    return line.split()[:1] in (["-h"], ["--help"])


def _newest_runs() -> list[FlowRow]:
    """The newest, after those whose process is gone were recorded as crashed."""
    bury_all(engine())
    return engine().store.flow_runs(30)


def _found(number: int) -> FlowRow:
    row: FlowRow | None = _store_call(lambda: engine().store.flow_run(number))
    if row is None:
        raise UsageError(f"There is no flow run {number}. `%tidegate runs` lists those that are there.")
    return row


def _store_call(call: Any) -> Any:
    try:
        return call()
    except TidegateError as error:
        raise UsageError(str(error)) from None
