"""The key by which you know your own pickles: 32 random bytes in a file that only you can read."""

from __future__ import annotations

import contextlib
import errno
import hmac
import os
import secrets
import stat
import threading
from pathlib import Path
from typing import Any

from ..errors import StoreError

_LENGTH = 32


class Signer:
    """Signs bytes with your key, and recognises what was signed with it.  Any thread may use it.

    The key is the file ``results.key`` in `folder`, by default the folder for your settings of Tidegate.  It is read
    once, when first needed, and made when there is something to sign and no key.  `StoreError` says why one cannot be
    used.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = None if folder is None else Path(folder).expanduser().absolute()
        self._lock = threading.Lock()
        self._start: Any = None  # the state of the MAC after the key, which is copied for each signature

    @property
    def path(self) -> Path:
        """The file of the key."""
        if self._folder is None:
            from platformdirs import user_config_path  # not for flows that sign nothing

            self._folder = user_config_path("tidegate")
        return self._folder / "results.key"

    def sign(self, *parts: bytes) -> str:
        """The signature of the parts taken together: 64 hex digits."""
        mac = (self._start or self._opened(make=True)).copy()
        for part in parts:
            mac.update(part)
        return mac.hexdigest()  # type: ignore[no-any-return]  # of hmac

    def verify(self, signature: str, *parts: bytes) -> bool:
        """True if we signed these parts.  Without a key nothing was, and none is made."""
        if self._start is None and self._opened(make=False) is None:
            return False
        # As bytes: compare_digest refuses text that is not ASCII.
        return hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), self.sign(*parts).encode())

    def _opened(self, make: bool) -> Any:
        with self._lock:
            if self._start is None:
                key = read_key(self.path)
                if key is None and make:
                    make_key(self.path)
                    key = read_key(self.path)
                    if key is None:
                        raise StoreError(f"The key {self.path} was removed as soon as it was made. Try again.")
                if key is not None:
                    self._start = hmac.new(key, digestmod="sha256")
            return self._start


def read_key(path: Path) -> bytes | None:
    """The key in a file; none if there is no such file.  Raises `StoreError` for one that is not safe to use."""
    try:
        # Not blocking: a pipe in its place would hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
        raise StoreError(
            f"The key {path} {why}. Move it away and a new one is made; older results are lost."
        ) from error
    with open(descriptor, "rb") as file:  # noqa: PTH123  # of a descriptor
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"The key {path} is not a file. Move it away and a new one is made.")
        if found.st_uid != os.geteuid():
            raise StoreError(f"The key {path} belongs to another user. Move it away and a new one is made.")
        if found.st_mode & 0o077:
            raise StoreError(
                f"The key {path} can be read by others, who could sign pickles as you. If nobody did: chmod 600 {path}."
            )
        key = file.read(_LENGTH + 1)
    if len(key) != _LENGTH:
        raise StoreError(f"The key {path} is damaged. Move it away and a new one is made; older results are lost.")
    return key


def make_key(path: Path) -> None:
    """Make a key, whole or not at all; if another process was quicker, its key stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            _write_new(draft, secrets.token_bytes(_LENGTH))
            with contextlib.suppress(FileExistsError):
                _link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"No key for signing results can be made in {path.parent} ({error.strerror}). Make that folder writable."
        ) from error


def _link(draft: Path, path: Path) -> None:
    """Give the draft its name, unless that is taken; a rename would replace the key of whoever was quicker."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        _write_new(path, draft.read_bytes())  # a file system without links: not whole at once, but still one key


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123  # of a descriptor
        file.write(data)
        file.flush()
        os.fsync(descriptor)
