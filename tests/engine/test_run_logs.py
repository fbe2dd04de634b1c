"""What the engine itself puts into the log of a run, and ``log_prints``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from support.flows import Feed, Start, cancelled, flow, opened, task
from tidegate import UsageError, get_run_logger
from tidegate.engine import Engine
from tidegate.logs import setup_logging
from tidegate.model.events import LogLine

SETTING = "TIDEGATE_LOG_PRINTS"


def log(engine: Engine, number: int = 1) -> list[LogLine]:
    return [line for _, line in engine.store.logs(number)]


def printed(engine: Engine, number: int = 1) -> list[str]:
    """The prints that were logged; all of them say where they were."""
    return [line.text for line in log(engine, number) if line.text.startswith("in ")]


@pytest.mark.conforms("B037")
def test_a_root_run_tells_its_name_when_it_begins_and_how_it_ended(stored: Engine) -> None:
    @flow
    def below() -> int:
        return 1

    @flow(name="nightly")
    def main(fails: bool) -> int:
        below()
        if fails:
            raise ValueError
        return 1

    main(False)
    row = stored.store.flow_run(1)
    assert row is not None
    first, last = log(stored)
    assert first.text == f"Created flow run {row.name!r} for flow 'nightly'."
    assert (last.level, last.text) == (logging.INFO, f"Flow run {row.name!r} ended: Completed.")
    assert log(stored, 2) == []  # a subflow is no root run
    main(True, return_state=True)
    last = log(stored, 3)[-1]
    assert last.level == logging.ERROR
    assert last.text.endswith("ended: Failed.")


@pytest.mark.conforms("B227")
def test_what_code_raises_is_logged_with_its_traceback(stored: Engine) -> None:
    @task
    def breaks() -> None:
        raise ValueError("of the task")

    @flow
    def main() -> None:
        breaks.submit().wait()
        raise KeyError("of the flow")

    main(return_state=True)
    of_task, of_flow = [line for line in log(stored) if "raised" in line.text]
    assert (of_task.task_run, of_task.level) == (1, logging.ERROR)
    assert of_task.text.startswith("The task raised ValueError.\nTraceback")
    assert 'raise ValueError("of the task")' in of_task.text
    assert "drivers.py" not in of_task.text  # the engine's own frames
    assert (of_flow.task_run, of_flow.level) == (0, logging.ERROR)
    assert of_flow.text.startswith("The flow raised KeyError.\nTraceback")


def test_a_cancel_is_no_error_of_the_code(stored: Engine, start: Start, gate: Any) -> None:
    @task
    def work() -> None:
        while not gate.wait(0.01):  # a C call that lasts could not be ended
            pass

    @flow
    def main() -> None:
        work.submit().result()

    running = start(main)
    running.feed.await_task(1, "Running")
    cancelled(running, 5)
    assert [line.text for line in log(stored) if "raised" in line.text] == []
    assert log(stored)[-1].level == logging.ERROR


def test_a_filter_that_breaks_ends_no_run(stored: Engine) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise ZeroDivisionError

    logger = logging.getLogger("tidegate.flow_runs")
    logger.addFilter(broken)
    try:
        assert flow(lambda: 1, name="main")() == 1
    finally:
        logger.removeFilter(broken)
    row = stored.store.flow_run(1)
    assert row is not None
    assert row.state.is_completed()


@pytest.mark.conforms("B036")
def test_the_first_flow_call_sets_logging_up(engine: Engine, environment: pytest.MonkeyPatch) -> None:
    with environment.context() as patch:
        patch.setenv("TIDEGATE_LOG_LEVEL", "nonsense")
        with pytest.raises(UsageError, match="TIDEGATE_LOG_LEVEL"):
            flow(lambda: 1, name="main")()
        assert engine.store.flow_runs() == []
    try:
        with environment.context() as patch:
            patch.setenv("TIDEGATE_LOGGING_EXTRA_LOGGERS", "a.library")
            flow(lambda: logging.getLogger("a.library").info("heard"), name="main")()
    finally:
        setup_logging()
    assert "heard" in [line.text for line in log(engine)]


@pytest.fixture(params=["call", "submit", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs a flow with a task and a subflow that has a task, each of which prints, and each with its `log_prints`."""

    def sync(how: str, root: Any, child: Any, sub: Any, grandchild: Any) -> None:
        @task(log_prints=child)
        def work() -> None:
            print("in work")

        @task(log_prints=grandchild)
        def deep() -> None:
            print("in deep")

        @flow(log_prints=sub)
        def below() -> int:
            print("in below")
            deep() if how == "call" else deep.submit().result()
            return 1

        @flow(log_prints=root)
        def main() -> int:
            print("in main")
            work() if how == "call" else work.submit().result()
            below()
            print("in main again")
            return 1

        main()

    def awaited(root: Any, child: Any, sub: Any, grandchild: Any) -> None:
        @task(log_prints=child)
        async def work() -> None:
            print("in work")

        @task(log_prints=grandchild)
        async def deep() -> None:
            print("in deep")

        @flow(log_prints=sub)
        async def below() -> int:
            print("in below")
            await asyncio.gather(deep())
            return 1

        @flow(log_prints=root)
        async def main() -> int:
            print("in main")
            await asyncio.gather(work(), below())
            print("in main again")
            return 1

        asyncio.run(main())

    if request.param == "async":
        return awaited
    return lambda *options: sync(request.param, *options)


