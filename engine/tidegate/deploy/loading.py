"""Loading flows by name: from a script, a module or a notebook, without running any.

A script runs as a module that is not ``__main__``, and a flow that it calls by the way does nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ..context import blocked, frame
from ..errors import FlowNotFound, ScriptError, TidegateError, UnspecifiedFlow, UsageError
from ..flow import Flow

FILE = re.compile(r"(?P<path>.*?\.(?:py|ipynb))(?::(?P<name>.*))?", re.DOTALL)
_NOT_THE_USERS = (str(Path(__file__).resolve().parents[1]), str(importlib.__file__), "<frozen importlib")
_loading = threading.RLock()
"""Held while code is loaded: the search path belongs to all threads."""


def load_flow(target: str) -> Flow[..., Any]:
    """The flow that `target` names: ``file.py``, ``file.py:name``, ``notebook.ipynb``, ``notebook.ipynb:name`` or
    ``package.module:name``.

    The name is the flow's own or that of its variable; without one there must be just one flow.  Of the flows of a
    script those that it imports do not count, unless named.  The code is executed, flows that it calls are not.
    Raises `FlowNotFound`, `UnspecifiedFlow`, and `ScriptError` for code that raises.
    """
    file = FILE.fullmatch(target)
    path = Path(file["path"] if file else "").expanduser()
    if file is None:
        module, _, name = target.partition(":")
        return pick(_import(module), name or None, module)
    if not path.is_file():
        raise FlowNotFound(f"There is no file {path}. Give file.py:name, notebook.ipynb:name or package.module:name.")
    if path.suffix == ".ipynb":
        from .notebooks import load_notebook  # it needs what is defined here

        return load_notebook(path, file["name"] or None)
    return pick(_run_script(path), file["name"] or None, str(path))


@contextmanager
def block_code_execution() -> Iterator[None]:
    """Have calls of flows give null, log a warning and record nothing; tasks are just their functions.

    Holds for this thread or asyncio task and what it calls.
    """
    token, around = blocked.set(True), frame.set(None)
    try:
        yield
    finally:
        frame.reset(around)
        blocked.reset(token)


def is_blocked() -> bool:
    """True where calls of flows do nothing."""
    return blocked.get()


def pick(module: ModuleType, name: str | None, where: str, others: Iterable[str] = ()) -> Flow[..., Any]:
    """The flow of that name among those that a module holds.

    Raises `FlowNotFound` and `UnspecifiedFlow`, which list them, and `others` that were looked through before.
    """
    held = {variable: each for variable, each in list(vars(module).items()) if isinstance(each, Flow)}
    if name is None:
        own = [each for each in held.values() if getattr(each.fn, "__module__", None) == module.__name__]
        found = own or list(held.values())
    else:
        found = [held[name]] if name in held else [each for each in held.values() if each.name == name]
    the_only(len({id(each) for each in found}), name, where, [*others, *names_of(held)])
    return found[0]


def the_only(found: int, name: str | None, where: str, there: Iterable[str]) -> None:
    """See that one flow was found, and not none or several of those that are `there`."""
    known = ", ".join(dict.fromkeys(there))
    if not known:
        raise FlowNotFound(f"There is no flow in {where}. Put @flow on a function, or %%flow on a cell.")
    if not found:
        raise FlowNotFound(f"There is no flow {name!r} in {where}. There are: {known}.")
    if found > 1:
        which = "several flows" if name is None else f"several flows called {name!r}"
        raise UnspecifiedFlow(f"There are {which} in {where}: {known}. Say which one, as FILE:NAME.")


def names_of(held: Mapping[str, Flow[..., Any]]) -> list[str]:
    """The flows of a namespace for people: each name, and the variable where the name does not tell it."""
    return [
        each.name if each.name.replace("-", "_") == variable else f"{each.name} (variable {variable})"
        for variable, each in held.items()
    ]


# Code -----------------------------------------------------------------------------------------------------------------


def _run_script(path: Path) -> ModuleType:
    path = path.resolve()
    module = new_module(path)
    with loading(path.name, path.parent), registered(module):
        # Not by the import system: its cache takes an edited file for the old one if time and size are the same.
        exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), vars(module))
    return module


def new_module(path: Path) -> ModuleType:
    """An empty module for the code of a file, under a name of its own that nobody imports."""
    digest = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:8]
    stem = re.sub(r"\W", "_", path.stem)
    name = f"__tidegate_loader_{stem}_{digest}__"
    spec = importlib.util.spec_from_file_location(name, path) if path.suffix == ".py" else None
    return ModuleType(name) if spec is None else importlib.util.module_from_spec(spec)


@contextmanager
def registered(module: ModuleType) -> Iterator[None]:
    """Have the module known to Python, as dataclasses, pickle and inspect expect; for good, if nothing is raised."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        yield
    except BaseException:
        del sys.modules[module.__name__]
        if before is not None:
            sys.modules[module.__name__] = before
        raise


@contextmanager
def loading(what: str, folder: Path) -> Iterator[None]:
    """Around code that is executed to find flows: they are blocked, imports from `folder` work, errors are wrapped."""
    with _loading, block_code_execution():
        sys.path.insert(0, str(folder))
        try:
            yield
        except TidegateError as error:
            if not _frames(error):  # ours, and not of the code
                raise
            raise wrapped(error, what) from error
        except (Exception, SystemExit) as error:
            raise wrapped(error, what) from error
        finally:
            if str(folder) in sys.path:
                sys.path.remove(str(folder))


def wrapped(error: BaseException, what: str) -> ScriptError:
    """The error of a script, with the traceback of the user's frames alone."""
    frames = traceback.format_list(_frames(error))
    told = [*(["Traceback (most recent call last):\n"] if frames else []), *frames]
    told += traceback.format_exception_only(error)
    return ScriptError(f"{what} raised {type(error).__name__} while it was loaded.\n\n{''.join(told).rstrip()}")


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of an error that are neither ours nor of Python's own import."""
    frames = traceback.extract_tb(error.__traceback__)
    return [each for each in frames if not each.filename.startswith(_NOT_THE_USERS)]


def _import(name: str) -> ModuleType:
    """The module of a dotted name; the working folder is searched too, as ``python -m`` does."""
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
        raise UsageError(f"{name!r} is no file and no module. Give file.py:name, notebook.ipynb:name or module:name.")
    with loading(name, Path.cwd()):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not _frames(error) and error.name is not None and f"{name}.".startswith(f"{error.name}."):
                text = f"There is no module {name!r} that can be imported from {Path.cwd()}."
                raise FlowNotFound(text) from None
            raise
