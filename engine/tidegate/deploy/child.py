"""A process for one flow run that was created ahead of time: ``python -m tidegate.deploy.child FLOW_RUN_ID``.

Exit codes: 0 if the run completed, was cancelled, or is nobody's to start any more; 1 if there is no such run, its
flow could not be loaded, or it failed.  What is no ordinary exception, such as an interrupt or `SystemExit`, is raised.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from ..console import ConsoleHandler
from ..engine import engine
from ..errors import NotStartable, TidegateError, UsageError
from ..flow_runs import check_startable, fail_to_load, run_created
from ..logs import get_logger, setup_logging
from ..model.states import State
from ..model.views import FlowRow
from .targets import load_with, search_beside

VARIABLE = "TIDEGATE_FLOW_RUN_ID"
"""The environment variable that names the flow run where no argument does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the flow run that the arguments, or else the environment, name; the exit code."""
    log = _logger()
    given = _parser().parse_args(arguments)
    try:
        setup_logging()
        row = _created_run(given.flow_run_id or os.environ.get(VARIABLE, ""))
        check_startable(row)
        state = _run(row, given.target or row.target, log)
    except NotStartable as stop:
        log.info("%s", stop)
        return 0
    except TidegateError as error:  # says all in its text
        log.error("%s", error)
        return 1
    except Exception:
        log.exception("The flow run could not be run.")
        return 1
    return 1 if state is None else _exit_code(row, state, log)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tidegate.deploy.child", description="Run one created flow run.")
    parser.add_argument("flow_run_id", nargs="?", help=f"the number of the flow run; {VARIABLE} by default")
    parser.add_argument("--target", help="where the flow is, such as etl.py:nightly; what the run says by default")
    return parser


def _logger() -> logging.Logger:
    """Where this process itself reports: the error stream, for whoever started it."""
    log = get_logger("deploy.child")
    log.propagate = False
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(ConsoleHandler())
    return log


def _created_run(number: str) -> FlowRow:
    if not number.isdecimal():
        what = f"{number!r} is no number of a flow run" if number else "No flow run was named"
        raise UsageError(f"{what}. Give it as an argument or in {VARIABLE}.")
    row = engine().store.flow_run(int(number))
    if row is None:
        raise UsageError(f"There is no flow run {number} in this store. TIDEGATE_HOME says which store is used.")
    return row


def _run(row: FlowRow, target: str, log: logging.Logger) -> State | None:
    """The final state; null if the flow could not be loaded."""
    try:
        if not target:
            raise UsageError("It is not known where its flow is. Create the run with a target, or give --target.")
        search_beside(target)
        flow, parameters = load_with(target, json.loads(row.parameters))
    except Exception as error:
        log.exception("The flow of the flow run %s (%s) could not be loaded.", row.number, row.name)
        fail_to_load(row, error)
        return None
    return run_created(flow, replace(row, parameters=json.dumps(parameters)))


def _exit_code(row: FlowRow, state: State, log: logging.Logger) -> int:
    what = f"The flow run {row.number} ({row.name}) ended: {state.name}."
    if state.is_completed() or state.is_cancelled():
        log.info("%s", what)
        return 0
    error = state.error()
    if not isinstance(error, Exception):
        raise error
    log.error("%s %s", what, state.message, exc_info=error)
    return 1


def _interrupted(*_: object) -> None:
    """What an agent, or the machine, asks by SIGTERM is what Ctrl-C does: end, and save what is done.

    Its default would end the process on the spot.
    """
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupted)
    sys.exit(main())