ALL = {"in main", "in work", "in below", "in deep", "in main again"}


@pytest.mark.conforms("B233", "B057")
@pytest.mark.parametrize(
    ("options", "setting", "logged"),
    [
        ((None, None, None, None), "", set()),
        ((None, None, None, None), "true", ALL),
        ((True, None, None, None), "", ALL),
        ((False, None, None, None), "true", set()),
        ((None, True, None, None), "", {"in work"}),
        ((None, None, True, None), "", {"in below", "in deep"}),
        ((True, False, None, None), "", ALL - {"in work"}),
        ((True, None, False, None), "", ALL - {"in below", "in deep"}),
        ((True, None, False, True), "", ALL - {"in below"}),
        ((False, True, None, True), "true", {"in work", "in deep"}),
    ],
)
def test_log_prints_is_inherited_unless_it_is_said(
    engine: Engine,
    run: Callable[..., None],
    options: tuple[Any, ...],
    setting: str,
    logged: set[str],
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment.setenv(SETTING, setting)
    run(*options)
    assert {*printed(engine), *printed(engine, 2)} == logged
    assert set(printed(engine, 2)) == logged & {"in below", "in deep"}
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(ALL)


@pytest.mark.conforms("B234")
def test_each_print_is_of_the_run_that_printed(stored: Engine) -> None:
    @task
    def work(x: int) -> None:
        print("in work", x, end="")
        print("!")

    @flow(log_prints=True)
    def main() -> int:
        work.map(range(20)).wait()
        print("in main")
        return 1

    main()
    found = {line.text: (line.task_run, line.level) for line in log(stored)}
    assert [found[f"in work {x}!"] for x in range(20)] == [(x + 1, logging.INFO) for x in range(20)]
    assert found["in main"] == (0, logging.INFO)
    work(3)
    print("in no run")
    assert len(printed(stored)) == 21


def test_a_task_that_outlives_the_body_of_its_flow_is_still_heard(stored: Engine, feed: Feed, gate: Any) -> None:
    @task
    def work() -> None:
        opened(gate)
        print("in work")

    @flow(log_prints=True)
    def main() -> None:
        work.submit()
        print("in main")
        gate.set()

    main()
    assert sorted(printed(stored)) == ["in main", "in work"]


def test_the_end_is_told_even_after_a_storm_of_the_flow(engine: Engine) -> None:
    @flow
    def main() -> int:
        for _ in range(40):
            get_run_logger().info("x" * 60_000)
        return 1

    main()
    lines = [line for _, line in engine.store.logs(1, limit=10**6)]
    assert lines[-2].text.endswith("ended: Completed.")
    assert "lines more were dropped" in lines[-1].text


def test_options_are_kept_by_with_options() -> None:
    for make in (task, flow):
        made = make(lambda: 1, name="made", log_prints=True)
        assert made.log_prints is True
        assert made.with_options(name="other").log_prints is True
        assert made.with_options(log_prints=None).log_prints is None
