"""Where large results lie: files that are named by the SHA-256 of what is in them.

The name makes writing twice harmless, and tells a reader whether a file is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from ..errors import InvalidOption, MissingResult, StoreError
from .files import open_plain, why, write_new
from .reasons import first_line

_KEY = re.compile("[0-9a-f]{64}")
_SWEPT = ".swept."
"""Begins the name of a file that is being removed."""


class ResultStorage(Protocol):
    """Keeps bytes under a key that is made of them.  Any thread may call it."""

    def write(self, data: bytes) -> str:
        """Keep the bytes and return their key: SHA-256 in 64 hex digits.  They are safe once this returns.

        Raises `StoreError` if they cannot be kept.
        """
        ...

    def read(self, key: str) -> bytes:
        """The bytes of a key.  Raises `MissingResult` if they are gone, or are no longer what was written."""
        ...

    def delete(self, key: str) -> None:
        """Forget the bytes of a key; nothing happens if they are gone already."""
        ...

    def describe(self) -> str:
        """Where this is, for people; never a secret."""
        ...


def key_of(data: bytes) -> str:
    """The key under which bytes are kept."""
    return hashlib.sha256(data).hexdigest()


def checked_key(key: Any) -> str:
    """The key, if it is one: what is made into a path is 64 hex digits and nothing else.  Raises `MissingResult`."""
    if type(key) is not str or not _KEY.fullmatch(key):
        raise MissingResult(f"{key!r:.80} is no key of a saved result, which is 64 hex digits.")
    return key


def _whole(data: bytes, key: str, where: str) -> bytes:
    if key_of(data) != key:
        raise MissingResult(f"The saved result {key} in {where} is damaged, and was not loaded.")
    return data


class FileStorage:
    """A folder on this machine.  Files are readable by you alone, and on the disk before a key is given out.

    Below the folder no symbolic link is followed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        """The folder; made when first written to."""

    def describe(self) -> str:
        """The folder."""
        return str(self.folder)

    def write(self, data: bytes) -> str:
        """Keep the bytes and return their key.  What is there already, and whole, is left as it is."""
        key = key_of(data)
        try:
            self._make()
            with self._parent(key, make=True) as parent:
                with contextlib.suppress(OSError):
                    os.utime(key, dir_fd=parent)  # before the look: whoever sweeps sees that it is wanted again
                if not _is_whole(key, parent):
                    _write_whole(key, data, parent)
                # Also for a file that was there: whoever wrote it may not have come this far yet.
                os.fsync(parent)
        except OSError as error:
            raise StoreError(f"The result cannot be saved in {self.folder} ({why(error)}).") from error
        return key

    def read(self, key: str) -> bytes:
        """The bytes of a key.  Raises `MissingResult`."""
        name = checked_key(key)
        try:
            with self._parent(name) as parent:
                data = _read(name, parent)
        except FileNotFoundError as error:
            raise MissingResult(f"The saved result {name} is gone from {self.folder}.") from error
        except OSError as error:
            raise MissingResult(f"The saved result {name} in {self.folder} cannot be read ({why(error)}).") from error
        return _whole(data, name, str(self.folder))

    def delete(self, key: str) -> None:
        """Forget the bytes of a key."""
        name = checked_key(key)
        try:
            with self._parent(name) as parent:
                os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"The result {name} in {self.folder} cannot be removed ({why(error)}).") from error

    def sweep(self, named: Container[str], older: float, *, pretend: bool = False) -> tuple[int, int]:
        """Remove the files whose keys are not `named` and that nobody has written since `older`, in seconds since the
        epoch; how many these were, and their bytes.  With `pretend` they are only counted.

        Whoever writes a file that is there already marks it with the present time, and only then looks whether it is
        whole.  So it is moved out of the way, looked at once more, and put back if it was marked meanwhile.
        """
        files, size = 0, 0
        for path in self.folder.glob("??/??/*") if self.folder.is_dir() else ():
            key = path.name.removeprefix(_SWEPT)
            if key in named and path.name == key:
                continue
            with contextlib.suppress(OSError, ValueError):
                # Through the folder's descriptor, as everything here: a link in its place is not followed.
                with self._parent("".join(path.parts[-3:-1])) as parent:
                    removed = _sweep(path.name, key, key in named, parent, older, pretend)
                if removed is not None:
                    files, size = files + 1, size + removed
        return files, size

    def _make(self) -> None:
        if self.folder.is_dir():
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        above = os.open(self.folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(above)
        finally:
            os.close(above)

    @contextlib.contextmanager
    def _parent(self, key: str, make: bool = False) -> Iterator[int]:
        """A descriptor of the folder that holds the file of a key.

        Step by step from descriptor to descriptor: a check of the path as a whole could be true and outdated.
        """
        parent = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in (key[:2], key[2:4]):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o700, dir_fd=parent)
                        os.fsync(parent)
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
                os.close(parent)
                parent = below
            yield parent
        finally:
            os.close(parent)


