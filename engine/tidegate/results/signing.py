"""The key by which you know your own pickles: 32 random bytes in a file that only you can read."""

from __future__ import annotations

import contextlib
import errno
import hmac
import os
import secrets
import threading
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .files import open_plain, why, write_new

_LENGTH = 32
_AWAY = "Move it away: a new one is made, and older results that need it run again."


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
        file = open_plain(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"The key {path} cannot be read ({why(error)}). {_AWAY}") from error
    with file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid():
            raise StoreError(f"The key {path} belongs to another user. {_AWAY}")
        if found.st_mode & 0o077:
            raise StoreError(
                f"The key {path} is open to others, who could sign pickles as you. If nobody did: chmod 600 {path}."
            )
        key = file.read(_LENGTH + 1)
    if len(key) != _LENGTH:
        raise StoreError(f"The key {path} is damaged. {_AWAY}")
    return key


def make_key(path: Path) -> None:
    """Make a key, whole or not at all; if another process was quicker, its key stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            write_new(draft, secrets.token_bytes(_LENGTH))
            with contextlib.suppress(FileExistsError):
                _link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"No key for signing results can be made in {path.parent} ({why(error)}). Make that folder writable."
        ) from error


def _link(draft: Path, path: Path) -> None:
    """Give the draft its name, unless that is taken; a rename would replace the key of whoever was quicker."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        write_new(path, draft.read_bytes())  # a file system without links: not whole at once, but still one key
