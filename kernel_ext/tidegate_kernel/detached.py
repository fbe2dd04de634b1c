"""The handle of a detached cell."""

from __future__ import annotations

from typing import Any

from tidegate.detached import DetachedRun
from tidegate.run.flow_run import FlowRun

from .cell import Body, outcome


class DetachedCell(DetachedRun[Any]):
    """A ``%%flow --detach`` cell that goes on by itself; its result is the value of the cell's last expression."""

    def __init__(self, run: FlowRun, body: Body) -> None:
        super().__init__(run)
        self._body = body

    def goes_on(self, run: FlowRun, body: Body) -> None:
        """The same run was resumed."""
        self._run, self._body = run, body

    def _value(self, raise_on_failure: bool) -> Any:
        __tracebackhide__ = True
        if not raise_on_failure or self.state.is_suspended():
            return super()._value(raise_on_failure)
        return outcome(self.state, self._body)
