"""Tasks in worker processes: values, errors, prints, links, deaths, time limits, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import decimal
import enum
import fractions
import itertools
import os
import random
import signal
import sys
import threading
import time
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from reliability.scorecard import within
from reliability.trials import Trials
from support.flows import SOON, Feed, Start, cancelled, edges, edges_full, flow, in_time, python, task
from tidegate import (
    ConcurrentTaskRunner,
    NotSendable,
    ProcessTaskRunner,
    UsageError,
    WorkerDied,
    create_markdown_artifact,
    get_run_context,
    get_run_logger,
    pause_flow_run,
    runtime,
)
from tidegate.engine import Engine
from tidegate.model.states import State, StateType
from tidegate.run.task_run import TaskRun
from tidegate.task_runners import worker_process

# A worker cannot import a test module, whose name is pytest's; a user's script or notebook goes the same way.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

LONG = 60.0
"""Seconds that nothing here may take."""


@pytest.fixture(scope="module")
def runner() -> ProcessTaskRunner:
    """One for all, as each flow run has processes of its own."""
    return ProcessTaskRunner(2)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process and no descriptor outlives the flow run, except for the moment in which they end."""
    before = descriptors()
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("tidegate-keeper"):
            thread.join(SOON)
            assert not thread.is_alive()
    assert children_of(os.getpid()) == []
    assert descriptors() <= before + 6  # the engine's loop, made by the first test that needs it


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children_of(pid: int) -> list[int]:
    """The worker processes of a process, zombies as well."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = each.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(each.parent.name))
    return found


def names(engine: Engine) -> list[str]:
    return [row.state.name for row in engine.store.task_runs(1)]


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


@task
def same(value: Any) -> Any:
    return value


@task
def pid(_: Any = None) -> int:
    return os.getpid()


def run(body: Callable[[], Any], runner: Any, **options: Any) -> Any:
    """What a flow with this body gives."""
    return in_time(lambda: flow(body, name="work", task_runner=runner, **options)(), LONG)


# Calls and links ------------------------------------------------------------------------------------------------------


def test_where_code_runs(engine: Engine, runner: ProcessTaskRunner) -> None:
    """Submitted and mapped sync tasks in processes, all else here."""

    @task
    async def async_pid() -> int:
        return os.getpid()

    @flow
    def subflow() -> tuple[int, int]:
        return os.getpid(), pid.submit().result()

    def body() -> None:
        here = os.getpid()
        assert pid() == here
        assert async_pid.submit().result() == here
        assert subflow() == (here, here)
        elsewhere = {pid.submit().result(), *pid.map(range(6)).result()}
        assert here not in elsewhere
        assert 1 <= len(elsewhere) <= 2

    run(body, runner)
    assert set(names(engine)) == {"Completed"}


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: add.submit(1, y=2).result(), 3),
        (lambda: add.submit(1, y=2, return_state=True).result(), 3),
        (lambda: add.map([1, 2, 3], y=2).result(), [3, 4, 5]),
        (lambda: [each.result() for each in add.map([1, 2, 3], y=2, return_state=True)], [3, 4, 5]),
        (lambda: add.submit(add.submit(1), y=add.submit(2)).result(), 5),
        (lambda: add.map(add.map(range(3)), y=1).result(), [2, 3, 4]),
        (lambda: add.submit([add.submit(1)], [2]).result(), [2, 2]),
        (lambda: add(add.submit(1)), 3),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_ways_to_call(stored: Engine, runner: ProcessTaskRunner, call: Any, wanted: Any, kind: str) -> None:
    if kind == "sync":
        assert run(call, runner) == wanted
    else:

        async def work() -> Any:
            return call()

        assert in_time(lambda: asyncio.run(flow(work, task_runner=runner)()), LONG) == wanted
    assert set(names(stored)) == {"Completed"}


@pytest.mark.conforms("B176")
def test_links_are_made_here(stored: Engine, runner: ProcessTaskRunner) -> None:
    """By future, and by value: what the owner got is what it recognises, of mutables and of fresh immutables."""

    @task
    def make(what: str) -> Any:
        return {"list": [1, 2], "text": "x" * len(what), "number": 12345 + len(what), "object": Thing(1)}[what]

    kinds = ["list", "text", "number", "object"]

    def body() -> None:
        futures = [make.submit(kind) for kind in kinds]
        same.submit(futures[0]).wait()
        for future in futures:
            same.submit(future.result()).wait()
        same.submit([futures[1].result()]).wait()
        same.submit("list").wait()  # nobody's

    run(body, runner)
    assert edges(stored.store) == {(1, 5), (1, 6), (2, 7), (3, 8), (4, 9), (2, 10)}
    assert {kind for _, down, kind, _ in edges_full(stored.store) if down > 5} == {"value"}


@pytest.mark.conforms("B176")
def test_links_are_those_of_threads(engine: Engine, runner: ProcessTaskRunner) -> None:
    def body() -> None:
        one = add.map(range(3))
        two = same.submit(one)
        three = same.submit(two.result())
        same.submit({"a": [three.result()], "b": one[1]}, wait_for=[two])

    def seen(with_runner: Any) -> Any:
        number = len(engine.store.flow_runs()) + 1
        run(body, with_runner)
        return edges_full(engine.store, number)

    assert seen(runner) == seen(ConcurrentTaskRunner(2))


# Values ---------------------------------------------------------------------------------------------------------------


@dataclass
class Thing:
    number: int

    def double(self) -> int:
        return self.number * 2


class Colour(enum.Enum):
    RED = 1


VALUES: list[Any] = [
    *(
        None,
        True,
        7,
        10**40,
        1.5,
        2j,
        "täxt\ud800",
        b"\0\xff",
        (1, (2,)),
        [1, [2]],
        {"a": {1: 2}},
        {1, 2},
        frozenset({3}),
    ),
    *(Thing(3), Colour.RED, Thing, range(4), datetime.date(2024, 2, 29), decimal.Decimal("1.10")),
    *(
        fractions.Fraction(1, 3),
        uuid.UUID(int=5),
        Path("/a/b"),
        OrderedDict(a=1),
        slice(1, 2),
        bytearray(b"x" * 300_000),
    ),
]


def test_values_go_and_come(engine: Engine, runner: ProcessTaskRunner) -> None:
    """And are of the same classes, also of those that only this module has."""

    def body() -> None:
        for future, value in zip(same.map(VALUES), VALUES, strict=True):
            back = future.result()
            assert type(back) is type(value)
            assert back == value
        assert same.submit(Thing(4)).result().double() == 8
        assert same.submit(Colour.RED).result() is Colour.RED

    run(body, runner)


def test_functions_and_what_they_hold(engine: Engine, runner: ProcessTaskRunner) -> None:
    """Lambdas, closures, generators, callable objects, methods, recursion: everything that a notebook defines."""
    offset = 5

    def generator(n: int) -> Iterator[int]:
        yield from range(n)

    class Adds:
        def __call__(self, x: int) -> int:
            return x + offset

    def fib(n: int) -> int:
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    def body() -> None:
        assert task(lambda x: x + offset, name="f1").submit(1).result() == 6
        assert task(generator).submit(3).result() == [0, 1, 2]
        assert task(Adds(), name="f2").submit(1).result() == 6
        assert task(Thing(4).double, name="f3").submit().result() == 8
        assert task(fib).submit(10).result() == 55
        assert task(len, name="f4").submit([1, 2]).result() == 2
        got = same.submit(lambda x: x * offset).result()
        assert got(2) == 10

    run(body, runner)


def test_what_is_known_of_the_run(engine: Engine, runner: ProcessTaskRunner) -> None:
    """`runtime` and the run's context, as they are told to threads."""

    @task(name="who", tags=["a"], task_run_name="who-{x}")
    def who(x: int, y: int = 2) -> Any:
        run, above = runtime.task_run, runtime.flow_run
        return (
            *(run.id, run.name, run.task_name, run.tags, run.parameters, run.run_count),
            *(above.id, above.name, above.flow_name, above.tags, above.run_count, above.parent_flow_run_id),
            *(above.scheduled_start_time, above.parameters, get_run_context().name),
        )

    def seen(with_runner: Any) -> Any:
        made = flow(lambda p: who.submit(1).result(), name="work", task_runner=with_runner, flow_run_name="r")
        told = list(in_time(lambda: made([1, 2]), LONG))
        return [*told[:6], *told[7:12], told[13:]]  # without number and time

    got = seen(runner)
    assert got == seen(ConcurrentTaskRunner(1))
    assert got[1] == "who-1"


