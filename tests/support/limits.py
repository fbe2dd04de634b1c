"""What holds for limits of every kind."""

from __future__ import annotations

import threading
from typing import Any

from support.flows import SOON, flow, in_time, opened, task
from tidegate import ConcurrentTaskRunner


def other_work_goes_on(**limit: Any) -> bool:
    """Two workers, one task with that limit of one at work on one of them, three that queue: does the other go on?"""
    free, began = threading.Event(), threading.Event()

    @task(**limit)
    def limited() -> None:
        began.set()
        opened(free)

    @task
    def other() -> int:
        return 7

    @flow(task_runner=ConcurrentTaskRunner(2))
    def work() -> int:
        futures = [limited.submit() for _ in range(4)]
        opened(began)
        got: int = other.submit().result(timeout=SOON)
        free.set()
        for each in futures:
            each.wait()
        return got

    return bool(in_time(work) == 7)
