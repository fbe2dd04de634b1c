"""``%%flow`` and ``%tidegate``."""

from __future__ import annotations

import inspect
import re
from contextlib import nullcontext, suppress
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, output_can_be_silenced

from tidegate import Flow
from tidegate.context import frame
from tidegate.deploy.cell_line import PARSER, detached_name, detaches, options_of
from tidegate.errors import StoreError, TidegateError

from .cell import Body, awaits, cell_filename, cell_number, outcome
from .command_lines import help_text
from .commands import Commands
from .records import told
from .session import Session
from .timed import times_told, untimed

AWAITING = "__tidegate_flow__"
"""The name under which a cell that awaits finds its runner; see `AwaitingCells`."""


@magics_class
class FlowMagics(Magics):  # type: ignore[misc]  # IPython is untyped here
    """The magics of the extension."""

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self._session = session
        self.commands = Commands(session, self.prepare)

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
            return self._session.bound(name, told(lambda: self._session.detach(made, body)))
        try:
            state: Any = made(return_state=True)
        except StoreError as error:
            raise UsageError(str(error)) from None
        return outcome(state, body)

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
        """Look at flow runs, and have them pause, go on or end."""
        __tracebackhide__ = True
        return self.commands.run(line)


# Shown by ``%%flow?``.
FlowMagics.flow.__doc__ = f"{inspect.getdoc(FlowMagics.flow)}\n\n{PARSER.format_help()}"
FlowMagics.tidegate.__doc__ = f"{inspect.getdoc(FlowMagics.tidegate)}\n\n{help_text()}"


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
        timed = untimed(lines)
        if timed is not None:
            with suppress(SyntaxError):  # which the stock magic reports
                return self._awaited(timed, timed=True) or lines
            return lines
        if not lines or not lines[0].startswith("%%flow") or lines[0][6:7] not in ("", " ", "\t", "\n"):
            return lines
        if asks_for_help(lines[0][6:]):
            return [lines[0].rstrip("\n") + "\n", "pass\n"]  # IPython refuses a cell magic without a body
        try:
            return self._awaited(lines) or lines
        except SyntaxError:
            # Python's own report of a cell without the magic is the best there is: nothing but the line and the caret.
            return ["#" + lines[0], *lines[1:]]

    def _awaited(self, lines: list[str], *, timed: bool = False) -> list[str] | None:
        """The awaited call in place of a ``%%flow`` cell; null for one that is to be left to the magic."""
        line, cell = lines[0][6:].strip(), "".join(lines[1:])
        if detaches(line) or not awaits(self._shell, cell):
            return None
        silent = ";" if DisplayHook.semicolon_at_end_of_expression(cell) else ""
        return [f"await {AWAITING}({line!r}, {cell!r}{', timed=True' if timed else ''}){silent}\n"]

    async def run(self, line: str, cell: str, *, timed: bool = False) -> Any:
        """Run the flow of an awaiting cell; if it is `timed`, say how long it took."""
        __tracebackhide__ = True
        made, body = self._magics.prepare(line, cell)
        try:
            with times_told() if timed else nullcontext():
                state: Any = await made(return_state=True)
        except StoreError as error:
            raise UsageError(str(error)) from None
        return outcome(state, body)


def asks_for_help(line: str) -> bool:
    """True for ``%%flow -h``."""
    return line.split()[:1] in (["-h"], ["--help"])
