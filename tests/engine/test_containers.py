"""Containers as inputs: futures in them are found and replaced, and what holds them keeps its kind."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import pydantic
import pytest

from support.flows import edges, edges_full, flow, in_time, make, run_links, take, task
from tidegate import TaskFuture, quote
from tidegate.engine import Engine
from tidegate.inputs import DEPTH


class Extra(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)
    inside: Any = pydantic.Field(default=None, alias="Inside")
    _secret: str = pydantic.PrivateAttr(default="unset")


class Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, arbitrary_types_allowed=True)
    inside: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Hard:
    inside: Any
    late: Any = dataclasses.field(init=False, default=None)


@dataclasses.dataclass
class Demanding:
    inside: Any
    start: dataclasses.InitVar[int]
    times: int = 0

    def __post_init__(self, start: int) -> None:
        self.times += start


@dataclasses.dataclass
class Held:
    inside: Any


class Named(NamedTuple):
    a: Any
    b: int = 1


class Picky(tuple[Any, ...]):
    __slots__ = ()

    def __new__(cls, one: Any, two: Any) -> Picky:
        return super().__new__(cls, (one, two))


class Sub(list[Any]):
    label = "?"


class Lower(dict[str, Any]):
    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key.lower(), value)


def labelled(value: Any) -> Sub:
    made = Sub([value])
    made.label = "mine"
    return made


def secret(value: Any) -> Extra:
    made = Extra.model_validate({"Inside": [value], "more": {"k": value}})
    made._secret = "kept"
    return made


KINDS: list[tuple[str, Callable[[Any], Any]]] = [
    ("list", lambda f: [f, 1]),
    ("tuple", lambda f: (f, 1)),
    ("set", lambda f: {f, "x"}),
    ("frozenset", lambda f: frozenset([f])),
    ("dict", lambda f: {"k": f, f: "v"}),
    ("ordered dict", lambda f: OrderedDict([("z", 1), (f, f), ("a", 2)])),
    ("defaultdict", lambda f: defaultdict(list, {"k": [f]})),
    ("counter", lambda f: Counter({f: 2, "x": 3})),
    ("deque", lambda f: deque([0, f], maxlen=2)),
    ("namedtuple", lambda f: Named(f)),
    ("tuple with a constructor", lambda f: Picky(f, 2)),
    ("list with an attribute", labelled),
    ("dict with manners", lambda f: Lower({"k": f})),
    ("dataclass", lambda f: Held(f)),
    ("frozen dataclass", lambda f: Hard([f])),
    ("dataclass with InitVar", lambda f: Demanding(f, 3)),
    ("model", lambda f: Frozen(inside=(f,))),
    ("model with extras", secret),
    ("deep", lambda f: [{"k": deque([OrderedDict(x=(Hard({"y": [f]}),))])}]),
]  # fmt: skip


@pytest.mark.parametrize("made", [each[1] for each in KINDS], ids=[each[0] for each in KINDS])
@pytest.mark.parametrize("how", ["future", "state", "subflow"])
@pytest.mark.conforms("B086", "B294", "B049")
def test_containers_keep_their_kind_and_are_not_changed(made: Callable[[Any], Any], how: str) -> None:
    got: list[Any] = []

    def look(value: Any) -> None:
        got.append(value)

    step = task(look) if how != "subflow" else flow(look, name="look-in")

    def body() -> int:
        seven = make.submit(lambda: "seven") if how != "state" else make(lambda: "seven", return_state=True)
        given = made(seven)
        before = made(seven)
        step(given)
        assert type(given) is type(before)
        assert given == before, "what was handed over is as it was"
        return 1

    assert edges_full(run_links(body)) == {(1, 2, "future", "value")}
    wanted = made("seven")
    assert got == [wanted]
    assert type(got[0]) is type(wanted)
    if not isinstance(wanted, set):
        assert repr(got[0]) == repr(wanted), "in the same order"
    if isinstance(wanted, defaultdict):
        assert got[0].default_factory is list
    if isinstance(wanted, Sub):
        assert got[0].label == "mine"
    if isinstance(wanted, Extra):
        assert got[0]._secret == "kept"
        assert got[0].model_dump(by_alias=True) == {"Inside": ["seven"], "more": {"k": "seven"}}


@pytest.mark.parametrize("how", ["call", "submit", "map", "wait_for", "subflow"])
@pytest.mark.conforms("B086", "B294")
def test_generators_become_lists(how: str) -> None:
    got: list[Any] = []

    def look(value: Any, more: Any = None) -> None:
        got.append((value, more))

    step = flow(look, name="look-in") if how == "subflow" else task(look)

    def body() -> int:
        one, two = make.submit(lambda: 1), make.submit(lambda: 2)
        given = (each for each in (one, two))
        if how == "wait_for":
            step(0, wait_for=given)
        elif how == "map":
            step.map(given).wait()
        else:
            (step.submit if how == "submit" else step)(given, [given, (x for x in "ab")])
        return 1

    found = edges(run_links(body))
    if how == "map":
        assert found == {(1, 3), (2, 4)}
        assert sorted(got) == [(1, None), (2, None)]
    else:
        assert found == {(1, 3), (2, 3)}
        assert got == [(0, None) if how == "wait_for" else ([1, 2], [[1, 2], ["a", "b"]])]


def test_a_generator_in_quotes_and_other_iterators_are_left_alone(engine: Engine) -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    class Lazy:
        def __iter__(self) -> Iterator[int]:
            raise AssertionError

    @task
    def same(x: Any) -> Any:
        return quote(x)

    @flow
    def body() -> bool:
        given: list[Any] = [range(5), iter([1]), map(int, "1"), zip([1], [2], strict=True), Lazy(), io.StringIO("x")]
        return same(quote(made := endless())) is made and all(same([each])[0] is each for each in given)

    assert in_time(body) is True


@pytest.mark.conforms("B294")
def test_mocks_are_left_alone(engine: Engine) -> None:
    given = [mock.Mock(), mock.MagicMock(), mock.Mock(spec=dict), mock.Mock(spec=list), mock.Mock(spec=TaskFuture)]

    @task
    def same(x: Any, y: Any) -> Any:
        return quote([x, y[0]])

    @flow
    def body() -> bool:
        future = make.submit(int)
        return all(a is each and b is each for each in given for a, b in [same(each, [each, future])])

    assert in_time(body) is True


@pytest.mark.conforms("B294")
def test_futures_far_down_are_found_to_a_depth(engine: Engine) -> None:
    @task
    def bottom(x: Any) -> Any:
        while isinstance(x, list):
            x = x[0]
        return quote(x)

    @flow
    def body() -> list[Any]:
        future = make.submit(lambda: "here")
        near, far = future, future
        for _ in range(DEPTH):
            near = [near]
        for _ in range(DEPTH + 10):
            far = [far]
        return [bottom(near), bottom(far) is future]

    assert in_time(body) == ["here", True]


def test_what_cannot_be_put_in_place_fails_the_task(engine: Engine) -> None:
    """A list in the place of a key is a mistake of the user's, and no defect."""

    @flow
    def body() -> int:
        future = make.submit(lambda: [1])
        for given in ({future}, {future: 1}):
            state = take(given, return_state=True)
            assert state.is_failed()
            assert isinstance(state.error(), TypeError)
        return 1

    assert in_time(body) == 1
