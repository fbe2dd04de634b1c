"""Storages of large results: whole or absent, under keys that lead nowhere else."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.flows import SOON, in_time, python
from tidegate.errors import MissingResult, StoreError
from tidegate.results.storage import FileStorage, FsspecStorage, ResultStorage, storage_of

DATA = b"some bytes\n" * 1000
KEY = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def files(folder: Path) -> FileStorage:
    return FileStorage(folder)


def place(folder: Path, key: str = KEY) -> Path:
    return folder / key[:2] / key[2:4] / key


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 500
    return text


@pytest.fixture(params=["folder", "local://", "memory://"])
def each(request: pytest.FixtureRequest, folder: Path) -> ResultStorage:
    """Each storage in turn."""
    return storage_of(folder if request.param == "folder" else f"{request.param}{folder}")


def damage(storage: ResultStorage, folder: Path, data: bytes) -> None:
    """Put other bytes where those of `KEY` were."""
    if isinstance(storage, FsspecStorage) and storage.describe().startswith("memory"):
        import fsspec

        fsspec.filesystem("memory").pipe_file(str(place(folder)), data)
    else:
        place(folder).write_bytes(data)


# ---- what every storage does


def test_what_was_written_can_be_read_until_it_is_deleted(each: ResultStorage) -> None:
    key = each.write(DATA)
    assert key == KEY
    assert each.read(key) == DATA
    other = each.write(b"")
    assert each.read(other) == b""
    each.delete(key)
    each.delete(key)
    with pytest.raises(MissingResult, match="is gone") as caught:
        each.read(key)
    assert each.describe() in one_line(caught.value)
    assert each.read(other) == b""
    assert each.write(DATA) == key
    assert each.read(key) == DATA


def test_reading_and_deleting_where_nothing_was_ever_written(each: ResultStorage, folder: Path) -> None:
    with pytest.raises(MissingResult, match="is gone"):
        each.read(KEY)
    each.delete(KEY)
    assert not folder.exists()


@pytest.mark.parametrize(
    "data", [DATA[:-1], b"", DATA + b"x", b"X" + DATA[1:]], ids=["short", "empty", "long", "same size"]
)
def test_damaged_bytes_are_never_handed_out(each: ResultStorage, folder: Path, data: bytes) -> None:
    each.write(DATA)
    damage(each, folder, data)
    with pytest.raises(MissingResult, match="is damaged") as caught:
        each.read(KEY)
    one_line(caught.value)
    if len(data) != len(DATA) or isinstance(each, FileStorage):
        each.write(DATA)
        assert each.read(KEY) == DATA


TRAVERSALS = [
    "", ".", "..", "/", "//", "/etc/passwd", "../../etc/passwd", "..\\..\\etc", "%2e%2e/%2e%2e/etc/passwd", "~",
    "~root", "$HOME", "*", "?" * 64, "[a-f]" * 12 + "aaaa", "a" * 63, "a" * 65, "a" * 63 + "\n", "a" * 64 + "\n",
    "\n" + "a" * 64, "A" * 64, "g" * 64, " " + "a" * 63, "a" * 64 + "\0", "\0" * 64, "a" * 60 + "/../",
    "a" * 61 + "/..", "../" * 21 + "a", "/" * 64, "." * 64, "\uff41" * 64, "\u0661" * 64, "a" * 62 + "\u202e\u202d",
    "\ud800" * 64, "a" * 1_000_000, b"a" * 64, None, 5, ["a"] * 64, Path("a" * 64), "file:///" + "a" * 56,
    "con" + "a" * 61 + ":", "a:" + "b" * 62,
]  # fmt: skip


@pytest.mark.parametrize("key", TRAVERSALS, ids=range(len(TRAVERSALS)))
def test_a_key_leads_nowhere_else(each: ResultStorage, tmp_path: Path, key: Any) -> None:
    each.write(DATA)
    (tmp_path / "secret").write_text("secret")
    before = sorted(tmp_path.rglob("*"))
    for act in (each.read, each.delete):
        with pytest.raises(MissingResult, match="is no key") as caught:
            act(key)
        one_line(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert each.read(KEY) == DATA


def test_the_list_is_long_enough() -> None:
    assert len(TRAVERSALS) >= 40


# ---- the folder


def test_files_are_for_the_user_alone(files: FileStorage, folder: Path) -> None:
    before = os.umask(0)
    try:
        files.write(DATA)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place(folder).stat().st_mode) == 0o600
    for above in (place(folder).parent, place(folder).parent.parent, folder):
        assert stat.S_IMODE(above.stat().st_mode) == 0o700
    assert [path for path in folder.rglob("*") if path.is_file()] == [place(folder)], "a draft is left"


def test_writing_what_is_there_only_says_that_it_is_wanted_again(files: FileStorage, folder: Path) -> None:
    files.write(DATA)
    os.utime(place(folder), (1.0, 1.0))
    before = place(folder).stat()
    files.write(DATA)
    after = place(folder).stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert after.st_mtime > time.time() - 60, "or it might be swept before a row names it"


def test_bytes_are_on_the_disk_before_they_have_a_name(
    files: FileStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        story.append(f"sync {path.name}" if path.is_dir() else f"sync {path.stat().st_size} bytes")
        fsync(descriptor)

    def renamed(source: Any, target: Any, **folders: int) -> None:
        story.append("name")
        rename(source, target, **folders)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    files.write(DATA)
    made = [f"sync {folder.parent.name}", f"sync {folder.name}", f"sync {KEY[:2]}"]  # each new folder in the one above
    assert story == [*made, f"sync {len(DATA)} bytes", "name", f"sync {KEY[2:4]}"]
    story.clear()
    files.write(DATA)
    # The thread that wrote it first may be between its last two steps.
    assert story == [f"sync {KEY[2:4]}"]


@pytest.mark.parametrize("step", ["fsync", "rename"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "interrupt"]
)
def test_a_write_that_fails_leaves_nothing(
    files: FileStorage, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    files.write(b"the folders of another")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(os, step, fail)
        expected = StoreError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected) as caught:
            files.write(DATA)
    if isinstance(error, OSError):
        assert "(No space left on device)" in one_line(caught.value)
        assert str(folder) in str(caught.value)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1
    assert files.write(DATA) == KEY


def test_a_folder_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError) as caught:
            FileStorage(wrong).write(DATA)
        assert str(wrong) in one_line(caught.value)


def file_link(folder: Path, outside: Path) -> None:
    place(folder).unlink()
    place(folder).symlink_to(outside / KEY)


def inner_link(folder: Path, outside: Path) -> None:
    place(folder).parent.rename(outside / "moved")
    place(folder).parent.symlink_to(outside / "moved")


def outer_link(folder: Path, outside: Path) -> None:
    place(folder).parent.parent.rename(outside / "moved")
    place(folder).parent.parent.symlink_to(outside / "moved")


@pytest.mark.parametrize("link", [file_link, inner_link, outer_link])
def test_no_link_is_followed(
    files: FileStorage, folder: Path, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    files.write(DATA)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / KEY).write_bytes(DATA)  # right bytes even, but not ours to read
    link(folder, outside)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    with pytest.raises(MissingResult, match="link") as caught:
        files.read(KEY)
    one_line(caught.value)
    if link is file_link:
        files.write(DATA)  # in its place
        assert not place(folder).is_symlink()
        assert files.read(KEY) == DATA
        link(folder, outside)
        files.delete(KEY)  # the link itself
        assert not place(folder).is_symlink()
    else:
        for act in (lambda: files.write(DATA), lambda: files.delete(KEY)):
            with pytest.raises(StoreError, match="link"):
                act()
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    """That is the user's own choice of a place."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    assert FileStorage(tmp_path / "link").write(DATA) == KEY
    assert place(tmp_path / "disk").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(files: FileStorage, folder: Path, make: Callable[[Path], None]) -> None:
    files.write(DATA)
    place(folder).unlink()
    make(place(folder))
    with pytest.raises(MissingResult, match="not a file"):
        in_time(lambda: files.read(KEY))


