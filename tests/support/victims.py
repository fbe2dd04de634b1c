"""Processes that are to be killed: each is started, with its imports done, while the one before it is at work.

Two thirds of the time of such a process go by before it does anything.  So the next one waits for its orders.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .flows import SOON

WAITS = """
import asyncio, concurrent.futures, json, os, runpy, sys
import tidegate, tidegate.engine, tidegate.dead_runs, tidegate.recovery, tidegate.store.sqlite
script, folder, arguments, env = json.loads(sys.stdin.readline())
os.environ.update(env)
os.chdir(folder)
sys.path.insert(0, folder)
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
"""


class Victims:
    """Makes such processes."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this
        self._next = self._started()

    @contextmanager
    def go(self, script: Path, *arguments: object, home: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A process that runs the script, in its folder, over the store in `home`; killed at the end."""
        process, self._next = self._next, self._started()
        orders = [str(script), str(script.parent), list(map(str, arguments)), {"TIDEGATE_HOME": str(home)}]
        assert process.stdin is not None
        process.stdin.write(json.dumps(orders).encode() + b"\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            _end(process)

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", WAITS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,  # a file: nobody need read it, as a pipe
            env=dict(os.environ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._next)
        self._errors.close()

    def errors(self) -> str:
        """What they wrote of errors, all of them."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(SOON)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def said(process: subprocess.Popen[bytes], seconds: float = 30) -> tuple[int, str]:
    """Wait for the end of a process; its exit code, and the rest of what it said."""
    out, _ = process.communicate(timeout=seconds)
    return process.returncode, out.decode()
