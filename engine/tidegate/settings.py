"""Settings: from ``TIDEGATE_*`` environment variables, else the defaults below."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What can be set; frozen."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True)

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
    return Settings()
