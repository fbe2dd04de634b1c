"""Which processes that use a store are still alive.

Each holds a lock on a file of its own, in a folder beside the store, until it closes the store; the lock goes with the
process, however that ends.  A heartbeat was not chosen: it falls silent while one C call keeps the interpreter for
seconds, and when the machine sleeps.  Nor was `flock`, which a forked child would go on holding.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import threading
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

_NAME = re.compile("[0-9a-f]{32}")


class _Self:
    """This process: its name, and the folders in which it holds its lock."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.lock = threading.Lock()
        self.held: dict[Path, int] = {}
        self.users: Counter[Path] = Counter()
        """The open stores beside each folder."""


_self = _Self()


def own_name(folder: Path) -> str:
    """The name of this process, which from now on is alive for all who look into `folder`.  Raises `OSError`."""
    here = _self
    with here.lock:
        if folder not in here.held:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for each in folder.iterdir():
                is_alive(folder, each.name)  # clears away what the dead have left
            here.held[folder] = _hold(folder / here.name)
    return here.name


def join(folder: Path) -> None:
    """A store is opened whose processes are told in that folder."""
    with _self.lock:
        _self.users[folder] += 1


def leave(folder: Path) -> None:
    """It is closed.  With the last of them this process is no longer alive for that folder."""
    with _self.lock:
        _self.users[folder] -= 1
        if _self.users[folder] <= 0:
            del _self.users[folder]
            file = _self.held.pop(folder, None)
            if file is not None:
                with suppress(OSError):
                    (folder / _self.name).unlink(missing_ok=True)
                os.close(file)


def is_alive(folder: Path, name: str) -> bool:
    """True if the process of that name has not ended, or if that cannot be told."""
    if name == _self.name:
        return True  # not to be tried: closing a file drops every lock that this process has on it
    if not _NAME.fullmatch(name):
        return False  # and no file of ours, whatever a store says that was tampered with
    path = folder / name
    try:
        file = os.open(path, os.O_RDWR)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def others(folder: Path) -> bool:
    """True if another process than this one is alive."""
    try:
        names = [each.name for each in folder.iterdir()]
    except FileNotFoundError:
        return False
    return any(name != _self.name and is_alive(folder, name) for name in names)


def _hold(path: Path) -> int:
    """Make the file and lock it, until it is closed or this process ends."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(file, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
            return file
        os.close(file)  # somebody found it before it was locked, and took its owner for dead


def _begin_anew() -> None:
    """A forked child is another process: it has no lock, and takes none over."""
    global _self
    _self = _Self()


def _clear_away() -> None:
    """A process that ends in order leaves no file for others to find."""
    for folder in _self.held:
        (folder / _self.name).unlink(missing_ok=True)


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(_clear_away)
