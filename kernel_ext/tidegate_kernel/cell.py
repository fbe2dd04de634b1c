"""The body of a ``%%flow`` cell as a flow: compiled as the cell would be, run in the user's namespace."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, cast

from tidegate.model.states import State
from tidegate.source_text import HEADING, OVERRIDE

from .tracebacks import from_cell

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Body:
    """A compiled cell body.  Raises the user's own SyntaxError if it does not compile.

    Line numbers are those the user sees, the ``%%flow`` line counted.  Assignments land in the user's namespace; the
    value of the last expression is the body's value.
    """

    def __init__(self, shell: Any, line: str, cell: str, filename: str) -> None:
        self._shell = shell
        self.filename = filename
        self.text = cell
        self._line = line
        # A newline stands for the line of the magic, and one for each blank line that the transformation drops.
        blank = cell[: len(cell) - len(cell.lstrip())].count("\n")
        source = "\n" * (1 + blank) + shell.transform_cell(cell)
        self.value: Any = None
        """What the last expression gave, once the body has run."""
        visible = f"%%flow {line}\n{cell}"
        linecache.cache[filename] = (len(visible), None, visible.splitlines(keepends=True), filename)
        flags = shell.compile.flags | _FLAGS
        tree: ast.Module = compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        tree = shell.transform_ast(tree)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._statements = compile(tree, filename, "exec", flags, dont_inherit=True)
        self._value: CodeType | None = None
        if isinstance(last, ast.Expr):
            self._value = compile(ast.Expression(last.value), filename, "eval", flags, dont_inherit=True)

    @property
    def awaits(self) -> bool:
        """True if the body has a top-level await."""
        codes = (self._statements, self._value)
        return any(code is not None and code.co_flags & inspect.CO_COROUTINE for code in codes)

    @property
    def function(self) -> Callable[[], Any]:
        """The body as a function of its own, whose version is that of the cell's text."""

        def run() -> Any:
            __tracebackhide__ = True
            return self.run()

        async def run_awaiting() -> Any:
            __tracebackhide__ = True
            return await self.run_awaiting()

        made: Any = run_awaiting if self.awaits else run
        setattr(made, OVERRIDE, self.text)
        setattr(made, HEADING, f"%%flow {self._line}".strip())
        return cast("Callable[[], Any]", made)

    def run(self) -> Any:
        """Run a body without a top-level await."""
        __tracebackhide__ = True
        shell = self._shell
        exec(self._statements, shell.user_global_ns, shell.user_ns)
        if self._value is not None:
            self.value = eval(self._value, shell.user_global_ns, shell.user_ns)
        return self.value

    async def run_awaiting(self) -> Any:
        """Run any body, awaiting where it awaits."""
        __tracebackhide__ = True
        shell = self._shell
        value = None
        for code in (self._statements, self._value):
            if code is not None:
                value = eval(code, shell.user_global_ns, shell.user_ns)
                if code.co_flags & inspect.CO_COROUTINE:
                    value = await value
        if self._value is not None:
            self.value = value
        return self.value


def awaits(shell: Any, cell: str) -> bool:
    """True if a cell body has a top-level await.  Raises SyntaxError for one that does not compile."""
    code = compile(shell.transform_cell(cell), "<cell>", "exec", shell.compile.flags | _FLAGS, dont_inherit=True)
    return bool(code.co_flags & inspect.CO_COROUTINE)


def outcome(state: State, body: Body) -> Any:
    """The value of the cell, or the exception that its body raised.

    A run that is judged Failed for its task runs alone raises nothing: the body went through, the graph shows what
    failed, and the cells below can deal with it.
    """
    __tracebackhide__ = True
    if state.is_suspended():
        print(state.message)
        return None
    if isinstance(state.data, BaseException) or state.is_cancelled() or state.is_crashed():
        raise from_cell(state.error(), body.filename)
    return body.value


def cell_filename(shell: Any) -> str:
    """The file name under which IPython runs the present cell, so that a traceback says ``Cell In[9]``."""
    caller: Any = sys._getframe()
    while caller is not None:
        if caller.f_globals is shell.user_global_ns and caller.f_code.co_name.startswith("<"):
            return str(caller.f_code.co_filename)
        caller = caller.f_back
    return str(shell.compile.cache("", shell.execution_count))


def cell_number(shell: Any, filename: str) -> int:
    """The N of ``In[N]`` for the cell of that file name.

    The shell's own counter is one ahead of it in some versions of IPython and not in others.
    """
    return int(getattr(shell.compile, "_filename_map", {}).get(filename, shell.execution_count))