def test_what_cannot_be_done_there_is_one_line(engine: Engine, runner: ProcessTaskRunner) -> None:
    @flow
    def other() -> None: ...

    @task
    def tries() -> list[tuple[str, str]]:
        told = []
        calls: list[Callable[[], Any]] = [
            lambda: add(1),
            lambda: add.submit(1),
            lambda: add.map([1]),
            lambda: create_markdown_artifact("x"),
            lambda: pause_flow_run(),
            lambda: other(),
        ]
        for call in calls:
            try:
                told.append(("nothing", str(call())))
            except Exception as error:
                told.append((type(error).__name__, str(error)))
        return told

    told = run(lambda: tries.submit().result(), runner)
    assert [kind for kind, _ in told] == ["OutsideFlow"] * 5 + ["RuntimeError"], told
    assert all("\n" not in text for _, text in told)
    assert all("ProcessTaskRunner" in text for _, text in told[:4])


# Errors ---------------------------------------------------------------------------------------------------------------


class Plain(Exception):
    pass


class Odd(Exception):
    """Its arguments are not those that it is made with."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{what} ({code})")
        self.code = code


class Doubled(Exception):
    """Made from its own arguments it says another thing."""

    def __init__(self, what: str) -> None:
        super().__init__(f"no {what}")


class Below(BaseException):
    pass


ERRORS: list[tuple[type[BaseException], tuple[Any, ...]]] = [
    *((ValueError, ("no", 3)), (KeyError, ("key",)), (Plain, ("x",)), (Odd, (7, "odd")), (Doubled, ("thing",))),
    *((OSError, (2, "none", "file")), (UnicodeDecodeError, ("utf-8", b"\xff", 0, 1, "bad")), (StopIteration, (1,))),
    *((ExceptionGroup, ("several", [ValueError(1), TypeError(2)])), (RecursionError, ()), (AssertionError, ("a",))),
    *((SystemExit, (3,)), (KeyboardInterrupt, ()), (GeneratorExit, ()), (Below, ("b",)), (TimeoutError, ("t",))),
]


@pytest.mark.parametrize(("kind", "given"), ERRORS, ids=[kind.__name__ for kind, _ in ERRORS])
@pytest.mark.scorecard(25, case=True)
def test_errors_come_back(engine: Engine, runner: ProcessTaskRunner, kind: Any, given: Any) -> None:
    """With type, arguments, notes, what they know, their cause and where it was; the state is that of a thread."""

    @task
    def raises() -> None:
        def inner() -> None:
            error = kind(*given)
            error.add_note("a note")
            error.extra = 5
            try:
                raise LookupError("below")
            except LookupError as below:
                raise error from below

        inner()

    def one(with_runner: Any) -> tuple[State, BaseException]:
        got: list[Any] = []

        def body() -> None:
            future = raises.submit()
            state = future.wait()
            try:
                future.result()
            except BaseException as error:
                got.extend((state, error))

        in_time(lambda: flow(body, name="work", task_runner=with_runner)(return_state=True), LONG)
        state, error = got
        return state, error

    state, error = one(runner)
    there, twin = one(ConcurrentTaskRunner(1))
    assert type(error) is type(twin)
    assert isinstance(error, kind)
    assert repr(error.args) == repr(twin.args)
    assert (state.type, state.name, state.message) == (there.type, there.name, there.message)
    assert error.__notes__ == ["a note"]
    assert {**vars(error)} == {**vars(twin)}
    assert repr(error.__cause__) == "LookupError('below')"
    text, other = ("".join(traceback.format_exception(each)) for each in (error, twin))
    for line in ("raise error from below", "in inner", 'raise LookupError("below")', "a note", Path(__file__).name):
        assert line in text
        assert line in other


class Locked(Exception):
    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


def unsendable() -> dict[str, tuple[Any, str]]:
    lock = threading.Lock()

    def raises() -> None:
        raise Locked

    return {
        "input": (lambda: same.submit(lock), "The input 'value' of 'same-0' cannot be sent to a worker process: "),
        "keyword": (lambda: add.submit(1, y=lock), "The input 'y' of 'add-0' cannot be sent"),
        "file": (lambda: same.submit(sys.__stdin__), "The input 'value' of 'same-0' cannot be sent"),
        "function": (lambda: task(lambda: lock, name="held").submit(), "The function of 'held' cannot be sent"),
        "result": (lambda: task(threading.Lock, name="gives").submit(), "What 'gives-0' returned cannot be sent back"),
        "exception": (lambda: task(raises).submit(), "'raises-0' raised an exception that cannot be sent back"),
    }


@pytest.mark.parametrize("what", unsendable())
def test_what_cannot_be_sent_is_one_line(stored: Engine, runner: ProcessTaskRunner, what: str) -> None:
    call, says = unsendable()[what]

    def body() -> int:
        future = call()
        state = future.wait()
        assert state.type is StateType.FAILED
        with pytest.raises(NotSendable) as caught:
            future.result()
        text = str(caught.value)
        assert text.startswith(says)
        assert "\n" not in text
        assert "cannot pickle" in text
        return int(add.submit(1).result())  # the worker goes on

    assert run(body, runner) == 2
    assert names(stored) == ["Failed", "Completed"]


def test_a_class_that_cannot_be_made_here(engine: Engine, runner: ProcessTaskRunner) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (int, ("not a number",))

    text = str(run(lambda: task(Trap, name="trap").submit().result(raise_on_failure=False), runner))
    assert text.startswith("What 'trap-0' returned in its worker process cannot be read here: ValueError")


# Prints and logs ------------------------------------------------------------------------------------------------------


def test_prints_and_logs(
    stored: Engine, runner: ProcessTaskRunner, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Prints appear here, and in the log where that is wanted; all loggers reach the handlers that are set up here."""

    @task(log_prints=True)
    def talks() -> None:
        import logging

        print("one", "two")
        print("three ", end="")
        print("fo\u00fcr")
        sys.stdout.buffer.write("five \u20ac\n".encode())
        print("an error", file=sys.stderr)
        get_run_logger().info("said %s", 6)
        get_run_logger().debug("too little")
        logging.getLogger("a.library").warning("seven", extra={"unsendable": threading.Lock()})
        try:
            raise ValueError("eight")
        except ValueError:
            get_run_logger().exception("it went wrong")
        print("unfinished", end="")

    @task
    def mute() -> None:
        print("not kept")

    def body() -> None:
        talks.submit().wait()
        mute.submit().wait()

    with caplog.at_level("INFO"):
        run(body, runner)
    out, err = capsys.readouterr()
    assert out == "one two\nthree fo\u00fcr\nfive \u20ac\nunfinishednot kept\n"
    assert err == "an error\n"
    kept = [line.text for _, line in stored.store.logs(1, task_run=1)]
    assert kept[:4] == ["one two", "three fo\u00fcr", "five \u20ac", "said 6"]
    assert kept[4].startswith("it went wrong\nTraceback")
    assert kept[4].endswith("ValueError: eight")
    assert kept[5:] == ["unfinished"]
    assert stored.store.logs(1, task_run=2) == []
    assert "seven" in caplog.messages
    ours = [each for each in caplog.records if each.getMessage() == "said 6"]
    assert [(each.levelname, each.task_run_name) for each in ours] == [("INFO", "talks-0")]  # type: ignore[attr-defined]


