"""Blobs: they say how to be read, and nothing that is not ours is ever loaded."""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from support.flows import SOON, seeded
from tidegate.errors import InvalidOption, MissingResult, RunError, StoreError, UntrustedResult
from tidegate.results.blob import choose, pack, read_head, unpack
from tidegate.results.serializers import JSON, PICKLE, CompressedSerializer, JSONSerializer, serializer_of
from tidegate.results.signing import Signer, make_key, read_key

loaded: list[str] = []


def sing() -> None:
    loaded.append("sung")


class Canary:
    """Sings when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sing, ()


@dataclasses.dataclass
class Pair:
    left: int
    right: str


def sings(found: dict[str, Any]) -> Any:
    loaded.append("sung")
    return found


@pytest.fixture(autouse=True)
def _silence() -> None:
    loaded.clear()


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path / "keys")


VALUES = [None, True, 5, -0.0, math.inf, "text\nof two lines", [1, (2, 3)], Pair(1, "b"), b"\n\n", 2**100, math.nan]


@pytest.mark.conforms("B163")
@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("name", ["auto", "pickle", "compressed/pickle"])
def test_a_blob_says_how_to_read_it(signer: Signer, name: str, value: Any) -> None:
    """The version of the writer's format, the serializer, the bytes: a reader needs to be told nothing."""
    serializer = choose(value) if name == "auto" else serializer_of(name)
    blob = pack(value, serializer, signer)
    version, signature, told = blob.partition(b"\n")[0].decode("ascii").split(" ")
    assert (version, told) == ("TG1", serializer.name)
    assert read_head(blob).serializer == serializer.name
    assert (signature == "-") == (serializer.name == "json")
    back = unpack(blob, signer)
    assert type(back) is type(value)
    assert back == value or (value != value and back != back)


@pytest.mark.conforms("B154")
def test_nothing_is_something(signer: Signer, tmp_path: Path) -> None:
    """A run that returned None has a blob that says so; one that was not stored has none."""
    assert pack(None, choose(None), signer) == b"TG1 - json\nnull"
    assert unpack(b"TG1 - json\nnull", signer) is None
    assert unpack(pack(None, PICKLE, signer), signer) is None
    with pytest.raises(MissingResult):
        unpack(b"", signer)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "json"), (True, "json"), (0, "json"), (2**63, "json"), (-(2**63), "json"), (2**63 + 1, "pickle"),
        (1.5, "json"), (math.nan, "pickle"), (-math.inf, "pickle"), ("", "json"), ("x" * 65536, "json"),
        ("x" * 65537, "pickle"), ([], "pickle"), ({}, "pickle"), ((), "pickle"), (b"", "pickle"),
        (type("Int", (int,), {})(5), "pickle"), (type("Text", (str,), {})("a"), "pickle"),
    ],
    ids=lambda value: f"{value!r:.20}",
)  # fmt: skip
def test_short_exact_atoms_are_json_and_all_else_is_pickled(value: Any, name: str) -> None:
    assert choose(value).name == name


def test_plain_data_needs_no_key(signer: Signer, tmp_path: Path) -> None:
    assert unpack(pack(5, JSON, signer), signer) == 5
    assert not (tmp_path / "keys").exists()


def test_packing_plain_data_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom tidegate.results.blob import choose, pack, unpack\n"
        "from tidegate.results.signing import Signer\n"
        "for value in (None, 5, 1.5, 'a'): assert unpack(pack(value, choose(value), Signer()), Signer()) == value\n"
        "print(*sorted({'cloudpickle', 'platformdirs', 'fsspec', 'numpy', 'pydantic', 'pandas'} & set(sys.modules)))"
    )
    assert elsewhere(script, tmp_path) == ""


