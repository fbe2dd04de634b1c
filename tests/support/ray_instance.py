"""A Ray instance on this machine that is small, and says nothing to anybody else."""

from __future__ import annotations

import builtins
import gc
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SMALL: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 80_000_000, "log_to_driver": False}
TRIES = 3


@contextmanager
def nothing_left_of_ray() -> Iterator[None]:
    """What is inside may use Ray, which then leaves a `print` of its own in the place of Python's, and its processes
    to the collector: that warns of each in the middle of whatever test it is at work in."""
    before = builtins.print
    yield
    builtins.print = before
    if "ray" in sys.modules:
        found = [each for each in gc.get_objects() if issubclass(type(each), subprocess.Popen)]
        for process in found:
            if "ray" in str(process.args):
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextmanager
def quiet_ray() -> Iterator[None]:
    """While inside, an instance may be started."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else a token is written to the home of whoever runs the tests
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its log files and processes to the collector
        yield


@contextmanager
def local_ray(**options: Any) -> Iterator[None]:
    """An instance, ended at the end."""
    with quiet_ray():
        import ray

        for nth in range(TRIES):  # it gives its helpers half a minute to start, which a busy machine may need
            try:
                ray.init(**SMALL, **options)
                break
            except Exception as error:
                ray.shutdown()
                if nth == TRIES - 1 or "timed out during startup" not in str(error):
                    raise
        try:
            yield
        finally:
            ray.shutdown()