def test_prints_come_as_they_happen(engine: Engine, runner: ProcessTaskRunner, tmp_path: Path) -> None:
    seen = threading.Event()
    go_on = tmp_path / "go on"

    class Screen:
        def write(self, text: str) -> int:
            if "begun" in text:
                seen.set()
            return len(text)

        def flush(self) -> None: ...

    @task
    def step() -> None:
        print("begun")
        wait_for(go_on)

    def body() -> None:
        with contextlib.redirect_stdout(Screen()):
            future = step.submit()
            assert seen.wait(SOON)
            assert not future.done()
            go_on.touch()
            future.wait()

    run(body, runner)


def wait_for(path: Path) -> None:
    """Wait for a file, in a worker: no event of this process is there."""
    end = time.monotonic() + SOON
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come"
        time.sleep(0.002)


# Deaths ---------------------------------------------------------------------------------------------------------------


DEATHS: dict[str, tuple[Callable[[], Any], str]] = {
    "exit": (lambda: os._exit(3), "ended with exit code 3."),
    "clean exit": (lambda: os._exit(0), "ended with exit code 0."),
    "SIGSEGV": (lambda: os.kill(os.getpid(), signal.SIGSEGV), "was killed by SIGSEGV."),
    "SIGKILL": (
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        "was killed by SIGKILL, as happens where memory runs out.",
    ),
    "SIGTERM": (lambda: os.kill(os.getpid(), signal.SIGTERM), "was killed by SIGTERM."),
    "abort": (os.abort, "was killed by SIGABRT."),
    "with a fork": (lambda: os.kill(os.getpid(), signal.SIGKILL) if os.fork() else time.sleep(LONG), "by SIGKILL"),
}


