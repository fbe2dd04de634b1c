"""One loaded kernel for each module and version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_ext.driving import Loaded
from support.front_end import FrontEnd
from support.kernels import kernel_params


@pytest.fixture(params=kernel_params(), scope="module")
def loaded(request: pytest.FixtureRequest) -> Iterator[Loaded]:
    held = Loaded(request.param)
    yield held
    held.close()


@pytest.fixture
def kernel(loaded: Loaded) -> FrontEnd:
    """A kernel of every version, with the extension loaded, shared by the tests of a module."""
    return loaded.get()


@pytest.fixture(scope="module")
def loaded_newest() -> Iterator[Loaded]:
    held = Loaded(None)
    yield held
    held.close()


@pytest.fixture
def newest(loaded_newest: Loaded) -> FrontEnd:
    """The environment's own kernel, with the extension loaded, shared by the tests of a module."""
    return loaded_newest.get()


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of its own for everything Jupyter, and a kernel that can be had by name; the folder to work in."""
    spec = tmp_path / "data" / "kernels" / "tested"
    spec.mkdir(parents=True)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    work = tmp_path / "work"
    work.mkdir()
    return work
