"""Agents in processes of their own, and flows for them to run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.modules import forgotten
from tidegate.deploy import jobs
from tidegate.deploy.deploying import deploy
from tidegate.deployed_runs import new_run
from tidegate.engine import Engine
from tidegate.flow_runs import slug
from tidegate.model.deployments import Deployment, Dispatch
from tidegate.model.states import Scheduled
from tidegate.model.views import FlowRow
from tidegate.ports import EventStore
from tidegate.store.sqlite import SQLiteStore

LONG = 60.0
"""Seconds after which what takes a few processes to start counts as hung, on a machine with much else to do."""

FLOWS = """
import os, signal, time
from pathlib import Path
from tidegate import flow, task

@task
def double(x):
    with Path("calls").open("a") as file:
        file.write("x")
    return 2 * x

@flow
def nightly(x: int = 1):
    print("x is", x)
    return double(x)

@task
def wait_for_go():
    Path("began").write_text(str(os.getpid()))
    while not Path("go").exists():
        time.sleep(0.01)

@flow
def waiting():
    wait_for_go()
    return double(1)

@flow
def stubborn():
    # As code in a library in C: it hears no signal but the last one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    Path("began").write_text(str(os.getpid()))
    while not Path("go").exists():
        try:
            time.sleep(0.05)
        except BaseException:
            pass

@flow
def failing(x: int = 1):
    y = double(x)
    if not Path("mended").exists():
        raise ValueError("bad row")
    return double(y)
"""


class AgentProcess:
    """``tidegate agent`` in a process of its own, and what it says."""

    def __init__(self, home: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tidegate", "--home", str(home), "agent", "--prefetch", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.lines.append(line.rstrip())
                self._heard.notify_all()

    def says(self, *words: str, times: int = 1) -> list[str]:
        """Wait until it has said so many lines with all these words; those lines."""

        def found() -> list[str]:
            return [line for line in self.lines if all(word in line for word in words)]

        with self._heard:
            assert self._heard.wait_for(lambda: len(found()) >= times, LONG), f"no {words} in {self.lines}"
            return found()

    def stop(self, number: int = signal.SIGINT) -> str:
        """Stop it as its user would; the last thing that it says."""
        self.process.send_signal(number)
        assert self.process.wait(LONG) == 0, self.lines
        self._reader.join(LONG)
        return self.lines[-1]

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LONG)
        self._reader.join(LONG)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def agents(home: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents over a store; they and what they have started are gone at the end."""
    made: list[AgentProcess] = []

    def start(*options: str, **more: Any) -> AgentProcess:
        made.append(AgentProcess(home, *options, **more))
        return made[-1]

    try:
        yield start
    finally:
        for each in made:
            each.kill()
        store = SQLiteStore(home / "store.db")
        for row in store.flow_runs():
            dispatch = store.deployments.dispatch(row.number)
            if dispatch is not None and dispatch.place is not None:
                jobs.send(dispatch.place, signal.SIGKILL)
        store.close()


def deployed(store: SQLiteStore, target: str, **options: Any) -> Deployment:
    """A deployment of a flow of the working folder, called ``now``."""
    return deploy(Engine(store), target, options.pop("name", "now"), **options)


def ordered(store: SQLiteStore, deployment: Deployment, due: float = 0.0, **more: Any) -> int:
    """A run of a deployment that is due, as `run_deployment` makes it; its number."""
    created = new_run(deployment, slug(), due)
    dispatch = Dispatch(0, deployment.full_name, deployment.queue, due, deployment.folder, **more)
    return store.deployments.create_run(created, dispatch, Scheduled(due, at=due))[0]


def until(condition: Callable[[], object], what: str) -> None:
    """Look at what another process does until a condition holds that must come to hold."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {LONG:g} s"
        time.sleep(0.02)


@contextmanager
def working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While inside, work in a folder that has the flows above as ``etl.py``."""
    (folder / "etl.py").write_text(FLOWS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(folder)
    with forgotten(folder):
        yield


def row_of(store: EventStore, number: int) -> FlowRow:
    """A flow run that is there."""
    row = store.flow_run(number)
    assert row is not None
    return row
