"""Numbers of things, for people."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """So many of something: ``1 run``, ``1,200 runs``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
