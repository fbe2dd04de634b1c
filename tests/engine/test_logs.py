"""Loggers of runs: what their records carry, where they go, and how they are kept from going there."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from support.flows import Feed, flow, in_time, opened, task
from tidegate import MissingContext, UsageError, get_run_logger
from tidegate.console import ConsoleHandler
from tidegate.context import frame
from tidegate.engine import Engine
from tidegate.logs import (
    JsonFormatter,
    StoreHandler,
    disable_logger,
    disable_run_logger,
    get_logger,
    setup_logging,
)
from tidegate.model.events import LogLine, LogLines
from tidegate.run.flow_run import FlowRun

ENVIRONMENT = (
    "TIDEGATE_LOG_LEVEL",
    "TIDEGATE_LOGGING_EXTRA_LOGGERS",
    "TIDEGATE_LOGGING_TO_STORE",
    "TIDEGATE_LOG_PRINTS",
)


@pytest.fixture(autouse=True)
def fresh(environment: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No settings of logging from outside, and none left behind."""
    for name in ENVIRONMENT:
        environment.delenv(name, raising=False)
    setup_logging()
    yield environment
    for name in ENVIRONMENT:
        environment.delenv(name, raising=False)
    setup_logging()


def said(engine: Engine, number: int = 1, **filters: Any) -> list[str]:
    """What the code of a flow run logged, without what the engine says of the run itself."""
    lines = [line.text for _, line in engine.store.logs(number, **filters)]
    return [text for text in lines if not text.startswith(("Created flow run", "Flow run", "The task", "The flow"))]


def line_of(engine: Engine, text: str, number: int = 1) -> LogLine:
    return next(line for _, line in engine.store.logs(number) if line.text == text)


class Records(logging.Handler):
    """A handler of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What handlers of the user's get of the run loggers."""
    handler = Records()
    logging.getLogger("tidegate").addHandler(handler)
    yield handler.seen
    logging.getLogger("tidegate").removeHandler(handler)


@pytest.mark.conforms("B224")
def test_a_run_logger_needs_a_run_and_takes_the_innermost_or_the_one_it_is_given(stored: Engine) -> None:
    with pytest.raises(MissingContext, match="no flow or task runs") as caught:
        get_run_logger()
    assert isinstance(caught.value, RuntimeError)
    for wrong in ("my-flow", 1, object()):
        with pytest.raises(TypeError, match="must be a flow run or a task run"):
            get_run_logger(wrong)  # type: ignore[arg-type]

    @task
    def inner(run: FlowRun) -> None:
        get_run_logger().info("by the task")
        get_run_logger(run).info("by the task for the flow")

    @flow
    def outer() -> int:
        here = frame.get()
        assert here is not None
        inner(here.flow_run)
        get_run_logger().info("by the flow")
        return 1

    outer()
    by = {line.text: line.task_run for _, line in stored.store.logs(1)}
    assert (by["by the task"], by["by the task for the flow"], by["by the flow"]) == (1, 0, 0)


@pytest.mark.conforms("B224")
def test_a_thread_without_a_run_can_log_for_one_that_it_is_given(stored: Engine) -> None:
    @flow
    def main() -> int:
        here = frame.get()
        assert here is not None
        in_time(lambda: get_run_logger(here).warning("from a thread"))
        return 1

    main()
    assert said(stored) == ["from a thread"]


@pytest.mark.conforms("B225")
def test_records_carry_the_ids_and_names_of_their_run_and_what_the_user_adds(
    engine: Engine, records: list[logging.LogRecord]
) -> None:
    @task(name="load")
    def load() -> None:
        get_run_logger(table="airports", rows=1).info("in task", extra={"rows": 7})

    @flow(name="nightly", flow_run_name="monday")
    def main() -> int:
        load()
        load()
        get_run_logger().info("in flow")
        return 1

    main()
    second = [record for record in records if record.getMessage() == "in task"][1]
    names = ("flow_run_id", "flow_run_name", "flow_name", "task_run_id", "task_run_name", "task_name")
    assert [getattr(second, name) for name in names] == [1, "monday", "nightly", 2, "load-1", "load"]
    assert (second.table, second.rows) == ("airports", 7)  # type: ignore[attr-defined]
    assert second.pathname == __file__
    assert second.funcName == "load"
    of_flow = next(record for record in records if record.getMessage() == "in flow")
    assert [getattr(of_flow, name) for name in names] == [1, "monday", "nightly", None, "unknown", "unknown"]


