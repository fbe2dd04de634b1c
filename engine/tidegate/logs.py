"""Loggers of runs, and how what they say comes to the store.

Two loggers of Python's own, ``tidegate.flow_runs`` and ``tidegate.task_runs``, carry what runs say; their records go to
the store and then the usual way, to whatever handlers you have.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from .console import ConsoleHandler, JsonFormatter
from .context import Frame, frame, sketching
from .engine import engine
from .errors import MissingContext
from .settings import settings

if TYPE_CHECKING:
    from .log_batches import LogBatches
    from .run.flow_run import FlowRun
    from .run.task_run import TaskRun

__all__ = (
    "JsonFormatter",
    "RunLogger",
    "StoreHandler",
    "disable_logger",
    "disable_run_logger",
    "get_logger",
    "get_run_logger",
    "setup_logging",
)

FLOW_RUNS = "tidegate.flow_runs"
TASK_RUNS = "tidegate.task_runs"
UNKNOWN = "unknown"
_HIGHEST = 2**31 - 1


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry which run they belong to; made by `get_run_logger`."""

    def __init__(self, logger: logging.Logger, extra: Mapping[str, object], batches: LogBatches, run: Frame) -> None:
        super().__init__(logger, extra)
        self._batches = batches
        self._flow_run = run.flow_run.number
        self._task_run = 0 if run.task_run is None else run.task_run.number

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The run's ids and names, and on top of them the extras of the call."""
        given = kwargs.get("extra")
        kwargs["extra"] = {**self.extra, **given} if given else self.extra  # type: ignore[dict-item]  # never null here
        return msg, kwargs

    def log(self, level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log, or only count, where the run has said so much that nobody would get the line."""
        if not self.isEnabledFor(level):
            return
        if level < logging.ERROR and self.counts_only():
            self.drop(1)
            return
        msg, kwargs = self.process(msg, kwargs)  # type: ignore[assignment]
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        self.logger.log(level, msg, *args, **kwargs)

    def counts_only(self) -> bool:
        """True if lines, errors excepted, are neither kept any more nor heard by anybody else."""
        return self._batches.counts_only(self._flow_run, self._task_run) and _only_kept(self.logger)

    def drop(self, lines: int) -> None:
        """Count lines that were not worth making a record of."""
        self._batches.drop(self._flow_run, self._task_run, lines)


def _only_kept(logger: logging.Logger | None) -> bool:
    """True if records of this logger go to the store and to nobody else."""
    while logger is not None:
        if logger.filters or any(not isinstance(each, (StoreHandler, logging.NullHandler)) for each in logger.handlers):
            return False
        logger = logger.parent if logger.propagate else None
    return True


def get_run_logger(context: Frame | FlowRun | TaskRun | None = None, **extra: object) -> logging.LoggerAdapter[Any]:
    """The logger of the run that this code belongs to: of the task run, else of the flow run.

    `context` names another run; `extra` is put on each record, beside ``flow_run_id`` (the run's number),
    ``flow_run_name``, ``flow_name``, ``task_run_id`` (its number in the flow run, null for the flow itself),
    ``task_run_name`` and ``task_name``.

    Raises `MissingContext` where no run is active, unless the run loggers are disabled, and `TypeError` for a context
    that is no run.
    """
    if not _setup.done:
        setup_logging()
    here = frame.get() if context is None else _frame_of(context)
    if here is None:
        names = (FLOW_RUNS, TASK_RUNS)
        if sketching.get() is not None or all(logging.getLogger(name).disabled for name in names):
            return logging.LoggerAdapter(_null_logger(), extra)
        raise MissingContext(
            "get_run_logger() was called where no flow or task runs. "
            "Use logging.getLogger(__name__) there, or disable_run_logger() around it in a test."
        )
    flow_run, task_run = here.flow_run, here.task_run
    fields: dict[str, object] = {
        "flow_run_id": flow_run.number,
        "flow_run_name": flow_run.name,
        "flow_name": flow_run.flow.name,
        "task_run_id": None if task_run is None else task_run.number,
        "task_run_name": UNKNOWN if task_run is None else task_run.name,
        "task_name": UNKNOWN if task_run is None else task_run.task.name,
    }
    logger = logging.getLogger(FLOW_RUNS if task_run is None else TASK_RUNS)
    return RunLogger(logger, {**fields, **extra}, flow_run.engine.logs, here)


def _frame_of(context: object) -> Frame:
    found = context if isinstance(context, Frame) else getattr(context, "frame", None)
    if not isinstance(found, Frame):
        raise TypeError(f"The context of get_run_logger() must be a flow run or a task run, not {context!r:.60}.")
    return found


def get_logger(name: str = "") -> logging.Logger:
    """A logger below ``tidegate``: for what belongs to no run."""
    below = not name or name == "tidegate" or name.startswith("tidegate.")
    return logging.getLogger((name or "tidegate") if below else f"tidegate.{name}")


def _null_logger() -> logging.Logger:
    null = logging.getLogger("tidegate.null")
    null.disabled = True
    return null


@contextmanager
def disable_logger(name: str) -> Iterator[None]:
    """Disable a logger for a while, in the whole process."""
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Disable the loggers of runs for a while; `get_run_logger` then works without a run, as a test of a task needs."""
    with disable_logger(FLOW_RUNS), disable_logger(TASK_RUNS):
        yield


class StoreHandler(logging.Handler):
    """Hands records to the engine as lines of the run they belong to: the one they name, else the one around the code.

    Not so with ``enabled = False``, or for a record with ``extra={"send_to_store": False}``.  A record of no run is not
    kept; with `warn`, a warning points at the line that logged it.
    """

    def __init__(self, level: int = logging.NOTSET, *, warn: bool = True) -> None:
        super().__init__(level)
        self.enabled = True
        self.warn = warn

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and emit, without the lock of other handlers: an interrupt between two of its lines would keep it."""
        passed = bool(self.filter(record))
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record on."""
        if not self.enabled or not getattr(record, "send_to_store", True):
            return
        here = frame.get()
        flow_run = getattr(record, "flow_run_id", None)
        task_run = getattr(record, "task_run_id", None)
        if flow_run is None and here is not None:
            flow_run = here.flow_run.number
            task_run = None if here.task_run is None else here.task_run.number
        if flow_run is None:
            if self.warn:
                _warn_outside(record)
            return
        try:
            owner = engine() if here is None else here.flow_run.engine
            numbers = (_number(flow_run), _number(task_run or 0))
            level, reserved = min(record.levelno, _HIGHEST), getattr(record, "from_engine", False)
            owner.log(*numbers, owner.now(), level, self._text(record), reserved=reserved)
        except Exception:  # as every handler of `logging` does: a log line is worth no failure
            self.handleError(record)

    def _text(self, record: logging.LogRecord) -> str:
        if record.exc_info or record.exc_text or record.stack_info:
            return self.format(record)
        return record.getMessage()


def _number(run: object) -> int:
    if type(run) is not int or not 0 <= run <= _HIGHEST:
        raise ValueError(f"flow_run_id and task_run_id are the numbers of runs, not {run!r:.60}")
    return run


_warned: dict[Any, Any] = {}
"""So that a loop that logs outside of a run warns once."""


def _warn_outside(record: logging.LogRecord) -> None:
    text = (
        f"The logger {record.name!r} was used where no flow or task runs; the record is not kept. "
        'Use another logger there, or say which run it belongs to: extra={"flow_run_id": number}.'
    )
    warnings.warn_explicit(text, UserWarning, record.pathname, record.lineno, registry=_warned)


# Setup ----------------------------------------------------------------------------------------------------------------


class _Setup:
    """What `setup_logging` has put in place, so that a later call changes that and nothing of the user's."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.done = False
        self.level = logging.NOTSET
        self.store = StoreHandler()
        self.others = StoreHandler(warn=False)
        """For loggers of libraries, which have every right to log outside of a run."""
        self.console: ConsoleHandler | None = None


_setup = _Setup()


def setup_logging() -> None:
    """Put the handlers of runs in place; called by the first flow run, and again it adjusts to what has changed.

    The loggers below ``tidegate`` have the level INFO, unless you gave them one, and pass their records on to your own
    handlers.  Nothing else is shown, unless these say so:

    - the setting ``log_level``: show records from this level on, on the error stream;
    - ``logging_extra_loggers``: other loggers whose records are kept too;
    - ``logging_to_store``: false to keep no records.

    Raises `SettingsError` for a setting that cannot be.
    """
    here = settings()
    level = logging.getLevelNamesMapping()[here.log_level] if here.is_set("log_level") else None
    extra = here.logging_extra_loggers
    with _setup.lock:
        ours = logging.getLogger("tidegate")
        if ours.level == _setup.level:  # nobody else has set one since
            _setup.level = logging.INFO if level is None else level
            ours.setLevel(_setup.level)
        _add(ours, logging.NullHandler, None)
        for name in (FLOW_RUNS, TASK_RUNS):
            _add(logging.getLogger(name), StoreHandler, _setup.store)
        for name in extra:
            other = logging.getLogger(name)
            _add(other, StoreHandler, _setup.others)
            if other.level == logging.NOTSET:
                other.setLevel(_setup.level)
        _setup.store.enabled = _setup.others.enabled = here.logging_to_store
        _show(ours, level)
        _setup.done = True


def hand_on(handler: logging.Handler) -> Callable[[], None]:
    """In a worker: all records go to `handler`, which hands them to the process that has the run, and its handlers;
    nothing else is put in place here.  What is returned undoes it."""
    with _setup.lock:
        before, _setup.done = _setup.done, True
        logging.getLogger().addHandler(handler)

    def undo() -> None:
        with _setup.lock:
            logging.getLogger().removeHandler(handler)
            _setup.done = before

    return undo


def _add(logger: logging.Logger, kind: type[logging.Handler], handler: logging.Handler | None) -> None:
    if not any(isinstance(each, kind) for each in logger.handlers):
        logger.addHandler(kind() if handler is None else handler)


def _show(logger: logging.Logger, level: int | None) -> None:
    if level is None:
        if _setup.console is not None:
            logger.removeHandler(_setup.console)
            _setup.console = None
        return
    if _setup.console is None:
        _setup.console = ConsoleHandler()
        logger.addHandler(_setup.console)
    _setup.console.setLevel(level)
