"""Tracebacks as the user should see them: from the cell to his own code, without a frame of ours in between."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq

import tidegate
import tidegate_widgets

_PACKAGES = (tidegate.__file__, tidegate_widgets.__file__, __file__, zmq.__file__, asyncio.__file__)
_HIDDEN = (*(str(Path(file).parent) for file in _PACKAGES), threading.__file__, "zmq/")  # Cython's paths are relative
"""What a thread is in when it waits for us: our own code, and the libraries that wait."""

_NOT_USERS = (*_HIDDEN, str(Path(os.__file__).parent))


def from_cell(error: BaseException, filename: str) -> BaseException:
    """The error with a traceback that begins in the cell of that file name.

    IPython hides frames that ask for it, but says how many, and always shows the last one; so they are taken out.
    Where nothing of the user's is left, such as for a cancelled run, the error is shown as its one line.
    """
    frames = [each for each in _entries(error) if not each.tb_frame.f_code.co_filename.startswith(_HIDDEN)]
    names = [each.tb_frame.f_code.co_filename for each in frames]
    frames = frames[names.index(filename) :] if filename in names else []
    if not frames:
        line = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        shown: Any = error
        shown._render_traceback_ = lambda: [line]
    return error.with_traceback(_chain(frames))


def show_plainly(
    shell: Any, kind: type[BaseException], error: BaseException, traceback: Any, tb_offset: Any = None
) -> Any:
    """Show an error of ours up to the user's line that led to it; what the engine does below that is of no use to him.

    A handler for `InteractiveShell.set_custom_exc`.
    """
    frames = _entries(error)
    while len(frames) > 1 and frames[-1].tb_frame.f_code.co_filename.startswith(_HIDDEN):
        frames.pop()
    shown = error.with_traceback(_chain(frames))
    cause = shown.__cause__
    if cause is not None and all(each.tb_frame.f_code.co_filename.startswith(_NOT_USERS) for each in _entries(cause)):
        shown.__cause__ = None  # the text says what it was
    lines = shell.InteractiveTB.structured_traceback(kind, shown, shown.__traceback__, tb_offset=tb_offset)
    if cause is not None:
        shown.__cause__ = cause
    shell._showtraceback(kind, shown, lines)
    return lines


def _chain(frames: list[TracebackType]) -> TracebackType | None:
    chain: TracebackType | None = None
    for each in reversed(frames):
        chain = TracebackType(chain, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return chain


def _entries(error: BaseException) -> list[TracebackType]:
    entries, entry = [], error.__traceback__
    while entry is not None:
        entries.append(entry)
        entry = entry.tb_next
    return entries
