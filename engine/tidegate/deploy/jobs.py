"""Processes of flow runs: each is started for one run, and may be told to end from anywhere on its machine."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..model.deployments import Place
from ..outputs import output_of
from ..settings import settings

MODULE = "tidegate.deploy.child"


def host() -> str:
    """The name of this machine."""
    return platform.node()


class Job:
    """The process of a flow run that was started here; `ended` is called with the run, the process and its exit code,
    on a thread."""

    def __init__(self, flow_run: int, folder: Path, home: Path, ended: Callable[[int, Place, int], None]) -> None:
        output = output_of(home, flow_run)
        output.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
            self._process = subprocess.Popen(
                # -P: what lies in the working folder is not to be taken for a module of Python's own.
                [sys.executable, "-P", "-m", MODULE, str(flow_run)],
                cwd=folder,
                env=_environment(home),
                stdin=subprocess.DEVNULL,
                # A pipe to the agent, or its terminal, would end with it, and the run fail where it prints.
                stdout=file,
                stderr=subprocess.STDOUT,
                # In a session of its own, so that Ctrl-C in the terminal of the agent is not for it.
                start_new_session=True,
            )
        pid = self._process.pid
        self.place = place = Place(host(), pid, beginning_of(pid))
        wait = threading.Thread(target=lambda: ended(flow_run, place, self._process.wait()), daemon=True)
        wait.name = f"tidegate-job-{flow_run}"
        wait.start()


def _environment(home: Path) -> dict[str, str]:
    """The settings that hold here, and the paths that hold wherever the process is."""
    variables = {**os.environ, **settings().to_environment(exclude_unset=True), "TIDEGATE_HOME": str(home.absolute())}
    variables.pop("TIDEGATE_PROFILE", None)  # it would be stronger than they are
    paths = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    if paths:
        variables["PYTHONPATH"] = os.pathsep.join(str(Path(each).absolute()) for each in paths)
    variables["PYTHONUNBUFFERED"] = "1"  # what it has said when it is killed is in the file
    return variables


def is_there(place: Place) -> bool:
    """True if the recorded process of this machine has not ended, and no other has its number now."""
    if place.host != host() or place.pid <= 1:
        return False
    try:
        os.kill(place.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, who was given the number
        return False
    return beginning_of(place.pid) == place.began


def send(place: Place, number: signal.Signals) -> None:
    """Send a signal to a process of this machine, if it is there."""
    if is_there(place):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(place.pid, number)


def beginning_of(pid: int) -> str:
    """When a process began, as Linux counts it, with what tells this start of the machine from others; empty where that
    cannot be told, or for one that has ended and is waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{fields[19]} {boot}"
