"""The runner that runs each submitted task at once, on the thread that submits it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class SequentialTaskRunner:
    """One after the other, in the order of submission; a map runs in the order of its items."""

    inline = True

    def start(self) -> SequentialTaskRunner:
        """A runner for one flow run."""
        return self

    def submit(self, job: Callable[[], Any]) -> None:
        """Run the job here and now."""
        job()

    def is_deserted(self) -> bool:
        """No job is ever given up."""
        return False

    def desert(self, thread: int) -> None:
        """Nobody waits for the thread that submits."""

    def close(self) -> None:
        """Nothing to close."""
