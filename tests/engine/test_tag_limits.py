"""Limits by tag: never more at work than allowed, all of them run, and no slot stays taken."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from support.flows import SOON, Feed, Start, Started, cancelled, flow, in_time, opened, seeded, task
from support.limits import other_work_goes_on
from tidegate import (
    CancelledRun,
    ConcurrentTaskRunner,
    LimitNotFound,
    StoreError,
    UsageError,
    concurrency_limits,
    create_concurrency_limit,
    delete_concurrency_limit,
    read_concurrency_limit,
    reset_concurrency_limit,
    tag_slots,
    tags,
)
from tidegate.cache_policies import INPUTS
from tidegate.engine import Engine
from tidegate.model.tag_limits import Holder, TagLimit
from tidegate.ports import EventStore
from tidegate.rules.slots import Closed, Full, Take, decide_slots


class AtWork:
    """Counts bodies at work by tag; the witness of what a limit promises."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.total = 0

    def began(self, *labels: str) -> None:
        with self._lock:
            self.total += 1
            for tag in labels:
                self.now[tag] = self.now.get(tag, 0) + 1
                self.most[tag] = max(self.most.get(tag, 0), self.now[tag])

    def ended(self, *labels: str) -> None:
        with self._lock:
            for tag in labels:
                self.now[tag] -= 1


def active(tag: str) -> list[Holder]:
    return list(read_concurrency_limit(tag).active)


def holders(number: int) -> bool:
    return len(active("db")) == number


def none_is_taken() -> bool:
    return all(not each.active for each in concurrency_limits())


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that no event tells."""
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {SOON:g} s"
        time.sleep(0.002)


def begin(engine: Engine, call: Callable[[], Any]) -> Started:
    """A flow on a thread of its own, beside others."""
    return Started(Feed(engine), call)


@pytest.fixture
def no_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for slots by the clock: who waits must be woken, or hangs."""
    monkeypatch.setattr(tag_slots, "LOOK_SECONDS", 3600.0)


# What is decided ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "taken", "own", "decision"),
    [
        ({}, {}, [], Take(())),
        ({"a": 1}, {}, [], Take(("a",))),
        ({"a": 1, "b": 2}, {"b": 1}, [], Take(("a", "b"))),
        ({"a": 1, "b": 2}, {"b": 2}, [], Full(("b",))),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [], Full(("a", "b"))),
        ({"a": 1, "b": 0}, {"a": 1}, [], Closed("b")),
        ({"c": 0}, {}, [], Take(())),
        ({"a": 1}, {"a": 1}, ["a"], Take(())),
        ({"a": 0}, {"a": 1}, ["a"], Take(())),
        ({"a": 1, "b": 1}, {"a": 1}, ["a"], Take(("b",))),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1}, ["a"], Full(("b",))),
    ],
)
def test_what_is_decided(
    limits: dict[str, int], taken: dict[str, int], own: Collection[str], decision: Take | Full | Closed
) -> None:
    assert decide_slots(frozenset({"a", "b"}), limits, taken, own) == decision


# Limits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.conforms("B281")
def test_a_limit_is_made_changed_read_and_deleted(stored: Engine, gate: threading.Event) -> None:
    assert create_concurrency_limit("db", 3) == TagLimit("db", 3)
    assert create_concurrency_limit("db", 2) == TagLimit("db", 2)
    create_concurrency_limit("api", 5)
    assert concurrency_limits() == [TagLimit("api", 5), TagLimit("db", 2)]
    began = threading.Barrier(3)

    @task(tags=["db", "slow"])
    def query() -> None:
        began.wait(SOON)
        opened(gate)

    @flow
    def work() -> None:
        both = [query.submit() for _ in range(2)]
        began.wait(SOON)
        assert read_concurrency_limit("db") == TagLimit("db", 2, (Holder(1, 1), Holder(1, 2)))
        gate.set()
        for each in both:
            each.wait()

    in_time(work)
    assert read_concurrency_limit("db") == TagLimit("db", 2)
    delete_concurrency_limit("db")
    assert concurrency_limits() == [TagLimit("api", 5)]


@pytest.mark.parametrize("act", [read_concurrency_limit, delete_concurrency_limit, reset_concurrency_limit])
def test_a_limit_that_is_not_there(stored: Engine, act: Callable[[str], object]) -> None:
    with pytest.raises(LimitNotFound, match=r"'db' has no concurrency limit. create_concurrency_limit\(\) makes one"):
        act("db")
    create_concurrency_limit("api", 5)
    with pytest.raises(LimitNotFound, match=r"There are limits of 'api'\.$"):
        act("db")


