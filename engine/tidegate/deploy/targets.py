"""A flow by name, and parameters for it, of which a notebook takes some itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..flow import Flow
from .loading import FILE, load_flow
from .notebooks import load_notebook, notebook_parameters


def load_with(target: str, given: Mapping[str, Any]) -> tuple[Flow[..., Any], dict[str, Any]]:
    """The flow that `target` names, and which of the parameters are for its function.

    What the cell of a notebook that is tagged ``parameters`` assigns is changed there; all else is for the function,
    and so is what both know.  Raises what `load_flow` raises, and `UsageError` for what a notebook does not know.
    """
    file = FILE.fullmatch(target)
    path = Path(file["path"] if file else "").expanduser()
    if file is None or path.suffix != ".ipynb" or not path.is_file():
        return load_flow(target), dict(given)
    assigned = notebook_parameters(path)
    flow = load_notebook(path, file["name"] or None, {name: given[name] for name in given if name in assigned})
    takes = flow.signature.parameters
    left = {name: value for name, value in given.items() if name in takes or name not in assigned}
    unknown = [name for name in left if name not in takes]
    if unknown and flow.body_text:  # a cell
        known = f"It has {', '.join(assigned)}." if assigned else "Give the cell that assigns it the tag parameters."
        raise UsageError(f"{path} has no parameter {unknown[0]!r}. {known}")
    return flow, left


def search_beside(target: str) -> None:
    """Have imports search the folder of a file, or for a module the working folder, as running it would.

    For the whole process, and for good: for one that was started to run this flow.
    """
    file = FILE.fullmatch(target)
    folder = str(Path(file["path"]).expanduser().resolve().parent if file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
