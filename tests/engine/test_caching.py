"""Caching: a task hands back what an earlier run returned, says why where it does not, and never gives a wrong one."""

from __future__ import annotations

import asyncio
import functools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.flows import edges, engine_over, flow, in_time, opened, states_in_store, task
from support.tampering import tampered
from tidegate import State, allow_failure, quote
from tidegate import saving as saving_module
from tidegate.cache_policies import INPUTS, TASK_SOURCE, CacheKey, CachePolicy
from tidegate.digests import digest
from tidegate.engine import Engine
from tidegate.errors import StoreError, UsageError
from tidegate.model.events import TaskState
from tidegate.ports import CacheHit, EventStore
from tidegate.results.signing import Signer
from tidegate.settings import temporary_settings
from tidegate.store.memory import MemoryStore
from tidegate.store.sqlite import SQLiteStore

LARGE = 100_000


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    monotonic = now


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key of its own for each test; the folder of the settings that it lies in."""
    monkeypatch.setattr(saving_module, "_signer", Signer(tmp_path / "config" / "tidegate"))
    return tmp_path / "config"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(store: EventStore, clock: Clock) -> Iterator[Engine]:
    """An engine over each store, whose time is set by hand."""
    with engine_over(store, clock=clock) as engine:
        yield engine


@pytest.fixture
def on_disk(make_store: Callable[[str], EventStore]) -> Iterator[SQLiteStore]:
    store = make_store("sqlite")
    assert isinstance(store, SQLiteStore)
    with engine_over(store):
        yield store


def once(called: Any, *args: Any, **kwargs: Any) -> State:
    """The final state of one run of a task, in a flow run of its own."""

    @flow(final_state="raised")
    def one() -> Any:
        return quote(called(*args, return_state=True, **kwargs))

    state: State = one()
    return state


def counted(**options: Any) -> tuple[Any, list[Any]]:
    """A task that returns a new list with its argument, and the arguments that its body was called with."""
    bodies: list[Any] = []

    @task(**options)
    def work(x: Any = 0) -> list[Any]:
        bodies.append(x)
        return [x, len(bodies)]

    return work, bodies


def first(context: Any, arguments: dict[str, Any]) -> str:
    return f"first {arguments['x']}"


def ran(state: State) -> bool:
    """True for a run whose body ran and completed."""
    assert (state.type.value, state.name) in (("COMPLETED", "Completed"), ("COMPLETED", "Cached")), str(state)
    return state.name == "Completed"


def why(engine: Engine, flow_run: int, task_run: int = 1) -> str:
    """What the last RUNNING state of a task run says."""
    events = [event for _, event in engine.store.events(flow_run) if isinstance(event, TaskState)]
    running = [e.state.message for e in events if e.task_run == task_run and e.state.is_running()]
    return running[-1]


# ---- hits


@pytest.mark.conforms("B141", "B142", "B266")
def test_a_hit_in_a_later_flow_run(stored: Engine) -> None:
    work, bodies = counted(cache_key_fn=first)
    before, after = once(work, 7), once(work, 7)
    assert before.result() == after.result() == [7, 1]
    assert bodies == [7]
    assert str(before) == "Completed()"
    assert str(after) == "Cached() [COMPLETED]"
    assert after.details.cache_key == "first 7"
    assert (after.details.flow_run_id, after.details.task_run_id) == (2, 1)
    (row,) = stored.store.task_runs(2)
    assert (row.state.name, row.attempts, row.started) == ("Cached", 0, None)
    assert states_in_store(stored.store, 2, 1) == ["Cached"]
    assert ran(once(work, 8))
    assert bodies == [7, 8]


def test_what_a_hit_keeps_is_its_own(stored: Engine) -> None:
    """The record of the later run has the result, though the earlier one be gone."""
    work, _ = counted(cache_key_fn=first)
    once(work, 7)
    once(work, 7)
    state = stored.saving.recorded(stored.store.task_runs(2)[0])
    assert state.result() == [7, 1]


@pytest.mark.conforms("B141")
def test_a_null_key_is_no_caching(stored: Engine) -> None:
    work, bodies = counted(cache_key_fn=lambda context, arguments: None)
    assert [ran(once(work)) for _ in range(3)] == [True] * 3
    assert len(bodies) == 3
    assert why(stored, 3) == ""


@pytest.mark.conforms("B140")
def test_control_without_a_policy_nothing_is_cached(stored: Engine) -> None:
    work, bodies = counted()
    assert [ran(once(work, 1)) for _ in range(2)] == [True, True]
    assert bodies == [1, 1]


SCRIPT = """
from tidegate import flow, task
from tidegate.cache_policies import INPUTS, TASK_SOURCE

