"""Makes `support` and the repository's own helpers importable, whatever folder the tests are started from."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import Phase, settings

TESTS = Path(__file__).resolve().parent

# In front of neither: nothing here may hide what is installed.
sys.path.extend(str(path) for path in (TESTS, TESTS.parent) if str(path) not in sys.path)

# Without the phase that explains failures: it traces every line, and Python 3.11 can spin for ever in one once
# an interrupt was raised in one of the many threads that other tests of the same process interrupt.
settings.register_profile("tidegate", phases=[each for each in Phase if each is not Phase.explain])
settings.load_profile("tidegate")