@pytest.mark.conforms("B226", "B038")
def test_lines_are_in_the_store_with_the_right_ids_when_the_call_returns(stored: Engine, feed: Feed) -> None:
    @task
    def work(x: int) -> None:
        get_run_logger().warning("work %d of %s", x, "many")

    @flow
    def below() -> int:
        get_run_logger().debug("too low to be kept")
        get_run_logger().info("in the subflow")
        return 1

    @flow
    def main() -> int:
        logger = get_run_logger()
        logger.info("begun")
        work.map(range(3)).wait()
        below()
        logger.error("done")
        return 1

    main()
    lines = [line for _, line in stored.store.logs(1) if line.text in ("begun", "done")]
    assert [(line.task_run, line.level) for line in lines] == [(0, logging.INFO), (0, logging.ERROR)]
    assert sorted(said(stored, level=logging.WARNING)) == ["done", *(f"work {x} of many" for x in range(3))]
    for number in (1, 2, 3):
        assert said(stored, task_run=number) == [f"work {number - 1} of many"]
    assert said(stored, 2) == ["in the subflow"]
    shown = [line.text for event in feed.events if isinstance(event, LogLines) for line in event.lines]
    assert {"begun", "done", "work 2 of many"} <= set(shown)
    assert not any(isinstance(event, LogLines) for _, event in stored.store.events(1))


def test_the_log_can_be_read_on_from_a_number_and_in_pieces(stored: Engine) -> None:
    @flow
    def main() -> int:
        for x in range(10):
            get_run_logger().info("line %d", x)
        return 1

    main()
    store = stored.store
    everything = store.logs(1)
    assert [seq for seq, _ in everything] == sorted({seq for seq, _ in everything})
    first = store.logs(1, limit=4)
    assert first + store.logs(1, after=first[-1][0]) == everything
    assert store.logs(1, after=everything[-1][0]) == []
    assert store.logs(7) == []


def test_lines_come_to_the_store_and_to_the_feed_while_the_flow_still_runs(
    stored: Engine, feed: Feed, gate: threading.Event, start: Any
) -> None:
    @flow
    def main() -> int:
        get_run_logger().info("hello")
        opened(gate)
        return 1

    running = start(main)

    def shown() -> bool:
        return any(line.text == "hello" for e in feed.events if isinstance(e, LogLines) for line in e.lines)

    feed.until(shown, "the line")
    gate.set()
    assert running.ended() == 1
    assert said(stored) == ["hello"]


def test_an_exception_that_is_logged_comes_with_its_traceback(stored: Engine) -> None:
    @flow
    def main() -> int:
        try:
            raise ValueError("of the user")
        except ValueError:
            get_run_logger().exception("it went wrong")
        return 1

    main()
    (text,) = [each for each in said(stored) if each.startswith("it went wrong")]
    assert "Traceback" in text
    assert 'raise ValueError("of the user")' in text


@pytest.mark.conforms("B228")
def test_a_record_or_the_whole_handler_can_stay_away_from_the_store(stored: Engine, fresh: pytest.MonkeyPatch) -> None:
    @flow
    def main() -> int:
        logger = get_run_logger()
        logger.info("kept")
        logger.info("away", extra={"send_to_store": False})
        fresh.setenv("TIDEGATE_LOGGING_TO_STORE", "false")
        setup_logging()
        logger.info("off by setting")
        fresh.delenv("TIDEGATE_LOGGING_TO_STORE")
        setup_logging()
        (handler,) = [each for each in logger.logger.handlers if isinstance(each, StoreHandler)]
        handler.enabled = False
        logger.info("off by attribute")
        handler.enabled = True
        handler.setLevel(logging.ERROR)
        logger.warning("below the level")
        logger.error("at the level")
        handler.setLevel(logging.NOTSET)
        logger.debug("below the level of the logger")
        return 1

    main()
    assert said(stored) == ["kept", "at the level"]