@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.scorecard(26, case=True)
def test_a_worker_that_dies(stored: Engine, runner: ProcessTaskRunner, how: str) -> None:
    """Its task run is crashed and says why; siblings go on, and the pool has its place again."""
    die, says = DEATHS[how]

    def body() -> None:
        before = add.map(range(3))
        died = task(die, name="dies").submit()
        after = add.map(range(3))
        with pytest.raises(WorkerDied):
            died.result()
        assert before.result() == after.result() == [1, 2, 3]

    state = in_time(lambda: flow(body, task_runner=runner, final_state="returned")(return_state=True), LONG)
    assert state.is_completed()
    rows = stored.store.task_runs(1)
    assert [row.state.name for row in rows] == ["Completed"] * 3 + ["Crashed"] + ["Completed"] * 3
    assert rows[3].state.message.startswith("Its worker process ")
    assert says in rows[3].state.message


def test_a_death_is_tried_again(stored: Engine, runner: ProcessTaskRunner) -> None:
    """As often as the task has retries; a crash that code asks for by raising is not."""

    @task(retries=2)
    def step(deaths: int) -> int:
        count = runtime.task_run.run_count or 0
        if count <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    @task(retries=2)
    def leaves() -> None:
        sys.exit(1)

    @task(retries=2, retry_condition_fn=lambda error: not isinstance(error, WorkerDied))
    def choosy() -> None:
        os._exit(1)

    def body() -> None:
        assert step.map(range(3)).result() == [1, 2, 3]
        assert step.submit(3).wait().is_crashed()
        left = leaves.submit()
        assert left.wait().is_crashed()
        with pytest.raises(SystemExit):
            left.result()
        assert choosy.submit().wait().is_crashed()

    in_time(lambda: flow(body, name="work", task_runner=runner)(return_state=True), LONG)
    assert [row.attempts for row in stored.store.task_runs(1)] == [1, 2, 3, 3, 1, 1]