@task(cache_policy=INPUTS + TASK_SOURCE)
def work(x):
    print("body")
    return {x: [x] * 3, "large": b"x" * 100_000}

@flow
def main():
    state = work(7, return_state=True)
    print(state.name, state.result()[7])
    return None

main()
"""


def test_a_hit_in_another_process(tmp_path: Path, keys: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "TIDEGATE_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(keys)}

    def run() -> list[str]:
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, timeout=60, check=True)
        return done.stdout.splitlines()

    assert run() == ["body", "Completed [7, 7, 7]"]
    assert run() == ["Cached [7, 7, 7]"]
    script.write_text(SCRIPT.replace("* 3", "* 4"))
    assert run() == ["body", "Completed [7, 7, 7, 7]"]


def test_async_tasks(stored: Engine) -> None:
    bodies: list[int] = []

    @task(cache_policy=INPUTS)
    async def work(x: int) -> list[int]:
        bodies.append(x)
        await asyncio.sleep(0)
        return [x]

    @flow
    async def awaiting() -> list[str]:
        states = await asyncio.gather(*(work(x, return_state=True) for x in range(5)))
        return [state.name for state in states]

    @flow
    def calling() -> list[Any]:
        return [*work.map(range(5)).result(), work(2, return_state=True).name]

    assert in_time(lambda: asyncio.run(awaiting())) == ["Completed"] * 5
    assert in_time(calling) == [[0], [1], [2], [3], [4], "Cached"]
    assert in_time(lambda: asyncio.run(awaiting())) == ["Cached"] * 5
    assert sorted(bodies) == list(range(5))


def test_a_map_of_a_thousand_hits(stored: Engine) -> None:
    work, bodies = counted(cache_policy=INPUTS)

    @flow
    def mapped() -> list[Any]:
        futures = work.map(range(1000))
        results = futures.result()
        return [sorted({state.name for state in futures.states}), [each[0] for each in results]]

    assert in_time(mapped, 60) == [["Completed"], list(range(1000))]
    bodies.clear()
    assert in_time(mapped, 60) == [["Cached"], list(range(1000))]
    assert bodies == []
    assert {row.state.name for row in stored.store.task_runs(2)} == {"Cached"}


def test_what_is_done_to_a_result_changes_nothing_for_the_next(stored: Engine) -> None:
    work, _ = counted(cache_key_fn=first)
    made = once(work, 7).result()
    made.append("spoilt")
    one, two = once(work, 7).result(), once(work, 7).result()
    assert one == two == [7, 1]
    assert one is not two  # each hit is loaded anew
    one.append("spoilt")
    assert two == once(work, 7).result() == [7, 1]


def test_a_result_out_of_the_cache_has_edges(stored: Engine) -> None:
    work, _ = counted(cache_key_fn=first)

    @task
    def after(x: Any, y: Any = None) -> None: ...

    @flow
    def main() -> None:
        future = work.submit(7)
        after(future)
        after(work(7), y=work(7)[0])

    main()
    main()
    assert edges(stored.store, 2) >= {(1, 2), (3, 5)}
    assert edges(stored.store, 2) == edges(stored.store, 1)


@pytest.mark.conforms("B151")
def test_a_hit_takes_no_concurrency_place(stored: Engine, gate: threading.Event) -> None:
    began = threading.Event()

    @task(cache_key_fn=first, concurrency=1)
    def work(x: int) -> int:
        if x == 0:
            began.set()
            opened(gate)
        return x

    assert ran(once(work, 7))

    @flow
    def main() -> str:
        holding = work.submit(0)
        opened(began)
        hit = work.submit(7).wait(5.0)  # the only place is taken until the gate opens
        gate.set()
        holding.result()
        return "waited" if hit is None else str(hit.name)

    assert in_time(main) == "Cached"


# ---- keys


@pytest.mark.conforms("B145")
def test_the_context_has_the_task_run_and_the_task(stored: Engine) -> None:
    seen: list[Any] = []

    def key(context: Any, arguments: dict[str, Any]) -> str:
        run = context.task_run
        seen.append((context.task.name, context.task is run.task, run.number, run.name, run.flow_run.number))
        seen.append((context.flow_run, context.fn is context.task.fn, dict(context.parameters), arguments))
        return "key"

    @task(cache_key_fn=key)
    def work(x: int, y: int = 2) -> int:
        return x

    @flow
    def main(size: int) -> int:
        return work(1)  # type: ignore[no-any-return]

    main(size=9)
    assert seen == [("work", True, 1, "work-0", 1), (1, True, {"size": 9}, {"x": 1, "y": 2})]


@pytest.mark.conforms("B144")
@pytest.mark.parametrize(
    "options",
    [{"cache_policy": INPUTS}, {"cache_key_fn": lambda context, arguments: digest(arguments)}],
    ids=["policy", "function"],
)
def test_all_spellings_of_a_call_have_one_key(stored: Engine, options: dict[str, Any]) -> None:
    bodies: list[Any] = []

    @task(**options)
    def work(x: int, y: int = 2, *more: int, **named: int) -> int:
        bodies.append((x, y, more, named))
        return x

    @task
    def one() -> int:
        return 1

    @flow
    def main() -> list[str]:
        future = one.submit()
        state = one(return_state=True)
        calls = [
            work(1, return_state=True),
            work(1, 2, return_state=True),
            work(y=2, x=1, return_state=True),
            work(x=1, return_state=True),
            work(future, return_state=True),
            work(state, y=2, return_state=True),
            work(quote(1), return_state=True),
            work(allow_failure(future), return_state=True),
            work.submit(future).wait(),
            *work.map([1]).wait(),
            work(1, 2, 3, return_state=True),
            work(1, a=1, b=2, return_state=True),
            work(1, b=2, a=1, return_state=True),
        ]
        return [each.name for each in calls]

    names = main()
    assert [place for place, name in enumerate(names) if name == "Completed"] == [0, 10, 11]
    assert bodies == [(1, 2, (), {}), (1, 2, (3,), {}), (1, 2, (), {"a": 1, "b": 2})]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "must return a text"),
        (b"key", "must return a text"),
        (["key"], "must return a text"),
        ("\ud800", "must be a text"),
    ],
    ids=["int", "bytes", "list", "surrogate"],
)
@pytest.mark.parametrize("refresh", [False, True])
def test_a_key_that_is_none_fails_the_run_alone(stored: Engine, given: Any, said: str, refresh: bool) -> None:
    work, bodies = counted(cache_key_fn=lambda context, arguments: given, refresh_cache=refresh)

    @flow(final_state="raised")
    def main() -> None:
        work(return_state=True)

    main()
    (row,) = stored.store.task_runs(1)
    assert row.state.is_failed()
    assert said in row.state.message
    assert bodies == []


@pytest.mark.parametrize("text", ["", "a\0b", "ü", "x" * 100_000, "'; DROP TABLE cache; --"])
def test_any_text_is_a_key(stored: Engine, text: str) -> None:
    work, bodies = counted(cache_key_fn=lambda context, arguments: text)
    assert [ran(once(work)), ran(once(work))] == [True, False]
    assert len(bodies) == 1


def test_what_a_key_function_raises_fails_the_run(stored: Engine) -> None:
    def key(context: Any, arguments: dict[str, Any]) -> str:
        raise ZeroDivisionError("no key today")

    work, bodies = counted(cache_key_fn=key, retries=3)
    state = once(work)
    assert state.is_failed()
    with pytest.raises(ZeroDivisionError, match="no key today"):
        state.result()
    assert bodies == []


class Nonsense(CachePolicy):
    """What a user's own policy may get wrong."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def key(self, context: Any) -> Any:
        return self._key


