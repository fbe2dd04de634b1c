"""Files that hold what others must not see or swap: opened without following a link, made for the user alone."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_plain(path: str | Path, folder: int | None = None) -> BinaryIO:
    """A file for reading; `path` is taken from the folder of that descriptor, if one is given.

    Raises `OSError` for a symbolic link, and for anything else that is not a file.
    """
    # Not blocking: a pipe in its place would hang us.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def write_new(path: str | Path, data: bytes, folder: int | None = None) -> None:
    """A new file, readable by the user alone; on the disk, but for its name, once this returns."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def why(error: OSError) -> str:
    """What an error of a file means, in a few words."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a symbolic link, or a file for a folder, is in the way"
    return error.strerror or type(error).__name__