def _sweep(name: str, key: str, named: bool, parent: int, older: float, pretend: bool) -> int | None:
    """Remove one file if nobody wants it; its bytes, or null if it stays."""
    if not _KEY.fullmatch(key) and not name.startswith("."):  # nor a draft that was left behind
        return None
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    wanted = named or status.st_mtime >= older
    if wanted and name == key:
        return None
    if pretend:
        return status.st_size
    aside = name if name.startswith(".") else _SWEPT + key
    if aside != name:
        os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
        wanted = os.stat(aside, dir_fd=parent, follow_symlinks=False).st_mtime >= older
    if wanted:
        if _KEY.fullmatch(key):
            os.rename(aside, key, src_dir_fd=parent, dst_dir_fd=parent)
        return None
    os.unlink(aside, dir_fd=parent)
    return status.st_size


def _read(name: str, parent: int) -> bytes:
    with open_plain(name, parent) as file:
        return file.read()


def _is_whole(key: str, parent: int) -> bool:
    try:
        return key_of(_read(key, parent)) == key
    except OSError:
        return False


def _write_whole(name: str, data: bytes, parent: int) -> None:
    """A file that is there with all its bytes, or not at all."""
    draft = f".{name[:16]}.{os.getpid()}.{secrets.token_hex(8)}"
    try:
        write_new(draft, data, parent)
        os.rename(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:  # an interrupt, too, leaves no half a file behind
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=parent)
        raise


class FsspecStorage:
    """Any place that fsspec can reach, by URL (``s3://bucket/results``); `options` are those of its file system.

    As durable as that place: a bucket keeps what it acknowledged; a network folder may lose what it was told last.
    """

    def __init__(self, url: str, **options: Any) -> None:
        from importlib.util import find_spec

        if find_spec("fsspec") is None:  # now, and not when the first large result is there
            raise StoreError("Results under a URL need fsspec, which is not installed: pip install 'tidegate[fsspec]'.")
        self._url = url
        self._options = options
        self._opened: tuple[Any, str] | None = None

    def describe(self) -> str:
        """The URL, without name and password, or anything behind a question mark."""
        parts = urlsplit(self._url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def write(self, data: bytes) -> str:
        """Keep the bytes and return their key.  What is there already, in the same size, is left as it is."""
        key = key_of(data)
        try:
            system, path = self._place(key)
            if not (system.exists(path) and system.size(path) == len(data)):
                system.makedirs(path.rpartition("/")[0], exist_ok=True)
                system.pipe_file(path, data)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"The result cannot be saved in {self.describe()} ({first_line(error):.200}).") from error
        return key

    def read(self, key: str) -> bytes:
        """The bytes of a key.  Raises `MissingResult`, and `StoreError` if the place cannot be reached."""
        name = checked_key(key)
        try:
            system, path = self._place(name)
            data = bytes(system.cat_file(path))
        except StoreError:
            raise
        except FileNotFoundError as error:
            raise MissingResult(f"The saved result {name} is gone from {self.describe()}.") from error
        except Exception as error:
            raise StoreError(
                f"The saved results in {self.describe()} cannot be read ({first_line(error):.200})."
            ) from error
        return _whole(data, name, self.describe())

    def delete(self, key: str) -> None:
        """Forget the bytes of a key."""
        name = checked_key(key)
        try:
            system, path = self._place(name)
            system.rm_file(path)
        except FileNotFoundError:
            return
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(
                f"The result {name} in {self.describe()} cannot be removed ({first_line(error):.200})."
            ) from error

    def _place(self, key: str) -> tuple[Any, str]:
        """The file system, and the path of a key in it."""
        if self._opened is None:
            import fsspec  # here: it takes 50 ms, and what it needs for the place itself longer

            try:
                self._opened = fsspec.core.url_to_fs(self._url, **self._options)
            except Exception as error:  # ImportError names what S3 and others need besides
                raise StoreError(f"{self.describe()} cannot be used for results ({first_line(error):.200}).") from error
        system, root = self._opened
        return system, f"{root.rstrip('/')}/{key[:2]}/{key[2:4]}/{key}"


def storage_of(spec: Any) -> ResultStorage:
    """The storage that an option means: a folder (path or text), a URL, or an object with `write`, `read`, `delete` and
    `describe`.  Raises `InvalidOption`, a `TypeError`, for anything else.
    """
    if isinstance(spec, str) and spec.startswith("file://"):
        return FileStorage(unquote(urlsplit(spec).path))  # as safe as a folder, which fsspec would not make it
    if isinstance(spec, str) and spec:
        return FsspecStorage(spec) if "://" in spec else FileStorage(spec)
    if isinstance(spec, Path):
        return FileStorage(spec)
    if isinstance(spec, type) or not all(
        callable(getattr(spec, each, None)) for each in ("write", "read", "delete", "describe")
    ):
        raise InvalidOption(
            f"A result storage is a folder, a URL or an object with write, read, delete and describe, not {spec!r:.60}."
        )
    return spec  # type: ignore[no-any-return]  # looked at above