@pytest.mark.conforms("B229")
def test_a_run_logger_used_outside_of_a_run_warns_at_the_line_that_did_it(stored: Engine) -> None:
    logger = logging.getLogger("tidegate.flow_runs")
    line = sys._getframe().f_lineno + 2
    with pytest.warns(UserWarning, match="used where no flow or task runs") as caught:
        logger.warning("lost")
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line)]

    @flow
    def main() -> int:
        return 1

    main()
    logger.warning("kept", extra={"flow_run_id": 1})
    logger.warning("kept of task", extra={"flow_run_id": 1, "task_run_id": 3})
    stored.logs.flush()
    stored.store.commit_all(())
    assert said(stored) == ["kept", "kept of task"]
    assert line_of(stored, "kept of task").task_run == 3


def test_a_run_id_that_is_none_does_no_harm_to_what_else_is_kept(
    stored: Engine, capsys: pytest.CaptureFixture[str], fresh: pytest.MonkeyPatch
) -> None:
    fresh.setattr(logging.getLogger("tidegate"), "propagate", False)  # pytest's handler raises for the bad record

    @flow
    def main() -> int:
        for wrong in ("one", -1, 2**80, 1.5, True):
            logging.getLogger("tidegate.flow_runs").warning("lost", extra={"flow_run_id": wrong})
        get_run_logger().warning("wrong: %d", "no number")
        get_run_logger().log(2**80, "kept")
        return 1

    main()
    assert said(stored) == ["kept"]
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.state.is_completed()
    assert "are the numbers of runs" in capsys.readouterr().err


@pytest.mark.conforms("B232")
def test_loggers_can_be_disabled_for_a_while(stored: Engine) -> None:
    @flow
    def main() -> int:
        with disable_run_logger():
            get_run_logger().error("not heard")
        with suppress(ZeroDivisionError), disable_logger("tidegate.flow_runs"):
            get_run_logger().error("not heard")
            1 / 0
        get_run_logger().error("heard")
        return 1

    main()
    assert said(stored) == ["heard"]
    with disable_run_logger():
        get_run_logger().error("nowhere")  # warnings are errors here
    with disable_logger("tidegate.flow_runs"), pytest.raises(MissingContext):
        get_run_logger()


def test_names_of_loggers() -> None:
    names = {"": "tidegate", "tidegate": "tidegate", "tidegate.cli": "tidegate.cli", "cli": "tidegate.cli"}
    assert {name: get_logger(name).name for name in names} == names


@pytest.mark.conforms("B036")
def test_a_second_setup_only_adjusts(fresh: pytest.MonkeyPatch) -> None:
    def handlers() -> list[logging.Handler]:
        return [h for name in ("", ".flow_runs", ".task_runs") for h in logging.getLogger("tidegate" + name).handlers]

    before = handlers()
    setup_logging()
    assert handlers() == before
    own = logging.NullHandler()
    logging.getLogger("tidegate.flow_runs").addHandler(own)
    fresh.setenv("TIDEGATE_LOG_LEVEL", "debug")
    setup_logging()
    setup_logging()
    added = [each for each in handlers() if each not in before]
    assert [type(each) for each in added] == [ConsoleHandler, logging.NullHandler]
    assert logging.getLogger("tidegate.flow_runs").isEnabledFor(logging.DEBUG)
    fresh.delenv("TIDEGATE_LOG_LEVEL")
    setup_logging()
    assert [each for each in handlers() if each not in before] == [own]
    assert not logging.getLogger("tidegate.flow_runs").isEnabledFor(logging.DEBUG)
    logging.getLogger("tidegate.flow_runs").removeHandler(own)


