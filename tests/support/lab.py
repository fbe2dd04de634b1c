"""A real JupyterLab or Notebook 7 in a real browser: `Lab` is the server and its Chromium, `Page` a notebook in it.

The server lives in a folder of its own, on a random port, with a random token; the browser resolves no name but
127.0.0.1.  While a `Lab` is open Playwright keeps an event loop running in this thread, so give it a module of tests
to itself and no `asyncio.run` beside it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, TypeAlias

import nbformat

from scripts.kernels import is_complete, lab_overlay
from support.kernels import available, python_path
from support.page import Page

App: TypeAlias = Literal["jupyterlab", "notebook"]
"""What stands between the browser and the kernel, by the name of its module."""

PATIENCE = 20.0
"""Seconds that an expectation waits for: the tests of a page share their machine with others."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # Cells outside of the window stay in the page, where a test can find them.
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


def browser() -> str | None:
    """Return the system's Chromium, or the one that CHROME names."""
    found = os.environ.get("CHROME") or next(filter(None, map(shutil.which, BROWSERS)), None)
    return found if found and Path(found).exists() else None


def why_not(app: App = "jupyterlab") -> str | None:
    """Return why no JupyterLab can be driven here, for `pytest.mark.skipif`; None if one can."""
    for module in (app, "playwright"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed; run: pip install -e '.[lab,test]'"
    if browser() is None:
        return "no Chromium found; install one or set CHROME to it"
    return None


def why_not_older(version: str) -> str | None:
    """Return why this JupyterLab cannot be driven here; null if it can."""
    missing = None if is_complete(f"jupyterlab-{version}") else f"no JupyterLab {version}: python scripts/kernels.py"
    return why_not() or missing


class Lab:
    """A running JupyterLab and a browser for it, with a kernel for the environment's ipykernel and each overlay.

    With `app="notebook"` it is Notebook 7, whose page is made of the same parts; `version` picks an older JupyterLab,
    an overlay of `scripts/kernels.py`.
    """

    def __init__(
        self,
        *,
        app: App = "jupyterlab",
        version: str | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str] | None = None,
        start_timeout: float = 120.0,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lab-"))
        self.root = self.home / "root"
        self.root.mkdir()
        self.token = secrets.token_hex(16)
        self.start_seconds = 0.0
        self._app: App = app
        self._start_timeout = start_timeout
        self._server: _Server | None = None
        self._playwright: Any = None
        self.browser: Any = None
        older = {} if version is None else _older(lab_overlay(version))
        self._environment = self._prepare({**SETTINGS, **(settings or {})}, {**older, **(env or {})})

    def open(
        self,
        notebook: Path | Sequence[str],
        *,
        files: Sequence[Path] = (),
        kernel_version: str | None = None,
        width: int = 1200,
        height: int = 900,
        timeout: float = 120.0,
    ) -> Page:
        """Open a copy of a notebook, or a new one with these code cells, and wait for its kernel.

        `files` are copied beside it, `kernel_version` picks an overlay of `scripts/kernels.py`.  Each page has
        browser storage of its own.
        """
        path = self.place(notebook, kernel_version=kernel_version)
        for file in files:
            shutil.copy(file, self.root / file.name)
        context = self.browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(timeout * 1000)
        place = "lab/tree" if self._app == "jupyterlab" else "notebooks"
        page = Page(context, f"{self.url}/{place}/{path.name}?token={self.token}&reset", path)
        try:
            page.load()
        except BaseException:
            page.close()
            raise
        return page

    def place(self, notebook: Path | Sequence[str], *, kernel_version: str | None = None) -> Path:
        """Put a notebook into the server's folder, without opening it, and return where it is."""
        if isinstance(notebook, Path):
            path, content = self.root / notebook.name, nbformat.read(notebook, as_version=4)
        else:
            path = self.root / f"cells-{secrets.token_hex(4)}.ipynb"
            content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in notebook])
        name = _kernel_name(kernel_version)
        content.metadata["kernelspec"] = {"name": name, "display_name": name, "language": "python"}
        nbformat.write(content, path)
        return path

    def log(self) -> str:
        """Return what the server has written so far."""
        return "" if self._server is None else self._server.log()

    def __enter__(self) -> Self:
        from playwright.sync_api import expect, sync_playwright

        begun = time.monotonic()
        try:
            self._server = _Server(self._app, self._environment, self.root, self.home / "server.log", self.token)
            self.url = self._server.url
            # The browser starts while the server does.
            expect.set_options(timeout=1000 * PATIENCE)
            self._playwright = sync_playwright().start()
            self.browser = self._playwright.chromium.launch(executable_path=browser(), args=list(BROWSER_ARGUMENTS))
            self._server.wait_ready(self._start_timeout)
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.monotonic() - begun
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser, the server and its kernels, and remove the folder."""
        if self.browser is not None:
            self.browser.close()
        if self._playwright is not None:
            self._playwright.stop()
        if self._server is not None:
            self._server.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _prepare(self, settings: Mapping[str, Mapping[str, Any]], extra: Mapping[str, str]) -> dict[str, str]:
        home = self.home
        for name, values in settings.items():
            path = home / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        for version in (None, *available()):
            name = _kernel_name(version)
            folder = home / "data" / "kernels" / name
            folder.mkdir(parents=True)
            spec = {
                "argv": [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": name,
                "language": "python",
                "env": {"PYTHONPATH": python_path(version, os.environ.get("PYTHONPATH"))},
            }
            (folder / "kernel.json").write_text(json.dumps(spec))
        return {
            **os.environ,
            "HOME": str(home),
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "JUPYTER_PREFER_ENV_PATH": "0",  # our kernel specs come before the environment's
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **extra,
        }


def _older(overlay: Path) -> dict[str, str]:
    """What makes the server the JupyterLab of an overlay; it looks for its page beside the interpreter otherwise."""
    path = os.pathsep.join(filter(None, [str(overlay), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "JUPYTERLAB_DIR": str(overlay / "share" / "jupyter" / "lab")}


def _kernel_name(version: str | None) -> str:
    return "python3" if version is None else f"ipykernel-{version}"


class _Server:
    """The JupyterLab process, and a thread that reads what it says."""

    def __init__(self, app: App, environment: Mapping[str, str], root: Path, log: Path, token: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        self._changed = threading.Condition()
        self._ready = False
        self._ended = False
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", app, "--no-browser", "--allow-root", "--expose-app-in-browser"),
                *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
                *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"),
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ],
            env=dict(environment),
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def wait_ready(self, timeout: float) -> None:
        """Wait until it says that it is running."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended, timeout)
            if not self._ready or self._ended:
                raise RuntimeError(f"JupyterLab did not start in {timeout} s\n{self.log()[-3000:]}")

    def log(self) -> str:
        """Return what it has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        """End it in order, which ends its kernels."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)

    def _read(self, stream: IO[str]) -> None:
        with stream, self._log.open("w") as log:
            for line in stream:
                log.write(line)
                log.flush()
                if "is running at" in line:
                    self._note(ready=True)
        self._note(ended=True)

    def _note(self, *, ready: bool = False, ended: bool = False) -> None:
        with self._changed:
            self._ready |= ready
            self._ended |= ended
            self._changed.notify_all()
