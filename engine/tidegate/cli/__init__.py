"""The command line: ``tidegate``, and ``python -m tidegate``."""

from .commands import main

__all__ = ("main",)