def test_one_who_asks_for_a_dead_one_merely_fails(engine: Engine, runner: ProcessTaskRunner) -> None:
    def body() -> None:
        task(lambda: os._exit(1), name="dies").submit().result()

    state = in_time(lambda: flow(body, name="work", task_runner=runner)(return_state=True), LONG)
    assert (state.type, state.name) == (StateType.FAILED, "Failed")
    assert state.message == "WorkerDied: Its worker process ended with exit code 1."


def test_one_that_dies_between_two_calls(engine: Engine, tmp_path: Path) -> None:
    """It is seen before it is used again: nobody else is made to pay."""
    one = ProcessTaskRunner(1)

    def body() -> None:
        worker = pid.submit().result()
        os.kill(worker, signal.SIGKILL)
        os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        assert pid.submit().result() != worker

    run(body, one)


@pytest.mark.scorecard(26)
def test_deaths_at_random_moments(engine: Engine, runner: ProcessTaskRunner, trials: Trials) -> None:
    """Workers are killed from outside, idle or at work: each death costs one task run at most, the others are right."""
    while trials.done < trials.count:
        trials.did(deaths_in_a_map(engine, runner, random.Random(trials.chance.getrandbits(32))))


@pytest.mark.scorecard(26, control=True, case=True)
def test_control_a_death_that_counts_as_a_good_end_is_found(
    engine: Engine, runner: ProcessTaskRunner, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    judge = TaskRun.judge

    def lenient(self: TaskRun, value: Any, error: BaseException | None) -> State:
        return judge(self, -1, None) if isinstance(error, WorkerDied) else judge(self, value, error)

    monkeypatch.setattr(TaskRun, "judge", lenient)
    trials.did(1)

    def deaths() -> None:
        for _ in range(10):  # a worker may die while it has nothing to do
            deaths_in_a_map(engine, runner, random.Random(trials.chance.getrandbits(32)))

    with pytest.raises(AssertionError):
        deaths()
    trials.found(True)


def deaths_in_a_map(engine: Engine, runner: ProcessTaskRunner, chance: random.Random) -> int:
    """How many workers were killed while a map ran."""
    over = threading.Event()
    killed: list[int] = []

    def killer() -> None:
        while not over.wait(chance.uniform(0.01, 0.25)):
            found = children_of(os.getpid())
            if found:
                victim = chance.choice(found)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

    @task
    def step(x: int) -> int:
        time.sleep(0.005)  # work of some length, which the kills are to meet
        return x * x

    def body() -> list[State]:
        thread = threading.Thread(target=killer, daemon=True)
        thread.start()
        try:
            return list(step.map(range(150)).wait())
        finally:
            over.set()
            thread.join()

    made = flow(body, name="work", task_runner=runner, final_state="raised")
    states = in_time(made, LONG)
    died = [state for state in states if state.is_crashed()]
    assert [state.result() for state in states if not state.is_crashed()] == [
        x * x for x, state in enumerate(states) if not state.is_crashed()
    ]
    assert {type(state.data) for state in died} <= {WorkerDied}
    assert all(state.is_completed() or state.is_crashed() for state in states)
    assert len(died) <= len(killed)
    assert killed  # else nothing was tested
    assert engine.store.flow_runs()[0].state.is_completed()
    return len(killed)


# Time limits and cancels ----------------------------------------------------------------------------------------------


def sleep(mark: Path) -> None:
    mark.touch()
    time.sleep(LONG)


def spin(mark: Path) -> None:
    mark.touch()
    while True:
        pass


def count(mark: Path) -> None:
    """In C, without a look at signals and with the interpreter held."""
    mark.touch()
    sum(itertools.count())


def deaf(mark: Path) -> None:
    mark.touch()
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(LONG)


def parent(mark: Path) -> None:
    """It waits for a process that it has started, which is to end with it."""
    import subprocess

    subprocess.run([sys.executable, "-c", f"import pathlib; pathlib.Path({str(mark)!r}).touch(); input()"], stdin=None)
    time.sleep(LONG)


ENDLESS = [sleep, spin, count, deaf, parent]


@pytest.mark.parametrize("body", ENDLESS, ids=[each.__name__ for each in ENDLESS])
def test_a_task_over_its_limit_ends_on_time(
    stored: Engine, runner: ProcessTaskRunner, body: Callable[..., None], tmp_path: Path
) -> None:
    """And a worker has its place: what comes after it runs."""
    limited = task(body, timeout_seconds=0.3)

    def work() -> float:
        pid.submit().wait()  # the time of a limit begins when a worker is there
        begun = time.perf_counter()
        state = limited.submit(tmp_path / "mark").wait()
        took = time.perf_counter() - begun
        assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
        assert add.submit(1).result() == 2
        return took

    assert 0.3 <= run(work, runner, final_state="returned") < 0.3 + within(0.2)
    assert stored.store.flow_runs()[0].state.message == ""  # nothing is still at work


def test_code_that_hears_may_tidy_up(engine: Engine, runner: ProcessTaskRunner, tmp_path: Path) -> None:
    @task(timeout_seconds=0.2)
    def tidy() -> None:
        try:
            time.sleep(LONG)
        finally:
            (tmp_path / "tidied").touch()

    run(lambda: tidy.submit().wait() and None, runner, final_state="raised")
    assert (tmp_path / "tidied").exists()


def test_a_limit_is_tried_again(engine: Engine, runner: ProcessTaskRunner) -> None:
    @task(timeout_seconds=0.2, retries=1)
    def second() -> str:
        if runtime.task_run.run_count == 1:
            sum(itertools.count())
        return "done"

    assert run(lambda: second.submit().result(), runner) == "done"


@pytest.mark.parametrize("body", ENDLESS, ids=[each.__name__ for each in ENDLESS])
def test_a_cancel(
    stored: Engine, feed: Feed, start: Start, runner: ProcessTaskRunner, body: Callable[..., None], tmp_path: Path
) -> None:
    marks = [tmp_path / "one", tmp_path / "two"]

    def work() -> None:
        task(body).map([*marks, tmp_path / "three"])

    running = start(flow(work, task_runner=runner))
    for mark in marks:
        wait_for(mark)
    cancelled(running, 1.5)
    assert set(names(stored)) == {"Cancelled"}
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("body", [sleep, count], ids=["sleep", "count"])
def test_a_flow_over_its_limit(engine: Engine, runner: ProcessTaskRunner, body: Any, tmp_path: Path) -> None:
    def work() -> None:
        task(body).submit(tmp_path / "mark")

    begun = time.perf_counter()
    limited = flow(work, name="work", task_runner=runner, timeout_seconds=1.0)
    state = in_time(lambda: limited(return_state=True), LONG)
    assert time.perf_counter() - begun < 1 + within(0.3)
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert (tmp_path / "mark").exists()


def test_a_flow_that_is_tried_again_has_no_old_bodies(
    engine: Engine, runner: ProcessTaskRunner, tmp_path: Path
) -> None:
    def work() -> int:
        if runtime.flow_run.run_count == 1:
            task(count).submit(tmp_path / "mark")
            wait_for(tmp_path / "mark")
            wait_for(tmp_path / "never")
        return int(add.submit(1).result())

    assert run(work, runner, timeout_seconds=1.5, retries=1) == 2


def test_pause_and_resume(stored: Engine, feed: Feed, start: Start, runner: ProcessTaskRunner, tmp_path: Path) -> None:
    """What is at work in a process goes on and ends, nothing new begins until the resume."""
    begun, go_on = tmp_path / "begun", tmp_path / "go on"

    @task
    def step(x: int) -> int:
        begun.touch()
        wait_for(go_on)
        return x

    @flow(task_runner=ProcessTaskRunner(1))
    def work() -> list[int]:
        return list(step.map([1, 2]).result())

    running = start(work)
    wait_for(begun)
    running.run.pause()
    go_on.touch()
    feed.await_task(1, "Completed")
    assert feed.task_states(2) == []
    running.run.resume()
    assert running.ended() == [1, 2]


def test_an_interrupt_of_the_owner(tmp_path: Path) -> None:
    """Ctrl-C is for the owner; its workers end with what they do, and the interpreter leaves without a word of them."""
    script = f"""
import itertools, sys, time
sys.path.insert(0, {str(tmp_path)!r})
from tidegate import flow, task, ProcessTaskRunner

@task
def endless(x):
    print("begun", flush=True)
    sum(itertools.count())

@flow(task_runner=ProcessTaskRunner(2))
def work():
    endless.map([1, 2]).result()

work()
"""
    with python(script, cwd=tmp_path) as process:
        assert process.stdout.readline() == b"begun\n"
        assert process.stdout.readline() == b"begun\n"
        workers = children_of(process.pid)
        assert len(workers) == 2
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SOON)
        assert process.returncode != 0
        assert err.decode().count("Traceback") == 1, err.decode()
        assert err.decode().endswith("KeyboardInterrupt\n")
        gone(workers)


