"""Throttled: a service asks to come later, and the task does, without having failed."""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import pickle
import threading
from email.message import Message
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.flows import Feed, Start, cancelled, flow, in_time, states_in_store, task
from tidegate import ConcurrentTaskRunner, ProcessTaskRunner, Throttled
from tidegate.engine import Engine
from tidegate.model.events import TaskState
from tidegate.model.states import AwaitingRetry, Failed, Running, State, StateType
from tidegate.rules.decide import Accept, Reject, RetryPolicy, decide
from tidegate.rules.throttling import Throttling, seconds_asked, throttling_of

NOW = 1_000_000.0


class ClientError(Exception):
    """As HTTP clients raise it; what it holds is up to the test."""

    def __init__(self, **held: Any) -> None:
        super().__init__("HTTP error")
        vars(self).update(held)


def httpx_error(status: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://here/")
    response = httpx.Response(status, headers=headers, request=request)
    return httpx.HTTPStatusError("no", request=request, response=response)


def urllib_error(status: int, **headers: str) -> HTTPError:
    message = Message()
    for name, value in headers.items():
        message[name] = value
    return HTTPError("http://here/", status, "no", message, io.BytesIO())


def requests_error(status: int, **headers: str) -> ClientError:
    return ClientError(response=SimpleNamespace(status_code=status, headers=headers))


def aiohttp_error(status: int, **headers: str) -> ClientError:
    return ClientError(status=status, headers=headers)


CLIENTS = [httpx_error, urllib_error, requests_error, aiohttp_error]


# What an exception says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", ["Retry-After", "retry-after"])
def test_errors_of_http_clients_are_understood(client: Any, name: str) -> None:
    assert throttling_of(client(429, **{name: "2.5"}), NOW) == Throttling(2.5)
    assert throttling_of(client(429, **{name: formatdate(NOW + 90, usegmt=True)}), NOW) == Throttling(90.0)
    assert throttling_of(client(429, **{name: "soon"}), NOW) == Throttling(None)
    assert throttling_of(client(429), NOW) == Throttling(None)
    for other in (200, 400, 420, 500, 503):
        assert throttling_of(client(other, **{name: "2.5"}), NOW) is None


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (2, 2.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        (-3, 0.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Mon, 12 Jan 1970 13:47:40 -0000", 60.0),
        ("nan", None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ("", None),
        (b"7", None),
        ("Mon, 99 Jan 1970", None),
    ],
)
def test_seconds_and_dates_are_read_and_nothing_else(asked: Any, seconds: float | None) -> None:
    assert seconds_asked(asked, NOW) == seconds
    assert throttling_of(Throttled(retry_after=asked), NOW) == Throttling(seconds)


@given(st.text())
def test_no_text_of_a_server_breaks_it(text: str) -> None:
    found = seconds_asked(text, NOW)
    assert found is None or found >= 0


class Hostile(Exception):
    """Whose attributes cannot be had."""

    @property
    def response(self) -> Any:
        raise RuntimeError("there is none")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("429"),
        Hostile(),
        KeyboardInterrupt(),
        None,
        "429",
        429,
        ClientError(response=None),
        ClientError(response=429),
        ClientError(status="429"),
        httpx.ConnectError("no"),
    ],
)
def test_other_errors_say_nothing(error: Any) -> None:
    assert throttling_of(error, NOW) is None


# What is decided ------------------------------------------------------------------------------------------------------

ERRORS: list[tuple[BaseException, tuple[float | None] | None]] = [
    (ValueError("x"), None),
    (Throttled(), (None,)),
    (Throttled(retry_after=0), (0.0,)),
    (Throttled(retry_after=40), (40.0,)),
    (httpx_error(429), (None,)),
    (httpx_error(429, **{"Retry-After": "3"}), (3.0,)),
    (httpx_error(503, **{"Retry-After": "3"}), None),
]
"""Each with the seconds that it asks for, if it is about that."""


class Run:
    def __init__(self, attempts: int, gate: StateType) -> None:
        self.state: State = Running()
        self.attempts, self.gate, self.reopened = attempts, gate, ""


@pytest.mark.parametrize(("error", "asked"), ERRORS)
def test_the_decision_is_that_of_the_oracle(error: BaseException, asked: tuple[float | None] | None) -> None:
    gates = (StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING)
    for retries, attempts, gate, jitter, draw, refused in itertools.product(
        (0, 1, 3), (1, 2, 4), gates, (0.0, 0.5), (0.0, 0.5, 0.99), (False, True)
    ):
        policy = RetryPolicy(retries, (10.0, 20.0), jitter, (lambda _: False) if refused else None)
        proposed = Failed(error, message="no", at=NOW)
        found = decide(Run(attempts, gate), proposed, policy, NOW, draw)
        if attempts > retries or gate is StateType.CANCELLING or refused:
            assert found == Accept(proposed)
            continue
        own = (10.0 if attempts == 1 else 20.0) * (1 + jitter * (2 * draw - 1))
        seconds = own
        if asked is not None and asked[0] is not None:
            seconds = max(own, asked[0] * (1 + jitter * draw))
            assert seconds >= asked[0]
        assert isinstance(found, Reject)
        state = found.state
        assert (state.type, state.name) == (StateType.SCHEDULED, "AwaitingRetry" if asked is None else "Throttled")
        assert state.scheduled_time == pytest.approx(NOW + seconds)
        assert (state.message, state.timestamp, state.data) == ("no", NOW, error)


