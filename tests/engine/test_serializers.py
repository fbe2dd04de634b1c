"""Serializers: what they give back, what they refuse, and how they are named."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import json
import math
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from support.flows import seeded
from tidegate.errors import InvalidOption
from tidegate.results.serializers import (
    JSON,
    PICKLE,
    UNSIGNED,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    serializer_of,
)
from tidegate.results.storage import FileStorage, storage_of

LIBRARIES = ("zlib", "bz2", "lzma", "gzip")


class Colour(enum.IntEnum):
    RED = 1


class Model(pydantic.BaseModel):
    x: int = 1


class Point(collections.namedtuple("Point", "x y")):
    __slots__ = ()


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


class Word(str):
    __slots__ = ()


def encode(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, Pair):
        return {"pair": [value.left, value.right]}
    raise TypeError("what is this?")


def decode(found: dict[str, Any]) -> Any:
    if "decimal" in found:
        return decimal.Decimal(found["decimal"])
    return Pair(*found["pair"]) if "pair" in found else found


HOOKS = {"object_encoder": f"{__name__}.encode", "object_decoder": f"{__name__}.decode"}


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit and type."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    return bool(a == b)


EXACT = [
    None, True, False, 0, -1, 2**63, -(2**63), 2**200, 0.0, -0.0, 1e-320, 0.1, math.inf, -math.inf, math.nan,
    "", "caf\u00e9", "\x00\n\"\\", "\ud800", "\ud83d\ude00", "\U0001f600", "\u2028", [], {}, [[], {}, [None]],
    {"a": [1, 2.5, {"b": None}], "": True}, {"z": 1, "a": 2}, [1] * 1000,
]  # fmt: skip


@pytest.mark.parametrize("value", EXACT, ids=lambda value: f"{value!r:.20}".encode("ascii", "replace").decode())
@pytest.mark.parametrize("name", ["json", "pickle", "compressed/json", "compressed/pickle"])
def test_what_json_holds_comes_back_to_the_last_bit(name: str, value: Any) -> None:
    serializer = serializer_of(name)
    data = serializer.dumps(value)
    assert type(data) is bytes
    assert same(serializer.loads(data), value)


def test_random_texts_and_numbers_come_back() -> None:
    random = seeded("random_texts_and_numbers")

    def make(depth: int) -> Any:
        kind = random.randrange(7 if depth else 5)
        if kind == 0:
            return "".join(chr(random.choice([random.randrange(128), random.randrange(0x110000)])) for _ in range(5))
        if kind == 1:
            return random.randrange(-(2**70), 2**70)
        if kind == 2:
            return random.uniform(-1, 1) * 10.0 ** random.randrange(-300, 300)
        if kind in (3, 4):
            return random.choice([None, True, False])
        members = [make(depth - 1) for _ in range(random.randrange(4))]
        return members if kind == 5 else {f"{at}\ud83d": each for at, each in enumerate(members)}

    for _ in range(500):
        value = make(4)
        assert same(JSON.loads(JSON.dumps(value)), value), value


NOT_EXACT = [
    (1, 2), Colour.RED, Point(1, 2), collections.defaultdict(int), collections.OrderedDict(a=1), {1: 2}, {None: 1},
    {Word("a"): 1}, Word("a"), b"a", {1}, 1j, Model(), Pair(1, 2), decimal.Decimal("1.5"), object(), range(3), Model,
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_EXACT, ids=lambda value: f"{value!r:.20}")
@pytest.mark.parametrize(
    "around", [lambda x: x, lambda x: [1, x], lambda x: {"a": {"b": [x]}}], ids=["bare", "list", "dict"]
)
def test_json_makes_nothing_else_of_what_it_cannot_hold(value: Any, around: Any) -> None:
    """A model is not quietly a dictionary, a tuple not a list, a key not text."""
    with pytest.raises(TypeError) as caught:
        JSON.dumps(around(value))
    assert "\n" not in str(caught.value)


def test_json_says_what_to_do_about_a_model() -> None:
    with pytest.raises(TypeError, match="JSON cannot give a Model back; use 'pickle', or name an object_encoder"):
        JSON.dumps(Model())


def test_json_of_a_list_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(RecursionError):
        JSON.dumps(value)


def test_hooks_of_the_user_make_json_of_objects_and_back() -> None:
    serializer = JSONSerializer(**HOOKS)
    value = {"price": decimal.Decimal("1.10"), "pairs": [Pair(decimal.Decimal(1), [None]), {"plain": "dict"}]}
    data = serializer.dumps(value)
    assert json.loads(data)["price"] == {"decimal": "1.10"}
    assert serializer.loads(data) == value
    with pytest.raises(TypeError, match="what is this"):
        serializer.dumps(object())


@pytest.fixture
def library() -> Iterator[types.ModuleType]:
    """A JSON library that is not Python's: other bytes, hooks of its own under the usual names."""
    made = types.ModuleType("loud_json")

    def dumps(value: Any, default: Any = None) -> bytes:
        assert default is None, "the hook of the library was taken"
        return b"LOUD" + json.dumps(value).encode()

    def loads(data: bytes, object_hook: Any = None) -> Any:
        assert object_hook is None, "the hook of the library was taken"
        assert data.startswith(b"LOUD")
        return json.loads(data[4:])

    made.dumps, made.loads = dumps, loads  # type: ignore[attr-defined]
    sys.modules["loud_json"] = made
    yield made
    del sys.modules["loud_json"]


