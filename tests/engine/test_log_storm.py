"""Storms: what a run logs is bounded, whatever it says, and what was left out is counted."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from reliability.trials import Trials
from support.flows import flow, seeded, task
from tidegate import get_run_logger, log_batches
from tidegate.context import frame
from tidegate.engine import Engine
from tidegate.log_batches import BATCH, FLOW_BYTES, LINE_BYTES, OVERHEAD, TASK_BYTES, LogBatches, fitted
from tidegate.model.events import LogLine, LogLines
from tidegate.run_logs import capture_prints
from tidegate.store.sqlite import SQLiteStore

MILLION = 1_000_000


@contextlib.contextmanager
def nobody_else_listens() -> Iterator[None]:
    """As in a script or a notebook; pytest listens to every logger, and keeps what it hears."""
    ours = logging.getLogger("tidegate")
    handlers, ours.handlers, ours.propagate = ours.handlers, [], False
    try:
        yield
    finally:
        ours.handlers, ours.propagate = handlers, True


def lines(engine: Engine, task_run: int, number: int = 1) -> list[LogLine]:
    return [line for _, line in engine.store.logs(number, task_run=task_run, limit=10**7)]


def size(kept: Sequence[LogLine]) -> int:
    return sum(len(line.text.encode()) + OVERHEAD for line in kept)


def dropped(line: LogLine) -> int:
    found = re.fullmatch(r"\.\.\. ([\d,]+) lines more were dropped: a (task|flow) run keeps \d+ MB\.", line.text)
    assert found, line
    return int(found[1].replace(",", ""))


def check_storm(kept: list[LogLine], total: int) -> None:
    """The first lines are kept, within bounds, and the others counted exactly."""
    *said, last = kept
    assert size(said) <= TASK_BYTES
    assert size(said) > TASK_BYTES - 2 * LINE_BYTES
    assert [line.text for line in said] == [f"line {i} of a storm" for i in range(len(said))]
    assert last.level == logging.WARNING
    assert len(said) + dropped(last) == total


@pytest.mark.scorecard(34, case=True)
def test_a_million_lines_of_one_task(stored: Engine) -> None:
    @task
    def storm() -> None:
        logger = get_run_logger()
        for i in range(MILLION):
            logger.info("line %d of a storm", i)

    @task
    def calm() -> None:
        get_run_logger().info("line 0 of a storm")

    @flow
    def main() -> int:
        storm()
        calm()
        return 1

    with nobody_else_listens():
        main()
    check_storm(lines(stored, 1), MILLION)
    assert [line.text for line in lines(stored, 2)] == ["line 0 of a storm"]


@pytest.mark.scorecard(34, control=True, case=True)
def test_control_a_storm_that_nothing_bounds_is_found(
    stored: Engine, monkeypatch: pytest.MonkeyPatch, trials: Trials
) -> None:
    monkeypatch.setattr(log_batches, "TASK_BYTES", 100 * TASK_BYTES)

    @task
    def storm() -> None:
        logger = get_run_logger()
        for i in range(60_000):
            logger.info("line %d of a storm", i)

    with nobody_else_listens():
        flow(lambda: storm(), name="main")()
    trials.did(1)
    with pytest.raises(AssertionError):
        check_storm(lines(stored, 1), 60_000)
    trials.found(True)


@pytest.mark.scorecard(34, case=True)
def test_a_million_prints_of_one_task(stored: Engine) -> None:
    @task
    def storm() -> None:
        with capture_prints(get_run_logger()):
            for i in range(MILLION):
                print(f"line {i} of a storm")

    @flow
    def main() -> int:
        storm()
        return 1

    with nobody_else_listens(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        main()
    check_storm(lines(stored, 1), MILLION)


@pytest.mark.scorecard(34, case=True)
def test_the_file_stays_bounded(tmp_path: Path) -> None:
    from support.flows import engine_over

    store = SQLiteStore(tmp_path / "store.db")

    @task
    def storm() -> None:
        logger = get_run_logger()
        for i in range(100_000):
            logger.info("line %d of a storm", i)

    @flow
    def main() -> int:
        for _ in range(3):
            storm()
        return 1

    with engine_over(store), nobody_else_listens():
        main()
    store.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * 3 * TASK_BYTES


@pytest.mark.scorecard(34, case=True)
def test_threads_of_one_task_are_counted_exactly(stored: Engine, hectic: None) -> None:
    each = 30_000

    @task
    def storm() -> None:
        logger = get_run_logger()
        threads = [threading.Thread(target=say, args=(logger,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def say(logger: logging.LoggerAdapter[logging.Logger]) -> None:
        for _ in range(each):
            logger.info("one of many, from one of four threads")

    @flow
    def main() -> int:
        storm()
        return 1

    with nobody_else_listens():
        main()
    *said, last = lines(stored, 1)
    assert len(said) + dropped(last) == 4 * each


def test_what_ended_a_run_is_told_even_after_a_storm(stored: Engine) -> None:
    @task
    def storm() -> None:
        logger = get_run_logger()
        for _ in range(40):
            logger.info("x" * 30_000)
        logger.warning("lost in the storm")
        logger.error("what really went wrong")
        for _ in range(40):
            logger.error("e" * 30_000)

    @flow
    def main() -> int:
        storm()
        return 1

    main()
    kept = lines(stored, 1)
    texts = [line.text for line in kept]
    assert "what really went wrong" in texts
    assert "lost in the storm" not in texts
    assert size(kept) < TASK_BYTES + 300_000


def test_a_user_who_listens_gets_every_line(engine: Engine) -> None:
    heard = 0

    class Count(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            nonlocal heard
            heard += record.msg.startswith("line")

    listener = Count()
    logging.getLogger("tidegate").addHandler(listener)

    @flow
    def main() -> int:
        for _ in range(30_000):
            get_run_logger().info("line of a storm")
        return 1

    main()
    logging.getLogger("tidegate").removeHandler(listener)
    assert heard == 30_000
    *said, last = [line for line in lines(engine, 0) if "storm" in line.text or "dropped" in line.text]
    assert len(said) + dropped(last) == 30_000


HARMLESS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@pytest.mark.scorecard(34, case=True)
def test_bytes_of_any_kind_are_kept_and_do_no_harm(stored: Engine) -> None:
    chance = seeded("bytes")
    odd = [
        "\0",
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\link",
        "\ud800",
        "\x1b",
        "\x9b31m",
        "☃",
    ]
    texts = ["".join(chance.choice([*odd, chr(chance.randrange(0x3000))]) for _ in range(20)) for _ in range(500)]

    @flow
    def main() -> int:
        logger = get_run_logger()
        for text in texts:
            logger.info(text)
        with contextlib.redirect_stdout(io.StringIO()), capture_prints(logger):
            print("\x1b[1mbold\x1b[0m and \0 and \udcff")
        return 1

    main()
    kept = [line.text for line in lines(stored, 0)]
    assert not [text for text in kept if HARMLESS.search(text)]
    assert r"bold and \x00 and \udcff" in kept
    assert sum("☃" in text for text in kept) == sum("☃" in text for text in texts)
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.state.is_completed()


@pytest.mark.parametrize("letter", ["x", "é", "☃", "😀", "\0", "\n", "\ud800"])
@pytest.mark.scorecard(34, case=True)
def test_a_line_of_100_mb_is_cut(letter: str) -> None:
    text = letter * (100_000_000 // len(letter.encode(errors="replace")))
    kept, told = fitted(text)
    assert kept.endswith("[cut: the line was longer than 64 kB]")
    assert len(kept.encode()) <= LINE_BYTES + 60
    assert told <= LINE_BYTES
    assert not HARMLESS.search(kept)


@pytest.mark.parametrize("text", ["", "short", "tab\tand\nnewline", "é☃😀", "x" * LINE_BYTES])
def test_what_fits_is_kept_as_it_is(text: str) -> None:
    assert fitted(text) == (text, len(text.encode()))


@pytest.mark.scorecard(34, case=True)
def test_a_huge_print_does_not_stop_a_flow(stored: Engine) -> None:
    @flow
    def main() -> int:
        with capture_prints(get_run_logger()):
            print("x" * 100_000_000)
            print(b"\xff\x00")
        return 1

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        main()
    kept = [line.text for line in lines(stored, 0) if "low run" not in line.text]
    assert [len(text) < LINE_BYTES + 60 for text in kept] == [True, True]
    assert kept[1] == r"b'\xff\x00'"


class Batches:
    """Batches by hand: what they note, and a clock that never strikes by itself."""

    def __init__(self) -> None:
        self.noted: list[LogLines] = []
        self.due: list[float] = []
        self.made = LogBatches(self.noted.append, lambda seconds, call: self.due.append(seconds))

    def say(self, n: int, text: str = "hello", flow_run: int = 1, task_run: int = 1, level: int = 20) -> None:
        for _ in range(n):
            self.made.add(flow_run, LogLine(1.0, task_run, level, text))


@pytest.fixture
def batches() -> Batches:
    return Batches()


def test_a_line_waits_half_a_second_and_a_full_batch_does_not(batches: Batches) -> None:
    batches.say(BATCH)
    assert batches.due == [0.5, 0.0]
    assert batches.noted == []
    batches.made.flush(1)
    assert [len(event.lines) for event in batches.noted] == [BATCH]
    batches.say(2 * BATCH + 1)
    batches.made.flush()
    assert [len(event.lines) for event in batches.noted] == [BATCH, BATCH, BATCH, 1]
    assert not batches.made.flush()


def test_a_flow_run_is_bounded_whatever_the_number_of_its_task_runs(batches: Batches) -> None:
    text = "x" * 50_000
    for number in range(1, 101):
        batches.say(15, text, task_run=number)
    batches.say(1, "another run", flow_run=2)
    batches.say(1, "an error", task_run=101, level=logging.ERROR)
    assert batches.made.end(1, 2.0)
    kept = [line for event in batches.noted for line in event.lines if event.flow_run == 1]
    *said, last = kept
    assert size(said) <= FLOW_BYTES + 1_000
    assert said[-1].text == "an error"
    assert len(said) - 1 + dropped(last) == 1_500
    assert (last.task_run, last.at) == (0, 2.0)


def test_code_that_outlives_its_run_stays_within_its_bounds_and_is_not_told_of_twice(batches: Batches) -> None:
    batches.say(40, "x" * 60_000)
    batches.made.end(1, 2.0)
    assert not batches.made.end(1, 3.0)
    before = sum(len(event.lines) for event in batches.noted)
    batches.say(1_000, "x" * 60_000)
    batches.say(1, "of a sibling", task_run=2)
    batches.made.flush()
    assert sum(len(event.lines) for event in batches.noted) == before + 1
    assert batches.made.counts_only(1, 1)


def test_many_runs_leave_little_behind(batches: Batches) -> None:
    for number in range(1, 5_001):
        batches.say(1, flow_run=number)
        batches.made.end(number, 1.0)
    assert len(batches.made._runs) <= 1_000


def test_a_run_whose_store_is_gone_says_so_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    from tidegate.errors import StoreError

    def refuse(event: LogLines) -> None:
        raise StoreError("The store is gone.")

    made = LogBatches(refuse, lambda seconds, call: None)
    made.add(1, LogLine(1.0, 0, 20, "lost"))
    made.flush()
    assert capsys.readouterr().err == "1 lines of a log are lost: The store is gone.\n"


def test_the_present_run_is_where_it_was_after_all_that() -> None:
    assert frame.get() is None
