"""House rules that no linter of ours checks: short files, functions that fit a screen, everything annotated."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["engine", "widgets/tidegate_widgets", "kernel_ext"]
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def missing_annotations(function: ast.FunctionDef | ast.AsyncFunctionDef, method: bool) -> list[str]:
    given = function.args
    named = [*given.posonlyargs, *given.args]
    static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)
    checked = [*(named[1:] if method and not static else named), *given.kwonlyargs]
    checked += [each for each in (given.vararg, given.kwarg) if each is not None]
    missing = [each.arg for each in checked if each.annotation is None]
    return missing if function.returns is not None else [*missing, "return"]


def problems(source: str) -> list[str]:
    """What is wrong with a source text."""
    tree = ast.parse(source)
    methods = {
        id(each) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for each in ast.iter_child_nodes(node)
    }
    found = [f"{lines} lines"] if (lines := len(source.splitlines())) > LONGEST_FILE else []
    for function in functions(tree):
        if (lines := body_lines(function)) > LONGEST_FUNCTION:
            found.append(f"{function.name} (line {function.lineno}) has {lines} lines")
        missing = missing_annotations(function, id(function) in methods)
        if missing:
            found.append(f"{function.name} (line {function.lineno}) has no annotation for {', '.join(missing)}")
    return found


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_a_file_keeps_the_rules(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8")) == []


def test_the_rules_can_be_broken() -> None:
    assert problems("def f(a, *, b: int, **c): return 1") == ["f (line 1) has no annotation for a, c, return"]
    assert problems("class A:\n    def f(self, a) -> None: ...") == ["f (line 2) has no annotation for a"]
    assert problems("class A:\n    @staticmethod\n    def f(a: int) -> None: ...") == []
    assert problems("def f() -> None:\n" + "    x = 1\n" * 61) == ["f (line 1) has 61 lines"]
    assert problems('def f() -> None:\n    """' + "\n" * 90 + '"""\n' + "    x = 1\n" * 60) == []
    assert problems("x = 1\n" * 401) == ["401 lines"]