@pytest.mark.parametrize(("tag", "limit"), [("", 1), (3, 1), ("db", -1), ("db", 1.5), ("db", True), ("db", None)])
def test_a_senseless_limit_is_refused(stored: Engine, tag: Any, limit: Any) -> None:
    with pytest.raises(UsageError):
        create_concurrency_limit(tag, limit)
    assert concurrency_limits() == []


# Slots ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async", "async in async"])
@pytest.mark.parametrize("limit", [1, 3])
def test_never_more_at_work_and_all_run(stored: Engine, no_looking: None, limit: int, kind: str) -> None:
    """Nobody looks by the clock here: whoever waits is woken by the one that ends."""
    create_concurrency_limit("db", limit)
    inside = AtWork()
    full = threading.Barrier(limit)

    def sync(x: int) -> int:
        inside.began("db")
        if x < limit:
            full.wait(SOON)  # as many as allowed do come together
        inside.ended("db")
        return x

    async def coroutine(x: int) -> int:
        inside.began("db")
        if x < limit:
            await asyncio.to_thread(full.wait, SOON)
        await asyncio.sleep(0)
        inside.ended("db")
        return x

    limited = task(sync if kind == "sync" else coroutine, tags=["db"], name="limited")

    @flow(task_runner=ConcurrentTaskRunner(8))
    def work() -> list[int]:
        return list(limited.map(range(40)).result())

    @flow
    async def work_async() -> list[int]:
        return list(await asyncio.gather(*[limited(x) for x in range(40)]))

    got = in_time(lambda: asyncio.run(work_async()) if kind == "async in async" else work())
    assert got == list(range(40))
    assert inside.most["db"] == limit
    assert none_is_taken()


def test_flow_runs_share_a_limit(stored: Engine, no_looking: None) -> None:
    create_concurrency_limit("db", 2)
    inside = AtWork()

    @task
    def query(x: int) -> None:
        inside.began("db")
        time.sleep(0.001)
        inside.ended("db")

    @flow(tags=["db"], final_state="raised")
    def work() -> None:
        query.map(range(20)).wait()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SOON)
    assert inside.total == 60
    assert inside.most["db"] <= 2
    assert none_is_taken()


def load(chance: random.Random, limits: dict[str, int], inside: AtWork) -> Callable[[], list[str]]:
    """A flow of many task runs with some tags each, that end in every way."""

    def body(x: int, labels: list[str], fate: str) -> int:
        inside.began(*labels)
        try:
            time.sleep(0.002 if x % 7 == 0 else 0)
            if fate == "fails":
                raise ValueError(x)
            if fate == "crashes":
                raise SystemExit(x)
        finally:
            inside.ended(*labels)
        return x

    async def body_async(x: int, labels: list[str], fate: str) -> int:
        await asyncio.sleep(0)
        return body(x, labels, fate)

    tasks = [
        task(body, retries=1, retry_delay_seconds=0.001, name="sync"),
        task(body, concurrency=2, name="with places of its own"),
        task(body_async, retries=1, name="async"),
    ]
    plan = [
        (
            chance.choice(tasks),
            sorted(chance.sample([*limits, "free"], chance.randint(0, len(limits)))),
            chance.choice(["fine"] * 4 + ["fails", "crashes"]),
        )
        for _ in range(150)
    ]

    @flow(final_state="returned", task_runner=ConcurrentTaskRunner(8))
    def work() -> list[str]:
        futures = []
        for x, (each, labels, fate) in enumerate(plan):
            with tags(*labels):
                futures.append(each.submit(x, labels, fate))
        states = [future.wait().name for future in futures]
        for future in futures:  # or the flow would end as those that crashed
            with suppress(BaseException):
                future.result()
        return states

    expected = {"fine": "Completed", "fails": "Failed", "crashes": "Crashed"}

    def run() -> list[str]:
        assert work() == [expected[fate] for _, _, fate in plan]
        return []

    return run


@pytest.mark.conforms("B270")
@pytest.mark.parametrize("trial", range(4))
def test_random_loads_stay_within_every_limit(stored: Engine, no_looking: None, trial: int) -> None:
    chance = seeded(f"tag_limits_{trial}")
    limits = {tag: chance.randint(1, 4) for tag in ("db", "api", "gpu")}
    for tag, limit in limits.items():
        create_concurrency_limit(tag, limit)
    inside = AtWork()
    in_time(load(chance, limits, inside), 30)
    assert {tag: inside.most[tag] for tag in limits if inside.most[tag] > limits[tag]} == {}
    assert none_is_taken()


