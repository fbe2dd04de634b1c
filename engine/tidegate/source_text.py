"""The source of a function or class as a text in which comments, formatting and docstrings do not count."""

from __future__ import annotations
import __future__

import ast
import copy
import linecache
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any

OVERRIDE = "__tidegate_source__"
"""An attribute of a function: the text to take for its source."""

HEADING = "__tidegate_heading__"
"""An attribute of a function that is a cell: its first line, with the options of the flow."""

_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)
_FILES = 64
"""Parsed files that are kept."""


_parsing = threading.Lock()
_TRIES = 10


def _parsed(text: str, filename: str = "<unknown>") -> ast.Module:
    """`ast.parse`, from any thread.  Raises as that.

    CPython 3.11 counts how deep it is in a tree for all threads together, and fails with a SystemError when two that
    make trees at once take turns in between.  Ours wait for each other; a cell that the notebook compiles does not.
    """
    with _parsing:
        for _ in range(_TRIES - 1):
            with suppress(SystemError):
                return ast.parse(text, filename)
        return ast.parse(text, filename)


def read(made: FunctionType | type) -> str:
    """A text that changes when what the code does may have changed; never fails."""
    if isinstance(made, type):
        return _class_source(made)
    given = vars(made).get(OVERRIDE)
    if isinstance(given, str) and "__wrapped__" not in vars(made):  # a wrapper has it by copy
        return _from_text(given)
    try:
        found = _find(made.__code__)
    except (SyntaxError, ValueError, RecursionError):
        found = None
    return repr(_material(made.__code__, made.__doc__)) if found is None else found


def _from_text(given: str) -> str:
    try:
        tree = _parsed(textwrap.dedent(given))
        return _normal(tree.body[0] if len(tree.body) == 1 else tree)
    except (SyntaxError, ValueError, RecursionError):
        return given


def _normal(node: ast.AST) -> str:
    node = copy.deepcopy(node)
    for each in ast.walk(node):
        if isinstance(each, ast.Constant):
            each.kind = None  # u"..."
        elif isinstance(each, (*_DEFS, ast.ClassDef)) and ast.get_docstring(each, clean=False) is not None:
            each.body = each.body[1:] or [ast.Pass()]
    if isinstance(node, _DEFS):
        node.decorator_list = []  # what they made of it is looked at as it is
    return ast.dump(node)


class _File:
    """A parsed file or cell: its functions by name and first line, its classes by name."""

    def __init__(self, filename: str, lines: list[str]) -> None:
        self.lines = lines
        self.functions: dict[tuple[str, int], list[tuple[ast.AST, ast.stmt]]] = {}
        self.classes: dict[str, list[ast.ClassDef]] = {}
        # The text of a flow cell begins with its magic.
        text = "".join(["\n", *lines[1:]] if lines[0].startswith("%%") else lines)
        tree = _parsed(text, filename)
        self.imports = [*_imports(tree)]
        for statement in tree.body:
            for node in ast.walk(statement):
                if isinstance(node, _DEFS):
                    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                    self.functions.setdefault((node.name, first), []).append((node, statement))
                elif isinstance(node, ast.Lambda):
                    self.functions.setdefault(("<lambda>", node.lineno), []).append((node, statement))
                elif isinstance(node, ast.ClassDef):
                    self.classes.setdefault(node.name, []).append(node)


def _imports(tree: ast.AST) -> Iterator[ast.stmt]:
    """The imports of a module itself, not those in its functions."""
    todo = [tree]
    while todo:
        for each in ast.iter_child_nodes(todo.pop()):
            if isinstance(each, (ast.Import, ast.ImportFrom)) and getattr(each, "module", "") != "__future__":
                yield each
            elif not isinstance(each, (*_DEFS, ast.ClassDef, ast.expr)):
                todo.append(each)


_BEGUN = time.time()
_files: dict[str, _File] = {}


def _file(filename: str) -> _File | None:
    """The file as it is now; null if there is none.  Raises `SyntaxError`."""
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    if not lines:
        return None
    found = _files.get(filename)
    if found is None or found.lines is not lines:
        if len(_files) >= _FILES:
            _files.clear()
        found = _files[filename] = _File(filename, lines)
    return found


def _edited(filename: str) -> bool:
    """True if the file is newer than this process, so that its classes may be older than it."""
    entry: Any = linecache.cache.get(filename)
    return entry is not None and len(entry) == 4 and entry[1] is not None and entry[1] > _BEGUN


def _find(code: CodeType) -> str | None:
    """The normal source of a function; null if there is none, or none that can be told to be what runs."""
    file = _file(code.co_filename)
    found = [] if file is None else file.functions.get((code.co_name, code.co_firstlineno), [])
    if file is None or len(found) != 1:  # two lambdas on a line
        return None
    node, statement = found[0]
    # Python calls the functions of an imported module by other bytecode than the methods of an object.
    return _normal(node) if _compiles_to([*file.imports, statement], code) else None


def _compiles_to(statements: list[ast.stmt], code: CodeType) -> bool:
    flags = code.co_flags & __future__.annotations.compiler_flag | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    module = ast.Module(statements, type_ignores=[])
    compiled = compile(module, code.co_filename, "exec", flags, dont_inherit=True)
    wanted = _material(code)
    return any(
        each.co_name == code.co_name and each.co_firstlineno == code.co_firstlineno and _material(each) == wanted
        for each in _codes(compiled)
    )


def _codes(code: CodeType) -> Iterator[CodeType]:
    todo = [code]
    while todo:
        each = todo.pop()
        yield each
        todo.extend(const for const in each.co_consts if isinstance(const, CodeType))


def _material(code: CodeType, docstring: str | None = None) -> tuple[Any, ...]:
    """What a code object does, as texts; where it was written is no part of it."""
    consts = [_const(each) for each in code.co_consts]
    if docstring is not None and consts and consts[0] == repr(docstring):
        consts[0] = repr(None)
    return (
        code.co_code.hex(),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_exceptiontable.hex(),
        tuple(consts),
    )


def _const(const: Any) -> Any:
    if isinstance(const, CodeType):
        return _material(const)
    # The order of a set differs from one process to the next.
    return sorted(map(repr, const)) if isinstance(const, frozenset) else repr(const)


def _class_source(made: type) -> str:
    """The source of a class; empty if it is not found.  (`inspect` does not find the classes of a notebook.)"""
    codes = [each.__code__ for each in vars(made).values() if isinstance(each, FunctionType)]
    module = getattr(sys.modules.get(made.__module__), "__file__", None)
    for filename in dict.fromkeys([*(code.co_filename for code in codes), *([module] if module else [])]):
        try:
            file = _file(filename)
            found = [] if file is None or _edited(filename) else file.classes.get(made.__name__, [])
            if len(found) == 1:
                return _normal(found[0])
        except (SyntaxError, ValueError, RecursionError):
            continue
    return ""