def elsewhere(script: str, folder: Path, *args: object) -> str:
    """What another process prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        cwd=folder, capture_output=True, text=True, timeout=SOON, check=False,
        env={**os.environ, "XDG_CONFIG_HOME": str(folder / "config")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- trust


def test_control_a_pickle_of_ours_is_loaded(signer: Signer) -> None:
    """Without this the tests below would pass for canaries that cannot sing."""
    unpack(pack(Canary(), PICKLE, signer), signer)
    assert loaded == ["sung"]


def refused(blob: bytes, signer: Signer, context: str = "") -> str:
    """The line that says why; nothing was loaded."""
    with pytest.raises(UntrustedResult) as caught:
        unpack(blob, signer, context=context)
    assert loaded == []
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, RunError)
    return str(caught.value)


FOREIGN = pickle.dumps(Canary())


@pytest.mark.parametrize(
    "blob",
    [
        b"TG1 - pickle\n" + FOREIGN,
        b"TG1  pickle\n" + FOREIGN,
        b"TG1 " + b"0" * 64 + b" pickle\n" + FOREIGN,
        b"TG1 " + b"f" * 63 + b" pickle\n" + FOREIGN,
        b"TG1 - compressed/pickle\n" + FOREIGN,
        b'TG1 - pickle?{"picklelib":"pickle"}\n' + FOREIGN,
        b"TG1 - anything else\n" + FOREIGN,
        b'TG1 - json?{"object_decoder":"%s.sings"}\n{}' % __name__.encode(),
        b'TG1 - json?{"jsonlib":"pickle"}\n' + FOREIGN,
        b'TG1 - compressed/json?{"jsonlib":"pickle"}\n' + FOREIGN,
        b"TG1 - reference\n{}",
    ],
    ids=range(11),
)
@pytest.mark.parametrize("has_key", [True, False])
def test_what_nobody_signed_is_not_loaded(signer: Signer, tmp_path: Path, blob: bytes, has_key: bool) -> None:
    if has_key:
        signer.sign(b"")
    assert "not signed with your key" in refused(blob, signer)
    assert (tmp_path / "keys").exists() == has_key, "asking made a key"


def test_a_flipped_bit_anywhere_is_noticed(signer: Signer) -> None:
    random = seeded("flipped_bit")
    blob = pack(Canary(), PICKLE, signer)
    for at in range(len(blob)):
        damaged = bytearray(blob)
        damaged[at] ^= 1 << random.randrange(8)
        with pytest.raises((UntrustedResult, MissingResult)):
            unpack(bytes(damaged), signer)
    for changed in (blob[:-1], blob + b".", blob[:80], blob.replace(b"pickle\n", b"pickle\n\n")):
        with pytest.raises((UntrustedResult, MissingResult)):
            unpack(changed, signer)
    assert loaded == []


def test_a_signature_is_worth_nothing_elsewhere(signer: Signer, tmp_path: Path) -> None:
    blob = pack(Canary(), PICKLE, signer, context="run 1/task 2")
    refused(blob, Signer(tmp_path / "other keys"))
    refused(blob, signer)
    refused(blob, signer, context="run 1/task 3")
    # What is signed of two places never reads the same, however names and values run into one another.
    line, payload = blob.split(b"\n", 1)
    refused(line + b"\n2\n" + payload, signer, context="run 1/task ")
    as_json = blob.replace(b" pickle\n", b" json\n")
    with pytest.raises(MissingResult):
        unpack(as_json, signer, context="run 1/task 2")
    refused(blob.replace(b" pickle\n", b" compressed/pickle\n"), signer, context="run 1/task 2")
    unpack(blob, signer, context="run 1/task 2")
    assert loaded == ["sung"]


def test_a_user_may_load_what_is_not_trusted(signer: Signer) -> None:
    unpack(b"TG1 - pickle\n" + FOREIGN, signer, allow_untrusted=True)
    assert loaded == ["sung"]


def test_hooks_that_were_ours_are_used_again(signer: Signer) -> None:
    """A reader finds them by name, for we signed the name."""
    serializer = CompressedSerializer(JSONSerializer(object_decoder=f"{__name__}.sings"))
    assert unpack(pack({"a": 1}, serializer, signer), signer) == {"a": 1}
    assert loaded == ["sung"]


def test_a_reader_of_ones_own_never_meets_plain_data(signer: Signer) -> None:
    """Whoever looks serializers up cannot be led to unpickle what is called JSON."""
    assert unpack(b"TG1 - json\n5", signer, serializer_lookup=lambda name: PICKLE) == 5


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"", "damaged"), (b"\n", "damaged"), (b"5", "damaged"), (b"TG1 json\n5", "damaged"),
        (b"TG2 - json\n5", "newer Tidegate ('TG2', not 'TG1')"), (b"TG1 - json\n{", "cannot be loaded"),
        (b"TG1 - json\n", "cannot be loaded"), (b"\xff\xfe - json\n5", "damaged"), (b"x" * 5000 + b"\n", "damaged"),
        (b"TG1 - compressed/json\n5", "cannot be loaded"), (b"TG1 - json\n" + b"[" * 100000, "cannot be loaded"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_blob_is_told_in_one_line(signer: Signer, blob: bytes, why: str) -> None:
    with pytest.raises(MissingResult) as caught:
        unpack(blob, signer)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_class_that_is_gone_is_a_missing_result(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = pack(Pair(1, "b"), PICKLE, signer)
    assert unpack(blob, signer) == Pair(1, "b")
    monkeypatch.delattr(sys.modules[__name__], "Pair")
    with pytest.raises(MissingResult, match=r"cannot be loaded any more \(AttributeError: .*Pair"):
        unpack(blob, signer)


def test_a_serializer_that_is_gone_is_a_missing_result(signer: Signer) -> None:
    def lookup(name: str) -> Any:
        raise InvalidOption(f"There is no serializer {name!r}.")

    with pytest.raises(MissingResult, match="needs the serializer 'pickle'"):
        unpack(pack([], PICKLE, signer), signer, lookup)


# ---- the key


def test_the_key_is_yours_alone_and_read_once(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        signer = Signer(tmp_path / "config" / "tidegate")
        first = signer.sign(b"a")
    finally:
        os.umask(before)
    assert stat.S_IMODE(signer.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(signer.path.parent.stat().st_mode) == 0o700
    assert len(signer.path.read_bytes()) == 32
    assert [each.name for each in signer.path.parent.iterdir()] == ["results.key"], "a draft is left"
    assert Signer(signer.path.parent).verify(first, b"a")
    signer.path.unlink()
    assert signer.sign(b"a") == first
    assert not signer.path.exists()
    assert signer.sign(b"b") != first


def test_the_key_lies_with_your_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: tmp_path / name)
    signer = Signer()
    signer.sign(b"a")
    assert signer.path == tmp_path / "tidegate" / "results.key"
    assert signer.path.exists()


@pytest.mark.usefixtures("hectic")
def test_threads_that_make_a_key_at_once_agree_on_it(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        signatures: list[str] = []
        together = threading.Barrier(6)

        def sign(folder: Path = folder, signatures: list[str] = signatures, together: Any = together) -> None:
            signer = Signer(folder)
            together.wait(SOON)
            signatures.append(signer.sign(b"a"))

        threads = [threading.Thread(target=sign) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(SOON)
        assert len(signatures) == 6
        assert len(set(signatures)) == 1
        assert len(list(folder.iterdir())) == 1


def test_processes_that_make_a_key_at_once_agree_on_it(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom tidegate.results.signing import Signer\nsigner = Signer(sys.argv[1])\n"
        "print('ready', flush=True)\nsys.stdin.readline()\nprint(signer.sign(b'a'))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "k")], stdin=-1, stdout=-1, text=True)
        for _ in range(4)
    ]
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in started:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    assert len({each.communicate(timeout=SOON)[0] for each in started}) == 1


def test_a_key_that_was_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.key"
    make_key(path)
    first = read_key(path)
    make_key(path)
    assert read_key(path) == first
    assert len(list(tmp_path.iterdir())) == 1


def readable(path: Path) -> None:
    path.chmod(0o640)


def writable(path: Path) -> None:
    path.chmod(0o602)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def short(path: Path) -> None:
    path.write_bytes(b"x" * 31)


def long(path: Path) -> None:
    path.write_bytes(b"x" * 33)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (readable, "is open to others"), (writable, "is open to others"), (link, "a symbolic link"),
        (short, "is damaged"), (long, "is damaged"), (pipe, "is not a file"), (folder, "is not a file"),
    ],
)  # fmt: skip
def test_a_key_that_is_not_safe_is_not_used(signer: Signer, spoil: Any, why: str) -> None:
    blob = pack(Canary(), PICKLE, signer)
    spoil(signer.path)
    again = Signer(signer.path.parent)
    with pytest.raises(StoreError) as caught:
        pack([], PICKLE, again)
    assert why in str(caught.value)
    assert str(signer.path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert why in refused(blob, again)
    assert unpack(pack(5, JSON, again), again) == 5


def test_a_folder_that_cannot_hold_a_key_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        Signer(tmp_path / "file" / "keys").sign(b"")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "file" / "keys") in str(caught.value)
