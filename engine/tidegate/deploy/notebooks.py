"""Flows of a notebook file, without Jupyter.

A ``%%flow`` cell is a flow whose body is the cell; the plain cells before it are executed when it is loaded, into one
namespace that the body then uses.  ``@flow`` functions of plain cells are flows too.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import json
import linecache
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ..errors import UsageError
from ..flow import Flow
from ..parameters import is_recordable
from ..source_text import HEADING, OVERRIDE
from .cell_line import options_of, parameters_of
from .cells import Cell
from .given_values import value_of
from .loading import loading, new_module, pick, registered, the_only

_log = logging.getLogger(__name__)
_LATER = __future__.annotations.compiler_flag
"""What a ``from __future__ import annotations`` means for the cells after it, too."""


def load_notebook(
    path: str | Path, name: str | None = None, parameters: Mapping[str, Any] | None = None
) -> Flow[..., Any]:
    """The flow of that name in a notebook; without a name, that of its only ``%%flow`` cell, else its only flow.

    A ``%%flow`` cell is called by its ``--name``, else by the notebook.  The plain cells are executed as far as that
    flow; flows that they call are not.  `parameters` take the place of what the cell tagged ``parameters`` assigns.
    Raises `FlowNotFound`, `UnspecifiedFlow`, `ScriptError`, and `UsageError` for a parameter that is not there.
    """
    notebook = Notebook(Path(path).expanduser().resolve())
    named = [each for each in notebook.headings if name in (None, each.name)]
    where = str(notebook.path)
    if named:
        the_only(len(named), name, where, [each.name for each in notebook.headings])
    until = named[0] if named else None
    notebook.check(parameters or {}, until)
    module = new_module(notebook.path)
    vars(module)["display"] = _display
    with loading(notebook.path.name, notebook.path.parent), registered(module):
        flags = notebook.execute(module, parameters or {}, until, name)
        if until is not None:
            given = until.set_parameters(vars(module), parameters or {})
            return until.flow(vars(module), flags, [*notebook.known_to(until), *given])
    return pick(module, name, where, [each.name for each in notebook.headings])


def notebook_parameters(path: str | Path) -> dict[str, str]:
    """What the cell tagged ``parameters`` assigns: each name, and its default as it is written there."""
    return Notebook(Path(path).expanduser().resolve()).parameters


@dataclass(frozen=True, slots=True)
class Heading:
    """A ``%%flow`` cell and what its first line says."""

    cell: Cell
    options: Mapping[str, Any]

    @classmethod
    def of(cls, cell: Cell, line: str, name: str) -> Heading:
        """The heading of a cell, called `name` unless it says otherwise.  Raises `UsageError` for a typo."""
        try:
            parameters_of(line)
            return cls(cell, options_of(line, name))
        except ValueError as error:
            raise UsageError(f"{cell.filename}: %%flow: {error}.") from None

    @property
    def name(self) -> str:
        """What the flow is called."""
        return str(self.options["name"])

    def set_parameters(self, namespace: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
        """Set what its first line gives, but for those that are `given` from outside; the names that it gives."""
        texts = parameters_of(self.cell.flow_line or "")
        namespace.update({name: value_of(text) for name, text in texts.items() if name not in given})
        return list(texts)

    def flow(self, namespace: dict[str, Any], flags: int, parameters: Iterable[str] = ()) -> Flow[..., Any]:
        """The cell as a flow over a namespace, whose `parameters` are those of its runs as far as they have a JSON
        form.  Raises the user's own SyntaxError."""
        made: Any = _body(self.cell, namespace, flags)
        known = [each for each in dict.fromkeys(parameters) if each in namespace and is_recordable(namespace[each])]
        made.__signature__ = inspect.Signature(
            [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=namespace[each]) for each in known]
        )
        return Flow(made, **self.options)


