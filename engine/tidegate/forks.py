"""Processes that user code forks while flows run in this one.

A child has all that stands around in memory and none of the threads that were at work on it.  What it does with the
store of its parent is lost at best: SQLite must not be used across a fork, not even to close a file, and its locks are
the parent's.  So in the child the store is refused, in one line; the runs that were at work stay the parent's; and when
the code that has forked comes to the end of its task or flow, the child ends.  A child that does something of its own,
as those of `multiprocessing`, is none the worse for it, and may run flows over a store that its parent did not have
open.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextlib import suppress
from typing import NoReturn, Protocol
from weakref import ref

FORKED = "this process was forked from one that has it open. Start a new process ('spawn') in its place"

PATIENCE = 5.0
"""Seconds after which a child ends although what it has printed is not written: a thread that is not here any more may
hold what that takes."""


class Forkable(Protocol):
    """Something that is another thing in a forked child."""

    def begin_anew(self) -> None:
        """Called in the child: let go of what is the parent's, without a look at any lock."""
        ...


_watched: set[ref[Forkable]] = set()


def watch(each: Forkable) -> None:
    """Have it told in each child that is forked, as long as it lives."""
    _watched.add(ref(each, _watched.discard))


def leave(name: str, failure: BaseException | None) -> NoReturn:
    """End this forked child, whose code has come to the end of `name`, which belongs to its parent.

    As Python would have ended it: with the code of an exit, or with the traceback of an exception.  One that simply
    went on beyond the code that was meant for it is told so.
    """
    code = 1
    if isinstance(failure, SystemExit):
        code = _exit_code(failure.code)
    waits = threading.Timer(PATIENCE, os._exit, (code,))
    waits.daemon = True
    waits.start()
    with suppress(Exception):
        if failure is None:
            told = f"A child that {name!r} has forked went on beyond it, and ends here: leave it by `os._exit`."
            print(told, file=sys.stderr)
        elif not isinstance(failure, SystemExit):
            traceback.print_exception(failure)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    os._exit(code)  # not by way of what is registered for the end, which is the parent's, as in `multiprocessing`


def _exit_code(given: object) -> int:
    if given is None or isinstance(given, int):
        return (given or 0) & 0xFF
    print(given, file=sys.stderr)
    return 1


def _begin_anew() -> None:
    for each in tuple(_watched):
        found = each()
        if found is not None:
            found.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)
