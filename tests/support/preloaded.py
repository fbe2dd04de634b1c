"""Libraries of ours that a process has preloaded, so that what it does with files goes through them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def library(source: Path, folder: Path) -> Path:
    """The library of that C source, built into `folder`; skips the test where that cannot be."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip(
            "what a process does with its files is seen by a preloaded library: it takes Linux and a C compiler"
        )
    made = folder / f"{source.stem}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl", "-pthread"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return made