def test_control_without_limits_the_witness_sees_more(stored: Engine) -> None:
    """The test above can fail: with the same load and no limits, more are at work than those would allow."""
    chance = seeded("tag_limits_0")
    limits = {tag: chance.randint(1, 4) for tag in ("db", "api", "gpu")}
    inside = AtWork()
    in_time(load(chance, limits, inside), 30)
    assert any(inside.most[tag] > limits[tag] for tag in limits), inside.most


@pytest.mark.conforms("B270")
def test_with_two_tags_it_takes_both_slots_or_none(stored: Engine, gate: threading.Event) -> None:
    for tag in ("a", "b"):
        create_concurrency_limit(tag, 1)
    began = threading.Event()

    @task(tags=["b"])
    def holds() -> None:
        began.set()
        opened(gate)

    @task(tags=["a", "b"])
    def needs_both() -> str:
        return "both"

    @task(tags=["a"])
    def needs_one() -> str:
        return "one"

    @flow
    def work() -> list[str]:
        first = holds.submit()
        opened(began)
        both = needs_both.submit()
        until(lambda: len(stored.tag_slots._queues) == 1, "the one that waits")
        assert active("a") == []
        got = [needs_one.submit().result(timeout=SOON)]  # what the other waits for is nobody's meanwhile
        assert not both.done()
        gate.set()
        first.wait()
        return [*got, both.result(timeout=SOON)]

    assert in_time(work) == ["one", "both"]
    assert none_is_taken()


@pytest.mark.conforms("B270")
def test_a_limit_of_zero_cancels_what_would_begin(stored: Engine) -> None:
    for tag, limit in (("db", 1), ("off", 0)):
        create_concurrency_limit(tag, limit)
    ran = []

    @task(tags=["db", "off"], retries=3)
    def never() -> None:
        ran.append(1)

    @flow
    def work() -> str:
        state = never(return_state=True)
        assert none_is_taken()
        with pytest.raises(CancelledRun, match="'off'"):
            never()
        return str(state.message)

    assert in_time(work) == "The concurrency limit of its tag 'off' is 0."
    assert ran == []
    assert [row.state.name for row in stored.store.task_runs(1)] == ["Cancelled", "Cancelled"]
    assert [row.attempts for row in stored.store.task_runs(1)] == [0, 0]


def test_a_run_that_waits_for_its_slot_holds_no_worker(stored: Engine) -> None:
    create_concurrency_limit("db", 1)
    assert other_work_goes_on(tags=["db"])


@pytest.mark.conforms("B282")
def test_a_run_holds_one_slot_of_a_tag(stored: Engine) -> None:
    """Though the tag comes to it from three sides, and the run is proposed a second time."""
    create_concurrency_limit("db", 2)

    @task(tags=["db"])
    def query() -> list[Holder]:
        again = stored.tag_slots.ask(Holder(1, 1), frozenset({"db"}), frozenset({"db"}))
        assert again.done()
        held = active("db")
        stored.tag_slots.leave(again)
        return held

    @flow(tags=["db"])
    def work() -> list[Holder]:
        with tags("db"):
            return list(query())

    assert in_time(work) == [Holder(1, 1)]
    assert none_is_taken()


@pytest.mark.conforms("B282")
def test_the_store_gives_a_run_one_slot_of_a_tag(store: EventStore) -> None:
    store.slots.put("db", 2)

    class Asks:
        holder, tags = Holder(1, 1), frozenset({"db"})

    for queues in ([[Asks(), Asks()]], [[Asks()], [Asks()]]):
        assert [answer for _, answer in store.slots.trade([], queues)][-1] in (Take(()), Take(("db",)))
        assert store.slots.limits()[0].active == (Holder(1, 1),)
    store.slots.trade([(Holder(1, 1), ("db",))], [])
    assert store.slots.limits()[0].active == ()


