"""What becomes of a task run when something that it needs did not complete."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import pytest

from support.flows import Feed, flow, in_time, opened, task
from tidegate import UpstreamNotCompleted, allow_failure, as_completed, quote, unmapped
from tidegate.engine import Engine
from tidegate.model.states import AwaitingRetry, Cancelled, Completed, Crashed, Failed, Paused, Pending, Running, State


@task
def good(x: Any = 1, **more: Any) -> Any:
    return x


@task
def bad(x: Any = None) -> Any:
    raise ValueError("no")


@task
def exits() -> None:
    raise SystemExit(3)


@task
async def good_async(x: Any = 1) -> Any:
    return x


def states(engine: Engine) -> list[str]:
    return [row.state.name for row in engine.store.task_runs(1)]


@pytest.mark.parametrize("way", ["submit", "call", "async", "map"])
@pytest.mark.conforms("B180", "B183")
def test_what_needs_a_failure_is_not_ready(stored: Engine, feed: Feed, way: str) -> None:
    @flow
    def work() -> int:
        future = bad.submit()
        if way == "submit":
            state = good.submit(future).wait()
        elif way == "call":
            state = good(future, return_state=True)
        elif way == "async":
            state = good_async(future, return_state=True)
        else:
            (state,) = good.map([future]).wait()
        assert (state.type.name, state.name, state.message) == ("PENDING", "NotReady", "bad-0 is Failed.")
        return 1

    assert in_time(work) == 1
    assert states(stored) == ["Failed", "NotReady"]
    assert feed.task_states(2) == ["NotReady"]
    assert stored.store.task_runs(1)[1].attempts == 0


@pytest.mark.conforms("B180")
def test_its_result_says_that_it_never_began(engine: Engine) -> None:
    @flow
    def work() -> int:
        waiting = good.submit(bad.submit())
        with pytest.raises(UpstreamNotCompleted, match=r"good-0 never began: bad-0 is Failed\.") as caught:
            waiting.result()
        assert "\n" not in str(caught.value)
        assert isinstance(waiting.result(raise_on_failure=False), UpstreamNotCompleted)
        with pytest.raises(UpstreamNotCompleted, match="good-1 never began"):
            good(bad.submit())
        assert waiting.done()
        assert waiting.wait(0) is waiting.state
        assert list(as_completed([waiting])) == [waiting]
        return 1

    assert in_time(work) == 1


@pytest.mark.conforms("B181", "B182")
def test_not_ready_spreads_and_fails_the_flow(stored: Engine) -> None:
    @flow
    def work() -> None:
        first = good.submit(bad.submit())
        good.submit(good.submit(first))

    state = in_time(lambda: work(return_state=True))
    assert states(stored) == ["Failed", "NotReady", "NotReady", "NotReady"]
    assert state.is_failed()
    assert stored.store.task_runs(1)[3].state.message == "good-1 is NotReady."


@pytest.mark.conforms("B182", "B106")
def test_a_returned_state_that_never_began_fails_the_flow(engine: Engine) -> None:
    @flow
    def work() -> Any:
        return good.submit(bad.submit()).wait()

    state = in_time(lambda: work(return_state=True))
    assert state.is_failed()
    assert "not final" in state.message


@pytest.mark.conforms("B184")
@pytest.mark.parametrize("shape", ["plain", "list", "inside", "wait_for"])
def test_allow_failure_hands_over_the_exception(engine: Engine, shape: str) -> None:
    @flow
    def work() -> Any:
        future = bad.submit()
        if shape == "plain":
            return quote(good(allow_failure(future)))
        if shape == "list":
            return quote(good(allow_failure([future, 1])))
        if shape == "inside":
            return quote(good([allow_failure(future), 1]))
        return good(5, wait_for=[allow_failure(future)])

    got = in_time(work)
    if shape == "wait_for":
        assert got == 5
        return
    error = got if shape == "plain" else got[0]
    assert isinstance(error, ValueError)
    assert str(error) == "no"
    assert shape == "plain" or got[1] == 1


@pytest.mark.conforms("B184")
def test_allow_failure_lets_only_failures_through(engine: Engine) -> None:
    @flow
    def work() -> int:
        crashed = exits.submit()
        never = good.submit(bad.submit())
        assert good.submit(allow_failure(crashed)).wait().name == "NotReady"
        assert good.submit(allow_failure(never)).wait().name == "NotReady"
        assert good.submit([allow_failure(bad.submit()), bad.submit()]).wait().name == "NotReady"
        return 1

    # The exit of a task that nobody asked about reaches its flow in the end.
    state = in_time(lambda: work(return_state=True))
    assert (state.type.name, type(state.data)) == ("CRASHED", SystemExit)


STATES: list[tuple[State, bool]] = [
    (Completed([1]), True),
    (Failed(ValueError("no")), False),
    (Crashed(SystemExit(3)), False),
    (Cancelled("enough"), False),
    (Pending(), False),
    (Running(), False),
    (Paused(), False),
    (AwaitingRetry(1.0), False),
]


@pytest.mark.parametrize(("state", "ready"), STATES, ids=[state.name for state, _ in STATES])
@pytest.mark.conforms("B180", "B184")
def test_only_a_completed_input_is_ready_and_only_a_failure_can_be_allowed(
    engine: Engine, state: State, ready: bool
) -> None:
    @flow
    def work() -> int:
        states = [good.submit(x).wait() for x in (state, [state], allow_failure(state))]
        assert [each.name == "Completed" for each in states] == [ready, ready, ready or state.is_failed()]
        assert all(each.name in ("Completed", "NotReady") for each in states)
        assert ready or state.name in states[0].message
        return 1

    assert in_time(work) == 1


@pytest.mark.conforms("B184", "B072")
def test_allow_failure_in_a_map(engine: Engine) -> None:
    @task
    def some(x: int) -> int:
        if x == 1:
            raise ValueError(x)
        return x

    @flow
    def work() -> Any:
        rows = some.map([0, 1, 2])
        through = good.map(allow_failure(rows)).result()
        blocked = [state.name for state in good.map(rows).wait()]
        assert blocked == ["Completed", "NotReady", "Completed"]
        return quote(through)

    first, error, third = in_time(work)
    assert (first, third) == (0, 2)
    assert isinstance(error, ValueError)


@pytest.mark.conforms("B185", "B168")
def test_wait_for_orders_without_data(engine: Engine) -> None:
    order: list[str] = []
    free = threading.Event()

    @task
    def first() -> None:
        opened(free)
        order.append("first")

    @task
    def second() -> int:
        order.append("second")
        return 2

    @flow
    def work() -> int:
        one = first.submit()
        two = second.submit(wait_for=[one])
        free.set()
        return int(two.result())

    assert in_time(work) == 2
    assert order == ["first", "second"]


@pytest.mark.conforms("B185", "B180")
@pytest.mark.parametrize("way", ["submit", "call", "map"])
def test_wait_for_a_failure_is_not_ready(engine: Engine, way: str) -> None:
    @flow
    def work() -> int:
        future = bad.submit()
        if way == "submit":
            state = good.submit(wait_for=[future]).wait()
        elif way == "call":
            state = good(wait_for=future, return_state=True)
        else:
            (state,) = good.map([1], wait_for=[future]).wait()
        assert state.name == "NotReady"
        return 1

    assert in_time(work) == 1


@pytest.mark.conforms("B187")
def test_quote_is_handed_over_untouched(engine: Engine) -> None:
    @flow
    def work() -> int:
        future = bad.submit()
        got: Any = []

        @task
        def look(x: Any) -> None:
            got.append(x)

        look(quote(future))
        look(quote([future]))
        look([quote(future)])
        assert got[0] is future
        assert got[1][0] is future
        assert got[2][0] is future
        future.wait()
        return 1

    assert in_time(work) == 1
    assert states(engine)[1:] == ["Completed"] * 3


@pytest.mark.conforms("B067", "B070", "B071")
def test_what_a_map_repeats_and_what_it_splits(engine: Engine) -> None:
    @task
    def four(a: Any, b: Any = 1, c: Any = (1, 2, 3, 4, 5), d: Any = "text") -> Any:
        return a, b, c, d

    @flow
    def work() -> int:
        generated = (x for x in range(2))
        assert four.map(generated).result() == [(0, 1, (1, 2, 3, 4, 5), "text"), (1, 1, (1, 2, 3, 4, 5), "text")]
        assert four.map((1, 2), b=unmapped([7, 8, 9]), c=None, d="ab").result() == [
            (1, [7, 8, 9], None, "ab"), (2, [7, 8, 9], None, "ab"),
        ]  # fmt: skip
        assert four.map([], 1).result() == []
        return 1

    assert in_time(work) == 1


def test_a_map_waits_for_a_future_to_learn_its_length(engine: Engine) -> None:
    @flow
    def work() -> Any:
        return good.map(good.submit([3, 4])).result()

    assert in_time(work) == [3, 4]


@pytest.mark.conforms("B188")
def test_annotations_compare_by_type_and_content() -> None:
    assert quote(1) == quote(1)
    assert quote(1) != quote(2)
    different: list[Any] = [quote(1), unmapped(1), allow_failure(1), 1]
    assert all(a != b for a, b in itertools.combinations(different, 2))


@pytest.mark.conforms("B186")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_subflow_that_needs_a_failure_never_begins(stored: Engine, kind: str) -> None:
    began: list[int] = []

    def body(x: Any) -> int:
        began.append(1)
        return 1

    async def coroutine(x: Any) -> int:
        return body(x)

    child = flow(body if kind == "sync" else coroutine, name="child")

    @flow
    def parent() -> str:
        state = child(bad.submit(), return_state=True)
        return str(state.name)

    assert in_time(parent) == "NotReady"
    assert began == []


def test_a_state_as_an_argument_gives_its_data(engine: Engine) -> None:
    @flow
    def work() -> Any:
        state = good([7], return_state=True)
        assert good(state) == [7]
        assert good({"k": [state]}) == {"k": [[7]]}
        assert good.submit(bad(return_state=True)).wait().name == "NotReady"
        return good.map(state).result()

    assert in_time(work) == [7]


@pytest.mark.conforms("B062", "B080", "B081", "B082", "B083", "B084", "B085", "B087")
def test_futures(engine: Engine) -> None:
    free = threading.Event()

    @task
    def slow() -> int:
        opened(free)
        return 5

    @flow
    def work() -> int:
        future = slow.submit()
        assert future.wait(0.01) is None
        with pytest.raises(TimeoutError, match=r"slow-0 has not ended after 0.01 s"):
            future.result(timeout=0.01)
        assert not future.done()
        assert future.state.name in ("Pending", "Running")  # asked for while it is at work
        called: list[Any] = []
        future.add_done_callback(called.append)
        with pytest.warns(UserWarning, match="always true"):
            assert future
        assert repr(future) == "TaskFuture('slow-0')"
        assert {future: 1}[future] == 1
        free.set()
        assert future.result() == 5
        assert future.wait() is future.state is future.wait()
        assert called == [future]
        failed = bad.submit()
        with pytest.raises(ValueError, match="no"):
            failed.result()
        assert isinstance(failed.result(raise_on_failure=False), ValueError)
        return 1

    assert in_time(work) == 1


def test_as_completed_gives_them_as_they_end(engine: Engine) -> None:
    gates = [threading.Event() for _ in range(4)]

    @task
    def step(x: int) -> int:
        opened(gates[x])
        return x

    @flow
    def work() -> list[int]:
        futures = step.map(range(4))
        order = [2, 0, 3, 1]
        got = []
        gates[order[0]].set()
        for at, each in enumerate(as_completed(futures)):
            got.append(each.result())
            if at < 3:
                gates[order[at + 1]].set()
        with pytest.raises(TimeoutError):
            list(as_completed([step.submit(0), never.submit()], timeout=0.05))
        free.set()
        return got

    free = threading.Event()

    @task
    def never() -> None:
        opened(free)

    assert in_time(work) == [2, 0, 3, 1]


def test_a_map_result_is_a_list_with_results(engine: Engine) -> None:
    @task
    def some(x: int) -> int:
        if x % 2:
            raise ValueError(x)
        return x

    @flow
    def work() -> int:
        rows = some.map(range(4))
        states = rows.wait()
        assert [state.name for state in states] == ["Completed", "Failed"] * 2
        assert [each.name for each in rows.failed] == ["some-1", "some-3"]
        with pytest.raises(ValueError, match="1"):
            rows.result()
        assert [type(x).__name__ for x in rows.result(raise_on_failure=False)] == ["int", "ValueError"] * 2
        assert type(rows[1:]) is type(rows)
        assert len(rows) == 4
        assert "some" in repr(rows)
        return 1

    assert in_time(work) == 1


@pytest.mark.conforms("B083")
def test_async_futures_are_awaited(engine: Engine) -> None:
    release: list[asyncio.Event] = []

    @task
    async def slow() -> int:
        await release[0].wait()
        return 5

    @flow
    async def work() -> int:
        release.append(asyncio.Event())
        future = slow.submit()
        assert await future is future
        assert await future.wait(0.01) is None
        with pytest.raises(TimeoutError, match="slow-0 has not ended"):
            await future.result(timeout=0.01)
        release[0].set()
        assert await future.result() == 5
        assert (await future.wait()).is_completed()
        return 1

    assert in_time(lambda: asyncio.run(work())) == 1