@pytest.mark.parametrize(
    "key", ["text", 7, CacheKey(7, {}), CacheKey("x", {"a": 1}), CacheKey("x", None)]  # type: ignore[arg-type,dict-item]
)  # fmt: skip
def test_a_policy_of_ones_own_that_gives_no_key_fails_the_run_alone(stored: Engine, key: Any) -> None:
    work, _ = counted(cache_policy=Nonsense(key))
    state = once(work)
    assert state.is_failed()
    with pytest.raises(UsageError, match="The cache key of 'work' must be a text"):
        state.result()
    assert states_in_store(stored.store, 1)[-1] == "Completed"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cache_policy": INPUTS, "cache_key_fn": first}, "has both a cache_policy and a cache_key_fn"),
        ({"cache_policy": "INPUTS"}, "must be a cache policy"),
        ({"cache_key_fn": "key"}, "must be a function"),
        ({"cache_policy": INPUTS, "cache_expiration": "1 day"}, "must be a timedelta, or seconds"),
        ({"cache_policy": INPUTS, "cache_expiration": -1}, "must be a timedelta, or seconds"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        counted(**options)


def test_an_async_key_function_is_refused() -> None:
    async def key(context: Any, arguments: dict[str, Any]) -> str:
        return "key"

    with pytest.raises(UsageError, match="must be a function that is not async"):
        counted(cache_key_fn=key)


class Scaled:
    """A callable object, and one with a method."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, x: int) -> int:
        return self.factor * x

    def times(self, x: int) -> int:
        return self.factor * x


@pytest.mark.parametrize(
    "make",
    [Scaled, lambda factor: Scaled(factor).times, lambda factor: functools.partial(lambda f, x: f * x, factor)],
    ids=["object", "method", "partial"],
)
def test_what_a_callable_holds_is_part_of_its_key(stored: Engine, make: Callable[[int], Any]) -> None:
    def tripled(factor: int) -> State:
        return once(task(make(factor), cache_policy=INPUTS), 3)

    assert [tripled(factor).result() for factor in (2, 5, 2)] == [6, 15, 6]
    assert tripled(5).name == "Cached"


def test_equal_names_in_two_modules_share_nothing(stored: Engine) -> None:
    made = []
    for module, value in (("first", 1), ("second", 2)):
        space: dict[str, Any] = {"__name__": module}
        exec(f"def work(x): return {value}", space)
        made.append(task(space["work"], cache_policy=INPUTS))
    assert [once(each, 7).result() for each in made] == [1, 2]


def test_tasks_may_share_by_their_key_function(stored: Engine) -> None:
    one, _ = counted(cache_key_fn=first)
    other, bodies = counted(cache_key_fn=first, name="other")
    once(one, 7)
    assert once(other, 7).result() == [7, 1]
    assert bodies == []


# ---- which entry


@pytest.mark.conforms("B143", "B152")
def test_the_newest_that_has_not_expired(timed: Engine, clock: Clock) -> None:
    work, bodies = counted(cache_key_fn=first, cache_expiration=100)
    brief = work.with_options(cache_expiration=20, refresh_cache=True)
    assert once(work, 7).result() == [7, 1]
    clock.at += 10
    refreshed = once(brief, 7)
    assert (refreshed.name, refreshed.result()) == ("Completed", [7, 2])
    assert why(timed, 2) == "the cache is refreshed"
    clock.at += 5
    hit = once(work, 7)
    assert hit.result() == [7, 2]
    assert hit.details.cache_expiration == 1030.0
    clock.at += 16
    assert once(work, 7).result() == [7, 1]
    clock.at += 70
    assert once(work, 7).result() == [7, 3]
    assert len(bodies) == 3


@pytest.mark.conforms("B146")
@pytest.mark.parametrize(
    ("expiration", "holds"),
    [
        (timedelta(seconds=-1), 0),
        (timedelta(days=-400), 0),
        (0, 0),
        (timedelta(0), 0),
        (0.5, 0.5),
        (60, 60),
        (timedelta(minutes=1), 60),
        (None, None),
    ],
)
def test_how_long_a_result_may_be_used(timed: Engine, clock: Clock, expiration: Any, holds: float | None) -> None:
    work, bodies = counted(cache_key_fn=first, cache_expiration=expiration)
    once(work, 7)
    if holds is None:
        clock.at += 100 * 365 * 86_400
        assert not ran(once(work, 7))
        return
    if holds:
        clock.at += holds - 0.001
        assert not ran(once(work, 7))
        clock.at += 0.001
    assert ran(once(work, 7))
    assert why(timed, len(timed.store.flow_runs())) == "nothing changed, but what was kept is gone or too old"
    assert len(bodies) == 2


@pytest.mark.conforms("B152")
def test_what_was_refreshed_is_what_the_others_get(stored: Engine) -> None:
    work, _ = counted(cache_key_fn=first)
    assert once(work, 7).result() == [7, 1]
    assert once(work.with_options(refresh_cache=True), 7).result() == [7, 2]
    assert once(work, 7).result() == [7, 2]


@pytest.mark.conforms("B147", "B277")
def test_only_what_completed_is_kept(stored: Engine) -> None:
    ends: list[BaseException] = [ValueError("no"), SystemExit(3), KeyboardInterrupt()]
    bodies: list[int] = []

    @task(cache_key_fn=lambda context, arguments: "one key")
    def work() -> str:
        bodies.append(1)
        if ends:
            raise ends.pop(0)
        return "done"

    for _ in range(3):
        with pytest.raises(BaseException):  # noqa: B017,PT011  # an exit and an interrupt are among them
            flow(lambda: work(), name="one")()
        assert stored.store.cached("one key", stored.now()) is None
    assert ran(once(work))
    assert once(work).name == "Cached"
    assert len(bodies) == 4
    hit = stored.store.cached("one key", stored.now())
    assert hit is not None
    assert (hit.flow_run, hit.task_run) == (4, 1)  # and not the run that was a hit itself


def test_a_run_that_completes_at_last_is_kept(stored: Engine) -> None:
    ends = [ValueError("no"), ValueError("no")]

    @task(cache_key_fn=first, retries=2)
    def work(x: int) -> int:
        if ends:
            raise ends.pop()
        return x

    assert ran(once(work, 7))
    assert once(work, 7).name == "Cached"


@pytest.mark.parametrize("still", [True, False], ids=["clock stands still", "clock goes on"])
def test_a_run_that_was_begun_again_gives_no_wrong_result(store: EventStore, still: bool) -> None:
    """The run keeps its place in the record, and the result there is that of its later inputs."""
    attempts: list[int] = []

    @task
    def upstream() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("no")
        return 2

    @task(cache_key_fn=lambda context, arguments: repr(arguments["x"]))
    def work(x: Any) -> str:
        return f"made of {x!r}"

    @flow(retries=1)
    def again() -> str:
        future = upstream.submit()
        made: str = work(allow_failure(future))
        future.result()
        return made

    with engine_over(store, **({"clock": Clock()} if still else {})):
        assert in_time(again) == "made of 2"
        assert once(work, ValueError("no")).result() == "made of ValueError('no')"
        assert once(work, 2).result() == "made of 2"


def test_a_run_that_was_begun_again_and_failed_gives_no_exception(stored: Engine) -> None:
    attempts: list[int] = []

    @task
    def upstream() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("no")
        return 2

    @task(cache_key_fn=lambda context, arguments: repr(arguments["x"]))
    def work(x: Any) -> str:
        if x == 2:
            raise ZeroDivisionError
        return f"made of {x!r}"

    @flow(retries=1)
    def again() -> None:
        future = upstream.submit()
        work(allow_failure(future))
        future.result()

    with pytest.raises(ZeroDivisionError):
        in_time(again)
    assert once(work, ValueError("no")).result() == "made of ValueError('no')"


# ---- why not


def test_why_a_run_was_no_hit_is_what_it_says_while_it_runs(stored: Engine) -> None:
    @task(cache_policy=INPUTS + TASK_SOURCE)
    def locate(airport: str, day: int) -> str:
        return airport

    once(locate, "BER", 1)
    once(locate, "BER", 1)
    once(locate, "BER", 2)
    once(locate, "MUC", 3)
    assert why(stored, 1) == "never computed before"
    assert states_in_store(stored.store, 2, 1) == ["Cached"]
    assert why(stored, 3) == "the input day changed"
    assert why(stored, 4) == "2 inputs changed: airport, day"


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "home" / "results").rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", ["gone", "damaged"])
def test_a_result_that_is_gone_or_damaged_is_made_again(on_disk: SQLiteStore, tmp_path: Path, way: str) -> None:
    bodies: list[int] = []

    @task(cache_policy=INPUTS)
    def work(x: int) -> bytes:
        bodies.append(x)
        return bytes(LARGE)

    once(work, 7)
    assert once(work, 7).name == "Cached"
    (file,) = files(tmp_path)
    if way == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    again = once(work, 7)
    assert ran(again)
    assert again.result() == bytes(LARGE)
    said = on_disk.events(3)
    (running,) = [e.state for _, e in said if isinstance(e, TaskState) and e.state.is_running()]
    assert running.message.startswith("the result of run 1 cannot be used: The saved result ")
    assert f"is {way}" in running.message
    assert once(work, 7).name == "Cached"  # the new one is there
    assert bodies == [7, 7]


class Canary:
    """Sings when it is loaded."""

    def __init__(self, cage: Path) -> None:
        self.cage = cage

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.cage),)


def sql(store: SQLiteStore, statement: str, *values: Any) -> list[Any]:
    return tampered(store.path, statement, *values)


@pytest.mark.parametrize("signature", ["-", "0" * 64, "theirs"])
def test_a_result_that_was_tampered_with_is_never_loaded(on_disk: SQLiteStore, tmp_path: Path, signature: str) -> None:
    work, bodies = counted(cache_policy=INPUTS)
    once(work, 7)
    payload = pickle.dumps(Canary(tmp_path / "sang"))
    ((blob,),) = sql(on_disk, "SELECT result FROM task_run")
    if signature == "theirs":  # the signature of what was there
        signature = blob.split(b" ")[1].decode()
    forged = f"TG1 {signature} pickle\n".encode() + payload
    sql(on_disk, "UPDATE task_run SET result = ?", forged)
    again = once(work, 7)
    assert ran(again)
    assert again.result() == [7, 2]
    assert not (tmp_path / "sang").exists()
    assert bodies == [7, 7]
    events = [e.state for _, e in on_disk.events(2) if isinstance(e, TaskState)]
    assert "the result of run 1 cannot be used: " in events[0].message
    assert "was not loaded" in events[0].message
    assert once(work, 7).result() == [7, 2]
    pickle.loads(payload)
    assert (tmp_path / "sang").exists()  # control: it does sing


def test_a_result_that_was_moved_to_another_run_is_not_used(on_disk: SQLiteStore) -> None:
    work, _ = counted(cache_policy=INPUTS)
    once(work, 7)
    once(work, 8)
    sql(on_disk, "UPDATE task_run SET result = (SELECT result FROM task_run WHERE flow_run = 2) WHERE flow_run = 1")
    assert once(work, 7).result() == [7, 3]


@pytest.mark.parametrize("parts", ["", "[1]", "{", "null", '{"a": 1}'])
def test_damage_to_what_only_words_a_reason_stops_nothing(on_disk: SQLiteStore, parts: str) -> None:
    work, _ = counted(cache_policy=INPUTS)
    once(work, 7)
    sql(on_disk, "UPDATE cache SET parts = ?", parts)
    assert once(work, 7).name == "Cached"
    assert ran(once(work, 8))


class Unreadable(MemoryStore):
    """Its cache cannot be read."""

    def cached(self, key: str, now: float) -> CacheHit | None:
        raise StoreError("The disk is gone.")


def test_a_cache_that_cannot_be_read_stops_nothing() -> None:
    work, _ = counted(cache_policy=INPUTS)
    with engine_over(Unreadable()) as engine:
        assert ran(once(work, 7))
        assert why(engine, 1) == "the cache cannot be read: The disk is gone."


# ---- what it needs


@pytest.mark.conforms("B150")
def test_caching_needs_saved_results_unless_the_task_says_no(on_disk: SQLiteStore) -> None:
    """A large result that is quick to make: saved for the cache alone."""

    @task(cache_policy=INPUTS)
    def work(x: int) -> bytes:
        return bytes(LARGE)

    refusing = work.with_options(persist_result=False, name="refusing", cache_policy=INPUTS - "x" + TASK_SOURCE)
    with temporary_settings({"persist_result": False}):
        assert [ran(once(work, 7)) for _ in range(2)] == [True, False]
        assert [ran(once(refusing, 7)) for _ in range(2)] == [True, True]
    assert once(work.with_options(persist_result="auto"), 8).result() == bytes(LARGE)
    assert ran(once(work, 8))  # "auto" had not saved it

    @flow(persist_result=False)
    def quiet() -> str:
        return str(work(7, return_state=True).name)

    assert quiet() == "Cached"  # what a task asks for comes before what its flow says


def test_what_cannot_be_saved_is_not_cached_and_says_why(stored: Engine) -> None:
    @task(cache_policy=INPUTS)
    def work(x: int) -> Any:
        return (each for each in range(x))

    for run in (1, 2):
        state = once(work, 3)
        assert ran(state)
        assert list(state.result()) == [0, 1, 2]
        kept = stored.saving.recorded(stored.store.task_runs(run)[0])
        with pytest.raises(Exception, match="The result was not saved: a generator can be run only once"):
            kept.result()


def test_a_hit_that_is_not_to_be_held_in_memory(stored: Engine) -> None:
    work, bodies = counted(cache_policy=INPUTS, cache_result_in_memory=False)
    once(work, 7)
    hit = once(work, 7)
    assert hit.name == "Cached"
    assert hit.result() == [7, 1]
    assert hit.result() is not hit.result()
    assert bodies == [7]


def test_a_hit_whose_result_lies_in_another_storage(on_disk: SQLiteStore, tmp_path: Path) -> None:
    @task(cache_key_fn=first, result_storage=tmp_path / "elsewhere")
    def work(x: int) -> bytes:
        return bytes(LARGE)

    once(work, 7)
    usual = work.with_options(result_storage=None)
    assert once(usual, 7).name == "Cached"
    assert files(tmp_path) == []


def test_outside_of_a_flow_a_task_is_just_its_function() -> None:
    work, bodies = counted(cache_policy=INPUTS)
    assert [work(7), work(7)] == [[7, 1], [7, 2]]
    assert bodies == [7, 7]