def test_it_goes_on_as_after_any_other_delay() -> None:
    from tidegate.model import states

    for make in (AwaitingRetry, states.Throttled):
        run = Run(1, StateType.RUNNING)
        run.state = make(NOW + 5, at=NOW)
        assert run.state.awaits_retry()
        assert decide(run, Running(at=NOW), RetryPolicy(), NOW) == decide(
            run, Running(at=NOW), RetryPolicy(), NOW - 500
        )
        assert decide(run, Running(at=NOW), RetryPolicy(), NOW + 5) == Accept(Running("Retrying", at=NOW + 5))


# What happens ---------------------------------------------------------------------------------------------------------


class Busy:
    """Asks to come later so many times, then gives 7."""

    def __init__(self, times: int, error: BaseException) -> None:
        self.left = times
        self.error = error

    def __call__(self) -> int:
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return 7


@pytest.mark.parametrize("kind", ["direct", "map", "async"])
@pytest.mark.parametrize("error", [Throttled(retry_after=0.05), httpx_error(429, **{"Retry-After": "0.05"})])
def test_a_throttled_run_waits_as_long_as_it_was_asked_to(
    stored: Engine, feed: Feed, kind: str, error: Exception
) -> None:
    body = Busy(2, error)
    options: dict[str, Any] = {"retries": 3, "retry_delay_seconds": 0.001, "name": "asks"}

    async def coroutine(x: int) -> int:
        await asyncio.sleep(0)
        return body()

    asks = task(coroutine if kind == "async" else lambda x: body(), **options)

    @flow
    def work() -> int:
        return int(asks(1) if kind != "map" else asks.map([1]).result()[0])

    assert in_time(work) == 7
    wanted = ["Running", "Throttled", "Retrying", "Throttled", "Retrying", "Completed"]
    assert states_in_store(stored.store, 1, 1) == feed.task_states(1) == wanted
    events = [e for _, e in stored.store.events(1) if isinstance(e, TaskState)]
    for before, after in itertools.pairwise(events):
        if before.state.name == "Throttled":
            assert after.at - before.at >= 0.05


def test_without_retries_left_it_failed(engine: Engine) -> None:
    asks = task(Busy(2, Throttled("later", retry_after=0.01)), retries=1, name="asks")
    final = in_time(lambda: flow(lambda: asks(return_state=True), name="work")(return_state=True))
    assert final.is_failed()
    with pytest.raises(Throttled, match="later"):
        final.result()


def test_while_it_waits_it_holds_no_worker(engine: Engine) -> None:
    """On a single worker, others go on although it is to wait for an hour."""
    body = Busy(1, Throttled(retry_after=3600))
    asks, other = task(body, retries=1, name="asks"), task(lambda: 3, name="other")

    @flow(task_runner=ConcurrentTaskRunner(1))
    def work() -> str:
        waiting = asks.submit()
        assert other.submit().result(timeout=5) == 3
        name = waiting.state.name
        engine.live[1].cancel()
        return str(name)

    assert in_time(lambda: work(return_state=True)).is_cancelled()
    assert states_in_store(engine.store, 1, 1) == ["Running", "Throttled", "Cancelled"]


def test_a_pause_and_a_cancel_reach_one_that_waits(engine: Engine, feed: Feed, start: Start) -> None:
    asks = task(Busy(1, Throttled(retry_after=3600)), retries=1, name="asks")
    running = start(flow(lambda: asks(), name="work"))
    feed.await_task(1, "Throttled")
    running.run.pause()
    feed.await_flow(StateType.PAUSED)
    running.run.resume()
    cancelled(running, within=2)


def test_of_many_each_is_throttled_by_itself(engine: Engine) -> None:
    lock, tried = threading.Lock(), dict[int, int]()

    def body(x: int) -> int:
        with lock:
            tried[x] = tried.get(x, 0) + 1
        if tried[x] <= x % 3:
            raise Throttled(retry_after=0.01)
        return x

    asks = task(body, retries=2, name="asks", concurrency=4)
    final = in_time(lambda: flow(lambda: asks.map(range(12)).result(), name="work")())
    assert final == list(range(12))
    assert [tried[x] for x in range(12)] == [1, 2, 3] * 4


def test_it_comes_out_of_a_worker_process(engine: Engine) -> None:
    @task(retries=1)
    def asks() -> int:
        from tidegate import Throttled, runtime

        if runtime.task_run.run_count == 1:
            raise Throttled("not yet", retry_after=0.01)
        return 7

    @flow(task_runner=ProcessTaskRunner(1))
    def work() -> int:
        return int(asks.submit().result())

    assert in_time(work, 30) == 7
    assert states_in_store(engine.store, 1, 1) == ["Running", "Throttled", "Retrying", "Completed"]
    copy = pickle.loads(pickle.dumps(Throttled("not yet", retry_after=2.5)))
    assert (str(copy), copy.retry_after) == ("not yet", 2.5)


@pytest.mark.parametrize("times", [1, 2])
def test_the_log_tells_it_as_no_error_while_it_is_none(
    engine: Engine, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    asks = task(Busy(times, Throttled("later", retry_after=0.01)), retries=1, name="asks")
    with caplog.at_level(logging.INFO):
        in_time(lambda: flow(lambda: asks(return_state=True), name="work")(return_state=True))
    said = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "tidegate.task_runs"]
    assert said[:2] == [
        ("WARNING", "The task was throttled: Throttled: later"),
        ("INFO", "The task is throttled, and tried again in 0.01 s: Throttled: later"),
    ]
    assert said[2:] == [("ERROR", "The task raised Throttled.")] * (times - 1)
