"""How records of runs look: on the console, and as JSON."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

_OURS = {"printed", "send_to_store", "from_engine"}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | _OURS | {"message", "asctime", "taskName"}


class ConsoleHandler(logging.StreamHandler[Any]):
    """Records as plain lines on ``sys.stderr``: nothing is wrapped, coloured or taken for markup.

    What was printed under ``log_prints`` is left out: it stands in the terminal or in the cell already.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(RunFormatter("%(asctime)s %(levelname)-7s %(where)s: %(message)s", "%H:%M:%S"))
        self.addFilter(lambda record: not getattr(record, "printed", False))

    @property
    def stream(self) -> Any:
        """The error stream of the moment: a notebook and a test each have their own."""
        return sys.stderr


class RunFormatter(logging.Formatter):
    """Knows one more field: ``%(where)s``, the task run or else the flow run or else the logger."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        names = (getattr(record, "task_run_name", None), getattr(record, "flow_run_name", None))
        record.where = next((name for name in names if name not in (None, "unknown")), record.name)
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, the run's ids and names, and every extra field.

    Values that have no JSON form stand as their text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        fields: dict[str, Any] = {
            "at": record.created,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)