@pytest.mark.conforms("B162")
def test_each_serializer_can_be_made_of_parts(library: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of JSON and its hooks, the library of pickle, and compression around any."""
    plain = JSONSerializer(jsonlib="loud_json")
    assert plain.dumps([1]) == b"LOUD[1]"
    assert plain.loads(b"LOUD[1]") == [1]
    hooked = JSONSerializer(jsonlib="loud_json", **HOOKS)
    assert hooked.loads(hooked.dumps([Pair(1, 2)])) == [Pair(1, 2)]
    lambdas = PickleSerializer()
    assert lambdas.loads(lambdas.dumps(lambda: 5))() == 5
    assert PickleSerializer("pickle").loads(PickleSerializer("pickle").dumps({1, 2})) == {1, 2}
    with pytest.raises(InvalidOption, match="picklelib is a module with dumps and loads; 'math' is none"):
        PickleSerializer("math")
    with pytest.raises(InvalidOption, match="none_such"):
        PickleSerializer("none_such")
    monkeypatch.setattr(library, "dumps", repr)
    monkeypatch.setattr(library, "loads", lambda data: "something else")
    with pytest.raises(InvalidOption, match="whose loads undoes its dumps; that of 'loud_json' does not"):
        PickleSerializer("loud_json")
    for short, inner in (("compressed/json", JSON), ("compressed/pickle", PICKLE)):
        wrapped = serializer_of(short)
        assert wrapped.name == short
        assert len(wrapped.dumps(["abc"] * 1000)) < len(inner.dumps(["abc"] * 1000)) / 5
    around = CompressedSerializer(JSONSerializer(**HOOKS), "bz2")
    assert around.loads(around.dumps([Pair(1, 2)])) == [Pair(1, 2)]


def test_a_foreign_library_is_not_given_what_libraries_disagree_about(library: types.ModuleType) -> None:
    """orjson, for one, writes null for it."""
    with pytest.raises(TypeError, match="nan has no place in JSON"):
        JSONSerializer("loud_json").dumps([1.0, math.nan])


@pytest.mark.parametrize("lib", LIBRARIES)
def test_compressing_the_same_gives_the_same_bytes(lib: str) -> None:
    serializer = CompressedSerializer("json", lib)
    data = serializer.dumps(["abc"] * 100)
    assert serializer.loads(data) == ["abc"] * 100
    if lib == "gzip":
        assert data[4:8] == bytes(4), "the time of day is in it"


MADE = [
    JSON, PICKLE, JSONSerializer(**HOOKS), PickleSerializer("pickle"), CompressedSerializer("json", "lzma"),
    CompressedSerializer(), CompressedSerializer(JSONSerializer(**HOOKS), "gzip"),
    CompressedSerializer(PickleSerializer("pickle")),
]  # fmt: skip


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.name.partition("?")[0])
def test_a_name_gives_an_equal_serializer(made: Any) -> None:
    again = serializer_of(made.name)
    assert type(again) is type(made)
    assert again.name == made.name
    assert again.loads(made.dumps([1, "b"])) == [1, "b"]
    assert made.name.isascii()
    assert made.name.isprintable()


def test_only_what_names_no_code_is_read_without_a_signature() -> None:
    assert {each.name for each in MADE} & UNSIGNED == {"json", 'compressed/json?{"compressionlib":"lzma"}'}
    assert CompressedSerializer("json").name in UNSIGNED


class Mine:
    name = "mine/1"

    def dumps(self, value: Any) -> bytes:
        return repr(value).encode()

    def loads(self, data: bytes) -> Any:
        return data.decode()


class Needy(Mine):
    def __init__(self, key: str) -> None:
        self.key = key


@pytest.mark.conforms("B159")
def test_options_take_names_and_objects_and_nothing_else(tmp_path: Path) -> None:
    """Of serializers and storages.  A storage that is named is a folder or a URL."""
    assert serializer_of("json") is serializer_of("json")
    assert serializer_of("pickle").name == "pickle"
    mine = Mine()
    assert serializer_of(mine) is mine
    assert type(serializer_of(Mine)) is Mine
    for kind in (JSONSerializer, PickleSerializer, CompressedSerializer):
        assert type(serializer_of(kind)) is kind
    files = FileStorage(tmp_path)
    assert storage_of(files) is files
    for spec in (tmp_path, str(tmp_path), tmp_path.as_uri()):
        assert storage_of(spec).describe() == str(tmp_path)
    for wrong in (5, None, [], {"name": "json"}, object(), b"json", True, FileStorage):
        for made in (serializer_of, storage_of):
            with pytest.raises(TypeError) as caught:
                made(wrong)
            assert isinstance(caught.value, InvalidOption)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 200


class TwoLines(Mine):
    name = "two\nlines"


class Impostor(Mine):
    name = "json"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("yaml", "There is no serializer 'yaml'; there is json, pickle, compressed/json, compressed/pickle"),
        ("", "There is no serializer ''"),
        ("compressed/yaml", "There is no serializer 'yaml'"),
        ("compressed/compressed/json", "compresses already"),
        ('compressed/json?{"compressionlib":"rar"}', "zlib, bz2, lzma, gzip, not 'rar'"),
        ('json?{"speed":9}', "options that nobody knows"),
        ('json?{"object_encoder":"os"}', "is the dotted name of a function"),
        ('json?{"object_decoder":"os.sep"}', "cannot be called"),
        ('json?{"object_decoder":5}', "is the dotted name of a function"),
        ('json?{"jsonlib":"none_such"}', "jsonlib is a module with dumps and loads"),
        ("json?[1]", "There is no serializer"),
        ("json?{", "There is no serializer"),
        (Needy, "Needy cannot be made without arguments"),
        (TwoLines(), "one line of ASCII"),
        (Impostor(), "needs a name of its own; 'json' is taken"),
    ],
)
def test_a_serializer_that_cannot_be_is_told_in_one_line(spec: Any, why: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        serializer_of(spec)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_open_file_is_not_replaced_by_its_text(tmp_path: Path) -> None:
    """cloudpickle alone would give back an in-memory file with what was in it."""
    with (tmp_path / "open").open("w+") as file:
        with pytest.raises(pickle.PicklingError, match="TextIOWrapper"):
            PICKLE.dumps({"log": [file]})
        with pytest.raises(pickle.PicklingError):
            PICKLE.dumps(lambda: file.read())