@pytest.mark.conforms("B151")
def test_a_cached_result_needs_no_slot(stored: Engine, gate: threading.Event, tmp_path: Any) -> None:
    create_concurrency_limit("db", 1)
    began = threading.Event()

    @task(tags=["db"], cache_policy=INPUTS, persist_result=True)
    def query(x: int) -> int:
        return x + 1

    @task(tags=["db"])
    def holds() -> None:
        began.set()
        opened(gate)

    @flow
    def work() -> tuple[int, str]:
        query(1)
        first = holds.submit()
        opened(began)
        found = query.submit(1)
        state = found.wait(timeout=SOON)
        assert state is not None, "it waits for a slot"
        gate.set()
        first.wait()
        return found.result(), state.name

    assert in_time(work) == (2, "Cached")


def test_a_subflow_takes_no_slot_from_its_own_tasks(stored: Engine, no_looking: None) -> None:
    create_concurrency_limit("db", 1)

    @task
    def query() -> int:
        return 5

    @flow(tags=["db"])
    def child() -> int:
        return int(query.submit().result())

    @flow(tags=["db"])
    def parent() -> int:
        return int(child())

    assert in_time(parent) == 5
    assert none_is_taken()


# Changes --------------------------------------------------------------------------------------------------------------


class Crowd:
    """Runs of one tag that stay at work until they are let go, one for each release."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

        @task(tags=["db"])
        def stay(x: int) -> int:
            self.began.release()
            assert self.go.acquire(timeout=SOON)
            return x

        self.stay = stay

    def come(self, number: int) -> None:
        for _ in range(number):
            assert self.began.acquire(timeout=SOON), "one that may begin does not"

    def nobody_comes(self) -> bool:
        return not self.began.acquire(blocking=False)

    def leave(self, number: int) -> None:
        for _ in range(number):
            self.go.release()


@pytest.mark.conforms("B283")
def test_limits_change_while_runs_are_at_work(stored: Engine, no_looking: None) -> None:
    crowd = Crowd()

    @flow
    def work() -> list[int]:
        before = crowd.stay.map(range(2))
        crowd.come(2)
        create_concurrency_limit("db", 1)  # does not count those two
        assert active("db") == []
        after = crowd.stay.map(range(6))
        crowd.come(1)
        until(lambda: sum(map(len, stored.tag_slots._queues.values())) == 5, "five that wait")
        assert len(active("db")) == 1
        create_concurrency_limit("db", 4)  # lets three more in at once
        crowd.come(3)
        create_concurrency_limit("db", 2)  # four go on; nobody comes before three of them have left
        crowd.leave(2)
        until(lambda: before.wait(0) is not None or len(active("db")) < 4, "two that left")
        assert crowd.nobody_comes()
        delete_concurrency_limit("db")  # the last two need to wait for nobody
        crowd.come(2)
        crowd.leave(6)
        return [*before.result(), *after.result()]

    assert in_time(work) == [0, 1, 0, 1, 2, 3, 4, 5]
    assert concurrency_limits() == []
    create_concurrency_limit("db", 1)
    assert none_is_taken()


@pytest.mark.conforms("B283")
def test_after_lowering_a_limit_nobody_begins_before_enough_have_left(stored: Engine, no_looking: None) -> None:
    create_concurrency_limit("db", 3)
    crowd = Crowd()

    @flow
    def work() -> list[int]:
        some = crowd.stay.map(range(4))
        crowd.come(3)
        create_concurrency_limit("db", 1)
        for left in (2, 1):
            crowd.leave(1)
            until(partial(holders, left), "one that left")
            assert crowd.nobody_comes()
        crowd.leave(1)
        crowd.come(1)
        assert len(active("db")) == 1
        crowd.leave(1)
        return list(some.result())

    assert in_time(work) == [0, 1, 2, 3]
    assert none_is_taken()


@pytest.mark.conforms("B283")
def test_those_who_wait_are_cancelled_when_the_limit_becomes_zero(stored: Engine, no_looking: None) -> None:
    create_concurrency_limit("db", 1)
    crowd = Crowd()

    @flow
    def work() -> list[str]:
        some = crowd.stay.map(range(3))
        crowd.come(1)
        until(lambda: sum(map(len, stored.tag_slots._queues.values())) == 2, "two that wait")
        create_concurrency_limit("db", 0)
        crowd.leave(1)
        return sorted(state.name for state in some.wait())

    assert in_time(work) == ["Cancelled", "Cancelled", "Completed"]
    assert none_is_taken()


def test_a_reset_counts_those_at_work_no_more(stored: Engine, no_looking: None) -> None:
    create_concurrency_limit("db", 1)
    crowd = Crowd()

    @flow
    def work() -> list[int]:
        some = crowd.stay.map(range(2))
        crowd.come(1)
        reset_concurrency_limit("db")
        crowd.come(1)
        assert len(active("db")) == 1
        crowd.leave(2)
        return list(some.result())

    assert in_time(work) == [0, 1]
    assert none_is_taken()


# Exits ----------------------------------------------------------------------------------------------------------------


def completes() -> int:
    return 1


def fails() -> None:
    raise ValueError


def crashes() -> None:
    raise SystemExit(3)


def takes_too_long() -> None:
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        pass


def sleeps_in_c() -> None:
    time.sleep(1.5)


async def sleeps() -> None:
    await asyncio.sleep(SOON)


WAYS = [
    pytest.param(completes, {}, "Completed", id="completed"),
    pytest.param(fails, {}, "Failed", id="failed"),
    pytest.param(crashes, {}, "Crashed", id="crashed"),
    pytest.param(takes_too_long, {"timeout_seconds": 0.05}, "TimedOut", id="timed out"),
    pytest.param(sleeps, {"timeout_seconds": 0.05}, "TimedOut", id="timed out, async"),
    pytest.param(sleeps_in_c, {"timeout_seconds": 0.05}, "TimedOut", id="on a deserted worker"),
]


@pytest.mark.conforms("B278", "B284")
@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(("body", "options", "name"), WAYS)
def test_no_slot_is_taken_after_any_end(
    stored: Engine, body: Callable[[], Any], options: dict[str, Any], name: str, retries: int
) -> None:
    create_concurrency_limit("db", 1)
    ends = task(body, tags=["db"], retries=retries, **options)

    @flow(final_state="returned")
    def work() -> list[str]:
        first = ends.submit()
        states = [first.wait().name]
        assert none_is_taken()
        with suppress(BaseException):
            first.result()
        second = ends.submit()
        states.append(second.wait().name)
        with suppress(BaseException):
            second.result()
        return states

    assert in_time(work) == [name, name]
    assert none_is_taken()


@pytest.mark.conforms("B278", "B284")
def test_no_slot_is_taken_between_attempts(stored: Engine, feed: Feed) -> None:
    """Leaving RUNNING for a retry is a rejected exit."""
    create_concurrency_limit("db", 1)
    tries = itertools.count()

    @task(tags=["db"], retries=1, retry_delay_seconds=0.5)
    def once() -> None:
        if next(tries) == 0:
            raise ValueError

    @task(tags=["db"])
    def other() -> int:
        return 7

    @flow
    def work() -> int:
        first = once.submit()
        feed.await_task(1, "AwaitingRetry")
        got = int(other.submit().result(timeout=SOON))
        first.wait()
        return got

    assert in_time(work) == 7
    assert none_is_taken()


@pytest.mark.conforms("B278", "B284")
def test_a_cancel_reaches_those_that_wait_and_frees_what_is_held(stored: Engine, start: Start) -> None:
    create_concurrency_limit("db", 1)
    began = threading.Event()

    @task(tags=["db"])
    def limited() -> None:
        began.set()
        while True:
            pass

    @flow
    def work() -> None:
        for each in [limited.submit() for _ in range(5)]:
            each.wait()

    running = start(work)
    opened(began)
    cancelled(running, within=5)
    assert none_is_taken()
    assert stored.tag_slots._queues == {}


@pytest.mark.conforms("B284")
def test_a_body_that_is_abandoned_holds_no_slot(
    stored: Engine, start: Start, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be ended, and its run has; when it ends late it takes nothing away from the next one either."""
    from tidegate.run import lifecycles

    monkeypatch.setattr(lifecycles, "CANCEL_GRACE", 0.1)
    create_concurrency_limit("db", 1)
    began = threading.Event()
    workers: list[threading.Thread] = []

    @task(tags=["db"])
    def stuck() -> None:
        workers.append(threading.current_thread())
        began.set()
        gate.wait()

    @flow
    def work() -> None:
        stuck.submit().wait()

    running = start(work)
    opened(began)
    with suppress(CancelledRun):
        running.run.cancel()
        running.ended()
    assert none_is_taken()
    crowd = Crowd()
    second = begin(stored, flow(lambda: crowd.stay.submit(1).result(), name="second"))
    crowd.come(1)
    gate.set()
    workers[0].join(SOON)
    assert active("db") == [Holder(2, 1)]
    crowd.leave(1)
    assert second.ended() == 1
    assert none_is_taken()


