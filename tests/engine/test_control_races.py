"""Controls from many threads and at any moment: who wins, in what order it is recorded, nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable

import pytest

from reliability.trials import Trials
from support.flows import (
    SOON,
    Feed,
    Start,
    Started,
    cancelled,
    flow,
    opened,
    seeded,
    states_in_store,
    task,
)
from tidegate import CancelledRun, ControlError
from tidegate.engine import Engine
from tidegate.run.flow_run import FlowRun


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_cancel_at_any_moment_ends_soon_and_leaves_nothing_open(stored: Engine, feed: Feed, kind: str) -> None:
    """A flow of all kinds of tasks is cancelled at random moments, from another thread than the one it runs on."""
    chance = seeded(f"cancel_any_{kind}")

    @task
    def sync(x: int) -> int:
        return x + 1

    @task
    async def coroutine(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @flow
    def sync_work() -> None:
        x = 0
        while True:
            x = sync(x) + coroutine(x) + sum(sync.map([x, x]).result()) + sync.submit(x).result() & 255

    @flow
    async def async_work() -> None:
        x = 0
        while True:
            x = sync(x) + await coroutine(x) + await (await coroutine.submit(x)).result() & 255
            await asyncio.sleep(0)

    for trial in range(12):
        feed.events.clear()
        running = Started(feed, sync_work if kind == "sync" else lambda: asyncio.run(async_work()))
        threading.Event().wait(chance.uniform(0, 0.03))
        try:
            cancelled(running, 3)
        except AssertionError as error:
            raise AssertionError(f"trial {trial}: {error}") from error


@pytest.mark.scorecard(23, parts=2)
def test_of_many_at_once_exactly_one_wins(engine: Engine, feed: Feed, start: Start, trials: Trials) -> None:
    chance = trials.chance
    go = threading.Event()

    @flow
    def waits() -> int:
        opened(go)
        return 1

    running = start(waits)
    run = running.run

    def at_once(call: Callable[[str], None]) -> tuple[int, set[str]]:
        barrier = threading.Barrier(6)
        outcomes: list[str] = []

        def one(by: str) -> None:
            barrier.wait(5)
            try:
                call(by)
                outcomes.append("won")
            except ControlError as error:
                outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=one, args=(f"user {at}",)) for at in range(6)]
        chance.shuffle(threads)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        assert len(outcomes) == 6
        return outcomes.count("won"), set(outcomes) - {"won"}

    for _ in trials:
        assert at_once(run.pause) == (1, {"NotRunning"})
        assert at_once(run.resume) == (1, {"NotPaused"})
    assert at_once(run.cancel) == (1, {"NotRunning"})
    go.set()
    with pytest.raises(CancelledRun):
        running.ended()
    names = feed.flow_states()
    assert names == ["Running", *["Paused", "Resuming"] * trials.count, "Cancelling", "Cancelled"]


def test_random_controls_from_threads_keep_the_record_in_order(stored: Engine, feed: Feed, start: Start) -> None:
    """Whatever users ask for at once, each state follows from the one before, and the record says what was shown."""
    chance = seeded("random_controls")
    allowed = {
        "Running": {"Paused", "Cancelling", "Completed"},
        "Paused": {"Resuming", "Cancelling", "Completed"},
        "Resuming": {"Paused", "Cancelling", "Completed"},
        "Cancelling": {"Cancelled"},
    }

    @task
    def step(x: int) -> int:
        return x

    @flow
    def steps() -> int:
        for at in range(30):
            step.map([at] * 4).wait()
        return 1

    for trial in range(4):
        feed.events.clear()
        running = Started(feed, steps)
        run = running.run

        def user(seed: int, run: FlowRun = run) -> None:
            mine = random.Random(seed)
            for _ in range(60):
                try:
                    getattr(run, mine.choice(["pause", "resume", "resume"]))(f"user {seed}")
                except ControlError:
                    continue

        users = [threading.Thread(target=user, args=(chance.getrandbits(16),), daemon=True) for _ in range(3)]
        for each in users:
            each.start()
        for each in users:
            each.join(SOON)
        with contextlib.suppress(ControlError):
            run.cancel() if trial % 2 else run.resume()
        with contextlib.suppress(CancelledRun):  # unless it had ended before
            assert running.ended() == 1
        shown = feed.flow_states()
        for before, after in itertools.pairwise(shown):
            assert after in allowed[before], shown
        assert states_in_store(stored.store, run.number) == shown


@pytest.mark.usefixtures("hectic")
def test_pausing_and_resuming_at_any_moment_loses_no_task_run(stored: Engine, feed: Feed, start: Start) -> None:
    tries: dict[int, int] = {}

    @task(retries=1)
    def step(x: int) -> int:
        tries[x] = tries.get(x, 0) + 1
        if x % 3 == 0 and tries[x] == 1:
            raise ValueError(x)
        return x

    @flow
    def steps() -> list[int]:
        return [x for at in range(0, 160, 8) for x in step.map(range(at, at + 8)).result()]

    running = start(steps)
    deadline = time.monotonic() + 20
    while not running.run.finished.done() and time.monotonic() < deadline:
        with contextlib.suppress(ControlError):
            running.run.pause()
        time.sleep(0.0005)
        with contextlib.suppress(ControlError):
            running.run.resume()
        time.sleep(0.0005)
    assert running.ended(1) == list(range(160))
    assert all(tries[x] == (2 if x % 3 == 0 else 1) for x in range(160))


@pytest.mark.usefixtures("hectic")
@pytest.mark.scorecard(23, parts=2)
def test_what_meets_in_one_moment_has_one_outcome(stored: Engine, feed: Feed, start: Start, trials: Trials) -> None:
    """A cancel meets a resume of a paused run; a pause meets the end of a run."""
    # No event: a cancel that arrives in its `wait` would leave it locked, for the trials to come too.
    go: list[int] = []

    @flow
    def waits() -> int:
        while not go:
            time.sleep(0.001)
        return 1

    for trial in trials:
        go.clear()
        feed.events.clear()
        running = start(waits)
        run = running.run
        calls: list[Callable[[], object]] = [run.pause, lambda: go.append(1)]
        if trial % 2:
            run.pause()
            calls = [run.resume, run.cancel]
        trials.chance.shuffle(calls)
        with trials.judged():
            answers = together(calls)
            go.append(1)
            if run.state.is_paused():
                with contextlib.suppress(ControlError):  # it may just have ended
                    run.resume()
            with contextlib.suppress(CancelledRun):
                running.ended()
            shown = feed.flow_states()
            assert states_in_store(stored.store, run.number) == shown
            assert shown in (CANCELS if trial % 2 else PAUSES), (answers, shown)
            if trial % 2:
                cancel, resume = (answers[calls.index(each)] for each in (run.cancel, run.resume))
                assert (cancel, resume) == ("yes", "yes" if "Resuming" in shown else "NotPaused")
            else:
                assert answers[calls.index(run.pause)] == ("yes" if "Paused" in shown else "NotRunning")


@pytest.mark.scorecard(23, control=True, case=True)
def test_control_a_cancel_that_is_lost_is_found(
    stored: Engine, feed: Feed, start: Start, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(FlowRun, "cancel", lambda self, by="you": None)
    trials.did(1)
    mine = Trials(4, trials.seed)
    test_what_meets_in_one_moment_has_one_outcome(stored, feed, start, mine)
    trials.found(len(mine.violations) == 2)
    assert trials.caught


CANCELS = [["Running", "Paused", *each, "Cancelling", "Cancelled"] for each in ([], ["Resuming"])]
PAUSES = [["Running", *each, "Completed"] for each in ([], ["Paused"], ["Paused", "Resuming"])]


def together(calls: list[Callable[[], object]]) -> list[str]:
    """What each of these calls comes to, all begun at once."""
    barrier = threading.Barrier(len(calls))
    answers = [""] * len(calls)

    def one(at: int) -> None:
        barrier.wait(SOON)
        try:
            calls[at]()
            answers[at] = "yes"
        except ControlError as error:
            answers[at] = type(error).__name__

    threads = [threading.Thread(target=one, args=(at,), daemon=True) for at in range(len(calls))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SOON)
    return answers
