"""``tidegate graph`` in a process of its own, and a browser for its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.lab import BROWSER_ARGUMENTS, browser


@dataclass
class Served:
    """A server of a graph page."""

    process: subprocess.Popen[str]
    address: str
    errors: Path

    def interrupt(self) -> int:
        """Press Ctrl-C, and wait for its end; the exit code."""
        self.process.send_signal(2)
        return self.process.wait(20)


@contextmanager
def command(folder: Path, *arguments: object, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A command of `tidegate` in a process of its own, in that folder; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "tidegate", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "TIDEGATE_PROFILES_PATH": str(folder / "profiles.toml")},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, **more},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()


@contextmanager
def serving(folder: Path, *run: int) -> Iterator[Served]:
    """The graphs of the store in that folder, served: that of this run, or the list of all."""
    errors = folder / "graph-errors.txt"
    with errors.open("w") as file, command(folder, "graph", *run, "--no-browser", stderr=file) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"{line}{errors.read_text()}"
        yield Served(process, found[0], errors)


@dataclass
class Shown:
    """A page of the browser, with what it has complained about and where it has been."""

    raw: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.raw.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.raw.on("pageerror", lambda error: self.errors.append(str(error)))
        self.raw.on("request", lambda request: self.requests.append(request.url))

    @property
    def panel(self) -> Any:
        """The run graph."""
        return self.raw.locator(".panel")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser.  While it is there, Playwright keeps an event loop running in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser(), args=list(BROWSER_ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


@contextmanager
def shown(running: Any, address: str, **options: Any) -> Iterator[Shown]:
    """The page at an address, in a browser profile of its own."""
    context = running.new_context(viewport={"width": 1200, "height": 800}, **options)
    context.set_default_timeout(20_000)
    try:
        page = Shown(context.new_page())
        page.raw.goto(address)
        yield page
    finally:
        context.close()