@pytest.mark.conforms("B284")
def test_an_interrupted_wait_for_a_slot_gives_it_on(stored: Engine, feed: Feed, no_looking: None) -> None:
    create_concurrency_limit("db", 1)
    free, began = threading.Event(), threading.Event()

    @task(tags=["db"])
    def limited(x: int) -> int:
        began.set()
        if x == 0:
            opened(free)
        return x

    def press() -> None:
        until(lambda: bool(stored.tag_slots._queues), "the one that waits")
        time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    @flow
    def work() -> int:
        first = limited.submit(0)
        opened(began)
        with pytest.raises(KeyboardInterrupt):
            limited(1)
        free.set()
        first.wait()
        return int(limited.submit(2).result(timeout=3))

    threading.Thread(target=press, daemon=True).start()
    assert work() == 2
    assert none_is_taken()


def test_a_paused_flow_that_waits_lets_others_have_the_slot(stored: Engine, no_looking: None) -> None:
    create_concurrency_limit("db", 1)
    crowd = Crowd()
    held = begin(stored, flow(lambda: crowd.stay.submit(1).result(), name="held"))
    crowd.come(1)
    waits = begin(stored, flow(lambda: crowd.stay.submit(2).result(), name="waits"))
    until(lambda: bool(stored.tag_slots._queues), "the one that waits")
    waits.run.pause()
    third = begin(stored, flow(lambda: crowd.stay.submit(3).result(), name="third"))
    crowd.leave(1)
    assert held.ended() == 1
    crowd.come(1)
    assert active("db") == [Holder(third.run.number, 1)]
    crowd.leave(1)
    assert third.ended() == 3
    waits.run.resume()
    crowd.come(1)
    crowd.leave(1)
    assert waits.ended() == 2
    assert none_is_taken()


