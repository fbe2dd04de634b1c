"""One loaded kernel for each module and version."""

from __future__ import annotations

from collections.abc import Iterator

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