@pytest.mark.usefixtures("hectic")
def test_many_threads_may_write_the_same(files: FileStorage, folder: Path) -> None:
    keys: list[str] = []
    together = threading.Barrier(8)

    def write() -> None:
        together.wait(SOON)
        for number in range(20):
            keys.append(files.write(b"%d" % number))  # seen by the others as it goes
            assert files.read(keys[-1]) == b"%d" % number

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert len(keys) == 160
    assert len(set(keys)) == 20
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 20


def test_a_folder_is_where_it_was_when_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = FileStorage("results")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    files.write(DATA)
    assert place(tmp_path / "results").exists()


def test_no_descriptor_is_left_open(files: FileStorage, folder: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    files.write(DATA)
    before = count()
    for _ in range(5):
        files.write(DATA)
        files.read(KEY)
        with pytest.raises(MissingResult):
            files.read("a" * 64)
    place(folder).unlink()
    place(folder).mkdir()
    with pytest.raises(MissingResult):
        files.read(KEY)
    assert count() == before


# ---- other places


@pytest.mark.conforms("B300")
def test_without_fsspec_all_but_urls_works(tmp_path: Path) -> None:
    """What it is needed for says so when it is asked for, and nothing before that notices."""
    script = """
import sys
sys.modules["fsspec"] = None  # as if it were not installed
import tidegate

@tidegate.flow(result_storage=sys.argv[1], persist_result=True)
def local():
    return list(range(50_000))

assert len(local()) == 50_000
try:
    tidegate.flow(result_storage="s3://bucket/results")(local.fn)
except tidegate.StoreError as error:
    print(error)
"""
    with python(script, tmp_path / "results", env={"TIDEGATE_HOME": str(tmp_path)}) as process:
        out, err = process.communicate(timeout=SOON)
    assert err == b""
    assert out.decode().splitlines() == [
        "Results under a URL need fsspec, which is not installed: pip install 'tidegate[fsspec]'."
    ]


def test_without_fsspec_a_url_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"pip install 'tidegate\[fsspec\]'") as caught:
        storage_of("s3://bucket/results")
    one_line(caught.value)


def test_a_place_that_nothing_knows_is_told_in_one_line() -> None:
    storage = storage_of("nonsense://user:hunter2@place/results")
    for act in (lambda: storage.write(DATA), lambda: storage.read(KEY), lambda: storage.delete(KEY)):
        with pytest.raises(StoreError, match="nonsense://place/results") as caught:
            act()
        assert "hunter2" not in one_line(caught.value)


def test_a_description_tells_no_secret() -> None:
    assert FsspecStorage("s3://name:hunter2@host/a/b?token=hunter2#x", secret="hunter2").describe() == "s3://host/a/b"


def test_a_place_that_fails_is_a_store_error(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    storage = FsspecStorage(f"memory://{folder}")
    key = storage.write(DATA)

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionError("no route\nto host")

    monkeypatch.setattr(storage, "_opened", (Broken(), "/"))
    for act in (lambda: storage.write(DATA), lambda: storage.read(key), lambda: storage.delete(key)):
        with pytest.raises(StoreError, match=r"\(ConnectionError: no route\)"):
            act()
