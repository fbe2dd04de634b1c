"""Code cells of a notebook as plain Python.

Magics need the IPython of a kernel, and there is none: a line that only IPython understands is left out, with a note in
the log.  It is found by Python refusing it, and not by how it begins alone, which a line in the middle of an expression
or of a text may do as well.
"""

from __future__ import annotations

import ast
import logging
import re
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_MAGIC = re.compile(r"\s*[%!?]|[\w.,\s]+=\s*[%!]|\s*[\w.*]+\?{1,2}\s*$")
"""A line that may be for IPython: ``%cd x``, ``!ls``, ``?x``, ``files = !ls``, ``x??``."""

_PYTHON_INSIDE = ("%%flow", "%%time", "%%capture")
"""Cell magics whose body is executed all the same."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell; `number` counts the code cells of the notebook from 1."""

    number: int
    source: str
    tags: tuple[str, ...]
    filename: str
    """What tracebacks call it."""

    @property
    def flow_line(self) -> str | None:
        """What stands behind ``%%flow``; null if the cell is no flow."""
        first = self.source.lstrip().split("\n", 1)[0]
        return first[len("%%flow") :].strip() if re.match(r"%%flow(\s|$)", first) else None

    def tree(self) -> ast.Module:
        """The cell as Python, lines where they are.  Raises the user's own SyntaxError."""
        lines = self._lines()
        while True:
            try:
                return ast.parse("\n".join(lines), self.filename)
            except SyntaxError as error:
                at = (error.lineno or 0) - 1
                if not 0 <= at < len(lines) or not _MAGIC.match(lines[at]):
                    raise
                self._leave_out(lines, at)

    def _lines(self) -> list[str]:
        """The lines of the cell, without a cell magic; none if its body is not Python."""
        lines = self.source.split("\n")
        first = next((at for at, line in enumerate(lines) if line.strip()), 0)
        if lines[first].startswith("%%"):
            magic = lines[first].split()[0]
            if magic not in _PYTHON_INSIDE:
                _log.warning("%s is left out, %s needs a notebook.", self.filename, magic)
                return []
            lines[first] = ""
        return lines

    def _leave_out(self, lines: list[str], at: int) -> None:
        """Put ``pass`` in the place of a line, so that blocks stay whole."""
        line = lines[at]
        _log.warning("%s: line %d is left out, it needs a notebook: %.80s", self.filename, at + 1, line.strip())
        lines[at] = f"{line[: len(line) - len(line.lstrip())]}pass"
        while line.endswith("\\") and at + 1 < len(lines):
            at += 1
            line, lines[at] = lines[at], ""
