"""Settings: from ``TIDEGATE_*`` environment variables, else the defaults below.

A frozen dataclass and not a pydantic model: the first flow of a process needs one path, and importing pydantic's
settings for it took 0.25 s and 28 MB.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set; frozen."""

    home: Path = Path(".tidegate")
    """The folder of the store (``TIDEGATE_HOME``); a relative one is taken from the working folder, so that by default
    the record lies next to the notebook."""

    @property
    def store_path(self) -> Path:
        """The file of the store."""
        return (self.home / "store.db").absolute()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    home = os.environ.get("TIDEGATE_HOME")
    return Settings(home=Path(home).expanduser()) if home else Settings()
