"""The parameters of a notebook: what its cell tagged ``parameters`` assigns, as papermill has it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from typing import Any

from tidegate.deploy.given_values import value_of
from tidegate.parameters import is_recordable

_TAGS = frozenset({"parameters", "injected-parameters"})
_HEADING = re.compile(r"\s*#\s*parameters\b", re.IGNORECASE)
"""How papermill begins the cell that it puts in; and for front ends that do not tell the kernel of tags."""


class NotebookParameters:
    """Watches for that cell, and gives ``%%flow`` cells their parameters."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._annotations: dict[str, ast.expr | None] = {}

    def start(self) -> None:
        """From now on."""
        self._shell.events.register("post_run_cell", self._ran)

    def stop(self) -> None:
        """No more."""
        self._shell.events.unregister("post_run_cell", self._ran)

    def _ran(self, result: Any) -> None:
        """A cell was run; if it is that one, know its names."""
        text = result.info.raw_cell
        if not result.success or not (_HEADING.match(text) or _TAGS & set(self._tags())):
            return
        for each in ast.parse(self._shell.transform_cell(text)).body:
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                self._annotations[each.target.id] = each.annotation
            elif isinstance(each, ast.Assign):
                names = [target.id for target in each.targets if isinstance(target, ast.Name)]
                self._annotations.update(dict.fromkeys(names))

    def _tags(self) -> list[str]:
        """The tags of the present cell, where the front end says them."""
        parent = getattr(self._shell, "get_parent", None)
        metadata = (None if parent is None else parent().get("metadata")) or {}
        tags = metadata.get("tags") or []
        return [each for each in tags if isinstance(each, str)]

    def of_flow(self, given: Mapping[str, str], recorded: Mapping[str, Any]) -> list[inspect.Parameter]:
        """The parameters of a cell: those of the notebook as they are now, and those that its first line gives.

        What the line gives has the type that the notebook's cell says, by an annotation or by its value.  `recorded`
        are those of a run that goes on: they need no such cell.
        """
        names = self._shell.user_ns
        found = {name: names[name] for name in self._annotations if name in names and is_recordable(names[name])}
        made = {name: _parameter(name, value) for name, value in {**recorded, **found}.items()}
        for name, text in given.items():
            kind = self._kind(name)
            made[name] = _parameter(name, text if kind is str else value_of(text), kind)
        return list(made.values())

    def _kind(self, name: str) -> Any:
        names = self._shell.user_ns
        annotation = self._annotations.get(name)
        if annotation is not None:
            try:
                return eval(compile(ast.Expression(annotation), "<annotation>", "eval"), names)
            except Exception:  # it is the user's, and says nothing then
                return inspect.Parameter.empty
        if name in self._annotations and type(names.get(name)) in (bool, int, float, str, list, dict):
            return type(names[name])
        return inspect.Parameter.empty


def _parameter(name: str, value: Any, kind: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
