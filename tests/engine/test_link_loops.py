"""Edges in loops that drop what tasks return: none is false, none is missed; a table of addresses alone fails here."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from typing import Any

import pytest

from reliability.trials import Trials
from support.flows import edges, make, run_links, seeded, take, task
from tidegate.run import flow_run


class Color(enum.Enum):
    RED = 1


@task
def through(value: Any) -> Any:
    """Passes on what it gets."""
    return value


# The four probes: what gives false edges where a table goes by addresses and holds on to what it has seen ------------


def probe_equal_literal() -> None:
    make(lambda: "an equal literal")
    take("an equal literal")


def probe_empty_tuple() -> None:
    make(lambda: ())
    take(())


def probe_word_of_the_serializer() -> None:
    make(list)
    make.submit(list).wait()
    for word in ("pickle", "json", "cloudpickle", "compressed/pickle"):
        take(word)


def probe_component_that_was_dropped() -> None:
    for _ in range(50):
        whole = make(lambda: [[1], [2]])
        whole.clear()
        take([3])


PROBES = [probe_equal_literal, probe_empty_tuple, probe_word_of_the_serializer, probe_component_that_was_dropped]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__.removeprefix("probe_"))
@pytest.mark.conforms("B170", "B175")
def test_the_four_probes_give_no_false_edge(probe: Callable[[], None]) -> None:
    def body() -> int:
        probe()
        return 1

    assert edges(run_links(body)) == set()


# The loop -------------------------------------------------------------------------------------------------------------


class Loop:
    """Rounds of a few task runs each, and the edges that truly are between them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.number = 0
        self.wanted: set[tuple[int, int]] = set()
        self.rounds = (
            self.dropped, self.literal, self.empty, self.member, self.passed_on, self.taken_out, self.removed,
            self.future, self.held_future, self.of_a_map,
        )  # fmt: skip
        self.held: list[tuple[int, Any]] = []

    def one(self, *upstream: int) -> int:
        """The number of the next task run, which has these inputs."""
        self.number += 1
        self.wanted.update((up, self.number) for up in upstream)
        return self.number

    def body(self) -> int:
        while self.number < 5_000:
            self.chance.choice(self.rounds)()
        return 1

    def dropped(self) -> None:
        kinds: list[Callable[[], Any]] = [list, dict, set, lambda: [0] * 3, lambda: f"text {self.number}"]
        kind = self.chance.choice(kinds)
        self.one()
        make(kind)
        self.one()
        take(kind())  # often at the address that has just become free

    def literal(self) -> None:
        self.one()
        make(lambda: "an interned literal")
        self.one()
        take("an interned literal", 7)

    def empty(self) -> None:
        self.one()
        make(tuple)
        self.one()
        take((), frozenset())

    def member(self) -> None:
        self.one()
        make(lambda: Color.RED)
        self.one()
        take(Color.RED)

    def passed_on(self) -> None:
        first = self.one()
        value = make(lambda: [1])
        second = self.one(first)
        value = through(value)
        self.one(second)
        take(value)

    def taken_out(self) -> None:
        whole = self.one()
        part, _ = make(lambda: ([1], [2]))
        self.one(whole)
        take(part)

    def removed(self) -> None:
        self.one()
        whole = make(lambda: [[1], [2]])
        del whole[0]
        self.one()
        take([3])

    def future(self) -> None:
        first = self.one()
        future = make.submit(self.chance.choice([list, tuple, lambda: None, lambda: 1, lambda: "an interned literal"]))
        self.one(first)
        take(future)

    def held_future(self) -> None:
        self.held.append((self.one(), make.submit(list)))
        if len(self.held) > 20:
            self.held.pop(self.chance.randrange(20))
        some = self.chance.sample(self.held, self.chance.randint(1, min(3, len(self.held))))
        self.one(*(number for number, _ in some))
        take({"k": [future for _, future in some]})

    def of_a_map(self) -> None:
        numbers = [self.one() for _ in range(3)]
        futures = make.map([list] * 3)
        self.one(*numbers)
        take(futures)


@pytest.mark.conforms("B175")
@pytest.mark.scorecard(28)
def test_no_false_and_no_missed_edge_in_5_000_task_runs(trials: Trials) -> None:
    for _ in trials:
        loop = Loop(random.Random(trials.chance.getrandbits(32)))
        found = edges(run_links(loop.body))
        assert len(loop.wanted) > 1_500
        assert found - loop.wanted == set(), "false"
        assert loop.wanted - found == set(), "missed"


# Controls: the tests above can fail -----------------------------------------------------------------------------------


class Addresses:
    """A link table that goes by addresses alone; it may hold on to what it has seen, or not."""

    holds = False

    def __init__(self) -> None:
        self._runs: dict[int, int] = {}
        self._held: list[Any] = []

    def find(self, value: Any) -> int:
        return 0 if isinstance(value, (bool, type(None))) else self._runs.get(id(value), 0)

    def add(self, value: Any, task_run: int) -> None:
        if self.holds:
            self._held.append(value)
        for each in (value, *(value if isinstance(value, (list, tuple)) else ())):
            self._runs[id(each)] = task_run


class Held(Addresses):
    """Keeps every result alive, as the reference does: no address is used again, but what is shared is linked."""

    holds = True


@pytest.mark.scorecard(28, control=True, case=True)
def test_control_addresses_alone_give_false_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_run, "LinkTable", Addresses)
    loop = Loop(seeded("link_loop_0"))
    assert len(edges(run_links(loop.body)) - loop.wanted) > 500


@pytest.mark.parametrize("probe", PROBES[:2] + PROBES[3:], ids=lambda probe: probe.__name__.removeprefix("probe_"))
def test_control_the_probes_find_a_table_that_holds_results(
    probe: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_run, "LinkTable", Held)

    def body() -> int:
        probe()
        return 1

    assert edges(run_links(body)) != set()
