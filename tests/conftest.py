"""Makes `support` and the repository's own helpers importable, whatever folder the tests are started from."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent

# In front of neither: nothing here may hide what is installed.
sys.path.extend(str(path) for path in (TESTS, TESTS.parent) if str(path) not in sys.path)