class Notebook:
    """A notebook file.  Raises `UsageError` if it is none, or not in Python."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells = _cells(path)
        self.headings = [
            Heading.of(each, line, path.stem) for each in self.cells if (line := each.flow_line) is not None
        ]

    @cached_property
    def tagged(self) -> Cell | None:
        """The plain cell with the tag ``parameters``: the first, if there are several."""
        return next((each for each in self.cells if "parameters" in each.tags and each.flow_line is None), None)

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters and their defaults, as they are written."""
        found: dict[str, str] = {}
        if self.tagged is None:
            return found
        with loading(self.path.name, self.path.parent):
            statements = self.tagged.tree().body
        for each in statements:
            if isinstance(each, (ast.Assign, ast.AnnAssign)) and each.value is not None:
                targets = each.targets if isinstance(each, ast.Assign) else [each.target]
                found |= {target.id: ast.unparse(each.value) for target in targets if isinstance(target, ast.Name)}
        return found

    def known_to(self, until: Heading) -> dict[str, str]:
        """The parameters that are there before a flow, and their defaults, as they are written."""
        late = self.tagged is not None and self.tagged.number > until.cell.number
        return {} if late else self.parameters

    def check(self, parameters: Mapping[str, Any], until: Heading | None) -> None:
        """Raise `UsageError` for parameters that no executed cell has a default for."""
        known = {} if not parameters else self.parameters if until is None else self.known_to(until)
        for name in parameters:
            if not known:
                raise UsageError(
                    f"{self.path} takes no parameters. Give the cell that assigns {name!r} the tag parameters, and put "
                    "it before the flow."
                )
            if name not in known:
                raise UsageError(f"{self.path} has no parameter {name!r}. It has {', '.join(known)}.")

    def execute(
        self, module: ModuleType, parameters: Mapping[str, Any], until: Heading | None, name: str | None
    ) -> int:
        """Execute the plain cells in front of `until`; without it, until there is a flow called `name`.

        Without either, all.  Cells after a flow use what a call of it gave, and that was null: one that fails ends it,
        unless the flow may still have come.  Returns the compiler flags that hold after them.
        """
        namespace, flags = vars(module), 0
        for cell in self.cells:
            if until is not None and cell is until.cell:
                break
            if cell.flow_line is None:
                try:
                    flags |= _execute(cell, namespace, flags)
                except Exception as error:
                    if until is not None or self._may_come(cell, name, namespace):
                        raise
                    _log.warning("%s failed (%r); the cells from there on are left out.", cell.filename, error)
                    break
            if cell is self.tagged:
                namespace.update(parameters)
            if until is None and name in _flows(namespace):
                break
        return flags

    def _may_come(self, failed: Cell, name: str | None, namespace: Mapping[str, Any]) -> bool:
        """Whether the cell that failed, or one after it, may hold the flow that is looked for."""
        if name is None:
            return not _flows(namespace)
        left = self.cells[self.cells.index(failed) :]
        return any(each in cell.source for cell in left for each in (name, name.replace("-", "_")))


def _flows(namespace: Mapping[str, Any]) -> set[str]:
    """Names by which flows of a namespace can be asked for."""
    held = [(variable, each.name) for variable, each in namespace.items() if isinstance(each, Flow)]
    return {name for pair in held for name in pair}


def _execute(cell: Cell, namespace: dict[str, Any], flags: int) -> int:
    """Execute a plain cell; returns the flags that hold for the cells after it."""
    code = compile(cell.tree(), cell.filename, "exec", flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    value = eval(code, namespace)
    if _awaits(code):
        # There may be a loop already and there may be none.  What awaits only flows, which are blocked, needs none.
        try:
            value.send(None)
        except StopIteration:
            pass
        else:
            value.close()
            raise UsageError(f"{cell.filename} awaits something; where a notebook is loaded only a %%flow cell can.")
    return int(code.co_flags & _LATER)


def _body(cell: Cell, namespace: dict[str, Any], flags: int) -> Callable[..., Any]:
    """The function of a ``%%flow`` cell: assignments land in the namespace, the last expression is the value."""
    tree = cell.tree()
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    result = ast.fix_missing_locations(ast.Expression(last.value if isinstance(last, ast.Expr) else ast.Constant(None)))
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    parts: list[CodeType] = [
        compile(tree, cell.filename, "exec", flags, dont_inherit=True),
        compile(result, cell.filename, "eval", flags, dont_inherit=True),
    ]

    def run(**given: Any) -> Any:
        __tracebackhide__ = True
        namespace.update(given)
        value = None
        for part in parts:
            value = eval(part, namespace)
        return value

    async def run_awaiting(**given: Any) -> Any:
        __tracebackhide__ = True
        namespace.update(given)
        value = None
        for part in parts:
            value = eval(part, namespace)
            if _awaits(part):
                value = await value
        return value

    made: Any = run_awaiting if any(map(_awaits, parts)) else run
    setattr(made, OVERRIDE, cell.source)
    setattr(made, HEADING, f"%%flow {cell.flow_line or ''}".strip())
    return made  # type: ignore[no-any-return]


def _awaits(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


def _display(*objects: Any, **_options: Any) -> None:
    """What a notebook has for showing things; without one they are printed."""
    print(*objects)


def _cells(path: Path) -> list[Cell]:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        metadata = notebook["metadata"]
        found = [each for each in notebook["cells"] if each["cell_type"] == "code"]
        parts = [("".join(each["source"]), tuple(each.get("metadata", {}).get("tags", ()))) for each in found]
    except OSError as error:
        raise UsageError(f"The notebook {path} cannot be read ({error.strerror}).") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(f"{path} is no notebook, or of a format before 4; then open and save it in Jupyter.") from None
    language = str(metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name"))
    if language.lower() not in ("python", "ipython", "none"):
        raise UsageError(f"{path} is in {language}; flows are in Python.")
    cells = []
    for number, (source, tags) in enumerate(parts, start=1):
        filename = f"{path}, cell {number}"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        cells.append(Cell(number, source, tags, filename))
    return cells
