"""The kernels that tests run on: the environment's own, and the overlays made by `scripts/kernels.py`."""

from __future__ import annotations

import os
from importlib import metadata

import pytest
from _pytest.mark import ParameterSet

from scripts.kernels import VERSIONS, is_complete, overlay

ALL_VERSIONS: tuple[str, ...] = tuple(VERSIONS)
MISSING = "ipykernel {} has no overlay; run: python scripts/kernels.py"


def available() -> list[str]:
    """Return the versions that can be started here and now."""
    return [version for version in ALL_VERSIONS if is_complete(version)]


def python_path(version: str | None, existing: str | None = None) -> str:
    """Return the PYTHONPATH that runs this version: its overlay in front of what was there."""
    parts = [] if version is None else [str(overlay(version))]
    return os.pathsep.join([*parts, *([existing] if existing else [])])


def goes_deaf(version: str | None) -> bool:
    """Say whether this version can stop hearing its shell socket (ipykernel #1554)."""
    major, minor = (version or metadata.version("ipykernel")).split(".")[:2]
    return int(major) == 7 and int(minor) < 4


def kernel_params(*versions: str) -> list[ParameterSet]:
    """Return parameters for a test over these versions, or over all; one whose overlay is missing is skipped."""
    return [_param(version) for version in versions or ALL_VERSIONS]


def each_kernel(*versions: str, name: str = "version") -> pytest.MarkDecorator:
    """Run a test once for each of these versions, or for all: `@each_kernel()`, argument `version`."""
    return pytest.mark.parametrize(name, kernel_params(*versions))


def _param(version: str) -> ParameterSet:
    missing = not is_complete(version)
    marks = [pytest.mark.kernel, *([pytest.mark.skip(reason=MISSING.format(version))] if missing else [])]
    return pytest.param(version, marks=marks, id=version)