def test_a_store_that_fails_makes_runs_wait_and_forgets_nothing(
    stored: Engine, monkeypatch: pytest.MonkeyPatch, feed: Feed
) -> None:
    monkeypatch.setattr(tag_slots, "LOOK_SECONDS", 0.01)
    create_concurrency_limit("db", 1)
    real = stored.store.slots.trade
    failing = threading.Event()
    failed = threading.Semaphore(0)

    def trade(*arguments: Any) -> Any:
        if failing.is_set():
            failed.release()
            raise StoreError("The store cannot be written: disk I/O error.")
        return real(*arguments)

    monkeypatch.setattr(stored.store.slots, "trade", trade)

    @task(tags=["db"])
    def query(x: int) -> int:
        if x == 0:
            failing.set()  # its slot cannot be given back
        return x

    @flow
    def work() -> list[int]:
        both = query.map(range(3))
        for _ in range(5):
            assert failed.acquire(timeout=SOON)
        failing.clear()
        return list(both.result())

    assert in_time(work) == [0, 1, 2]
    assert none_is_taken()


def test_a_limit_made_by_others_is_seen_before_long(stored: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_slots, "FRESH_SECONDS", 0.01)
    one = frozenset({"db"})
    assert stored.tag_slots.limited(one) == frozenset()
    stored.store.slots.put("db", 1)
    until(lambda: stored.tag_slots.limited(one) == one, "the limit")
    stored.store.slots.delete("db")
    until(lambda: not stored.tag_slots.limited(one), "its end")


def test_nobody_begins_while_the_limits_are_still_being_read(
    stored: Engine, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.store.slots.put("db", 1)
    one = frozenset({"db"})
    reading = threading.Event()
    real = stored.store.slots.limited

    def slow() -> frozenset[str]:
        reading.set()
        opened(gate)
        return real()

    monkeypatch.setattr(stored.store.slots, "limited", slow)
    found: list[frozenset[str]] = []
    threads = [threading.Thread(target=lambda: found.append(stored.tag_slots.limited(one))) for _ in range(2)]
    threads[0].start()
    opened(reading)
    threads[1].start()
    threads[1].join(0.05)
    gate.set()
    for each in threads:
        each.join(SOON)
    assert found == [one, one]


def test_what_is_limited_is_not_asked_of_the_store_for_each_run(
    stored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = itertools.count()
    real = stored.store.slots.limited
    monkeypatch.setattr(stored.store.slots, "limited", lambda: (next(looks), real())[1])
    monkeypatch.setattr(tag_slots, "FRESH_SECONDS", 3600.0)

    @task
    def one(x: int) -> int:
        return x

    @flow(tags=["db"])
    def work() -> int:
        return len(one.map(range(50)).result())

    assert in_time(work) == 50
    assert next(looks) == 1