# Nothing is left ------------------------------------------------------------------------------------------------------


def gone(pids: list[int]) -> None:
    """Wait until these processes have ended."""
    end = time.monotonic() + SOON
    for each in pids:
        while True:
            try:
                if Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    break
            except OSError:
                break
            assert time.monotonic() < end, f"{each} is alive"
            time.sleep(0.01)


OWNER = """
import itertools, os, signal, time
from tidegate import flow, task, ProcessTaskRunner

@task
def first(x):
    return x

@task
def endless(how):
    print("begun", flush=True)
    if how == "sleep":
        time.sleep(600)
    sum(itertools.count())

@flow(task_runner=ProcessTaskRunner(3))
def work():
    first.map(range(30)).wait()
    endless.map(["sleep", "count"])
    time.sleep(600)

work()
"""


def test_an_owner_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    """Idle ones, sleeping ones, and those that hold the interpreter in a C call."""
    with python(OWNER, cwd=tmp_path) as process:
        for _ in range(2):
            assert process.stdout.readline() == b"begun\n"
        workers = children_of(process.pid)
        assert 2 <= len(workers) <= 3
        assert not any(Path(f"/proc/{each}/stat").read_text().split()[2] == "Z" for each in workers)  # the control
        process.kill()
        gone(workers)


def test_two_hundred_tasks_leave_nothing(engine: Engine, runner: ProcessTaskRunner) -> None:
    open_before: list[int] = []

    def body() -> None:
        pid.map(range(20)).wait()
        open_before.append(descriptors())
        for _ in range(4):
            assert len(set(pid.map(range(50)).result())) <= 2
        assert len(children_of(os.getpid())) <= 2
        assert descriptors() <= open_before[0] + 4  # a second worker may have come

    run(body, runner)


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """What it defines goes by value, and nothing of it runs twice."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import beside
from dataclasses import dataclass
from tidegate import flow, task, ProcessTaskRunner

print("runs")
FACTOR = 3

@dataclass
class Point:
    x: int

def helper(x):
    return Point(x * FACTOR)

@task
def step(x):
    return beside.plus(helper(x).x)

@task
def point(x):
    return helper(x)

@flow(task_runner=ProcessTaskRunner(2))
def work():
    assert isinstance(point.submit(1).result(), Point)
    return step.map(range(4)).result()

print(work())
"""
    )
    (tmp_path / "beside.py").write_text("def plus(x):\n    return x + 1\n")
    start = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    with python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {start}", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=SOON)
        assert (out.decode(), err.decode()) == ("runs\n[1, 4, 7, 10]\n", "")


# The runner -----------------------------------------------------------------------------------------------------------


def test_workers_at_most() -> None:
    assert ProcessTaskRunner().max_workers == os.cpu_count()
    assert ProcessTaskRunner(3).max_workers == 3
    for senseless in (0, -1, True, "2", 1.5):
        with pytest.raises(UsageError, match="max_workers must be a whole number"):
            ProcessTaskRunner(senseless)  # type: ignore[arg-type]


def test_a_worker_that_cannot_begin(engine: Engine, runner: ProcessTaskRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "MODULE", "tidegate.task_runners.nothing")
    state = run(lambda: add.submit(1).wait(), runner, final_state="raised")
    assert state.is_crashed()
    assert state.message == "A worker process could not begin: it ended with exit code 1."
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    state = run(lambda: add.submit(1).wait(), runner, final_state="raised")
    assert state.message.startswith("A worker process could not begin: FileNotFoundError")


def test_ends_have_names() -> None:
    assert worker_process.ended_how(-11) == "was killed by SIGSEGV"
    assert worker_process.ended_how(-200) == "was killed by signal 200"
    assert worker_process.ended_how(5) == "ended with exit code 5"