def test_a_level_that_you_gave_is_left_alone(fresh: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("tidegate")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    setup_logging()
    assert logger.level == logging.CRITICAL
    logger.setLevel(before)


def test_a_level_that_is_none_gives_one_clear_line(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("TIDEGATE_LOG_LEVEL", "loud")
    with pytest.raises(UsageError, match=r"TIDEGATE_LOG_LEVEL\) must be one of DEBUG, .*CRITICAL, not 'loud'\.$"):
        setup_logging()


def test_loggers_of_libraries_are_kept_when_asked_for_and_may_log_anywhere(
    stored: Engine, fresh: pytest.MonkeyPatch
) -> None:
    fresh.setenv("TIDEGATE_LOGGING_EXTRA_LOGGERS", "some.library, other.library,,")
    setup_logging()
    logging.getLogger("some.library").info("outside")  # no warning, which would be an error here

    @task
    def work() -> None:
        logging.getLogger("some.library.part").info("in the task")
        logging.getLogger("third.library").error("not asked for")

    @flow
    def main() -> int:
        work()
        logging.getLogger("other.library").info("in the flow")
        return 1

    main()
    assert said(stored) == ["in the task", "in the flow"]
    assert line_of(stored, "in the task").task_run == 1


def test_nothing_is_shown_by_default_and_plain_lines_on_the_error_stream_if_asked(
    engine: Engine, fresh: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @task
    def work() -> None:
        get_run_logger().info("[bold]not markup[/] %s", "x" * 300)
        get_run_logger().info("printed", extra={"printed": True})

    @flow(flow_run_name="monday")
    def main() -> int:
        work()
        get_run_logger().warning("in the flow")
        return 1

    main()
    assert capsys.readouterr() == ("", "")
    fresh.setenv("TIDEGATE_LOG_LEVEL", "INFO")
    setup_logging()
    main()
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if "low run" not in line]
    assert [line[9:] for line in lines] == [
        "INFO    work-0: [bold]not markup[/] " + "x" * 300,
        "WARNING monday: in the flow",
    ]


def test_records_as_json(engine: Engine, records: list[logging.LogRecord]) -> None:
    @flow
    def main() -> int:
        try:
            raise ValueError("no")
        except ValueError:
            get_run_logger(odd={1, 2}.__class__).exception("two\nlines", extra={"rows": 7})
        return 1

    main()
    record = next(each for each in records if each.getMessage() == "two\nlines")
    text = JsonFormatter().format(record)
    assert "\n" not in text
    fields = json.loads(text)
    assert (fields["message"], fields["level"], fields["rows"]) == ("two\nlines", "ERROR", 7)
    assert (fields["flow_run_id"], fields["flow_name"], fields["odd"]) == (1, "main", "<class 'set'>")
    assert "ValueError: no" in fields["exception"]


def test_an_async_flow_and_its_tasks_each_log_as_themselves(stored: Engine) -> None:
    import asyncio

    @task
    async def work(x: int) -> None:
        await asyncio.sleep(0)
        get_run_logger().info("work %d", x)

    @flow
    async def main() -> int:
        await asyncio.gather(*(work(x) for x in range(5)))
        get_run_logger().info("done")
        return 1

    asyncio.run(main())
    by = {line.text: line.task_run for _, line in stored.store.logs(1)}
    assert [by[f"work {x}"] for x in range(5)] == [1, 2, 3, 4, 5]
    assert by["done"] == 0


def test_records_can_be_pickled_for_a_queue(engine: Engine, records: list[logging.LogRecord]) -> None:
    import pickle

    @flow
    def main() -> int:
        get_run_logger().info("through a queue")
        return 1

    main()
    with warnings.catch_warnings():
        copy = pickle.loads(pickle.dumps(records[-1]))
    assert copy.flow_run_id == 1
